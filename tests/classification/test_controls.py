"""Losses and samplings of controls against reference formulas and hand-worked examples."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy, one_hot

from makeweight.classification.controls import class_balanced, deferred, logit_adjusted, none, oversample, weighted
from makeweight.classification.interface import find_control
from makeweight.classification.mixing import control_mixing
from makeweight.core.errors import BadInput
from tests.classification.test_mixing import split

# Three classes, of which one half, one quarter and one quarter of the images are served.
FREQUENCIES = torch.tensor([0.5, 0.25, 0.25])
LOGITS = torch.tensor([[0.0, 0.0, 0.0], [math.log(2), 0.0, 0.0]])
TARGETS = torch.tensor([0, 1])


def test_the_plain_loss_is_cross_entropy() -> None:
    for control in (none, oversample, deferred):
        loss = control.loss(LOGITS, TARGETS, FREQUENCIES, 0.0)
        assert loss.item() == pytest.approx((math.log(3) + math.log(4)) / 2)


def test_the_weighted_loss_on_a_hand_worked_example() -> None:
    # Weights 1 / (3 f): 2/3, 4/3, 4/3; as served, 0.5 · 2/3 + 0.25 · 4/3 + 0.25 · 4/3 = 1.
    loss = weighted.loss(LOGITS, TARGETS, FREQUENCIES, 0.0)
    assert loss.item() == pytest.approx((2 / 3 * math.log(3) + 4 / 3 * math.log(4)) / 2)


def test_the_logit_adjusted_loss_on_a_hand_worked_example() -> None:
    # Menon et al. 2021, equation 10: softmax of logits times priors.
    # First image: 0.5 / (0.5 + 0.25 + 0.25); second: 0.25 · 1 / (0.5 · 2 + 0.25 + 0.25) = 1/6.
    loss = logit_adjusted.loss(LOGITS, TARGETS, FREQUENCIES, 0.0)
    assert loss.item() == pytest.approx((math.log(2) + math.log(6)) / 2)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("control", [none, weighted, logit_adjusted])
def test_classes_and_their_probabilities_give_the_same_loss(control: Any, smoothing: float) -> None:
    logits, targets = torch.randn(16, 3, generator=torch.Generator().manual_seed(0)), torch.arange(16) % 3
    loss = control.loss(logits, targets, FREQUENCIES, smoothing)
    assert control.loss(logits, one_hot(targets, 3).float(), FREQUENCIES, smoothing).item() == pytest.approx(
        loss.item(), rel=1e-5
    )


def test_weights_apply_to_each_part_of_a_soft_target() -> None:
    # -ln softmax of the second image: ln 2, ln 4, ln 4.
    soft = torch.tensor([[0.25, 0.75, 0.0]])
    loss = weighted.loss(LOGITS[1:], soft, FREQUENCIES, 0.0)
    assert loss.item() == pytest.approx(0.25 * 2 / 3 * math.log(2) + 0.75 * 4 / 3 * math.log(4))


@pytest.mark.parametrize("control", [weighted, logit_adjusted])
def test_where_classes_are_served_equally_nothing_is_corrected_twice(control: Any) -> None:
    logits, targets = torch.randn(9, 3, generator=torch.Generator().manual_seed(0)), torch.arange(9) % 3
    loss = control.loss(logits, targets, torch.full((3,), 1 / 3), 0.1)
    assert loss.item() == pytest.approx(cross_entropy(logits, targets, label_smoothing=0.1).item(), rel=1e-5)


@pytest.mark.parametrize("control", [weighted, logit_adjusted])
def test_a_class_that_is_not_served_leaves_the_loss_finite(control: Any) -> None:
    loss = control.loss(LOGITS, TARGETS, torch.tensor([0.5, 0.5, 0.0]), 0.1)
    assert torch.isfinite(loss)


def test_frequencies_are_those_of_the_images_as_served() -> None:
    train = split(6, 2, 2)
    expected = {
        "none": [0.6, 0.2, 0.2],
        "weighted": [0.6, 0.2, 0.2],
        "oversample": [1 / 3] * 3,
        "deferred": [0.75 * 0.6 + 0.25 / 3, *[0.75 * 0.2 + 0.25 / 3] * 2],
    }
    for name, frequencies in expected.items():
        mixing = control_mixing(name, train, batch=4, seed=0)
        np.testing.assert_allclose(mixing.frequencies(), frequencies, rtol=1e-6)
    loss = control_mixing("logit_adjusted", train, batch=4, seed=0).loss(0.0)(LOGITS, TARGETS)
    assert loss.item() == pytest.approx((math.log(1 / 0.6) + math.log((2 * 0.6 + 0.4) / 0.2)) / 2)


def test_deferred_samples_instances_first_and_classes_in_the_last_quarter() -> None:
    labels = split(5, 2).labels
    assert deferred.changes == (0.75,)
    assert deferred.epoch(labels, 0, 0.0).tolist() == list(range(7))
    assert deferred.epoch(labels, 0, 0.75).tolist() == class_balanced(labels, 0, 0.75).tolist()
    assert np.bincount(labels[deferred.epoch(labels, 0, 0.75)]).tolist() == [5, 5]


def test_a_control_of_an_earlier_interface_is_an_error_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    old = SimpleNamespace(description="trained on half", epoch=lambda labels, seed: labels)
    monkeypatch.setattr("makeweight.classification.interface.find", lambda group, name: old)
    with pytest.raises(
        BadInput, match="'half' has no changes and no allows_mix and no loss: a control needs"
    ) as caught:
        find_control("half")
    assert "\n" not in str(caught.value)
