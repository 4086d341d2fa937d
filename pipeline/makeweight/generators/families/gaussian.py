"""A Gaussian for each class in the space of principal components of the pixels: a baseline that fits in seconds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
from makeweight.generators.interface import BlockSampler, FittedInClosedForm
from makeweight.training.loop import TrainingContext

FULL_SVD_SIZE = 1000  # up to so many images or pixels, whichever are fewer, components are exact
PCA_SAMPLE = 5000  # images from which components are computed, and that are held as floats at once
SAMPLED_AT_ONCE = 2**24  # values of pixels
MAX_COMPONENTS = 512  # more make the covariances of classes slow to compute, and add little variance


class Gaussian(FittedInClosedForm, Settings):
    """Settings of the family `gaussian`, explained in `params.yaml`."""

    variance: Fraction

    def fit(self, train: Split, *, monitor: Split, seeds: Sequence[int], run: TrainingContext) -> list[GaussianSampler]:
        """Fit components and Gaussians. The fit is deterministic: the samplers of all seeds are equal."""
        pixels = train.images.reshape(len(train), -1)
        sample = np.sort(np.random.default_rng(0).permutation(len(train))[:PCA_SAMPLE])
        # Exact where that is cheap; randomized for many images of many pixels.
        solver = "randomized" if min(len(sample), pixels.shape[1]) > FULL_SVD_SIZE else "full"
        pca = PCA(min(MAX_COMPONENTS, len(sample), pixels.shape[1]), svd_solver=solver, random_state=0)
        pca.fit(_scaled(pixels[sample]))
        n_components = 1 + int(np.searchsorted(pca.explained_variance_ratio_.cumsum(), self.variance))
        axes = np.ascontiguousarray(pca.components_[:n_components], np.float32)
        batches = np.array_split(np.arange(len(train)), 1 + len(train) // PCA_SAMPLE)
        codes = np.concatenate([(_scaled(pixels[batch]) - pca.mean_) @ axes.T for batch in batches])
        fitted = {
            **class_gaussians(codes, train.labels, len(train.classes)),
            "centre": torch.from_numpy(pca.mean_.astype(np.float32)),
            "axes": torch.from_numpy(axes),
            "shape": torch.tensor([train.channels, train.size]),
        }
        run.progress(1)
        run.record({"step": 1, "components": len(axes)})
        return [GaussianSampler(fitted) for _ in seeds]

    @staticmethod
    def load(folder: Path) -> GaussianSampler:
        """Load a sampler that `GaussianSampler.save` wrote."""
        return GaussianSampler(load_file(folder / "gaussian.safetensors"))


def _scaled(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    return from_uint8(torch.from_numpy(pixels)).numpy()


class GaussianSampler(BlockSampler):
    """Samples components from the label's Gaussian and maps them to pixels."""

    def __init__(self, fitted: dict[str, Tensor]) -> None:
        self.fitted = fitted

    def sample(self, labels: Tensor, *, rng: torch.Generator) -> Tensor:
        """Draw one image for each label (int64 [n]): float [n, c, h, w] in [-1, 1]."""
        return torch.cat(list(self.sample_blocks(labels, rng=rng)))

    def sample_blocks(self, labels: Tensor, *, rng: torch.Generator) -> Iterator[Tensor]:
        """The images of `sample`, in batches."""
        channels, size = self.fitted["shape"].tolist()
        codes = draw_gaussians(self.fitted, labels, rng)
        for batch in codes.split(max(1, SAMPLED_AT_ONCE // len(self.fitted["centre"]))):
            pixels = batch @ self.fitted["axes"] + self.fitted["centre"]
            yield pixels.clamp(-1, 1).reshape(-1, size, size, channels).permute(0, 3, 1, 2)

    def save(self, folder: Path) -> None:
        """Write means, factors and components."""
        save_file({name: value.contiguous() for name, value in self.fitted.items()}, folder / "gaussian.safetensors")
