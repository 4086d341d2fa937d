"""Contribution of each test image to a metric."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from makeweight.core.data import Labels
from makeweight.core.metrics import Metric, confusion


@dataclass(frozen=True, slots=True)
class Contributions:
    """The contribution of each image to a metric, in each replicate.

    Attributes:
        values: the metric of each replicate, float [replicates].
        influence: float [replicates, images]. The sum of the deviations from the means of their strata is, to first
            order, the deviation of the metric from its expectation.
        strata: int64 [images]; images are sampled within their stratum.
    """

    values: NDArray[np.float64]
    influence: NDArray[np.float64]
    strata: Labels

    def __sub__(self, other: Contributions) -> Contributions:
        """The contributions to the difference of two arms' metrics, on the same images."""
        return Contributions(self.values - other.values, self.influence - other.influence, self.strata)


def contributions(metric: Metric, labels: Labels, predicted: Labels) -> Contributions:
    """The contributions of each image to `metric`, one of `OVERALL`.

    Args:
        metric: accuracy is a mean over images, and balanced accuracy over classes. Macro-averaged F1 is not a mean: its
            influences are those of the jackknife: (n - 1) / n times the change when the image is left out (Efron &
            Stein 1981).
        labels: the true ones, int64 [images].
        predicted: int64 [replicates, images].
    """
    return _CONTRIBUTIONS[metric](labels, predicted)


def _to_accuracy(labels: Labels, predicted: Labels) -> Contributions:
    correct = (predicted == labels).astype(np.float64)
    return Contributions(correct.mean(1), correct / len(labels), np.zeros_like(labels))


def _to_balanced_accuracy(labels: Labels, predicted: Labels) -> Contributions:
    correct = (predicted == labels).astype(np.float64)
    counts = np.bincount(labels)
    influence = correct / (np.count_nonzero(counts) * counts[labels])
    return Contributions(influence.sum(1), influence, labels)


def _to_macro_f1(labels: Labels, predicted: Labels) -> Contributions:
    occurring = np.unique(labels)
    leave_one_out = [_f1_without_each(labels, of_replicate, occurring) for of_replicate in predicted]
    values = np.array([value for value, _ in leave_one_out])
    influence = (1 - 1 / len(labels)) * np.stack([value - without for value, without in leave_one_out])
    return Contributions(values, influence, labels)


def _f1_without_each(labels: Labels, predicted: Labels, occurring: Labels) -> tuple[float, NDArray[np.float64]]:
    """Macro-averaged F1 over the `occurring` classes, and what it would be without each image."""
    counts = confusion(labels, predicted, int(max(labels.max(), predicted.max())) + 1)
    hits, margins = counts.diagonal(), counts.sum(0) + counts.sum(1)
    weights = np.isin(np.arange(len(counts)), occurring) / len(occurring)
    f1 = _f1(hits, margins)
    # Leaving an image out lowers the sums of its own class and of the predicted class by one each. Where the prediction
    # is correct, both are the same class, which loses a hit as well.
    correct = labels == predicted
    own = _f1(hits[labels] - correct, margins[labels] - 1 - correct) - f1[labels]
    other = np.where(correct, 0.0, _f1(hits[predicted], margins[predicted] - 1) - f1[predicted])
    value = float(weights @ f1)
    return value, value + weights[labels] * own + weights[predicted] * other


def _f1(hits: NDArray[np.int64], margins: NDArray[np.int64]) -> NDArray[np.float64]:
    """2 hits / (labels + predictions) of a class; 0 where there are neither."""
    return 2.0 * hits / np.maximum(margins, 1)


_CONTRIBUTIONS: dict[Metric, Callable[[Labels, Labels], Contributions]] = {
    "accuracy": _to_accuracy,
    "balanced_accuracy": _to_balanced_accuracy,
    "macro_f1": _to_macro_f1,
}
