"""Contributions of test images to metrics."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score

from makeweight.comparison import influence, sentences
from makeweight.comparison.influence import contributions
from makeweight.core.metrics import OVERALL, Metric, scores
from tests.support.metrics import probabilities

LABELS = np.array([0, 0, 0, 0, 1, 1, 2, 2, 2])
PREDICTED = np.array([[0, 0, 0, 1, 1, 0, 2, 2, 0], [0, 1, 0, 0, 2, 1, 2, 1, 2]])


def test_every_metric_has_contributions_and_a_description() -> None:
    assert set(influence._CONTRIBUTIONS) == set(sentences.METRICS) == set(OVERALL)


@pytest.mark.parametrize("metric", OVERALL)
def test_the_values_of_contributions_are_the_scores(metric: Metric) -> None:
    found = contributions(metric, LABELS, PREDICTED)
    expected = [scores(LABELS, probabilities(list(predicted), 3), ("a", "b", "c"))[metric] for predicted in PREDICTED]
    assert found.values.tolist() == pytest.approx(expected)


@pytest.mark.parametrize("metric", OVERALL[:2])
def test_a_mean_is_the_sum_of_influences(metric: Metric) -> None:
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
    arm, control = (contributions("accuracy", LABELS, predicted[None]) for predicted in PREDICTED)
    found = arm - control
    assert found.influence[0].tolist() == (arm.influence[0] - control.influence[0]).tolist()
    assert found.values.tolist() == [pytest.approx(6 / 9 - 6 / 9)]
