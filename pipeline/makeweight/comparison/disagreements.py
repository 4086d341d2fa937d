"""Sentences about controls for which accuracy and balanced accuracy disagree."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from makeweight.core.study import Arm
from makeweight.core.text import points
from makeweight.runtime.artifacts import ARM, METRIC, REPLICATE, SPLIT, VALUE

METRICS = ("accuracy", "balanced_accuracy")


def disagreements(scores: pd.DataFrame, control_arms: Sequence[Arm]) -> list[str]:
    """A sentence for each control that is better by one metric and worse by the other than the first control.

    Both differences, paired by replicate, must be larger than their standard errors; these are estimates, not tests.

    Args:
        scores: arm, replicate, split, metric, value in [0, 1].
        control_arms: the arms without synthetic images, in the order of the parameters. Each is compared with the arm
            of `none` that has the same transform or, if the study has no such arm, with that of the first control.
    """
    sources = list(dict.fromkeys(arm.source for arm in control_arms))
    first = "none" if "none" in sources else sources[0]
    on_test = scores[scores[SPLIT] == "test"]
    return [
        sentence
        for arm in control_arms
        if arm.source != first
        for sentence in _disagreement(on_test, arm, Arm(first, arm.transform))
    ]


def _disagreement(scores: pd.DataFrame, arm: Arm, reference: Arm) -> Iterator[str]:
    differences = np.array([_values(scores, arm, metric) - _values(scores, reference, metric) for metric in METRICS])
    overall, balanced = means = differences.mean(1)
    errors = differences.std(1, ddof=1) / np.sqrt(differences.shape[1])
    if overall * balanced >= 0 or (np.abs(means) <= errors).any():
        return
    yield (
        f"Accuracy and balanced accuracy disagree about {arm}: compared with {reference} it changes accuracy, in which "
        f"each class counts as often as it occurs in the test images, by {points(overall)} points, and balanced "
        f"accuracy, in which all classes count equally, by {points(balanced)} points."
    )


def _values(scores: pd.DataFrame, arm: Arm, metric: str) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    rows = scores[(scores[ARM] == str(arm)) & (scores[METRIC] == metric)].sort_values(REPLICATE)
    return rows[VALUE].to_numpy(np.float64)
