"""Variance components of a mean over replicates and test images.

A gain is measured in K replicates on the same test images. Images that belong together (frames of one film, photographs
of one patient) form one unit; an image without a group is a unit of its own. In the crossed model d[k, u] = gain
+ R[k] + U[u] + e[k, u] the mean has the variance σ²_R/K + σ²_U/U + σ²_e/(K·U), estimated without bias by V = S²_R/K +
S²_U/U − S²_RU/(K·U) (Searle, Casella & McCulloch 1992, ch. 4; for readers and cases in radiology, Obuchowski & Rockette
1995). Its degrees of freedom are Satterthwaite's (1946).

Units are sampled within classes where the metric is a mean over classes. What a unit contributes is the sum of its
images' deviations from the means of their classes, over all classes that it holds (linearised ratio estimator: Cochran
1977, section 6.11), each scaled by √(G/(G − 1)) for the G units that hold the class. Where no unit holds two classes,
this is the stratified variance.

A class with few units can show no variance at all by chance. Two measures keep the estimate from being zero there
(docs/decisions/0009-statistics.md):

- each class's variance is averaged with the pooled one, weighted by its degrees of freedom against `PRIOR_DOF`;
- the variance from images is at least that of `DISCORDANT` images on which one arm is always right and the other
  always wrong, one each way (as in the interval of Bonett & Price 2012 without any other discordant image), and at
  least what one in `2·(n + 2)` such images would give, where n is the effective number of images.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from makeweight.comparison.influence import Contributions
from makeweight.core.data import Labels

PRIOR_DOF = 1
DISCORDANT = 2


@dataclass(frozen=True, slots=True)
class Component:
    """An estimated part of the variance of the mean.

    Attributes:
        value: in squared units of the metric.
        dof: degrees of freedom of the estimate.
    """

    value: float
    dof: float

    def scaled(self, factor: float, dof: float) -> Component:
        """The component times `factor`, with other degrees of freedom."""
        return Component(self.value * factor, dof)

    def half_width(self, alpha: float) -> float:
        """Half the width of the confidence interval at level 1 - `alpha` that Student's t gives with this variance."""
        return float(stats.t.isf(alpha / 2, self.dof) * np.sqrt(self.value))


@dataclass(frozen=True, slots=True)
class VarianceComponents:
    """The variance of a mean over `replicates` and `units`, by its sources.

    Attributes:
        replicates: K.
        units: U, the groups of test images; an image without a group counts as one.
        rows: S²_R/K, of the replicates' values.
        columns: S²_U/U, of the units' means over replicates.
        residual: S²_RU/(K·U), of the residuals.
        pseudo: the variance that two pseudo-units in each class, one discordant each way, would add (Bonett & Price
            2012).
    """

    replicates: int
    units: int
    rows: Component
    columns: Component
    residual: Component
    pseudo: float = 0.0

    @property
    def from_replicates(self) -> float:
        """σ²_R/K: the variance from replicates on fixed images. Not below 0."""
        return max(0.0, self.rows.value - self.residual.value)

    @property
    def from_images(self) -> float:
        """σ²_U/U: the variance from images for fixed replicates. Not below 0."""
        return max(0.0, self.columns.value - self.residual.value)

    @property
    def total(self) -> Component:
        """The variance over other replicates and other images, with Satterthwaite's degrees of freedom."""
        value = self.from_replicates + self.from_images + self.residual.value
        positive = [part for part in (self.rows, self.columns) if part.value > self.residual.value]
        parts = positive if len(positive) == 1 else [*positive, self.residual]
        below = sum(part.value**2 / part.dof for part in parts)
        least = min(part.dof for part in (self.rows, self.columns))
        return Component(value, max(least, value**2 / below) if below else least)

    @property
    def scales(self) -> tuple[Component, ...]:
        """The variances that bound the width of an interval from below: the total one, and that over replicates alone.

        Satterthwaite's degrees of freedom are too many in the far tails, where the share of few replicates is small by
        chance. There Student's t over replicates is exact for the variance that it covers.
        """
        return self.total, self.rows

    @property
    def equivalence_scales(self) -> tuple[Component, ...]:
        """The same with the pseudo-units added, for the test of equivalence."""
        return self.total.scaled(1 + self.pseudo / self.total.value, self.total.dof), self.rows

    def widest(self, alpha: float) -> Component:
        """The one of `scales` with the wider interval at level 1 - `alpha`."""
        return max(self.scales, key=lambda part: part.half_width(alpha))

    def of_design(self, replicates: int, units: int) -> VarianceComponents:
        """Expected components with another number of replicates, and of test images of the same kind."""
        more_rows, more_columns = replicates / self.replicates, units / self.units
        residual = self.residual.scaled(
            1 / (more_rows * more_columns),
            self.residual.dof * (replicates - 1) / (self.replicates - 1) * more_columns,
        )
        rows = Component(self.from_replicates / more_rows + residual.value, replicates - 1)
        columns = Component(self.from_images / more_columns + residual.value, self.columns.dof * more_columns)
        return VarianceComponents(replicates, units, rows, columns, residual, self.pseudo / more_columns)

    def inflated(self, factor: float) -> VarianceComponents:
        """The same with each component times `factor`."""
        rows, columns, residual = (part.scaled(factor, part.dof) for part in (self.rows, self.columns, self.residual))
        return replace(self, rows=rows, columns=columns, residual=residual)


def variance_components(difference: Contributions, groups: Labels) -> VarianceComponents:
    """The variance components of the mean of `difference.values`.

    Args:
        difference: of two arms.
        groups: int64 [images], equal numbers for images that belong together.
    """
    k = len(difference.values)
    classes, label = np.unique(difference.strata, return_inverse=True)
    cells, cell = np.unique(groups * len(classes) + label, return_inverse=True)  # a cell: one unit's images of a class
    layout = _Layout(cells // len(classes), cells % len(classes), np.bincount(label))
    sums = np.stack([np.bincount(cell, row) for row in _deviations(difference.influence, label)])
    columns = sums.mean(0, keepdims=True)
    by_units = layout.variance(columns, least=layout.least_of_one_image)
    by_both = layout.variance((sums - columns) / (k - 1) ** 0.5, least=0.0)
    return VarianceComponents(
        replicates=k,
        units=layout.units,
        rows=Component(float(difference.values.var(ddof=1)) / k, k - 1),
        columns=Component(max(by_units.value, layout.least), by_units.dof),
        residual=by_both.scaled(1 / k, (k - 1) * by_both.dof),
        pseudo=float((2 / (len(classes) * (layout.units_of_class + 2)) ** 2).sum()),
    )


def _deviations(influence: NDArray[np.float64], label: Labels) -> Iterator[NDArray[np.float64]]:
    """The deviations of each replicate's influences from the means of their classes, float [images]."""
    images = np.bincount(label)
    for row in influence:
        yield row - (np.bincount(label, row) / images)[label]


class _Layout:
    """The incidence of units and classes: which unit holds images of which class.

    Args:
        unit: of each cell, int64 [cells].
        label: the class of each cell, int64 [cells].
        images: of each class, int64 [classes].
    """

    def __init__(self, unit: Labels, label: Labels, images: Labels) -> None:
        self.unit, self.label, self.images = np.unique(unit, return_inverse=True)[1], label, images
        self.units = int(self.unit.max()) + 1
        self.units_of_class = np.bincount(label)
        # The change of the metric if one arm is right on all images of a class in a unit, and the other on none.
        self.weight = 1 / (len(images) * self.units_of_class)

    @property
    def least_of_one_image(self) -> float:
        """A lower bound of the variance of one image, where full disagreement counts as 1."""
        return DISCORDANT / float(self.images.sum())

    @property
    def least(self) -> float:
        """A lower bound of the variance that images contribute to the metric."""
        of_class = 1 / (len(self.images) ** 2 * self.images)
        effective = float(of_class.sum() ** 2 / (of_class**2 / self.images).sum())
        return float(of_class.sum()) * max(self.least_of_one_image, 0.5 / (effective + 2))

    def variance(self, sums: NDArray[np.float64], *, least: float) -> Component:
        """The variance of the sum over all cells.

        Args:
            sums: float [repeats, cells]; squares are added up over the repeats.
            least: of the pooled variance, for one image.
        """
        units, dof = self.units_of_class, self.units_of_class - 1
        squares = np.bincount(self.label, ((sums / self.weight[self.label]) ** 2).sum(0))
        scale = units * self.weight**2
        per_image = float((1 / (len(self.images) ** 2 * self.images)).sum() / scale.sum())
        pooled = max(float(squares.sum()) / max(1, int(dof.sum())), least * per_image)
        of_class = scale * (squares + PRIOR_DOF * pooled) / (dof + PRIOR_DOF)
        value = max(0.0, float(of_class.sum()) + self._between_classes(sums))
        if value == 0:
            return Component(0.0, max(1, self.units - 1))
        satterthwaite = float(of_class.sum() ** 2 / (of_class**2 / (dof + PRIOR_DOF)).sum())
        return Component(value, max(1.0, min(satterthwaite, self.units - 1)))

    def _between_classes(self, sums: NDArray[np.float64]) -> float:
        """Twice the covariance between the classes of one unit; 0 where no unit holds two classes."""
        units = self.units_of_class
        corrected = sums * np.sqrt(units / np.maximum(units - 1, 1))[self.label]
        totals = np.stack([np.bincount(self.unit, row) for row in corrected])
        return float((totals**2).sum() - (corrected**2).sum())
