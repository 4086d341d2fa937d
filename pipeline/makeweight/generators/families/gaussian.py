"""A Gaussian for each class among the principal components of the pixels: seconds to fit, a floor for the others."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from sklearn.decomposition import PCA
from torch import Tensor

from makeweight.core.data import Split
from makeweight.core.images import from_uint8
from makeweight.core.parameters import Fraction
from makeweight.core.validation import Settings
from makeweight.generators.blocks.densities import class_gaussians, draw_gaussians
from makeweight.training.loop import TrainingContext

SMALL = 1000  # images or pixels, whichever are fewer: up to these, components are exact
EXAMINED = 5000  # images, in which components are looked for, and that are held as floats at once
MOST = 512  # components: beyond these, covariances of classes cost more than they tell


class Gaussian(Settings):
    """Settings of the family `gaussian`. Their meaning stands in `params.yaml`."""

    variance: Fraction

    @property
    def total_steps(self) -> int:
        """One: it is fitted in closed form."""
        return 1

    @property
    def images_per_step(self) -> int:
        """Not told: it looks at all images at once."""
        return 0

    def fit(self, train: Split, *, monitor: Split, seeds: Sequence[int], run: TrainingContext) -> list[GaussianSampler]:
        """Fit components and Gaussians. Nothing is random, so that samplers of all seeds are alike."""
        pixels = train.images.reshape(len(train), -1)
        some = np.sort(np.random.default_rng(0).permutation(len(train))[:EXAMINED])
        # Exact where that is cheap; of many images with many pixels, the first components by random projection.
        solver = "randomized" if min(len(some), pixels.shape[1]) > SMALL else "full"
        components = PCA(min(MOST, len(some), pixels.shape[1]), svd_solver=solver, random_state=0)
        components.fit(_scaled(pixels[some]))
        enough = 1 + int(np.searchsorted(components.explained_variance_ratio_.cumsum(), self.variance))
        axes = np.ascontiguousarray(components.components_[:enough], np.float32)
        parts = np.array_split(np.arange(len(train)), 1 + len(train) // EXAMINED)
        codes = np.concatenate([(_scaled(pixels[part]) - components.mean_) @ axes.T for part in parts])
        fitted = {
            **class_gaussians(codes, train.labels, len(train.classes)),
            "centre": torch.from_numpy(components.mean_.astype(np.float32)),
            "axes": torch.from_numpy(axes),
            "shape": torch.tensor([train.channels, train.size]),
        }
        run.progress(1)
        run.record({"step": 1, "components": len(axes)})
        return [GaussianSampler(fitted) for _ in seeds]

    @staticmethod
    def load(folder: Path) -> GaussianSampler:
        """Read back what `GaussianSampler.save` wrote."""
        return GaussianSampler(load_file(folder / "gaussian.safetensors"))


def _scaled(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    return from_uint8(torch.from_numpy(pixels)).numpy()


class GaussianSampler:
    """Draws components of the label's Gaussian and turns them into pixels."""

    def __init__(self, fitted: dict[str, Tensor]) -> None:
        self.fitted = fitted

    def sample(self, labels: Tensor, *, rng: torch.Generator) -> Tensor:
        """One image for each label (int64 [n]), float [n, c, h, w] in [-1, 1]."""
        channels, size = self.fitted["shape"].tolist()
        pixels = draw_gaussians(self.fitted, labels, rng) @ self.fitted["axes"] + self.fitted["centre"]
        return pixels.clamp(-1, 1).reshape(-1, size, size, channels).permute(0, 3, 1, 2)

    def save(self, folder: Path) -> None:
        """Write means, factors and components."""
        save_file({name: value.contiguous() for name, value in self.fitted.items()}, folder / "gaussian.safetensors")
