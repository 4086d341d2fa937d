"""What can be said of a mean difference and its spread: pure functions. Fractions in, fractions out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from pipeline.variances import Spread

ALPHA = 0.05  # of a single test; a 95% interval is the one that it does not reject
EXACT_REPLICATES = 40  # up to which all 2^K signs are counted


@dataclass(frozen=True, slots=True)
class Interval:
    """A confidence interval: `level` is 0.95 where it stands by itself, nearer to 1 where it is one of many."""

    low: float
    high: float
    level: float


@dataclass(frozen=True, slots=True)
class Estimate:
    """A gain that is distributed around the true one like `error` times Student's t.

    Attributes:
        gain: the mean difference.
        variance: of the gain.
        freedom: degrees of freedom of the variance.
    """

    gain: float
    variance: float
    freedom: float

    @property
    def error(self) -> float:
        """Standard error of the gain."""
        return float(np.sqrt(self.variance))

    def interval(self, alpha: float) -> Interval:
        """The interval that misses the true gain in a share of `alpha`; not beyond -1 and 1, where no gain can be."""
        reach = float(stats.t.isf(alpha / 2, self.freedom)) * self.error
        return Interval(max(-1.0, self.gain - reach), min(1.0, self.gain + reach), 1 - alpha)

    def p(self, value: float = 0.0) -> float:
        """Two-sided p value of the hypothesis that the true gain is `value`."""
        return min(1.0, 2 * float(stats.t.sf(abs(self._t(value)), self.freedom)))

    def p_equivalence(self, margin: float) -> float:
        """P value of the hypothesis that the true gain is `margin` or more either way.

        The larger one of two one-sided tests (Schuirmann 1987): below α where the interval at 1 - 2 α lies within.
        """
        above, below = stats.t.sf(self._t(-margin), self.freedom), stats.t.cdf(self._t(margin), self.freedom)
        return float(max(above, below))

    def shares(self, margin: float) -> tuple[float, float, float]:
        """How likely worse than `-margin`, within `margin` and better than `margin` are: they add up to 1.

        The posterior of the gain under the prior that knows nothing (Corani & Benavoli 2015, with correlation 0).
        """
        worse = float(stats.t.cdf(-self._t(-margin), self.freedom))
        better = float(stats.t.sf(-self._t(margin), self.freedom))
        return worse, max(0.0, 1 - worse - better), better

    def _t(self, value: float) -> float:
        # Where nothing varies, the difference is certain, or there is none.
        distance = self.gain - value
        if not distance:
            return 0.0
        return distance / self.error if self.error > 0 else float(np.copysign(np.inf, distance))


def on_these_images(differences: NDArray[np.float64]) -> Estimate:
    """The paired difference over replicates, float [replicates]: Student's t. It covers other seeds, not images."""
    k = len(differences)
    return Estimate(float(differences.mean()), float(differences.var(ddof=1)) / k, k - 1)


def on_new_images(gain: float, spread: Spread) -> Estimate:
    """The paired difference over replicates and images: it covers other seeds and other test images alike in kind."""
    return Estimate(gain, spread.variance, spread.freedom)


def verdict(estimate: Estimate, margin: float, alpha: float) -> str:
    """`helps`, `hurts`, `equivalent` (within `margin` either way) or `inconclusive`, tried in this order."""
    interval = estimate.interval(alpha)
    if interval.low > 0:
        return "helps"
    if interval.high < 0:
        return "hurts"
    return "equivalent" if estimate.p_equivalence(margin) < alpha else "inconclusive"


def sign_flip_p(differences: NDArray[np.float64]) -> float | None:
    """Exact two-sided p value of the sign-flip test (Fisher 1935), None for more than `EXACT_REPLICATES` replicates.

    The part of all 2^K ways to flip the signs of the differences whose sum is as far from 0 as theirs, or farther. Sums
    of two halves are counted against each other (Horowitz & Sahni 1974), so that 2^(K/2) are looked at.
    """
    k = len(differences)
    if k > EXACT_REPLICATES:
        return None
    first, second = _signed_sums(differences[: k // 2]), np.sort(_signed_sums(differences[k // 2 :]))
    # Sums that are equal but for rounding count as equal.
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
    """The smallest p value that so many replicates can reach: only they and their opposites are as extreme."""
    return float(2.0 ** (1 - replicates))


def superiority(differences: NDArray[np.float64]) -> float:
    """The part of replicates in which the arm is better, ties counted as half: P(A > B) (Bouthillier et al. 2021)."""
    return float(((differences > 0) + 0.5 * (differences == 0)).mean())


def mcnemar_p(right: NDArray[np.bool_], other_right: NDArray[np.bool_]) -> float:
    """Exact two-sided p value of McNemar's test (1947): are two models right on as many images, bool [images]?"""
    only, only_other = int((right & ~other_right).sum()), int((other_right & ~right).sum())
    return float(stats.binomtest(only, only + only_other).pvalue) if only + only_other else 1.0


def bonferroni(p: float, tests: int) -> float:
    """A p value adjusted for the number of tests that it is one of (Dunn 1961)."""
    return min(1.0, p * tests)
