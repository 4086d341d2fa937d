"""Power analysis: power, minimum detectable effect, and the replicates and test images that a power of 80% needs.

All figures follow from estimated variance components, which are uncertain themselves. Each figure comes with its range
over the 80% confidence interval of the variance, ν·V/χ².
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats

from makeweight.comparison.variance_components import Component, VarianceComponents

POWER = 0.8
QUANTILE_RANGE = (0.1, 0.9)  # of the distribution of the estimated variance
MAX_NUMBER = 1_000_000_000  # largest number of replicates or images that is tried
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(400)
QUANTILES, WEIGHTS = (_NODES + 1) / 2, _WEIGHTS / 2


@dataclass(frozen=True, slots=True)
class Range:
    """A figure and its range under the uncertainty of the variance. None: no number is large enough."""

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class PowerAnalysis:
    """The power of a comparison.

    Attributes:
        power: probability to detect a true gain as large as the margin.
        detectable: minimum detectable effect: the smallest true gain that is detected with a power of 80%.
        replicates_needed: to detect the margin with a power of 80% on the same test images.
        images_needed: test images (groups, where images are grouped) to detect it with the same number of replicates.
    """

    power: Range
    detectable: Range
    replicates_needed: Range
    images_needed: Range


def power(noncentrality: float, dof: float, alpha: float) -> float:
    """The probability that Student's two-sided t test rejects a true effect of `noncentrality` standard errors.

    P(|Z + δ| > c·√(χ²/ν)), integrated over the quantiles of χ²: `scipy.stats.nct` returns NaN where δ or ν is large.
    """
    critical = stats.t.isf(alpha / 2, dof)
    threshold = critical * np.sqrt(stats.chi2.ppf(QUANTILES, dof) / dof)
    rejects = stats.norm.sf(threshold - noncentrality) + stats.norm.cdf(-threshold - noncentrality)
    return float(WEIGHTS @ rejects)


def noncentrality(dof: float, alpha: float, target: float = POWER) -> float:
    """The true effect, in standard errors, that is detected with the power `target`."""
    highest = 2.0
    while power(highest, dof, alpha) < target:
        highest *= 2
    return float(optimize.brentq(lambda effect: power(effect, dof, alpha) - target, 0.0, highest, xtol=1e-6))


def detectable_effect(scale: Component, alpha: float) -> float:
    """The minimum detectable effect under the variance `scale`."""
    return float(noncentrality(scale.dof, alpha) * scale.value**0.5)


def power_analysis(components: VarianceComponents, margin: float, alpha: float) -> PowerAnalysis:
    """The power of a comparison with these variance components at the level `alpha`."""
    dof = components.widest(alpha).dof
    within = stats.chi2.ppf(QUANTILE_RANGE, dof) / dof
    narrow, wide = components.inflated(1 / within[1]), components.inflated(1 / within[0])

    def with_range(figure: Callable[[VarianceComponents], float | None]) -> Range:
        return Range(figure(components), *sorted((figure(narrow), figure(wide)), key=_none_is_infinite))

    return PowerAnalysis(
        power=with_range(lambda c: _power_at(c, margin, alpha)),
        detectable=with_range(lambda c: detectable_effect(c.widest(alpha), alpha)),
        replicates_needed=with_range(lambda c: _needed(lambda k: c.of_design(k, c.units), margin, alpha)),
        images_needed=with_range(lambda c: _needed(lambda n: c.of_design(c.replicates, n), margin, alpha)),
    )


def anticipated(
    units: NDArray[np.int64], replicates: int, *, disagreement: float, deviation: float
) -> VarianceComponents:
    """Expected variance components before anything is trained.

    Args:
        units: number of groups (or of images without a group) that hold each class, int64 [classes]; for a metric that
            is a mean over all images, int64 [1].
        replicates: planned.
        disagreement: fraction of test images (units) on which two arms are expected to differ.
        deviation: expected standard deviation of the paired difference over replicates.
    """
    units = units[units > 0]
    of_class = 1 / (len(units) ** 2 * units)
    dof = of_class.sum() ** 2 / (of_class**2 / np.maximum(units - 1, 1)).sum()
    return VarianceComponents(
        replicates,
        int(units.sum()),
        Component(deviation**2 / replicates, replicates - 1),
        Component(float(disagreement * of_class.sum()), max(1.0, float(dof))),
        Component(0.0, (replicates - 1) * max(1.0, float(dof))),
    )


def _power_at(components: VarianceComponents, margin: float, alpha: float) -> float:
    scale = components.widest(alpha)
    return power(margin / scale.value**0.5, scale.dof, alpha)


def _none_is_infinite(value: float | None) -> float:
    return np.inf if value is None else value


def _needed(design: Callable[[int], VarianceComponents], margin: float, alpha: float) -> int | None:
    """The smallest number whose design has a power of 80%; None if there is none."""

    def suffices(number: int) -> bool:
        return _power_at(design(number), margin, alpha) >= POWER

    low, high = 1, 2
    while not suffices(high):
        low, high = high, high * 2
        if high > MAX_NUMBER:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if suffices(middle) else (middle, high)
    return high
