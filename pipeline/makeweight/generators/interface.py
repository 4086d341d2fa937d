"""The interface of generator families, and families by name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from makeweight.core.data import Split
from makeweight.core.plugins import configured
from makeweight.training.loop import Sampler, TrainingContext


class Family(Protocol):
    """A kind of generative model: a frozen settings model with the method `fit`.

    If its class sets `supports_batched_seeds = True`, `fit` gets several seeds at once, to train them in one program;
    otherwise it gets one seed at a time. If it sets `keeps_training_images = True`, its samplers hold the training
    images, and the images that they draw are near to these by construction: cards and report say so. A method
    `for_images(train)` returns the family with all settings that depend on the training images.
    """

    @property
    def total_steps(self) -> int:
        """Steps of one fit, for the progress bar; 0 or 1 for a family without steps."""
        ...

    @property
    def images_per_step(self) -> int:
        """Real images that a step processes, for the rate of images per second; 0: no rate is shown."""
        ...

    def fit(self, train: Split, *, monitor: Split, seeds: Sequence[int], run: TrainingContext) -> Sequence[Sampler]:
        """Fit one sampler for each seed to `train`; `monitor` is only logged.

        Figures of `monitor` are recorded under names that end with `_validation`, which no training decision reads.
        """
        ...

    @staticmethod
    def load(folder: Path) -> Sampler:
        """Load a sampler that `Sampler.save` wrote."""
        ...

    def model_dump(self) -> dict[str, Any]:
        """The settings as plain values, as every pydantic model offers."""
        ...


class _StepSettings(Protocol):
    @property
    def steps(self) -> int | None: ...
    @property
    def batch(self) -> int: ...


class TrainedInSteps:
    """Mixin of families whose settings `steps` and `batch` describe a training loop over all seeds at once."""

    supports_batched_seeds: ClassVar[bool] = True

    @property
    def total_steps(self: _StepSettings) -> int:
        """Steps of one fit."""
        assert self.steps is not None, "find_family has not been given the training images"
        return self.steps

    @property
    def images_per_step(self: _StepSettings) -> int:
        """Real images that a step processes."""
        return self.batch


class FittedInClosedForm:
    """Mixin of families that process all images at once, without a training loop."""

    @property
    def total_steps(self) -> int:
        """One."""
        return 1

    @property
    def images_per_step(self) -> int:
        """None that a rate could count."""
        return 0


class BlockSampler(ABC):
    """Base class of samplers that draw many images with the memory of few."""

    @abstractmethod
    def sample_blocks(self, labels: Tensor, *, rng: torch.Generator) -> Iterator[Tensor]:
        """The images of `sample(labels, rng=rng)`, bit for bit, some at a time and in order; `labels` are sorted."""

    def to(self, device: torch.device) -> None:  # noqa: B027 - most samplers have no network
        """Move the networks of the sampler, if it has any, to the device that is to draw; images stay on the CPU."""


def sample_blocks(sampler: Sampler, labels: Tensor, rng: torch.Generator) -> Iterator[Tensor]:
    """Images of sorted labels (int64 [n]), some at a time: float [block, c, h, w] in [-1, 1].

    A sampler that is no `BlockSampler` draws all of them at once.
    """
    if isinstance(sampler, BlockSampler):
        yield from sampler.sample_blocks(labels, rng=rng)
    else:
        yield sampler.sample(labels, rng=rng)


def find_family(name: str, families: Mapping[str, Any], train: Split | None = None) -> Family:
    """The registered family `name` with its settings.

    Args:
        name: of the family.
        families: the settings of each family.
        train: the images that it will be fitted to. Settings that are left to them are then filled in, by the method
            `for_images` of the family, if it has one.

    Raises:
        BadInput: the family does not exist, or its settings are invalid.
    """
    family: Family = configured("families", name, "families", families)
    if train is None or not hasattr(family, "for_images"):
        return family
    settled: Family = family.for_images(train)
    return settled
