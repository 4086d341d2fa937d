"""Splits: disjoint, stratified, thinned in training only."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pipeline.core import BadInput, Reading, Split
from pipeline.params import DataSettings
from pipeline.preparing import divide


def settings(**changes: Any) -> DataSettings:
    values = {
        "reader": "digits", "path": None, "download": None, "image_size": None, "fit": "pad", "channels": None,
        "test_fraction": 0.2, "validation_fraction": 0.1, "counts": None, "imbalance": None,
    }  # fmt: skip
    return DataSettings.model_validate({**values, **changes})


def reading(*counts: int, official: int = 0) -> Reading:
    """`counts` images of each class, and `official` test images of each."""
    labels = np.concatenate([np.repeat(np.arange(len(counts)), counts), np.repeat(np.arange(len(counts)), official)])
    split = Split(np.zeros((len(labels), 8, 8, 1), np.uint8), labels.astype(np.int64), tuple("abcdef"[: len(counts)]))
    return Reading(split, ("",) * len(labels), np.arange(len(labels)) >= sum(counts))


def counts_of(source: Reading, indices: dict[str, Any]) -> dict[str, list[int]]:
    return {name: source.images.take(rows).counts.tolist() for name, rows in indices.items()}


def test_splits_are_stratified_disjoint_and_complete() -> None:
    source = reading(100, 50, 10)
    indices = divide(source, settings(), seed=0)
    assert counts_of(source, indices) == {"train": [70, 35, 7], "validation": [10, 5, 1], "test": [20, 10, 2]}
    assert sorted(np.concatenate(list(indices.values()))) == list(range(160))


def test_the_same_seed_divides_alike_and_another_seed_otherwise() -> None:
    first, again, other = (divide(reading(100, 50), settings(), seed=seed) for seed in (0, 0, 1))
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert not np.array_equal(first["test"], other["test"])


def test_an_official_test_set_is_kept_as_it_is() -> None:
    source = reading(100, 50, official=30)
    indices = divide(source, settings(), seed=0)
    assert indices["test"].tolist() == list(range(150, 210))
    assert counts_of(source, indices)["validation"] == [10, 5]
    assert counts_of(source, indices)["train"] == [90, 45]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"imbalance": 16.0}, [140, 35, 9]),  # 140 / 16^(1/2) = 35; 140 / 16 = 8.75
        ({"imbalance": 1000.0}, [140, 4, 1]),  # at least one: 140 / 1000^(1/2) = 4.4
        ({"counts": (100, 20, 5)}, [100, 20, 5]),
    ],
)
def test_only_the_training_split_is_thinned(change: dict[str, Any], expected: list[int]) -> None:
    source = reading(200, 200, 200)
    whole, thinned = divide(source, settings(), seed=0), divide(source, settings(**change), seed=0)
    assert counts_of(source, thinned)["train"] == expected
    assert set(thinned["train"]) < set(whole["train"])
    assert np.array_equal(thinned["validation"], whole["validation"])
    assert np.array_equal(thinned["test"], whole["test"])


def test_a_class_too_small_to_split_is_refused_by_name() -> None:
    with pytest.raises(BadInput, match="class 'b' has 2 images, too few"):
        divide(reading(100, 2), settings(), seed=0)
    assert counts_of(reading(100, 3), divide(reading(100, 3), settings(), seed=0))["train"] == [70, 1]


def test_a_class_without_official_test_images_is_refused() -> None:
    source = reading(20, 20, official=5)
    without = Reading(source.images.take(np.arange(45)), source.origins[:45], source.official_test[:45])
    with pytest.raises(BadInput, match="class 'b'"):
        divide(without, settings(), seed=0)


def test_counts_that_do_not_fit_are_refused_with_the_figures() -> None:
    with pytest.raises(BadInput, match=r"asks for 71 training images of 'a'; there are 70"):
        divide(reading(100, 50), settings(counts=(71, 5)), seed=0)
    with pytest.raises(BadInput, match=r"has 3 numbers for 2 classes: a, b"):
        divide(reading(100, 50), settings(counts=(5, 5, 5)), seed=0)
