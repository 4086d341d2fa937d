"""Where the uncertainty of a mean over replicates and test images comes from: two crossed components of variance.

A gain is measured in K replicates on N test images. In the model d[k, i] = gain + R[k] + I[i] + e[k, i] (replicates and
images drawn at random, crossed), the mean has the variance σ²_R/K + σ²_I/N + σ²_e/(K·N), and the mean squares of rows,
columns and rest estimate it without bias: V = S²_R/K + S²_I/N − S²_RI/(K·N) (Searle, Casella & McCulloch 1992, ch. 4;
for readers and cases in radiology, Obuchowski & Rockette 1995). Its degrees of freedom are Satterthwaite's (1946).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from pipeline.metrics import Contributions

FEW_REPLICATES = 5


@dataclass(frozen=True, slots=True)
class Term:
    """A mean square divided by what it is averaged over: part of the variance of the mean.

    Attributes:
        value: in squared units of the metric.
        freedom: its degrees of freedom.
    """

    value: float
    freedom: float

    def scaled(self, factor: float, freedom: float) -> Term:
        """The term `factor` times as large, with other degrees of freedom."""
        return Term(self.value * factor, freedom)


@dataclass(frozen=True, slots=True)
class Spread:
    """The spread of a mean over `replicates` and `images`, by where it comes from.

    Attributes:
        replicates: K.
        images: N.
        rows: S²_R/K, of the replicates' values.
        columns: S²_I/N, of the images' means over replicates, within strata.
        rest: S²_RI/(K·N), of what neither explains.
    """

    replicates: int
    images: int
    rows: Term
    columns: Term
    rest: Term

    @property
    def from_replicates(self) -> float:
        """σ²_R/K: what other replicates on the same images would move. Not below 0."""
        return max(0.0, self.rows.value - self.rest.value)

    @property
    def from_images(self) -> float:
        """σ²_I/N: what other images would move for the same replicates. Not below 0."""
        return max(0.0, self.columns.value - self.rest.value)

    @property
    def variance(self) -> float:
        """Of the mean, over other replicates and other images."""
        return self._whole.value

    @property
    def freedom(self) -> float:
        """Degrees of freedom of `variance`."""
        return self._whole.freedom

    @property
    def _whole(self) -> Term:
        """All parts together; of few replicates, whose spread may be small by chance, never surer than Student's t."""
        value = self.from_replicates + self.from_images + self.rest.value
        taken = [term for term in (self.rows, self.columns) if term.value > self.rest.value]
        terms = taken if len(taken) == 1 else [*taken, self.rest]
        below = sum(term.value**2 / term.freedom for term in terms)
        least = min(term.freedom for term in (self.rows, self.columns))
        whole = Term(value, max(least, value**2 / below) if below else least)
        return max(whole, self.rows, key=_reach) if self.replicates < FEW_REPLICATES else whole

    def of_design(self, replicates: int, images: int) -> Spread:
        """What is to be expected of another number of replicates and of test images, alike in kind."""
        more_rows, more_columns = replicates / self.replicates, images / self.images
        rest = self.rest.scaled(
            1 / (more_rows * more_columns),
            self.rest.freedom * (replicates - 1) / (self.replicates - 1) * more_columns,
        )
        rows = Term(self.from_replicates / more_rows + rest.value, replicates - 1)
        columns = Term(self.from_images / more_columns + rest.value, self.columns.freedom * more_columns)
        return Spread(replicates, images, rows, columns, rest)

    def inflated(self, factor: float) -> Spread:
        """The same with each part `factor` times as large."""
        rows, columns, rest = (term.scaled(factor, term.freedom) for term in (self.rows, self.columns, self.rest))
        return replace(self, rows=rows, columns=columns, rest=rest)


def _reach(term: Term) -> float:
    """Half of the 95% interval that a variance leaves."""
    return float(stats.t.isf(0.025, term.freedom) * np.sqrt(term.value))


def spread_of(difference: Contributions) -> Spread:
    """The spread of the mean of `difference.values`.

    A stratum with a single image has no variance of its own; it borrows that of all images taken together.
    """
    k, n = difference.influence.shape
    rows = Term(float(difference.values.var(ddof=1)) / k, k - 1)
    strata = [difference.influence[:, difference.strata == each] for each in np.unique(difference.strata)]
    columns = [_columns(each if each.shape[1] > 1 else difference.influence, each.shape[1]) for each in strata]
    rest = [_rest(each if each.shape[1] > 1 else difference.influence, each.shape[1]) for each in strata]
    return Spread(k, n, rows, _together(columns), _together(rest))


def _columns(influence: NDArray[np.float64], images: int) -> Term:
    return Term(float(influence.mean(0).var(ddof=1)) / images, influence.shape[1] - 1)


def _rest(influence: NDArray[np.float64], images: int) -> Term:
    k, n = influence.shape
    residuals = influence - influence.mean(1, keepdims=True) - influence.mean(0) + influence.mean()
    freedom = (k - 1) * (n - 1)
    return Term(float((residuals**2).sum()) / freedom / (k * images), freedom)


def _together(terms: list[Term]) -> Term:
    """The sum of independent terms, with Satterthwaite's degrees of freedom."""
    value = sum(term.value for term in terms)
    below = sum(term.value**2 / term.freedom for term in terms)
    return Term(value, value**2 / below if below else sum(term.freedom for term in terms))
