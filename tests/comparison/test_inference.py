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

from makeweight.comparison.inference import (
    Estimate,
    bonferroni,
    fixed_test_set,
    least_sign_flip_p,
    mcnemar_p,
    sign_flip_p,
    superiority,
    verdict,
)
from makeweight.comparison.variance_components import Component


def estimate_of(differences: NDArray[np.float64]) -> Estimate:
    found = fixed_test_set(differences)
    assert found is not None
    return found


def student(gain: float, error: float, dof: float) -> Estimate:
    return Estimate(gain, (Component(error**2, dof),))


def arms(seed: int, replicates: int = 7) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    rng = np.random.default_rng(seed)
    return rng.normal(0.905, 0.01, replicates), rng.normal(0.9, 0.02, replicates)


def test_a_hand_worked_example() -> None:
    # Differences of 1, 2, 3 points: mean 2, standard deviation 1, standard error 1/sqrt(3); t(0.975, 2) = 4.30265.
    found = estimate_of(np.array([0.01, 0.02, 0.03]))
    interval = found.interval(0.05)
    assert found.gain == pytest.approx(0.02)
    reach = 4.30265 / 3**0.5
    assert (100 * interval.low, 100 * interval.high) == pytest.approx((2 - reach, 2 + reach), abs=1e-4)
    assert interval.level == pytest.approx(0.95)
    # Two-sided p for t = 2 sqrt(3) on 2 degrees of freedom: 1 - t / sqrt(2 + t^2).
    t = 2 * 3**0.5
    assert found.p() == pytest.approx(1 - t / (2 + t**2) ** 0.5)


@pytest.mark.parametrize("seed", range(5))
def test_on_a_fixed_test_set_it_is_scipys_paired_t_test(seed: int) -> None:
    arm, control = arms(seed)
    expected = stats.ttest_rel(arm, control)
    found = estimate_of(arm - control)
    interval = found.interval(0.01)
    assert found.p() == pytest.approx(expected.pvalue)
    assert (interval.low, interval.high) == pytest.approx(tuple(expected.confidence_interval(0.99)))


@pytest.mark.parametrize("seed", range(5))
def test_equivalence_is_statsmodels_two_one_sided_tests(seed: int) -> None:
    arm, control = arms(seed)
    expected, *_ = ttost_paired(arm, control, -0.01, 0.01)
    assert estimate_of(arm - control).p_equivalence(0.01) == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(5))
def test_probabilities_are_baycomps_posterior(seed: int) -> None:
    arm, control = arms(seed)
    found = estimate_of(arm - control).probabilities(0.01)
    # baycomp's correlated t test without correlation (one run); its left is "the first one is better".
    expected = baycomp.CorrelatedTTest(control, arm, rope=0.01, runs=1).probs()
    test_share = 1 / len(arm)
    spread = np.var(arm - control, ddof=1) * (1 / len(arm) + test_share / (1 - test_share))
    as_baycomp = student(float((arm - control).mean()), float(spread) ** 0.5, len(arm) - 1).probabilities(0.01)
    assert as_baycomp == pytest.approx(expected)
    assert sum(found) == pytest.approx(1)
    assert found[0] == pytest.approx(stats.t.cdf(-0.01, len(arm) - 1, *_located(arm - control)))


def _located(differences: NDArray[np.float64]) -> tuple[float, float]:
    return float(differences.mean()), float(differences.std(ddof=1)) / len(differences) ** 0.5


@pytest.mark.parametrize("step", [0.0, 0.1, -0.125])
def test_replicates_that_all_differ_by_the_same_give_no_interval(step: float) -> None:
    assert fixed_test_set(np.full(3, step)) is None


def test_an_interval_is_the_widest_of_its_scales_and_p_agrees_with_it() -> None:
    many, few = Component(0.01**2, 1000), Component(0.006**2, 4)
    both = Estimate(0.02, (many, few))
    alone = [Estimate(0.02, (scale,)) for scale in (many, few)]
    for alpha in (0.05, 0.01, 0.001):
        widths = [single.interval(alpha).high - single.interval(alpha).low for single in alone]
        found = both.interval(alpha)
        assert found.high - found.low == pytest.approx(max(widths))
        assert (both.p() < alpha) == (found.low > 0)
    assert (
        both.interval(0.05).low == alone[0].interval(0.05).low
    )  # and in the far tail the fewer degrees of freedom win:
    assert both.interval(0.001).low == alone[1].interval(0.001).low
    assert both.p_equivalence(0.03) == max(single.p_equivalence(0.03) for single in alone)


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
    estimate = student(gain, error, 30)
    assert verdict(estimate, estimate, 0.01, alpha) == called


@pytest.mark.parametrize("alpha", [0.05, 0.0125])
@pytest.mark.parametrize("gain", [0.0, 0.002, 0.004, 0.006, 0.02])
def test_verdict_interval_and_p_value_agree(gain: float, alpha: float) -> None:
    estimate = student(gain, 0.003, 12)
    interval, inner = estimate.interval(alpha), estimate.interval(2 * alpha)
    called = verdict(estimate, estimate, 0.01, alpha)
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
    single = np.arange(100)
    assert mcnemar_p(right, other, single) == pytest.approx(mcnemar(table, exact=True)[1])
    assert mcnemar_p(right, right, single) == 1


def test_mcnemar_does_not_count_images_of_one_group_as_independent() -> None:
    # Two groups of ten images, on all of which the first model is right and the other one is not: two sign flips.
    right, groups = np.ones(20, dtype=bool), np.repeat([0, 1], 10)
    assert mcnemar_p(right, ~right, groups) == 2 / 4
    assert mcnemar_p(right, ~right, np.arange(20)) == pytest.approx(2**-19)
    # With many groups of several images it is the sum over groups that varies (Obuchowski 1998).
    rng = np.random.default_rng(0)
    null = [
        mcnemar_p(np.repeat(rng.random(60) < 0.8, 5), np.repeat(rng.random(60) < 0.8, 5), np.repeat(np.arange(60), 5))
        for _ in range(600)
    ]
    assert np.mean(np.array(null) < 0.05) < 0.08


def test_no_interval_reaches_beyond_what_a_gain_can_be() -> None:
    two = estimate_of(np.array([0.1, 0.3])).interval(0.05 / 9)
    assert (two.low, two.high) == (-1.0, 1.0)


def test_bonferroni_is_statsmodels() -> None:
    p = [0.01, 0.2, 0.5]
    assert [bonferroni(value, 3) for value in p] == pytest.approx(list(multipletests(p, method="bonferroni")[1]))
