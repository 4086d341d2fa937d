"""imbalanced-learn's SMOTE on pixels (Chawla et al. 2002): what people use today."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from imblearn.over_sampling import SMOTE
from torch import Tensor

from makeweight.core.data import Images, Labels, Split
from makeweight.core.images import from_uint8
from makeweight.core.parameters import Count
from makeweight.core.validation import Settings
from makeweight.runtime.files import read_arrays, write_arrays
from makeweight.training.loop import TrainingContext


class PixelSMOTE(Settings):
    """Settings of the family `smote`. Their meaning stands in `params.yaml`."""

    neighbours: Count

    @property
    def total_steps(self) -> int:
        """One: there is nothing to train."""
        return 1

    @property
    def images_per_step(self) -> int:
        """Not told: it looks at all images at once."""
        return 0

    def fit(self, train: Split, *, monitor: Split, seeds: Sequence[int], run: TrainingContext) -> list[SMOTESampler]:
        """Keep the training images. Nothing is random before they are drawn from."""
        run.progress(1)
        run.record({"step": 1, "images": len(train)})
        return [SMOTESampler(np.asarray(train.images), train.labels, self.neighbours) for _ in seeds]

    @staticmethod
    def load(folder: Path) -> SMOTESampler:
        """Read back what `SMOTESampler.save` wrote."""
        held = read_arrays(folder / "smote.npz")
        return SMOTESampler(held["images"], held["labels"], int(held["neighbours"]))


class SMOTESampler:
    """Draws between an image and one of its neighbours in the class; of a class of one image, that image."""

    def __init__(self, images: Images, labels: Labels, neighbours: int) -> None:
        self.images, self.labels, self.neighbours = images, labels, neighbours

    def sample(self, labels: Tensor, *, rng: torch.Generator) -> Tensor:
        """One image for each label (int64 [n]), float [n, c, h, w] in [-1, 1]."""
        size, channels = self.images.shape[1], self.images.shape[3]
        drawn = torch.empty((len(labels), size, size, channels))
        for label in labels.unique().tolist():
            seed = int(torch.randint(2**31, (), generator=rng))
            wanted = labels == label
            drawn[wanted] = torch.from_numpy(self._between(label, int(wanted.sum()), seed))
        return from_uint8(drawn.permute(0, 3, 1, 2))

    def _between(self, label: int, n: int, seed: int) -> Images:
        own = self.images[self.labels == label]
        if len(own) < 2:
            return (
                np.repeat(own, n, 0).astype(np.float32)
                if len(own)
                else np.zeros((n, *self.images.shape[1:]), np.float32)
            )
        # It wants a second class beside the one that it fills up.
        pixels = np.concatenate([own, own[:1]]).reshape(len(own) + 1, -1).astype(np.float32)
        target = np.array([1] * len(own) + [0])
        smote = SMOTE(
            sampling_strategy={1: len(own) + n}, k_neighbors=min(self.neighbours, len(own) - 1), random_state=seed
        )
        with warnings.catch_warnings(action="ignore"):  # that one class outgrows the other
            filled, _ = smote.fit_resample(pixels, target)
        drawn: Images = filled[len(pixels) :].reshape(n, *own.shape[1:])
        return drawn

    def save(self, folder: Path) -> None:
        """Write the training images."""
        neighbours = np.array(self.neighbours)
        write_arrays(folder / "smote.npz", {"images": self.images, "labels": self.labels, "neighbours": neighbours})
