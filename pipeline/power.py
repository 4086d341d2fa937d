"""What a comparison could have seen, and what it would take to see more: pure functions.

Everything here follows from an estimated spread, which is itself uncertain: each figure comes with the range between
the ends of the 80% interval of that variance, ν·V/χ².
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import optimize, stats

from pipeline.variances import Spread

WANTED = 0.8  # power
RANGE = (0.1, 0.9)  # quantiles of the variance's distribution between which it is taken to lie
MOST = 1_000_000_000  # replicates or images beyond which nobody will go
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(400)
QUANTILES, WEIGHTS = (_NODES + 1) / 2, _WEIGHTS / 2


@dataclass(frozen=True, slots=True)
class About:
    """A figure, and the range that the uncertainty of the spread leaves it. None: no number would do."""

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Sight:
    """What a comparison could have seen.

    Attributes:
        power: the chance to tell a true gain of the margin from none.
        detectable: the smallest true gain that it tells with a chance of 80%.
        replicates_needed: how many it would take to tell the margin with that chance, on as many test images.
        images_needed: likewise test images, with as many replicates.
    """

    power: About
    detectable: About
    replicates_needed: About
    images_needed: About


def power(noncentrality: float, freedom: float, alpha: float) -> float:
    """The chance that Student's two-sided t test rejects, where the true effect is `noncentrality` standard errors.

    P(|Z + δ| > c·√(χ²/ν)), integrated over the quantiles of χ²: `scipy.stats.nct` returns NaN where δ or ν is large.
    """
    critical = stats.t.isf(alpha / 2, freedom)
    reach = critical * np.sqrt(stats.chi2.ppf(QUANTILES, freedom) / freedom)
    rejects = stats.norm.sf(reach - noncentrality) + stats.norm.cdf(-reach - noncentrality)
    return float(WEIGHTS @ rejects)


def noncentrality(freedom: float, alpha: float, wanted: float = WANTED) -> float:
    """How many standard errors a true effect must have to be told with the chance `wanted`."""
    highest = 2.0
    while power(highest, freedom, alpha) < wanted:
        highest *= 2
    return float(optimize.brentq(lambda effect: power(effect, freedom, alpha) - wanted, 0.0, highest, xtol=1e-6))


def sight(spread: Spread, margin: float, alpha: float) -> Sight:
    """What a comparison with this `spread` could have seen at the level `alpha`."""
    if not spread.variance:  # nothing varies: the smallest gain would show
        return Sight(About(1.0, 1.0, 1.0), About(0.0, 0.0, 0.0), *[About(2, 2, 2)] * 2)
    within = stats.chi2.ppf(RANGE, spread.freedom) / spread.freedom
    narrow, wide = spread.inflated(1 / within[1]), spread.inflated(1 / within[0])
    effect = noncentrality(spread.freedom, alpha)

    def about(figure: Callable[[Spread], float | None]) -> About:
        return About(figure(spread), *sorted((figure(narrow), figure(wide)), key=_none_is_infinite))

    return Sight(
        power=about(lambda each: power(margin / each.variance**0.5, each.freedom, alpha)),
        detectable=about(lambda each: effect * each.variance**0.5),
        replicates_needed=about(lambda each: _needed(lambda k: each.of_design(k, each.images), margin, alpha)),
        images_needed=about(lambda each: _needed(lambda n: each.of_design(each.replicates, n), margin, alpha)),
    )


def _none_is_infinite(value: float | None) -> float:
    return np.inf if value is None else value


def _needed(design: Callable[[int], Spread], margin: float, alpha: float) -> int | None:
    """The smallest number whose design has the power that is wanted; None if none has."""

    def enough(number: int) -> bool:
        found = design(number)
        return power(margin / found.variance**0.5, found.freedom, alpha) >= WANTED

    few, many = 1, 2
    while not enough(many):
        few, many = many, many * 2
        if many > MOST:
            return None
    while many - few > 1:
        middle = (few + many) // 2
        few, many = (few, middle) if enough(middle) else (middle, many)
    return many
