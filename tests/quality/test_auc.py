"""AUC within strata, and the coverage of its interval."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from makeweight.quality.auc import stratified_auc

RNG = np.random.default_rng(0)


def alone(strata: NDArray[np.int64]) -> NDArray[np.int64]:
    """A group for each image."""
    return np.arange(len(strata))


def two_kinds(m: int, n: int, shift: float = 0.0) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.int64]]:
    scores = np.concatenate([RNG.standard_normal(m) + shift, RNG.standard_normal(n)])
    return scores, np.arange(m + n) < m, np.zeros(m + n, dtype=np.int64)


def test_one_stratum_gives_the_usual_auc_with_ties_as_half() -> None:
    scores, positive, strata = two_kinds(30, 50, 0.7)
    scores = scores.round(1)
    assert stratified_auc(scores, positive, strata, alone(strata)).value == pytest.approx(
        roc_auc_score(positive, scores)
    )


def test_what_differs_between_strata_only_is_no_signal() -> None:
    strata = np.repeat([0, 1], 40)
    positive = np.r_[np.arange(40) < 36, np.arange(40) < 4]  # the first stratum is mostly positive …
    scores = 10.0 * (strata == 0) + RNG.standard_normal(80)  # … and its scores are larger
    assert roc_auc_score(positive, scores) > 0.8
    found = stratified_auc(scores, positive, strata, alone(strata))
    assert found.low < 0.5 < found.high


@pytest.mark.parametrize(("order", "value"), [(1, 1.0), (-1, 0.0)])
def test_perfect_separation_of_few_images_has_no_certainty(order: int, value: float) -> None:
    found = stratified_auc(order * np.arange(6.0), np.arange(6) >= 3, np.zeros(6, dtype=np.int64), np.arange(6))
    assert found.value == value
    assert found.high - found.low > 0.3


def test_without_pairs_there_is_no_value() -> None:
    found = stratified_auc(np.zeros(2), np.array([True, False]), np.array([0, 1]), np.arange(2))
    assert np.isnan([found.value, found.low, found.high]).all()


@pytest.mark.parametrize("shift", [0.0, 0.8, 2.5])
def test_the_interval_covers_the_true_auc_in_19_of_20_studies(shift: float) -> None:
    true = norm.cdf(shift / np.sqrt(2))
    covered = 0
    for _ in range(300):
        scores, positive, _ = two_kinds(12, 28, shift)
        strata = np.concatenate([np.arange(12) % 3, np.arange(28) % 3])
        found = stratified_auc(scores, positive, strata, alone(strata))
        covered += found.low <= true <= found.high
    assert covered / 300 >= 0.92


@pytest.mark.parametrize(("shift", "correlation"), [(0.0, 0.95), (1.0, 0.95), (0.0, 0.3), (1.0, 0.3)])
def test_the_interval_covers_the_true_auc_where_images_come_in_groups(shift: float, correlation: float) -> None:
    true, within = norm.cdf(shift / np.sqrt(2)), np.sqrt([correlation, 1 - correlation])
    covered = np.zeros(2)
    for _ in range(300):
        groups = np.repeat(np.arange(36), RNG.integers(1, 8, 36))  # 24 positive ones and 12 negative ones
        positive, strata = groups < 24, groups % 3
        scores = within[0] * RNG.standard_normal(36)[groups] + within[1] * RNG.standard_normal(len(groups))
        scores += shift * positive
        found = [stratified_auc(scores, positive, strata, each) for each in (groups, alone(groups))]
        covered += [each.low <= true <= each.high for each in found]
    with_groups, without = covered / 300
    assert with_groups >= 0.92
    assert without < 0.87


def test_copies_of_images_add_nothing_to_the_certainty() -> None:
    scores, positive, strata = two_kinds(20, 20, 0.7)
    single = stratified_auc(scores, positive, strata, alone(strata))
    scores, positive, strata = np.repeat(scores, 4), np.repeat(positive, 4), np.repeat(strata, 4)
    grouped = stratified_auc(scores, positive, strata, np.repeat(np.arange(40), 4))
    assert grouped.value == pytest.approx(single.value)
    assert grouped.high - grouped.low == pytest.approx(single.high - single.low, rel=0.03)
    independent = stratified_auc(scores, positive, strata, alone(strata))
    assert independent.high - independent.low == pytest.approx((single.high - single.low) / 2, rel=0.1)
