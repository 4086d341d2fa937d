"""Scores of handmade predictions."""

from __future__ import annotations

import numpy as np
import pytest

from makeweight.core.metrics import scores
from tests.support.metrics import probabilities


def test_a_hand_worked_confusion() -> None:
    # a: 3 of 4 correct, one predicted as b. b: 1 of 2 correct, one predicted as a.
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
