"""Exponential moving average of weights, and evaluation mode."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

import torch
from torch import nn

Network = TypeVar("Network", bound=nn.Module)


@contextmanager
def evaluation_mode(*networks: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients while the block lasts, without side effects on the networks."""
    for network in networks:
        network.eval()
    with torch.no_grad():
        yield
    for network in networks:
        network.train()


class EMA(Generic[Network]):
    """Exponential moving average of a network's weights, over a fixed fraction of the steps so far.

    Like the power-law average of Karras et al. (2024, section 3.1) it forgets the random initialisation during the
    training: the decay is (1 + step) / (SHORT + step), which averages over about a thirtieth of the steps, until it
    reaches `decay`. A longer average lags behind a network that still learns fast. Buffers (the statistics of batch
    norm) are copied.
    """

    SHORT = 30

    def __init__(self, network: Network, decay: float) -> None:
        self.network = copy.deepcopy(network).requires_grad_(False)
        self.decay = decay
        self.step = 0

    @torch.no_grad()
    def update(self, network: Network) -> None:
        """Update the average with the current weights of `network`."""
        self.step += 1
        decay = min(self.decay, (1 + self.step) / (self.SHORT + self.step))
        torch._foreach_lerp_(list(self.network.parameters()), list(network.parameters()), 1 - decay)
        for average, current in zip(self.network.buffers(), network.buffers(), strict=True):
            average.copy_(current)

    def state_dict(self) -> dict[str, Any]:
        """The averaged weights and the number of steps."""
        return {"network": self.network.state_dict(), "step": self.step}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.network.load_state_dict(state["network"])
        self.step = state["step"]
