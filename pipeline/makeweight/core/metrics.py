"""Classification metrics: pure functions."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from makeweight.core.data import Labels

Metric = Literal["accuracy", "balanced_accuracy", "macro_f1"]
OVERALL: tuple[Metric, ...] = get_args(Metric)
RECALL = "recall_"  # prefix of a class name


def scores(labels: Labels, probabilities: NDArray[np.float32], classes: tuple[str, ...]) -> dict[str, float]:
    """Accuracy, balanced accuracy (the mean of the recalls), macro-averaged F1 and each class's recall, in [0, 1].

    Args:
        labels: true labels, int64 [n].
        probabilities: predicted probabilities, shape [n, classes].
        classes: class names; the recall of a class has the key `recall_<class>`.
    """
    counts = confusion(labels, probabilities.argmax(1), len(classes))
    correct, actual, predicted = counts.diagonal(), counts.sum(1), counts.sum(0)
    recalls = correct / actual.clip(min=1)
    f1 = 2 * correct / (actual + predicted).clip(min=1)
    occurring = actual > 0
    return {
        "accuracy": float(correct.sum() / len(labels)),
        "balanced_accuracy": float(recalls[occurring].mean()),
        "macro_f1": float(f1[occurring].mean()),
        **{RECALL + name: float(recall) for name, recall in zip(classes, recalls, strict=True)},
    }


def confusion(labels: Labels, predicted: Labels, classes: int) -> NDArray[np.int64]:
    """Confusion matrix: actual classes in rows, predicted classes in columns."""
    # Without scikit-learn, which each process of each arm would take a second and a half to import.
    counts = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(counts, (labels, predicted), 1)
    return counts
