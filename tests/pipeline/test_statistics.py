"""Estimates, tests and verdicts against hand-worked examples, SciPy, statsmodels, mlxtend and baycomp."""

from __future__ import annotations

from itertools import product

import baycomp
import numpy as np
import pytest
from mlxtend.evaluate import mcnemar
from numpy.typing import NDArray
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import ttost_paired

from pipeline.statistics import (
    Estimate,
    bonferroni,
    least_sign_flip_p,
    mcnemar_p,
    on_these_images,
    sign_flip_p,
    superiority,
    verdict,
)


def arms(seed: int, replicates: int = 7) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    rng = np.random.default_rng(seed)
    return rng.normal(0.905, 0.01, replicates), rng.normal(0.9, 0.02, replicates)


def test_a_hand_worked_example() -> None:
    # Differences of 1, 2, 3 points: mean 2, standard deviation 1, standard error 1/sqrt(3); t(0.975, 2) = 4.30265.
    found = on_these_images(np.array([0.01, 0.02, 0.03]))
    interval = found.interval(0.05)
    assert found.gain == pytest.approx(0.02)
    reach = 4.30265 / 3**0.5
    assert (100 * interval.low, 100 * interval.high) == pytest.approx((2 - reach, 2 + reach), abs=1e-4)
    assert interval.level == pytest.approx(0.95)
    # Two-sided p for t = 2 sqrt(3) on 2 degrees of freedom: 1 - t / sqrt(2 + t^2).
    t = 2 * 3**0.5
    assert found.p() == pytest.approx(1 - t / (2 + t**2) ** 0.5)


@pytest.mark.parametrize("seed", range(5))
def test_on_these_images_it_is_scipys_paired_t_test(seed: int) -> None:
    arm, control = arms(seed)
    expected = stats.ttest_rel(arm, control)
    found = on_these_images(arm - control)
    interval = found.interval(0.01)
    assert found.p() == pytest.approx(expected.pvalue)
    assert (interval.low, interval.high) == pytest.approx(tuple(expected.confidence_interval(0.99)))


@pytest.mark.parametrize("seed", range(5))
def test_equivalence_is_statsmodels_two_one_sided_tests(seed: int) -> None:
    arm, control = arms(seed)
    expected, *_ = ttost_paired(arm, control, -0.01, 0.01)
    assert on_these_images(arm - control).p_equivalence(0.01) == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(5))
def test_shares_are_baycomps_posterior(seed: int) -> None:
    arm, control = arms(seed)
    found = on_these_images(arm - control).shares(0.01)
    # baycomp's correlated t test without correlation (one run); its left is "the first one is better".
    expected = baycomp.CorrelatedTTest(control, arm, rope=0.01, runs=1).probs()
    test_share = 1 / len(arm)
    spread = np.var(arm - control, ddof=1) * (1 / len(arm) + test_share / (1 - test_share))
    as_baycomp = Estimate(float((arm - control).mean()), float(spread), len(arm) - 1).shares(0.01)
    assert as_baycomp == pytest.approx(expected)
    assert sum(found) == pytest.approx(1)
    assert found[0] == pytest.approx(stats.t.cdf(-0.01, len(arm) - 1, *_located(arm - control)))


def _located(differences: NDArray[np.float64]) -> tuple[float, float]:
    return float(differences.mean()), float(differences.std(ddof=1)) / len(differences) ** 0.5


@pytest.mark.parametrize(
    ("step", "p", "called"), [(0.0, 1.0, "equivalent"), (0.125, 0.0, "helps"), (-0.125, 0.0, "hurts")]
)
def test_replicates_that_all_differ_alike_leave_no_doubt(step: float, p: float, called: str) -> None:
    found = on_these_images(np.full(3, step))
    interval = found.interval(0.05)
    assert (found.gain, interval.low, interval.high, found.p()) == (step, step, step, p)
    assert verdict(found, 0.01, 0.05) == called
    assert found.shares(0.01) == (float(step < 0), float(step == 0), float(step > 0))


@pytest.mark.parametrize(
    ("gain", "error", "alpha", "called"),
    [
        (0.03, 0.01, 0.05, "helps"),
        (0.03, 0.01, 0.001, "inconclusive"),
        (0.001, 0.0002, 0.05, "helps"),  # a gain too small to matter is a gain
        (-0.03, 0.01, 0.05, "hurts"),
        (0.001, 0.004, 0.05, "equivalent"),
        (0.001, 0.004, 0.001, "inconclusive"),
        (0.01, 0.02, 0.05, "inconclusive"),
    ],
)
def test_verdicts_are_tried_in_their_order(gain: float, error: float, alpha: float, called: str) -> None:
    assert verdict(Estimate(gain, error**2, 30), 0.01, alpha) == called


@pytest.mark.parametrize("alpha", [0.05, 0.0125])
@pytest.mark.parametrize("gain", [0.0, 0.002, 0.004, 0.006, 0.02])
def test_verdict_interval_and_p_value_agree(gain: float, alpha: float) -> None:
    estimate = Estimate(gain, 0.003**2, 12)
    interval, inner = estimate.interval(alpha), estimate.interval(2 * alpha)
    called = verdict(estimate, 0.01, alpha)
    assert (called == "helps") == (interval.low > 0) == (estimate.p() < alpha)
    if called == "equivalent":
        assert -0.01 < inner.low < inner.high < 0.01
    assert (estimate.p_equivalence(0.01) < alpha) == (inner.low > -0.01 and inner.high < 0.01)


@pytest.mark.parametrize("k", [2, 3, 6, 9])
def test_sign_flips_are_counted_as_by_hand(k: int) -> None:
    differences = np.random.default_rng(k).normal(0.3, 1, k).round(1)  # rounded, so that sums tie
    sums = [abs(sum(signs * differences)) for signs in product((-1, 1), repeat=k)]
    expected = np.mean(np.array(sums) >= abs(differences.sum()) - 1e-9)
    assert sign_flip_p(differences) == pytest.approx(expected)


def test_sign_flips_are_scipys_permutations_and_the_smallest_p_is_known() -> None:
    differences = np.random.default_rng(1).normal(0.5, 1, 12)
    expected = stats.permutation_test((differences,), np.sum, permutation_type="samples", n_resamples=np.inf)
    assert sign_flip_p(differences) == pytest.approx(expected.pvalue)
    assert sign_flip_p(np.array([0.1, 0.2, 0.3, 0.4, 0.5])) == least_sign_flip_p(5) == 2 / 32
    assert sign_flip_p(np.zeros(4)) == 1
    assert sign_flip_p(np.ones(41)) is None
    assert sign_flip_p(np.arange(1.0, 41.0)) == 2.0**-39


def test_superiority_counts_ties_as_half() -> None:
    assert superiority(np.array([0.1, 0.0, -0.1, 0.2])) == pytest.approx((1 + 0.5 + 0 + 1) / 4)


def test_mcnemar_is_mlxtends_exact_test() -> None:
    rng = np.random.default_rng(0)
    right, other = rng.random(100) < 0.9, rng.random(100) < 0.8
    table = np.array(
        [[(right & other).sum(), (right & ~other).sum()], [(~right & other).sum(), (~right & ~other).sum()]]
    )
    assert mcnemar_p(right, other) == pytest.approx(mcnemar(table, exact=True)[1])
    assert mcnemar_p(right, right) == 1


def test_no_interval_reaches_beyond_what_a_gain_can_be() -> None:
    two = on_these_images(np.array([0.1, 0.3])).interval(0.05 / 9)
    assert (two.low, two.high) == (-1.0, 1.0)


def test_bonferroni_is_statsmodels() -> None:
    p = [0.01, 0.2, 0.5]
    assert [bonferroni(each, 3) for each in p] == pytest.approx(list(multipletests(p, method="bonferroni")[1]))
