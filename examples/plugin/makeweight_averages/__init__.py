"""A generator family for Makeweight: weighted averages of two training images of a class."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from makeweight import Sampler, Settings, Split, TrainingContext


class Averages(Settings):
    """Settings of the family, which `params.yaml` holds under `families.averages`.

    Attributes:
        least_weight: smallest weight of the second image, from 0 to 0.5.
    """

    least_weight: float
    total_steps: int = 1
    images_per_step: int = 0

    def fit(self, train: Split, *, monitor: Split, seeds: Sequence[int], run: TrainingContext) -> list[Sampler]:
        """Keep the training images; only sampling is random."""
        run.progress(1)
        run.record({"step": 1, "images": len(train)})
        return [AveragesSampler(np.asarray(train.images), train.labels, self.least_weight) for _ in seeds]

    @staticmethod
    def load(folder: Path) -> "AveragesSampler":
        """Load a sampler that `AveragesSampler.save` wrote."""
        arrays = np.load(folder / "averages.npz", allow_pickle=False)
        return AveragesSampler(arrays["images"], arrays["labels"], float(arrays["least_weight"]))


class AveragesSampler:
    """Draws averages of two images of a class, with random weights."""

    def __init__(self, images: np.ndarray, labels: np.ndarray, least_weight: float) -> None:
        self.images, self.labels, self.least_weight = images, labels, least_weight

    def sample(self, labels: Tensor, *, rng: torch.Generator) -> Tensor:
        """One image for each label (int64 [n]): float [n, c, h, w] in [-1, 1]."""
        pairs = torch.empty((len(labels), 2), dtype=torch.long)
        for label in labels.unique().tolist():
            of_class = torch.from_numpy(np.flatnonzero(self.labels == label))
            chosen = torch.randint(len(of_class), (int((labels == label).sum()), 2), generator=rng)
            pairs[labels == label] = of_class[chosen]
        first, second = torch.from_numpy(self.images[pairs.numpy()]).permute(1, 0, 4, 2, 3).float()
        weights = self.least_weight + (1 - 2 * self.least_weight) * torch.rand(len(labels), 1, 1, 1, generator=rng)
        return torch.lerp(first, second, weights) / 127.5 - 1

    def save(self, folder: Path) -> None:
        """Write what `Averages.load` reads."""
        np.savez(
            folder / "averages.npz", images=self.images, labels=self.labels, least_weight=np.float64(self.least_weight)
        )
