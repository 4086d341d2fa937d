"""imbalanced-learn's SMOTE on pixels (Chawla et al. 2002): the common baseline."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from imblearn.over_sampling import SMOTE
from numpy.typing import NDArray
from torch import Tensor

from makeweight.core.data import Images, Labels, Split
from makeweight.core.images import from_uint8
from makeweight.core.parameters import Count
from makeweight.core.validation import Settings
from makeweight.generators.interface import BlockSampler, FittedInClosedForm
from makeweight.runtime.files import read_arrays, write_arrays
from makeweight.training.loop import TrainingContext


class PixelSMOTE(FittedInClosedForm, Settings):
    """Settings of the family `smote`, explained in `params.yaml`."""

    keeps_training_images: ClassVar[bool] = True

    neighbours: Count

    def fit(self, train: Split, *, monitor: Split, seeds: Sequence[int], run: TrainingContext) -> list[SMOTESampler]:
        """Keep the training images. Only sampling is random."""
        run.progress(1)
        run.record({"step": 1, "images": len(train)})
        return [SMOTESampler(np.asarray(train.images), train.labels, self.neighbours) for _ in seeds]

    @staticmethod
    def load(folder: Path) -> SMOTESampler:
        """Load a sampler that `SMOTESampler.save` wrote."""
        arrays = read_arrays(folder / "smote.npz")
        return SMOTESampler(arrays["images"], arrays["labels"], int(arrays["neighbours"]))


class SMOTESampler(BlockSampler):
    """Interpolates between an image and one of its neighbours in the class; a class of one image gives that image."""

    def __init__(self, images: Images, labels: Labels, neighbours: int) -> None:
        self.images, self.labels, self.neighbours = images, labels, neighbours

    def sample(self, labels: Tensor, *, rng: torch.Generator) -> Tensor:
        """Draw one image for each label (int64 [n]): float [n, c, h, w] in [-1, 1]."""
        size, channels = self.images.shape[1], self.images.shape[3]
        images = torch.empty((len(labels), size, size, channels))
        for label in labels.unique().tolist():
            seed = int(torch.randint(2**31, (), generator=rng))
            positions = labels == label
            images[positions] = torch.from_numpy(self._interpolated(label, int(positions.sum()), seed))
        return from_uint8(images.permute(0, 3, 1, 2))

    def sample_blocks(self, labels: Tensor, *, rng: torch.Generator) -> Iterator[Tensor]:
        """The images of `sample` for sorted labels, class by class."""
        for of_class in labels.split(labels.unique(return_counts=True)[1].tolist()):
            yield self.sample(of_class, rng=rng)

    def _interpolated(self, label: int, n: int, seed: int) -> NDArray[np.float32]:
        images = self.images[self.labels == label]
        if not len(images):
            return np.zeros((n, *self.images.shape[1:]), np.float32)
        if len(images) == 1:
            return np.repeat(images, n, 0).astype(np.float32)
        # SMOTE requires a second class beside the one that it oversamples.
        pixels = np.concatenate([images, images[:1]]).reshape(len(images) + 1, -1).astype(np.float32)
        target = np.array([1] * len(images) + [0])
        k_neighbors = min(self.neighbours, len(images) - 1)
        smote = SMOTE(sampling_strategy={1: len(images) + n}, k_neighbors=k_neighbors, random_state=seed)
        with warnings.catch_warnings(action="ignore"):  # SMOTE warns that one class outgrows the other
            resampled, _ = smote.fit_resample(pixels, target)
        synthetic: NDArray[np.float32] = resampled[len(pixels) :].reshape(n, *images.shape[1:])
        return synthetic

    def save(self, folder: Path) -> None:
        """Write the training images."""
        neighbours = np.array(self.neighbours)
        write_arrays(folder / "smote.npz", {"images": self.images, "labels": self.labels, "neighbours": neighbours})
