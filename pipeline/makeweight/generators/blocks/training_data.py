"""What the training loops of all families draw from: real images, random generators, mixed precision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from makeweight.core.data import Split
from makeweight.core.seeds import derive
from makeweight.generators.blocks.batches import RealImages
from makeweight.runtime.machine import mixed_precision
from makeweight.training.loop import TrainingContext
from makeweight.training.rng import ReplicateGenerators


@dataclass(frozen=True)
class TrainingData:
    """The inputs of a training loop.

    Attributes:
        train: images to fit.
        validation: images that are only monitored.
        rng: random generators of the updates, one a replicate.
        monitor_rng: random generators of the monitored figures, so that monitoring changes no update.
        autocast: context of the operations in mixed precision.
    """

    train: RealImages
    validation: RealImages
    rng: ReplicateGenerators
    monitor_rng: ReplicateGenerators
    autocast: torch.autocast

    @classmethod
    def of(cls, train: Split, validation: Split, seeds: Sequence[int], run: TrainingContext) -> TrainingData:
        """The inputs of one program that trains a replicate for each of `seeds`."""
        device = run.device
        return cls(
            RealImages(train, device),
            RealImages(validation, device),
            ReplicateGenerators([derive(seed, "training") for seed in seeds], device),
            ReplicateGenerators([derive(seed, "watching") for seed in seeds], device),
            mixed_precision(device.type, run.autocast),
        )

    def state(self) -> dict[str, torch.Generator]:
        """The random generators, as a part of the state of `TrainingContext.steps`."""
        return {**self.rng.state("rng"), **self.monitor_rng.state("watching")}
