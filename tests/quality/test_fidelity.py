"""Distances between sets of feature vectors, on sets for which they are known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import sqrtm

from makeweight.quality.fidelity import Features, frechet_distance, kernel_distance, neighbourhoods

RNG = np.random.default_rng(0)
CENTRES = 4 * np.eye(4, 8)  # of four classes


def sample(n: int = 400, classes: int = 4) -> Features:
    """Features of `classes` classes, one cluster each."""
    return CENTRES[RNG.integers(classes, size=n)] + 0.5 * RNG.standard_normal((n, 8))


def test_real_against_real_is_no_distance_and_full_fidelity() -> None:
    real, other = sample(), sample()
    found = neighbourhoods(real, other, 5)
    assert frechet_distance(real, other) < 0.3
    assert abs(kernel_distance(real, other)) < 0.1
    assert found["precision"] > 0.9
    assert found["recall"] > 0.9
    assert found["density"] == pytest.approx(1, abs=0.1)
    assert found["coverage"] > 0.9


def test_noise_is_far_away_and_covers_nothing() -> None:
    real, noise = sample(), 6 + 3 * RNG.standard_normal((400, 8))
    found = neighbourhoods(real, noise, 5)
    assert frechet_distance(real, noise) > 100
    assert kernel_distance(real, noise) > 10
    assert [found[name] for name in ("precision", "density", "coverage")] == pytest.approx([0, 0, 0], abs=0.02)


def test_a_set_against_itself_is_at_distance_zero_and_all_in_its_own_neighbourhoods() -> None:
    real = sample()
    found = neighbourhoods(real, real.copy(), 5)
    assert frechet_distance(real, real.copy()) == pytest.approx(0, abs=1e-9)
    assert kernel_distance(real, real.copy()) < 0  # unbiased: the diagonal is left out on one side only
    assert found == {"precision": 1, "recall": 1, "density": pytest.approx(6 / 5), "coverage": 1}  # itself and five


def test_a_class_that_is_left_out_costs_recall_and_coverage_but_no_precision() -> None:
    real, three = sample(), sample(classes=3)
    found = neighbourhoods(real, three, 5)
    assert found["precision"] > 0.9
    assert found["recall"] == pytest.approx(0.75, abs=0.08)
    assert found["coverage"] == pytest.approx(0.75, abs=0.08)
    assert frechet_distance(real, three) > 10 * frechet_distance(real, sample())


@pytest.mark.parametrize("n", [5, 60])  # fewer images than values, and more
def test_the_frechet_distance_equals_that_by_a_square_root_of_a_matrix(n: int) -> None:
    first, second = RNG.standard_normal((n, 10)) @ RNG.standard_normal((10, 10)), 1 + RNG.standard_normal((n + 3, 10))
    covariances = [np.cov(each, rowvar=False) for each in (first, second)]
    root = np.trace(sqrtm(covariances[0] @ covariances[1] + 0j)).real
    offset = first.mean(0) - second.mean(0)
    expected = offset @ offset + np.trace(covariances[0]) + np.trace(covariances[1]) - 2 * root
    assert frechet_distance(first, second) == pytest.approx(expected, rel=1e-4)


def test_the_frechet_distance_of_shifted_and_scaled_gaussians_is_that_of_the_formula() -> None:
    real = np.vstack([np.eye(6), -np.eye(6)])  # a covariance that is a multiple of 1
    variance = 2 / 11
    shifted, scaled = real + 3, 2 * real
    assert frechet_distance(real, shifted) == pytest.approx(6 * 9)
    assert frechet_distance(real, scaled) == pytest.approx(6 * variance * (2 - 1) ** 2)


def test_the_kernel_distance_is_the_mean_of_the_kernel_over_pairs() -> None:
    first, second = RNG.standard_normal((4, 3)), RNG.standard_normal((5, 3))

    def kernel(x: Features, y: Features) -> float:
        return float((x @ y / 3 + 1) ** 3)

    expected = (
        np.mean([kernel(x, y) for i, x in enumerate(first) for j, y in enumerate(first) if i != j])
        + np.mean([kernel(x, y) for i, x in enumerate(second) for j, y in enumerate(second) if i != j])
        - 2 * np.mean([kernel(x, y) for x in first for y in second])
    )
    assert kernel_distance(first, second) == pytest.approx(expected)


def test_neighbourhoods_by_hand() -> None:
    real = np.array([[0.0], [1.0], [10.0]])  # distances to the nearest: 1, 1, 9
    generated = np.array([[0.5], [0.6], [5.0], [30.0]])  # 0.1, 0.1, 4.4, 25
    assert neighbourhoods(real, generated, 1) == {
        "precision": 3 / 4,  # 0.5 and 0.6 near 0 and 1, 5 near 10
        "recall": 2 / 3,  # 1 and 10 within 4.4 or 25
        "density": (2 + 2 + 1 + 0) / 4,
        "coverage": 1.0,
    }
