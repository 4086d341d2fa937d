"""How much each test image contributes to a metric."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from makeweight.core.data import Labels
from makeweight.core.metrics import confusion


@dataclass(frozen=True, slots=True)
class Contributions:
    """What each image contributes to a metric in each replicate.

    Attributes:
        values: the metric of each replicate, float [replicates].
        influence: float [replicates, images]. The sum of their deviations from the means of their strata is, to first
            order, how far the metric is from its expectation.
        strata: int64 [images]: images are thought to be sampled within their stratum.
    """

    values: NDArray[np.float64]
    influence: NDArray[np.float64]
    strata: Labels

    def __sub__(self, other: Contributions) -> Contributions:
        """The contributions to the difference of two arms' metrics, on the same images."""
        return Contributions(self.values - other.values, self.influence - other.influence, self.strata)


def contributions(metric: str, labels: Labels, predicted: Labels) -> Contributions:
    """The contributions of each image to `metric`, one of `OVERALL`.

    Args:
        metric: accuracy is a mean over images, and balanced accuracy over classes. Macro-averaged F1 is not a mean: its
            influences are the jackknife's, what leaving the image out does, (n - 1) / n times (Efron & Stein 1981).
        labels: the true ones, int64 [images].
        predicted: int64 [replicates, images].
    """
    return _CONTRIBUTIONS[metric](labels, predicted)


def _to_accuracy(labels: Labels, predicted: Labels) -> Contributions:
    right = (predicted == labels).astype(np.float64)
    return Contributions(right.mean(1), right / len(labels), np.zeros_like(labels))


def _to_balanced_accuracy(labels: Labels, predicted: Labels) -> Contributions:
    right = (predicted == labels).astype(np.float64)
    counts = np.bincount(labels)
    influence = right / (np.count_nonzero(counts) * counts[labels])
    return Contributions(influence.sum(1), influence, labels)


def _to_macro_f1(labels: Labels, predicted: Labels) -> Contributions:
    occurring = np.unique(labels)
    found = [_f1_without_each(labels, each, occurring) for each in predicted]
    values = np.array([value for value, _ in found])
    influence = (1 - 1 / len(labels)) * np.stack([value - without for value, without in found])
    return Contributions(values, influence, labels)


def _f1_without_each(labels: Labels, predicted: Labels, occurring: Labels) -> tuple[float, NDArray[np.float64]]:
    """Macro-averaged F1 over the `occurring` classes, and what it would be without each image."""
    counts = confusion(labels, predicted, int(max(labels.max(), predicted.max())) + 1)
    hits, margins = counts.diagonal(), counts.sum(0) + counts.sum(1)
    weights = np.isin(np.arange(len(counts)), occurring) / len(occurring)
    f1 = _f1(hits, margins)
    # Without an image, its own class and the one that was predicted lose one each of their sums: both are the same
    # where it was right, and then a hit is lost too.
    right = labels == predicted
    own = _f1(hits[labels] - right, margins[labels] - 1 - right) - f1[labels]
    other = np.where(right, 0.0, _f1(hits[predicted], margins[predicted] - 1) - f1[predicted])
    value = float(weights @ f1)
    return value, value + weights[labels] * own + weights[predicted] * other


def _f1(hits: NDArray[np.int64], margins: NDArray[np.int64]) -> NDArray[np.float64]:
    """2 hits / (labels + predictions) of a class; 0 where there are neither."""
    return 2.0 * hits / np.maximum(margins, 1)


_CONTRIBUTIONS: dict[str, Callable[[Labels, Labels], Contributions]] = {
    "accuracy": _to_accuracy,
    "balanced_accuracy": _to_balanced_accuracy,
    "macro_f1": _to_macro_f1,
}
