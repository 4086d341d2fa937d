"""What can be said of the difference between two arms: pure functions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

CONFIDENCE = 0.95
EQUIVALENCE_CONFIDENCE = 0.90  # two one-sided tests at 5% each (Schuirmann 1987)


@dataclass(frozen=True, slots=True)
class Difference:
    """A paired difference with its interval, in fractions.

    Attributes:
        gain: the mean of the differences.
        low: lower end of the 95% interval.
        high: upper end of the 95% interval.
        p: two-sided p value of no difference.
        equivalence: the larger end, away from zero, of the 90% interval.
        replicates: how many differences.
    """

    gain: float
    low: float
    high: float
    p: float
    equivalence: float
    replicates: int

    def verdict(self, margin: float) -> str:
        """`helps`, `hurts`, `equivalent` (within `margin` either way) or `inconclusive`, tried in this order."""
        if self.low > 0:
            return "helps"
        if self.high < 0:
            return "hurts"
        return "equivalent" if self.equivalence < margin else "inconclusive"


def paired_difference(arm: NDArray[np.float64], control: NDArray[np.float64]) -> Difference:
    """Student's paired t interval of `arm` - `control`, both of shape [replicates], at least 2.

    It covers replicates: other seeds on the same splits. It says nothing of other test images.
    """
    differences = arm - control
    n = len(differences)
    gain = float(differences.mean())
    error = float(differences.std(ddof=1)) / n**0.5
    reach, reach_equivalence = (
        float(stats.t.ppf((1 + level) / 2, n - 1)) * error for level in (CONFIDENCE, EQUIVALENCE_CONFIDENCE)
    )
    # Where every replicate differs by the same, the difference is certain, or there is none.
    t = abs(gain) / error if error > 0 else np.inf if gain else 0.0
    p = 2 * float(stats.t.sf(t, n - 1))
    return Difference(gain, gain - reach, gain + reach, p, abs(gain) + reach_equivalence, n)


def bonferroni(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """P values adjusted for how many there are (Dunn 1961)."""
    return np.minimum(1, p * len(p))
