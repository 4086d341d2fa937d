"""The exponential moving average of weights."""

from __future__ import annotations

import pytest
import torch

from makeweight.training.ema import EMA


def test_the_average_follows_its_closed_form_and_copies_buffers() -> None:
    network = torch.nn.BatchNorm1d(1)
    average = EMA(network, decay=0.8)  # reached after 115 steps
    torch.nn.init.zeros_(average.network.weight)
    expected = 0.0
    for step in range(1, 200):
        torch.nn.init.constant_(network.weight, float(step))
        assert network.running_mean is not None
        network.running_mean.fill_(step)
        average.update(network)
        decay = min(0.8, (1 + step) / (30 + step))
        expected = decay * expected + (1 - decay) * step
    assert average.network.weight.item() == pytest.approx(expected, rel=1e-5)
    assert average.network.running_mean is not None
    assert average.network.running_mean.item() == 199


def test_the_average_of_the_first_steps_forgets_the_random_start() -> None:
    network = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(network.weight, 100.0)
    average = EMA(network, decay=0.999)
    torch.nn.init.constant_(network.weight, 31.0)
    average.update(network)  # decay 2/31
    assert average.network.weight.item() == pytest.approx(2 / 31 * 100 + 29)
    torch.nn.init.constant_(network.weight, 32.0)
    average.update(network)  # decay 3/32
    assert average.network.weight.item() == pytest.approx(3 / 32 * (200 / 31 + 29) + 29)
