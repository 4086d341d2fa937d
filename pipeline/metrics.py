"""How good predictions are: pure functions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.core import Labels

OVERALL = ("accuracy", "balanced_accuracy", "macro_f1")
RECALL = "recall_"  # followed by the name of a class


def scores(labels: Labels, probabilities: NDArray[np.float32], classes: tuple[str, ...]) -> dict[str, float]:
    """Accuracy, balanced accuracy (the mean of the recalls), macro-averaged F1 and each class's recall, in [0, 1].

    Args:
        labels: the true ones, int64 [n].
        probabilities: of each class, shape [n, classes].
        classes: their names; a recall is called `recall_<class>`.
    """
    # Not by scikit-learn, which takes a second and a half to import, in each process of each arm.
    hits = np.zeros((len(classes), len(classes)), dtype=np.int64)
    np.add.at(hits, (labels, probabilities.argmax(1)), 1)
    right, actual, predicted = hits.diagonal(), hits.sum(1), hits.sum(0)
    recalls = right / actual.clip(min=1)
    f1 = 2 * right / (actual + predicted).clip(min=1)
    occurring = actual > 0
    return {
        "accuracy": float(right.sum() / len(labels)),
        "balanced_accuracy": float(recalls[occurring].mean()),
        "macro_f1": float(f1[occurring].mean()),
        **{RECALL + name: float(recall) for name, recall in zip(classes, recalls, strict=True)},
    }
