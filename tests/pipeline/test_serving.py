"""What batches hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pipeline.core import Split
from pipeline.params import GenerateSettings
from pipeline.serving import levelled, mixed_menu, real_menu, serve

REAL, DRAWN = 1, 2


def split(*counts: int, kind: int = REAL) -> Split:
    """Each image holds its kind and its number."""
    labels = np.repeat(np.arange(len(counts)), counts).astype(np.int64)
    images = np.full((len(labels), 8, 8, 1), kind, np.uint8)
    images[:, 0, 1, 0] = np.arange(len(labels))
    return Split(images, labels, tuple("abcdef"[: len(counts)]))


def settings(**changes: Any) -> GenerateSettings:
    values = {"fill": "even", "per_class": 4, "share": 0.25, "level_to": None, "max_per_real": 10.0}
    return GenerateSettings.model_validate({**values, **changes})


def served(menu: Any, steps: int, seed: int = 0) -> tuple[Any, Any, Any]:
    batches = list(serve(menu, steps, seed))
    images = np.stack([images for images, _ in batches])
    return images[:, :, 0, 0, 0], images[:, :, 0, 1, 0], np.stack([labels for _, labels in batches])


def test_none_shows_every_image_once_before_any_twice() -> None:
    _, numbers, _ = served(real_menu("none", split(9, 3), batch=4, seed=0), steps=6)
    first, second = numbers.reshape(2, 12)
    assert sorted(first) == sorted(second) == list(range(12))
    assert list(first) != list(second)


def test_oversample_levels_classes_and_uses_every_image_nearly_as_often() -> None:
    _, numbers, labels = served(real_menu("oversample", split(10, 4, 1), batch=6, seed=0), steps=5)
    assert np.bincount(labels.ravel()).tolist() == [10, 10, 10]
    times = np.bincount(numbers.ravel())
    assert set(times[:10]) == {1}
    assert set(times[10:14]) == {2, 3}
    assert times[14] == 10


def test_even_has_the_same_synthetic_share_in_every_batch_and_in_every_class() -> None:
    menu = mixed_menu(split(12, 4, 1), split(4, 4, 4, kind=DRAWN), settings(), batch=8, seed=0)
    kinds, _, labels = served(menu, steps=18)
    assert ((kinds == DRAWN).sum(1) == 2).all()
    assert np.bincount(labels[kinds == DRAWN]).tolist() == [12, 12, 12]
    assert np.bincount(labels[kinds == REAL]).tolist() == [36, 36, 36]


@pytest.mark.parametrize(("share", "expected"), [(0.001, 1), (0.999, 7)])
def test_even_never_leaves_out_one_of_the_two(share: float, expected: int) -> None:
    menu = mixed_menu(split(3, 3), split(3, 3, kind=DRAWN), settings(share=share), batch=8, seed=0)
    assert (served(menu, steps=2)[0] == DRAWN).sum(1).tolist() == [expected] * 2


def test_level_tops_up_with_synthetic_images_and_repeats_what_is_still_missing() -> None:
    # Class b has 2 real and 4 drawn of the 10 that a has; class c 1 and 9.
    menu = mixed_menu(split(10, 2, 1), split(0, 4, 9, kind=DRAWN), settings(fill="level"), batch=10, seed=0)
    kinds, _, labels = served(menu, steps=3)
    assert np.bincount(labels.ravel()).tolist() == [10, 10, 10]
    assert (kinds[labels == 0] == REAL).all()
    assert (kinds[labels == 2] == DRAWN).sum() == 9


def test_the_order_of_batches_comes_from_the_seed_alone() -> None:
    menu = real_menu("none", split(9, 3), batch=4, seed=0)
    first, again, other = (served(menu, steps=5, seed=seed)[1] for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_class_without_images_is_left_out_of_levelling() -> None:
    assert np.bincount(split(4, 0, 2).labels[levelled(split(4, 0, 2), 0)], minlength=3).tolist() == [4, 0, 4]


def test_a_batch_larger_than_the_pool_passes_through_it_several_times() -> None:
    _, numbers, _ = served(real_menu("none", split(3), batch=7, seed=0), steps=3)
    assert np.bincount(numbers.ravel()).tolist() == [7, 7, 7]
