"""The figures of a family's generators, class by class, and the warnings that follow from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from makeweight.core.parameters import MonitorSettings
from makeweight.core.text import counted, shown, valid_unicode

MAX_NAMED = 10  # classes in a sentence
FIGURES = ("diversity", "recognised", "recognised_validation")


@dataclass(frozen=True)
class SampleQuality:
    """The figures, each [replicates, classes]; NaN where a class has too few images.

    Attributes:
        family: the family's name.
        classes: class names in the order of their labels.
        diversity: difference of two generated images over that of two training images, brightness and contrast taken
            out.
        recognised: fraction of the generated images that the scorer assigns to their class.
        recognised_validation: the same of validation images.
    """

    family: str
    classes: tuple[str, ...]
    diversity: NDArray[np.float64]
    recognised: NDArray[np.float64]
    recognised_validation: NDArray[np.float64]

    @classmethod
    def of(cls, family: str, classes: Sequence[str], replicates: Sequence[Mapping[str, Any]]) -> Self:
        """From the values of each replicate: for each of `FIGURES` a number or None for each class."""
        figures = (np.array([row[name] for row in replicates], dtype=np.float64) for name in FIGURES)
        return cls(family, tuple(classes), *figures)

    @property
    def recognised_ratio(self) -> NDArray[np.float64]:
        """Recognised generated images relative to validation images, at most 1; NaN if the scorer recognises none."""
        real = np.where(self.recognised_validation > 0, self.recognised_validation, np.nan)
        return np.minimum(self.recognised / real, 1.0)

    def warnings(self, settings: MonitorSettings) -> list[str]:
        """A sentence for each kind of problem that a replicate has: which classes, how much, what to try."""
        problems = (
            (
                self.diversity,
                settings.alarm_diversity_ratio,
                "generated images of {} vary much less than training images (diversity ratio below {:g}): {}",
                "another family, or for cgan a larger mode_seeking or more augment",
            ),
            (
                self.recognised_ratio,
                settings.alarm_recognised_ratio,
                "generated images of {} are hard to recognise (less than {:g} times as often as real ones): {}",
                "more steps, another family, or for cgan a lower temperature",
            ),
        )
        sentences = []
        for ratios, limit, what, remedy in problems:
            below = np.where(ratios < limit, ratios, np.nan)
            if n_classes := int((ratios < limit).any(0).sum()):
                problem = what.format(counted(n_classes, "class", "classes"), limit, self._named(below))
                sentences.append(f"{self.family}: {problem}. Try {remedy}.")
        return sentences

    def _named(self, ratios: NDArray[np.float64]) -> str:
        """The classes whose `ratios` [replicates, classes] are not NaN, the lowest first, each with its lowest one."""
        lowest = np.nanmin(np.where(np.isnan(ratios), np.inf, ratios), axis=0)
        order = [label for label in np.argsort(lowest, kind="stable") if np.isfinite(lowest[label])]
        names = [f"“{shown(valid_unicode(self.classes[label]))}” ({lowest[label]:.2f})" for label in order]
        more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
        return ", ".join(names[:MAX_NAMED]) + more


def as_values(figures: NDArray[np.float64]) -> list[float | None]:
    """Figures [classes] as JSON can hold them, rounded; None stands for NaN."""
    return [None if np.isnan(value) else round(float(value), 4) for value in figures]
