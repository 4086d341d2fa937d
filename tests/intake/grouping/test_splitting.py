"""Splits: disjoint, stratified, with whole groups; only the training split is subsampled."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from makeweight.core.errors import BadInput
from makeweight.intake.grouping.splitting import SplitInput, split_images
from tests.support.data_settings import counts_of, settings, split_input


def test_splits_are_stratified_disjoint_and_complete() -> None:
    images = split_input(100, 50, 10)
    indices = split_images(images, settings(), seed=0)
    assert counts_of(images, indices) == {"train": [70, 35, 7], "validation": [10, 5, 1], "test": [20, 10, 2]}
    assert sorted(np.concatenate(list(indices.values()))) == list(range(160))


def test_the_same_seed_divides_alike_and_another_seed_otherwise() -> None:
    first, again, other = (split_images(split_input(100, 50), settings(), seed=seed) for seed in (0, 0, 1))
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert not np.array_equal(first["test"], other["test"])


def test_a_predefined_test_set_is_kept_as_it_is() -> None:
    images = split_input(100, 50, test=30)
    indices = split_images(images, settings(), seed=0)
    assert indices["test"].tolist() == list(range(150, 210))
    assert counts_of(images, indices)["validation"] == [10, 5]
    assert counts_of(images, indices)["train"] == [90, 45]


def test_ready_made_validation_images_are_kept_and_a_missing_test_split_is_taken_from_the_rest() -> None:
    images = split_input(100, 50, validation=10)
    indices = split_images(images, settings(), seed=0)
    assert indices["validation"].tolist() == list(range(150, 170))
    assert counts_of(images, indices)["test"] == [20, 10]
    whole = split_input(100, 50, test=30, validation=10)
    assert split_images(whole, settings(), seed=0)["train"].tolist() == list(range(150))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"imbalance": 16.0}, [140, 35, 9]),  # 140 / 16^(1/2) = 35; 140 / 16 = 8.75
        ({"imbalance": 1000.0}, [140, 4, 1]),  # at least one: 140 / 1000^(1/2) = 4.4
        ({"counts": (100, 20, 5)}, [100, 20, 5]),
    ],
)
def test_only_the_training_split_is_subsampled(change: dict[str, Any], expected: list[int]) -> None:
    images = split_input(200, 200, 200)
    whole, subsampled = split_images(images, settings(), seed=0), split_images(images, settings(**change), seed=0)
    assert counts_of(images, subsampled)["train"] == expected
    assert set(subsampled["train"]) < set(whole["train"])
    assert np.array_equal(subsampled["validation"], whole["validation"])
    assert np.array_equal(subsampled["test"], whole["test"])


def test_groups_stay_whole_and_classes_keep_their_fractions() -> None:
    rng = np.random.default_rng(0)
    groups = np.concatenate(
        [rng.integers(0, 60, 300), 1000 + rng.integers(0, 40, 100)]
    )  # of 5 and of 2.5 images on average
    images = split_input(300, 100, groups=groups)
    indices = split_images(images, settings(), seed=0)
    assert sorted(np.concatenate(list(indices.values()))) == list(range(400))
    held = [set(groups[rows]) for rows in indices.values()]
    assert not held[0] & held[1] | held[0] & held[2] | held[1] & held[2]
    for name, expected in {"train": [210, 70], "validation": [30, 10], "test": [60, 20]}.items():
        assert np.abs(np.array(counts_of(images, indices)[name]) - expected).max() <= 4, name


def test_a_group_of_several_classes_stays_whole() -> None:
    groups = np.concatenate([np.arange(60) // 3, np.arange(60) // 3])  # a patient has three images of each class
    images = split_input(60, 60, groups=groups)
    indices = split_images(images, settings(), seed=3)
    held = [set(groups[rows]) for rows in indices.values()]
    assert sum(map(len, held)) == 20
    assert all(min(counts) >= 3 for counts in counts_of(images, indices).values())


def test_three_groups_are_enough_to_give_each_split_one() -> None:
    images = split_input(9, 100, groups=[*np.repeat([0, 1, 2], 3), *range(10, 110)])
    counts = counts_of(images, split_images(images, settings(), seed=0))
    assert {name: of_classes[0] for name, of_classes in counts.items()} == {"train": 3, "validation": 3, "test": 3}


def test_a_group_is_as_likely_in_a_split_as_an_image() -> None:
    groups = np.repeat(np.arange(100), 2)
    placed = [split_images(split_input(200, groups=groups), settings(), seed=seed) for seed in range(200)]
    fraction = np.mean([0 in rows["test"] for rows in placed])
    assert abs(fraction - 0.2) < 0.1  # standard error 0.03


def test_a_class_too_small_to_split_is_refused_by_name() -> None:
    with pytest.raises(BadInput, match="class 'b' has 2 images, too few"):
        split_images(split_input(100, 2), settings(), seed=0)
    assert counts_of(split_input(100, 3), split_images(split_input(100, 3), settings(), seed=0))["train"] == [70, 1]


def test_every_class_that_is_too_small_is_named_and_so_is_one_of_too_few_groups() -> None:
    images = split_input(1, 12, 100, groups=[0, *np.repeat([1, 2], 6), *range(10, 110)])
    with pytest.raises(BadInput) as caught:
        split_images(images, settings(), seed=0)
    first, second = str(caught.value).splitlines()
    assert "class 'a' has 1 image, too few" in first
    assert "class 'b' has 12 images in 2 groups that must each stay in one split, too few" in second


def test_a_class_without_predefined_test_images_is_refused() -> None:
    images = split_input(20, 20, test=5)
    without = SplitInput(images.labels[:45], images.classes, images.predefined[:45], images.groups[:45])
    with pytest.raises(BadInput, match="class 'b' has 20 images, but none in the predefined test images"):
        split_images(without, settings(), seed=0)


def test_counts_that_do_not_fit_are_refused_with_the_figures() -> None:
    with pytest.raises(BadInput, match=r"asks for 71 training images of 'a'; there are 70"):
        split_images(split_input(100, 50), settings(counts=(71, 5)), seed=0)
    with pytest.raises(BadInput, match=r"has 3 numbers for 2 classes: a, b"):
        split_images(split_input(100, 50), settings(counts=(5, 5, 5)), seed=0)
