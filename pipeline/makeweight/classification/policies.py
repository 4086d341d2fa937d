"""Augmentation policies of torchvision (`torchvision.transforms.v2`) as transforms.

A policy draws its operations and their strengths for each image. Grey images are processed as they are: no operation
of these policies needs colour, and the one that changes it (saturation) leaves them unchanged.
"""

from __future__ import annotations

from abc import abstractmethod
from functools import cached_property
from typing import Annotated, Any, Literal, Self

import numpy as np
import torch
from pydantic import Field, model_validator

from makeweight.core.data import Images
from makeweight.core.seeds import derive
from makeweight.core.validation import Settings
from makeweight.training.rng import seeded_global_stream

Count = Annotated[int, Field(ge=1)]
Bins = Annotated[int, Field(ge=2)]


class Policy(Settings):
    """A policy of torchvision; its settings have the names of torchvision's arguments."""

    @abstractmethod
    def _build(self, v2: Any) -> Any:
        """The policy as a module; `v2` is `torchvision.transforms.v2`."""

    @cached_property
    def _policy(self) -> Any:
        from torchvision.transforms import v2  # takes a second or more, which other transforms do not need

        return self._build(v2)

    def apply(self, images: Images, seed: int) -> Images:
        """Augment each image, uint8 [n, h, w, c], on its own; the same seed gives the same bytes.

        Policies draw from PyTorch's global stream, which is restored. The random numbers of a place of the batch depend
        on the seed alone, so that arms that show the same image there augment it in the same way.
        """
        augmented = np.empty_like(images)
        for place, image in enumerate(images):
            with seeded_global_stream(derive(seed, "policy", place)):
                pixels = self._policy(torch.tensor(image).permute(2, 0, 1))
            augmented[place] = pixels.permute(1, 2, 0).numpy()
        return augmented


class TrivialAugmentWide(Policy):
    """One random operation of random strength (Müller & Hutter 2021)."""

    num_magnitude_bins: Bins  # steps between the weakest and the strongest operation

    def _build(self, v2: Any) -> Any:
        return v2.TrivialAugmentWide(**self.model_dump())


class RandAugment(Policy):
    """Several random operations, all of one strength (Cubuk et al. 2020)."""

    num_ops: Count
    magnitude: Annotated[int, Field(ge=0)]
    num_magnitude_bins: Bins

    @model_validator(mode="after")
    def _magnitude_is_a_bin(self) -> Self:
        if self.magnitude >= self.num_magnitude_bins:
            raise ValueError("magnitude must be below num_magnitude_bins")
        return self

    def _build(self, v2: Any) -> Any:
        return v2.RandAugment(**self.model_dump())


class AugMix(Policy):
    """The mean of an image and of random chains of operations on it, with random weights (Hendrycks et al. 2020)."""

    severity: Annotated[int, Field(ge=1, le=10)]
    mixture_width: Count
    chain_depth: Literal[-1] | Count
    alpha: Annotated[float, Field(gt=0)]

    def _build(self, v2: Any) -> Any:
        return v2.AugMix(**self.model_dump())
