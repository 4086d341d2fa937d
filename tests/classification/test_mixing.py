"""Batches: which images they hold, and in which order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from makeweight.classification.controls import oversample_indices
from makeweight.classification.mixing import control_mixing, generator_mixing, mixed_batches
from makeweight.classification.transforms import Recipe
from makeweight.comparison.sentences import exposure
from makeweight.core.data import Split
from makeweight.core.errors import BadInput
from makeweight.core.parameters import GenerateSettings
from makeweight.core.validation import validate
from tests.support.generating import generate_settings

REAL, SYNTHETIC = 1, 2


def split(*counts: int, kind: int = REAL) -> Split:
    """Each image holds its kind and its number."""
    labels = np.repeat(np.arange(len(counts)), counts).astype(np.int64)
    images = np.full((len(labels), 8, 8, 1), kind, np.uint8)
    images[:, 0, 1, 0] = np.arange(len(labels))
    return Split(images, labels, tuple("abcdef"[: len(counts)]))


def settings(**changes: Any) -> GenerateSettings:
    mixed = {"strategy": "uniform", "synthetic_fraction": 0.25, "base": "auto", "max_synthetic_ratio": 10.0}
    return generate_settings(**{**mixed, **changes})


def shown(mixing: Any, steps: int, seed: int = 0) -> tuple[Any, Any, Any]:
    batches = list(mixed_batches(mixing, steps, seed))
    images = np.stack([images for images, _ in batches])
    return images[:, :, 0, 0, 0], images[:, :, 0, 1, 0], np.stack([labels for _, labels in batches])


def test_none_shows_every_image_once_before_any_twice() -> None:
    _, numbers, _ = shown(control_mixing("none", split(9, 3), batch=4, seed=0), steps=6)
    first, second = numbers.reshape(2, 12)
    assert sorted(first) == sorted(second) == list(range(12))
    assert list(first) != list(second)


def test_oversample_balances_classes_and_uses_every_image_nearly_as_often() -> None:
    _, numbers, labels = shown(control_mixing("oversample", split(10, 4, 1), batch=6, seed=0), steps=5)
    assert np.bincount(labels.ravel()).tolist() == [10, 10, 10]
    times = np.bincount(numbers.ravel())
    assert set(times[:10]) == {1}
    assert set(times[10:14]) == {2, 3}
    assert times[14] == 10


def test_uniform_has_the_same_synthetic_fraction_in_every_batch_and_in_every_class() -> None:
    mixing = generator_mixing(
        split(12, 4, 1), split(4, 4, 4, kind=SYNTHETIC), settings(), "oversample", batch=8, seed=0
    )
    kinds, _, labels = shown(mixing, steps=18)
    assert ((kinds == SYNTHETIC).sum(1) == 2).all()
    assert np.bincount(labels[kinds == SYNTHETIC]).tolist() == [12, 12, 12]
    assert np.bincount(labels[kinds == REAL]).tolist() == [36, 36, 36]


@pytest.mark.parametrize(("fraction", "expected"), [(0.001, 1), (0.999, 7)])
def test_uniform_never_leaves_out_real_or_synthetic_images(fraction: float, expected: int) -> None:
    mixing = generator_mixing(
        split(3, 3), split(3, 3, kind=SYNTHETIC), settings(synthetic_fraction=fraction), "oversample", batch=8, seed=0
    )
    assert (shown(mixing, steps=2)[0] == SYNTHETIC).sum(1).tolist() == [expected] * 2


def test_balance_adds_synthetic_images_and_repeats_where_they_are_too_few() -> None:
    # Class b has 2 real and 4 synthetic of the 10 that a has; class c 1 and 9.
    mixing = generator_mixing(
        split(10, 2, 1), split(0, 4, 9, kind=SYNTHETIC), settings(strategy="balance"), "oversample", batch=10, seed=0
    )
    kinds, _, labels = shown(mixing, steps=3)
    assert np.bincount(labels.ravel()).tolist() == [10, 10, 10]
    assert (kinds[labels == 0] == REAL).all()
    assert (kinds[labels == 2] == SYNTHETIC).sum() == 9


@pytest.mark.parametrize(("fraction", "replaced"), [(0.25, 4), (0.5, 8), (0.01, 1)])
def test_uniform_replaces_a_fraction_of_each_oversample_batch_within_the_class(fraction: float, replaced: int) -> None:
    train, steps = split(30, 12, 5), 60
    control = control_mixing("oversample", train, batch=16, seed=0)
    mixing = generator_mixing(
        train, split(7, 7, 7, kind=SYNTHETIC), settings(synthetic_fraction=fraction), "oversample", batch=16, seed=0
    )
    kinds, numbers, labels = shown(mixing, steps)
    _, expected, expected_labels = shown(control, steps)
    assert ((kinds == SYNTHETIC).sum(1) == replaced).all()
    assert np.array_equal(numbers[kinds == REAL], expected[kinds == REAL])
    assert np.array_equal(labels, expected_labels)


def test_no_place_no_real_image_and_no_synthetic_image_is_preferred() -> None:
    train, steps = split(40, 10, 5), 900  # 40 epochs of 120 in batches of 8, of which 2 are replaced
    mixing = generator_mixing(train, split(6, 6, 6, kind=SYNTHETIC), settings(), "oversample", batch=8, seed=0)
    kinds, numbers, labels = shown(mixing, steps)
    synthetic = kinds == SYNTHETIC
    assert np.abs(synthetic.mean(0) - 0.25).max() < 4 * (0.25 * 0.75 / steps) ** 0.5
    assert np.ptp(np.bincount(numbers[synthetic], minlength=18)) <= 1
    times = np.bincount(numbers[~synthetic], minlength=55)
    assert np.ptp(times[:40]) <= 2
    assert np.ptp(times[40:50]) <= 3
    assert np.abs(np.cumsum(synthetic & (labels == 0))[7::8] - 0.25 * np.cumsum(labels == 0)[7::8]).max() < 1


def test_balance_shows_each_real_image_where_oversample_shows_it_first_in_an_epoch() -> None:
    train = split(10, 4, 1)
    mixing = generator_mixing(
        train, split(0, 6, 9, kind=SYNTHETIC), settings(strategy="balance"), "oversample", batch=6, seed=0
    )
    kinds, numbers, labels = shown(mixing, steps=25)
    _, expected, expected_labels = shown(control_mixing("oversample", train, batch=6, seed=0), steps=25)
    assert np.array_equal(labels, expected_labels)
    assert (kinds == REAL).sum() == 5 * 15
    assert np.array_equal(numbers[kinds == REAL], expected[kinds == REAL])


def test_images_that_arms_share_follow_one_another_in_the_same_order() -> None:
    train = split(10, 4, 1)
    balanced = generator_mixing(
        train, split(0, 6, 9, kind=SYNTHETIC), settings(strategy="balance"), "oversample", batch=6, seed=0
    )
    kinds, numbers, _ = shown(balanced, steps=25)
    _, alone, _ = shown(control_mixing("none", train, batch=5, seed=0), steps=15)
    assert np.array_equal(numbers[kinds == REAL], alone.ravel())


@pytest.mark.parametrize("source", ["oversample", "uniform", "balance"])
def test_images_at_shared_places_are_augmented_in_the_same_way(source: str) -> None:
    # A transform that took more random numbers for a bright image would change all images after it differently.
    recipe = validate(Recipe, [{"ShotNoise": {"p": 1.0}}, {"HorizontalFlip": {"p": 0.5}}], key="recipe")
    train, synthetic = split(10, 4, 4, kind=200), split(0 if source == "balance" else 6, 6, 6, kind=3)
    control = control_mixing("oversample", train, batch=8, seed=0)
    mixing = (
        control
        if source == "oversample"
        else generator_mixing(train, synthetic, settings(strategy=source), "oversample", batch=8, seed=0)
    )
    shared = 0
    for (images, _), (expected, _) in zip(mixed_batches(mixing, 5, 0), mixed_batches(control, 5, 0), strict=True):
        same = (images == expected).all((1, 2, 3))
        shared += int(same.sum())
        changed, expected_changed = recipe.apply(images, 7), recipe.apply(expected, 7)
        assert np.array_equal(changed[same], expected_changed[same])
    assert shared >= {"oversample": 40, "uniform": 30, "balance": 18}[source]


def test_uniform_needs_synthetic_images_of_every_class_that_has_real_ones() -> None:
    with pytest.raises(BadInput, match=r"no synthetic images of class 'b'.*: run generate again"):
        generator_mixing(split(3, 3, 0), split(3, 0, 0, kind=SYNTHETIC), settings(), "oversample", batch=8, seed=0)


def test_the_sentence_on_the_number_of_real_images_is_true() -> None:
    assert exposure(settings(synthetic_fraction=0.25)) == (
        "Synthetic images make up 25% of each batch, so the classifier sees 25% fewer real images with them."
    )
    assert "more" not in exposure(settings(strategy="balance"))
    train = split(10, 4, 1)
    counts = {"uniform": (5, 5, 5), "balance": (0, 6, 9)}
    real = {
        strategy: shown(
            generator_mixing(
                train, split(*n, kind=SYNTHETIC), settings(strategy=strategy), "oversample", batch=8, seed=0
            ),
            30,
        )[0]
        == REAL
        for strategy, n in counts.items()
    }
    assert real["uniform"].mean() == 0.75
    assert real["balance"].mean() < 1


def test_the_order_of_batches_comes_from_the_seed_alone() -> None:
    mixing = control_mixing("none", split(9, 3), batch=4, seed=0)
    first, again, other = (shown(mixing, steps=5, seed=seed)[1] for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_class_without_images_is_left_out_of_oversampling() -> None:
    assert np.bincount(split(4, 0, 2).labels[oversample_indices(split(4, 0, 2).labels, 0)], minlength=3).tolist() == [
        4,
        0,
        4,
    ]


def test_a_batch_larger_than_the_data_set_holds_several_epochs() -> None:
    _, numbers, _ = shown(control_mixing("none", split(3), batch=7, seed=0), steps=3)
    assert np.bincount(numbers.ravel()).tolist() == [7, 7, 7]


@pytest.mark.parametrize("name", ["weighted", "logit_adjusted"])
def test_controls_with_the_same_sampling_serve_the_same_batches(name: str) -> None:
    train = split(9, 3)
    _, numbers, labels = shown(control_mixing(name, train, batch=4, seed=0), steps=8)
    _, expected, expected_labels = shown(control_mixing("none", train, batch=4, seed=0), steps=8)
    assert np.array_equal(numbers, expected)
    assert np.array_equal(labels, expected_labels)


def test_deferred_serves_the_batches_of_none_and_balanced_ones_in_the_last_quarter() -> None:
    train = split(10, 4, 1)
    _, numbers, labels = shown(control_mixing("deferred", train, batch=6, seed=0), steps=20)
    _, expected, _ = shown(control_mixing("none", train, batch=6, seed=0), steps=20)
    assert np.array_equal(numbers[:15], expected[:15])
    assert np.bincount(labels[15:].ravel()).tolist() == [10, 10, 10]  # one epoch of 30 images


def test_a_phase_begins_even_within_an_epoch() -> None:
    _, _, labels = shown(control_mixing("deferred", split(1000, 2), batch=8, seed=0), steps=8)
    assert (labels[6:] == 1).sum() > 4  # of 16, where `none` would show none or one
    assert labels.shape == (8, 8)


@pytest.mark.parametrize("base", ["none", "oversample", "logit_adjusted", "deferred"])
def test_uniform_serves_the_batches_of_its_base_with_some_images_replaced_by_ones_of_their_class(base: str) -> None:
    train = split(30, 12, 5)
    mixing = generator_mixing(train, split(7, 7, 7, kind=SYNTHETIC), settings(), base, batch=16, seed=0)
    control = control_mixing(base, train, batch=16, seed=0)
    kinds, numbers, labels = shown(mixing, 40)
    _, expected, expected_labels = shown(control, 40)
    assert ((kinds == SYNTHETIC).sum(1) == 4).all()
    assert np.array_equal(numbers[kinds == REAL], expected[kinds == REAL])
    assert np.array_equal(labels, expected_labels)
    assert np.array_equal(mixing.frequencies(), control.frequencies())
    assert mixing.control == control.control
