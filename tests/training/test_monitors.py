"""Failing trainings are detected, and no others."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from makeweight.core.data import Split
from makeweight.core.images import median_distance
from makeweight.training.monitors import (
    discriminator_saturation,
    diversity_ratio,
    mode_collapse,
    non_finite,
    real_distances,
    real_diversities,
)
from tests.support.monitoring import monitor_settings

SETTINGS = monitor_settings(on_divergence="stop", min_discriminator_error=0.01, min_diversity_ratio=0.1)


def test_non_finite_figures_and_weights_are_named() -> None:
    network = torch.nn.Linear(2, 2)
    assert non_finite({"loss": 1.0}, {"network": network}) is None
    assert "NaN or infinite: loss" in str(non_finite({"loss": math.nan, "other": 1.0}, {"network": network}))
    assert non_finite({"loss": 1.0, "error_validation": math.nan}, {"network": network}) is None
    torch.nn.init.constant_(network.weight, math.inf)
    assert "weights of network" in str(non_finite({"loss": 1.0}, {"network": network}))


def history(train: float, generated: float, n: int = 25, validation: float = 0.0) -> list[dict[str, float]]:
    errors = {"error_train": train, "error_validation": validation, "error_generated": generated}
    return [{"step": k, **errors} for k in range(n)]


@pytest.mark.parametrize(
    ("rows", "saturated"),
    [
        (history(0.0, 0.01), True),
        (history(0.0, 0.0, n=24), False),
        (history(0.0, 0.02), False),
        (history(0.02, 0.0), False),
        (history(0.0, 0.0, validation=0.5), True),
        ([{"step": k, "error_validation": 0.0, "error_generated": 0.0} for k in range(25)], False),
        ([*history(0.0, 0.0), *history(0.5, 0.0, n=1)], False),
        ([*history(0.0, 0.0), *history(0.1, 0.0, n=1)], True),
        ([*history(0.5, 0.5), *history(0.0, 0.0)], True),
        ([{"step": 1, "reconstruction": 0.0}] * 30, False),
    ],
)
def test_a_discriminator_is_saturated_when_it_errs_on_neither_side_for_long(
    rows: list[dict[str, float]], saturated: bool
) -> None:
    assert (discriminator_saturation(rows, SETTINGS) is not None) == saturated


def test_median_distance_is_the_median_distance() -> None:
    assert median_distance(np.array([[0.0], [1.0], [10.0]])) == 9
    assert median_distance(np.zeros((1, 4))) == 0


def test_collapsed_classes_are_named_unless_their_training_images_are_identical_too() -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (30, 8, 8, 1), dtype=np.uint8)
    labels = np.repeat([0, 1, 2], 10)
    images[labels == 2] = 7
    train = Split(images, labels, ("varied", "collapsed", "constant"))
    collapsed = images.copy()
    collapsed[labels == 1] = rng.integers(100, 103, (10, 8, 8, 1))
    found = mode_collapse(collapsed, labels, train, real_distances(train), SETTINGS)
    assert str(found).startswith("mode collapse: the drawn images of 'collapsed' are nearly identical; try ")
    assert mode_collapse(images, labels, train, real_distances(train), SETTINGS) is None


def test_the_diversity_ratio_is_that_of_each_class_without_brightness_and_contrast() -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (30, 8, 8, 1), dtype=np.uint8)
    labels = np.repeat([0, 1, 2], 10)
    train = Split(images, labels, ("varied", "collapsed", "constant"))
    images = images.copy()
    images[labels == 1] = np.linspace(0.2, 1.0, 10)[:, None, None, None] * images[10]
    train.images[labels == 2] = 7
    real = real_diversities(train)
    ratios = [diversity_ratio(images[labels == label], real[label]) for label in range(3)]
    assert ratios[0] == pytest.approx(1)
    assert ratios[1] < 0.1
    assert np.isnan(ratios[2])
    assert np.isnan(diversity_ratio(images[:1], 1.0))
