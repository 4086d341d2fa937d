"""Scores of hand-made predictions."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score

from pipeline.metrics import OVERALL, contributions, scores


def probabilities(predicted: list[int], classes: int) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    return np.eye(classes, dtype=np.float32)[predicted]


def test_a_hand_worked_confusion() -> None:
    # a: 3 of 4 right, one taken for b. b: 1 of 2 right, one taken for a.
    found = scores(np.array([0, 0, 0, 0, 1, 1]), probabilities([0, 0, 0, 1, 1, 0], 2), ("a", "b"))
    assert found == {
        "accuracy": pytest.approx(4 / 6),
        "balanced_accuracy": pytest.approx((3 / 4 + 1 / 2) / 2),
        "macro_f1": pytest.approx((6 / 8 + 2 / 4) / 2),  # 2 TP / (2 TP + FP + FN): 6 / (6 + 1 + 1), 2 / (2 + 1 + 1)
        "recall_a": pytest.approx(3 / 4),
        "recall_b": pytest.approx(1 / 2),
    }


def test_a_class_that_is_never_predicted_counts_as_nothing_found() -> None:
    found = scores(np.array([0, 1]), probabilities([0, 0], 2), ("a", "b"))
    assert found["balanced_accuracy"] == 0.5
    assert found["macro_f1"] == pytest.approx((2 / 3 + 0) / 2)


def test_a_class_that_does_not_occur_is_left_out_of_the_means() -> None:
    found = scores(np.array([0, 0]), probabilities([0, 0], 3), ("a", "b", "c"))
    assert found["balanced_accuracy"] == found["macro_f1"] == 1.0


LABELS = np.array([0, 0, 0, 0, 1, 1, 2, 2, 2])
PREDICTED = np.array([[0, 0, 0, 1, 1, 0, 2, 2, 0], [0, 1, 0, 0, 2, 1, 2, 1, 2]])


@pytest.mark.parametrize("metric", OVERALL)
def test_the_values_of_contributions_are_the_scores(metric: str) -> None:
    found = contributions(metric, LABELS, PREDICTED)
    expected = [scores(LABELS, probabilities(list(each), 3), ("a", "b", "c"))[metric] for each in PREDICTED]
    assert found.values.tolist() == pytest.approx(expected)


@pytest.mark.parametrize("metric", ["accuracy", "balanced_accuracy"])
def test_a_mean_is_the_sum_of_influences(metric: str) -> None:
    found = contributions(metric, LABELS, PREDICTED)
    assert found.influence.sum(1).tolist() == pytest.approx(found.values.tolist())
    assert len(np.unique(found.strata)) == (1 if metric == "accuracy" else 3)


def test_influences_on_f1_are_what_leaving_each_image_out_does() -> None:
    found = contributions("macro_f1", LABELS, PREDICTED)
    for k, predicted in enumerate(PREDICTED):
        for i in range(len(LABELS)):
            rest = np.delete(np.arange(len(LABELS)), i)
            left = f1_score(LABELS[rest], predicted[rest], average="macro", zero_division=0)
            n = len(LABELS)
            assert found.influence[k, i] == pytest.approx((n - 1) / n * (found.values[k] - left))


def test_f1_leaves_out_a_class_that_does_not_occur_also_where_it_is_predicted() -> None:
    found = contributions("macro_f1", np.array([0, 0, 2, 2]), np.array([[0, 1, 2, 2]]))
    expected = scores(np.array([0, 0, 2, 2]), probabilities([0, 1, 2, 2], 3), ("a", "b", "c"))["macro_f1"]
    assert found.values.tolist() == pytest.approx([expected])


def test_differences_of_contributions_are_taken_image_by_image() -> None:
    arm, control = (contributions("accuracy", LABELS, each[None]) for each in PREDICTED)
    found = arm - control
    assert found.influence[0].tolist() == (arm.influence[0] - control.influence[0]).tolist()
    assert found.values.tolist() == [pytest.approx(6 / 9 - 6 / 9)]
