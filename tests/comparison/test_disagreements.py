"""Sentences about controls for which accuracy and balanced accuracy disagree."""

from __future__ import annotations

import pandas as pd
import pytest

from makeweight.comparison.disagreements import disagreements
from makeweight.core.study import Arm

ARMS = [Arm(source, "plain") for source in ("oversample", "none", "weighted")]


def scores(**values: tuple[list[float], list[float]]) -> pd.DataFrame:
    """Accuracy and balanced accuracy of each replicate, by source."""
    rows = [
        (f"{source}-plain", replicate, split, metric, value)
        for source, of_metrics in values.items()
        for metric, of_replicates in zip(("accuracy", "balanced_accuracy"), of_metrics, strict=True)
        for replicate, value in enumerate(of_replicates)
        for split in ("validation", "test")
    ]
    return pd.DataFrame(rows, columns=["arm", "replicate", "split", "metric", "value"])


def test_a_gain_by_one_metric_and_a_loss_by_the_other_is_said_against_none() -> None:
    table = scores(
        oversample=([0.95, 0.94], [0.85, 0.86]),
        none=([0.95, 0.94], [0.80, 0.81]),
        weighted=([0.93, 0.92], [0.84, 0.84]),
    )
    (sentence,) = disagreements(table, ARMS)
    assert sentence.startswith("Accuracy and balanced accuracy disagree about weighted-plain: compared with none-plain")
    assert "by -2.00 points, and balanced accuracy" in sentence.replace("−", "-")
    assert sentence.endswith("by +3.50 points.")


@pytest.mark.parametrize(
    "weighted",
    [
        ([0.96, 0.95], [0.84, 0.84]),  # both gain
        ([0.95, 0.94], [0.84, 0.84]),  # no difference by one metric
        ([0.90, 0.98], [0.84, 0.84]),  # within the standard error
        ([0.93, 0.92], [0.70, 0.92]),
    ],
)
def test_nothing_is_said_where_they_agree_or_the_difference_is_within_its_standard_error(
    weighted: tuple[list[float], list[float]],
) -> None:
    table = scores(oversample=([0.96, 0.95], [0.85, 0.86]), none=([0.95, 0.94], [0.80, 0.81]), weighted=weighted)
    assert disagreements(table, ARMS) == []


def test_without_none_the_first_control_is_compared_with() -> None:
    table = scores(oversample=([0.95, 0.94], [0.80, 0.81]), weighted=([0.93, 0.92], [0.84, 0.84]))
    (sentence,) = disagreements(table, [ARMS[0], ARMS[2]])
    assert "weighted-plain: compared with oversample-plain" in sentence
