"""Random streams for tests."""

from __future__ import annotations

import torch

from makeweight.training.rng import ReplicateGenerators


def rng(seed: int = 0) -> ReplicateGenerators:
    return ReplicateGenerators([seed], torch.device("cpu"))
