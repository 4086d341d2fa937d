"""Area under the ROC curve (AUC) within strata, with its confidence interval."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import norm, rankdata

from makeweight.core.data import Labels

LEVEL = 0.95
EDGE = 1e-9  # the variance is 0 at an AUC of 0 or 1 itself


@dataclass(frozen=True)
class AUC:
    """An AUC with its 95% confidence interval; NaN where no stratum has images of both kinds."""

    value: float
    low: float
    high: float


def stratified_auc(scores: NDArray[np.float64], positive: NDArray[np.bool_], strata: Labels, groups: Labels) -> AUC:
    """The AUC of `scores` within strata: only images of one stratum are compared with each other.

    A stratum of m positive and n negative images has the weight m n / (m + n + 1), which is optimal where the AUC is
    near 0.5 (van Elteren 1960). The interval holds every AUC from which the estimate differs by at most 1.96 of the
    standard errors that this AUC implies (Hanley & McNeil 1982; a score interval, Newcombe 2006). So it is never of
    length 0, as DeLong's interval is at an AUC of 1.

    Images of a group may be as alike as copies, so the variance is multiplied by the design effect (Kish 1965) of full
    correlation within groups: Σ (sum of a group's shares in the estimate)² / Σ (share of an image)². The less images of
    a group resemble each other, the more the interval is too wide.

    Args:
        scores: [n], larger where an image is more likely positive.
        positive: whether it is, [n].
        strata: the stratum of each image, [n].
        groups: from 0, equal for images that belong together, [n].
    """
    areas, sizes, shares = [], [], np.zeros(len(scores))
    for stratum in np.unique(strata):
        within = strata == stratum
        m, n = int(positive[within].sum()), int((~positive[within]).sum())
        if m and n:
            ranks = rankdata(scores[within])[positive[within]].sum()
            areas.append((ranks - m * (m + 1) / 2) / (m * n))
            sizes.append((m, n))
            shares[within] = np.where(positive[within], n, m) / (m + n + 1)
    if not areas:
        return AUC(np.nan, np.nan, np.nan)
    m, n = np.array(sizes, dtype=np.float64).T
    weights = m * n / (m + n + 1)
    weights /= weights.sum()
    value = float(weights @ np.array(areas))
    design_effect = np.square(np.bincount(groups, shares)).sum() / np.square(shares).sum()

    def beyond(area: float) -> float:
        variance = design_effect * float(np.square(weights) @ _variance(area, m, n))
        return float((value - area) ** 2 - norm.ppf((1 + LEVEL) / 2) ** 2 * variance)

    low = brentq(beyond, 0.0, min(value, 1 - EDGE)) if value > 0 else 0.0
    high = brentq(beyond, max(value, EDGE), 1.0) if value < 1 else 1.0
    return AUC(value, float(low), float(high))


def _variance(area: float, m: NDArray[np.float64], n: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of the estimate of an AUC `area` from m positive and n negative images, if both are exponentially distributed."""
    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
    result: NDArray[np.float64] = (area * (1 - area) + (m - 1) * (q1 - area**2) + (n - 1) * (q2 - area**2)) / (m * n)
    return result
