"""How good predictions are: pure functions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, f1_score, recall_score

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
    predicted = probabilities.argmax(1)
    every = np.arange(len(classes))
    recalls = recall_score(labels, predicted, labels=every, average=None, zero_division=0)
    occurring = np.isin(every, labels)
    return {
        "accuracy": float(accuracy_score(labels, predicted)),
        "balanced_accuracy": float(recalls[occurring].mean()),
        "macro_f1": float(f1_score(labels, predicted, labels=every[occurring], average="macro", zero_division=0)),
        **{RECALL + name: float(recall) for name, recall in zip(classes, recalls, strict=True)},
    }
