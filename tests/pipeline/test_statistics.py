"""Paired differences against hand-worked examples and SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from pipeline.statistics import Difference, bonferroni, paired_difference


def test_a_hand_worked_example() -> None:
    # Differences 1, 2, 3: mean 2, standard deviation 1, standard error 1/sqrt(3); t(0.975, 2) = 4.30265.
    found = paired_difference(np.array([2.0, 4.0, 6.0]), np.array([1.0, 2.0, 3.0]))
    assert found.gain == pytest.approx(2)
    assert (found.low, found.high) == pytest.approx((2 - 4.30265 / 3**0.5, 2 + 4.30265 / 3**0.5), abs=1e-4)
    # Two-sided p for t = 2 sqrt(3) on 2 degrees of freedom: 1 - t / sqrt(2 + t^2).
    t = 2 * 3**0.5
    assert found.p == pytest.approx(1 - t / (2 + t**2) ** 0.5)
    # t(0.95, 2) = 2.91999
    assert found.equivalence == pytest.approx(2 + 2.91999 / 3**0.5, abs=1e-4)


def test_it_is_scipys_paired_t_test() -> None:
    rng = np.random.default_rng(0)
    arm, control = rng.normal(0.9, 0.01, 7), rng.normal(0.89, 0.02, 7)
    expected = stats.ttest_rel(arm, control)
    found = paired_difference(arm, control)
    assert found.p == pytest.approx(expected.pvalue)
    assert (found.low, found.high) == pytest.approx(tuple(expected.confidence_interval(0.95)))


@pytest.mark.parametrize(("step", "p"), [(0.0, 1.0), (0.125, 0.0)])
def test_replicates_that_all_differ_alike_leave_no_doubt(step: float, p: float) -> None:
    found = paired_difference(np.array([0.5, 0.625]) + step, np.array([0.5, 0.625]))
    assert (found.gain, found.low, found.high, found.p) == (step, step, step, p)


@pytest.mark.parametrize(
    ("low", "high", "equivalence", "verdict"),
    [
        (0.001, 0.02, 0.015, "helps"),
        (0.001, 0.002, 0.002, "helps"),  # a gain too small to matter is a gain
        (-0.02, -0.001, 0.015, "hurts"),
        (-0.005, 0.006, 0.005, "equivalent"),
        (-0.02, 0.006, 0.015, "inconclusive"),
        (0.0, 0.01, 0.02, "inconclusive"),
    ],
)
def test_verdicts_are_tried_in_their_order(low: float, high: float, equivalence: float, verdict: str) -> None:
    assert Difference((low + high) / 2, low, high, 0.5, equivalence, 5).verdict(margin=0.01) == verdict


def test_bonferroni_multiplies_by_their_number_and_stops_at_one() -> None:
    assert bonferroni(np.array([0.01, 0.2, 0.5])).tolist() == pytest.approx([0.03, 0.6, 1.0])
