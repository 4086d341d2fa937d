"""Inference about a mean difference: confidence intervals, p values, verdicts. Differences are fractions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from makeweight.comparison.variance_components import Component, VarianceComponents
from makeweight.core.data import Labels

ALPHA = 0.05  # level of a single test; the matching confidence interval is the 95% one
EXACT_REPLICATES = 40  # largest K for which all 2^K sign patterns are counted


@dataclass(frozen=True, slots=True)
class Interval:
    """A confidence interval; `level` is 0.95, or higher where it is adjusted for several tests."""

    low: float
    high: float
    level: float


@dataclass(frozen=True, slots=True)
class Estimate:
    """An estimated gain.

    Attributes:
        gain: the mean difference.
        scales: variances of the gain, each with its degrees of freedom. Each gives an interval and a p value by
            Student's t; the widest interval and the largest p value count.
    """

    gain: float
    scales: tuple[Component, ...]

    def interval(self, alpha: float) -> Interval:
        """The confidence interval at level 1 - `alpha`, cut off at -1 and 1."""
        half = max(scale.half_width(alpha) for scale in self.scales)
        return Interval(max(-1.0, self.gain - half), min(1.0, self.gain + half), 1 - alpha)

    def p(self, value: float = 0.0) -> float:
        """Two-sided p value of the hypothesis that the true gain is `value`."""
        return min(1.0, 2 * max(float(stats.t.sf(abs(t), dof)) for t, dof in self._t(value)))

    def p_equivalence(self, margin: float) -> float:
        """P value of the hypothesis that the true gain is `margin` or more in either direction.

        The larger one of two one-sided tests (Schuirmann 1987): below α where the interval at 1 - 2 α lies within.
        """
        above = max(float(stats.t.sf(t, dof)) for t, dof in self._t(-margin))
        below = max(float(stats.t.cdf(t, dof)) for t, dof in self._t(margin))
        return max(above, below)

    def probabilities(self, margin: float) -> tuple[float, float, float]:
        """Posterior probabilities that the gain is below `-margin`, within `margin` and above: they add up to 1.

        Under a non-informative prior (Corani & Benavoli 2015, with correlation 0).
        """
        (low, dof), (high, _) = self._t(-margin)[0], self._t(margin)[0]
        worse, better = float(stats.t.cdf(-low, dof)), float(stats.t.sf(-high, dof))
        return worse, max(0.0, 1 - worse - better), better

    def _t(self, value: float) -> list[tuple[float, float]]:
        """The t statistic of `value` and its degrees of freedom for each scale; infinite if the variance is zero."""
        distance = self.gain - value
        with np.errstate(divide="ignore"):
            return [
                (float(np.divide(distance, np.sqrt(scale.value))) if distance else 0.0, scale.dof)
                for scale in self.scales
            ]


def fixed_test_set(differences: NDArray[np.float64]) -> Estimate | None:
    """The mean of paired differences over replicates, float [replicates], on a fixed test set (Student's t).

    It generalises to other random seeds, not to other test images. None if all differences are equal: their variance
    is then zero by chance or by rounding, and gives no interval.
    """
    k = len(differences)
    variance = float(differences.var(ddof=1))
    if variance <= np.finfo(float).eps:
        return None
    return Estimate(float(differences.mean()), (Component(variance / k, k - 1),))


def new_test_images(gain: float, components: VarianceComponents) -> Estimate:
    """The mean difference, generalising to other random seeds and to other test images of the same kind."""
    return Estimate(gain, components.scales)


def for_equivalence(gain: float, components: VarianceComponents) -> Estimate:
    """The same for the test of equivalence: an absence of discordant images must not make it certain."""
    return Estimate(gain, components.equivalence_scales)


def verdict(estimate: Estimate, equivalence: Estimate, margin: float, alpha: float) -> str:
    """`helps`, `hurts`, `equivalent` (within `margin` in both directions) or `inconclusive`, tried in this order.

    Args:
        estimate: of the gain.
        equivalence: of the gain, with the variance that the test of equivalence uses.
        margin: the smallest gain that matters.
        alpha: level of the tests.
    """
    interval = estimate.interval(alpha)
    if interval.low > 0:
        return "helps"
    if interval.high < 0:
        return "hurts"
    return "equivalent" if equivalence.p_equivalence(margin) < alpha else "inconclusive"


def sign_flip_p(differences: NDArray[np.float64]) -> float | None:
    """Exact two-sided p value of the sign-flip test (Fisher 1935), None for more than `EXACT_REPLICATES` replicates.

    The fraction of all 2^K sign patterns whose sum is at least as far from 0 as the observed sum. The sums of two
    halves are counted against each other (Horowitz & Sahni 1974), so that only 2^(K/2) sums are computed.
    """
    k = len(differences)
    if k > EXACT_REPLICATES:
        return None
    first, second = _signed_sums(differences[: k // 2]), np.sort(_signed_sums(differences[k // 2 :]))
    # A tolerance: sums that differ only by rounding count as equal.
    observed = abs(differences.sum()) - 1e-9 * np.abs(differences).sum()
    if observed <= 0:
        return 1.0
    at_least = len(second) - np.searchsorted(second, observed - first, side="left")
    return float(2 * at_least.sum() / 2.0**k)


def _signed_sums(values: NDArray[np.float64]) -> NDArray[np.float64]:
    sums = np.zeros(1)
    for value in values:
        sums = np.concatenate([sums + value, sums - value])
    return sums


def least_sign_flip_p(replicates: int) -> float:
    """The smallest p value that the test can reach: only the observed signs and their opposites are as extreme."""
    return float(2.0 ** (1 - replicates))


def superiority(differences: NDArray[np.float64]) -> float:
    """Probability of superiority P(A > B): the fraction of replicates in which A is better, ties counted as half.

    Bouthillier et al. (2021).
    """
    return float(((differences > 0) + 0.5 * (differences == 0)).mean())


def mcnemar_p(correct: NDArray[np.bool_], other_correct: NDArray[np.bool_], groups: Labels) -> float:
    """Two-sided p value of McNemar's test (1947) of two trained models: do they classify equally many images correctly?

    Exact, by flipping the sign of each group's net difference; without groups, this is McNemar's binomial test. For
    many groups that hold several images, the normal approximation (Obuchowski 1998).

    Args:
        correct: whether one model classifies each image correctly, bool [images].
        other_correct: the same for the other model.
        groups: int64 [images], equal numbers for images that belong together.
    """
    net = np.bincount(groups, correct.astype(np.float64) - other_correct)
    net = net[net != 0]
    if not len(net):
        return 1.0
    if (np.abs(net) == 1).all():
        return float(stats.binomtest(int((net > 0).sum()), len(net)).pvalue)
    exact = sign_flip_p(net)
    return exact if exact is not None else float(2 * stats.norm.sf(abs(net.sum()) / np.sqrt((net**2).sum())))


def bonferroni(p: float, tests: int) -> float:
    """A p value adjusted for the number of tests (Bonferroni; Dunn 1961)."""
    return min(1.0, p * tests)
