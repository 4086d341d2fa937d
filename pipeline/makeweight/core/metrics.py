"""How good predictions are, and what each test image has to do with it: pure functions."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from makeweight.core.data import Labels

Metric = Literal["accuracy", "balanced_accuracy", "macro_f1"]
OVERALL: tuple[Metric, ...] = get_args(Metric)
RECALL = "recall_"  # followed by the name of a class


def scores(labels: Labels, probabilities: NDArray[np.float32], classes: tuple[str, ...]) -> dict[str, float]:
    """Accuracy, balanced accuracy (the mean of the recalls), macro-averaged F1 and each class's recall, in [0, 1].

    Args:
        labels: the true ones, int64 [n].
        probabilities: of each class, shape [n, classes].
        classes: their names; a recall is called `recall_<class>`.
    """
    counts = confusion(labels, probabilities.argmax(1), len(classes))
    right, actual, predicted = counts.diagonal(), counts.sum(1), counts.sum(0)
    recalls = right / actual.clip(min=1)
    f1 = 2 * right / (actual + predicted).clip(min=1)
    occurring = actual > 0
    return {
        "accuracy": float(right.sum() / len(labels)),
        "balanced_accuracy": float(recalls[occurring].mean()),
        "macro_f1": float(f1[occurring].mean()),
        **{RECALL + name: float(recall) for name, recall in zip(classes, recalls, strict=True)},
    }


def confusion(labels: Labels, predicted: Labels, classes: int) -> NDArray[np.int64]:
    """How often each class (rows) was taken for each (columns)."""
    # Not by scikit-learn, which takes a second and a half to import, in each process of each arm.
    counts = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(counts, (labels, predicted), 1)
    return counts
