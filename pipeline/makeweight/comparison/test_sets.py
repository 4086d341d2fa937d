"""The size of a test set, and the weight of a single image of each class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class TestSet:
    """The size of a test set and the weight of its images.

    Attributes:
        images: of each class, by its name.
        groups: number of groups of images that belong together; an image without a group counts as one.
        metric: that arms are compared by.
        margin: the smallest gain that matters.
    """

    __test__ = False  # pytest takes it for a test class by its name

    images: Mapping[str, int]
    groups: int
    metric: str
    margin: float

    @property
    def total(self) -> int:
        """Number of test images."""
        return sum(self.images.values())

    @property
    def smallest(self) -> tuple[str, int]:
        """Name and size of the smallest class that occurs."""
        return min(((name, n) for name, n in self.images.items() if n), key=lambda item: item[1])

    @property
    def coarse(self) -> dict[str, float]:
        """Classes in which a single image changes the metric by more than the margin, and by how much."""
        occurring = {name: n for name, n in self.images.items() if n}
        if self.metric == "accuracy":
            worth = dict.fromkeys(occurring, 1 / self.total)
        else:
            worth = {name: 1 / (len(occurring) * n) for name, n in occurring.items()}
        return {name: value for name, value in worth.items() if value > self.margin}
