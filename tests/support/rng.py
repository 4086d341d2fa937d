"""Random streams for tests."""

from __future__ import annotations

import torch

from makeweight.training.rng import Streams


def rng(seed: int = 0) -> Streams:
    return Streams([seed], torch.device("cpu"))
