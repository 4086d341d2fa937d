"""Blocks that several networks share."""

from __future__ import annotations

import copy
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

SMALLEST_MAP = 4  # pixels: the side at which networks stop halving


def halvings(size: int) -> int:
    """How often a side of `size` pixels is halved until the next step would go below `SMALLEST_MAP`."""
    return max(1, (size // SMALLEST_MAP).bit_length() - 1)


class ConditionalBatchNorm(nn.Module):
    """Batch norm with a gain and a bias for each class (de Vries et al. 2017; Miyato & Koyama 2018, section 5).

    Gains and biases start at random around 1 and 0, so that classes differ from the first step on. Where they start
    alike, a short training on scarce data ends before the labels are heard; where the label is an input beside the
    noise instead, the noise is ignored and every class shrinks to one image (`docs/decisions/0004-conditioning.md`).
    """

    SPREAD = 0.3

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.gain = nn.Embedding(classes, channels)
        self.bias = nn.Embedding(classes, channels)
        nn.init.normal_(self.gain.weight, 1.0, self.SPREAD)
        nn.init.normal_(self.bias.weight, 0.0, self.SPREAD)

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        """Normalise `features` [n, channels, h, w] and scale each image by the gain of its label."""
        gain, bias = (table(labels).to(features.dtype)[:, :, None, None] for table in (self.gain, self.bias))
        return torch.addcmul(bias, self.norm(features), gain)


Network = TypeVar("Network", bound=nn.Module)


class Average(Generic[Network]):
    """Exponential moving average of a network's weights, with a warm-up (Karras et al. 2018; 2024, section 3).

    The average over the first steps would still remember the random start, so that the decay grows as
    (1 + step) / (10 + step) until it reaches `decay`. Buffers (the statistics of batch norm) are copied.
    """

    def __init__(self, network: Network, decay: float) -> None:
        self.network = copy.deepcopy(network).requires_grad_(False)
        self.decay = decay
        self.step = 0

    @torch.no_grad()
    def update(self, network: Network) -> None:
        """Take in the weights that `network` has now."""
        self.step += 1
        decay = min(self.decay, (1 + self.step) / (10 + self.step))
        torch._foreach_lerp_(list(self.network.parameters()), list(network.parameters()), 1 - decay)
        for mine, theirs in zip(self.network.buffers(), network.buffers(), strict=True):
            mine.copy_(theirs)
