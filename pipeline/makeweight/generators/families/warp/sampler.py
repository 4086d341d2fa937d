"""Principal components of deformations, and a sampler that deforms real images by them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from makeweight.core.data import Images, Labels
from makeweight.core.images import from_uint8
from makeweight.generators.families.warp.flows import deform, displacements_without_folds
from makeweight.generators.interface import BlockSampler
from makeweight.runtime.files import read_json, write_json

COMPONENTS, IMAGES, LABELS, SETTINGS = "components.safetensors", "images.npy", "labels.npy", "sampler.json"
SAMPLED_AT_ONCE = 2**20  # values of pixels


@dataclass(frozen=True, slots=True)
class Components:
    """Principal components of velocity fields.

    Attributes:
        directions: orthonormal, float [components, 2, grid, grid].
        deviations: the standard deviation of the fields along each of them, float [components].
    """

    directions: Tensor
    deviations: Tensor

    @classmethod
    def of(cls, velocities: Tensor, limit: int) -> Components:
        """At most `limit` components of fields, float [n, 2, grid, grid], and their negatives.

        The negatives deform the other way, from the second image of a pair to the first; with them the mean is zero.
        Without fields, the components deform nothing.
        """
        shape = velocities.shape[1:]
        flat = velocities.cpu().double().flatten(1)
        variances, axes = torch.linalg.eigh(flat.T @ flat / max(1, len(flat)))
        largest = variances.argsort(descending=True)[:limit]
        directions = axes.T[largest].reshape(-1, *shape)
        return cls(directions.float().contiguous(), variances[largest].clamp(min=0).sqrt().float())

    def draw(self, n: int, rng: torch.Generator) -> Tensor:
        """Velocity fields, float [n, 2, grid, grid]: each component is normal, with its own standard deviation."""
        noise = torch.randn((n, len(self.deviations)), generator=rng)
        return ((noise * self.deviations) @ self.directions.flatten(1)).view(n, *self.directions.shape[1:])


class WarpSampler(BlockSampler):
    """Draws a training image of the class and deforms it; a class of one image gives deformations of that image.

    Args:
        components: of the deformations.
        images: the training images, uint8 [n, h, w, c].
        labels: of `images`, int64 [n].
        amplitude: factor of the drawn velocity fields.
    """

    def __init__(self, components: Components, images: Images, labels: Labels, amplitude: float) -> None:
        self.components, self.images, self.labels, self.amplitude = components, images, labels, amplitude

    def sample(self, labels: Tensor, *, rng: torch.Generator) -> Tensor:
        """Draw one image for each label (int64 [n]): float [n, c, h, w] in [-1, 1]."""
        blocks = list(self.sample_blocks(labels, rng=rng))
        size, channels = self.images.shape[1], self.images.shape[3]
        return torch.cat(blocks) if blocks else torch.empty(0, channels, size, size)

    def sample_blocks(self, labels: Tensor, *, rng: torch.Generator) -> Iterator[Tensor]:
        """The images of `sample`, in batches."""
        originals = self._originals(labels, rng)
        velocities = self.amplitude * self.components.draw(len(labels), rng)
        block = max(1, SAMPLED_AT_ONCE // self.images[:1].size)
        for indices, fields in zip(originals.split(block), velocities.split(block), strict=True):
            images = from_uint8(torch.from_numpy(self.images[indices.numpy()])).permute(0, 3, 1, 2)
            yield deform(images, displacements_without_folds(fields, images.shape[-1]))

    def _originals(self, labels: Tensor, rng: torch.Generator) -> Tensor:
        """The index of a random training image for each label."""
        indices = torch.empty_like(labels)
        for label in labels.unique():
            of_class = torch.from_numpy(np.flatnonzero(self.labels == label.item()))
            positions = labels == label
            indices[positions] = of_class[torch.randint(len(of_class), (int(positions.sum()),), generator=rng)]
        return indices

    def save(self, folder: Path) -> None:
        """Write the components, the training images and the amplitude."""
        save_file(asdict(self.components), folder / COMPONENTS)
        np.save(folder / IMAGES, self.images, allow_pickle=False)
        np.save(folder / LABELS, self.labels, allow_pickle=False)
        write_json(folder / SETTINGS, {"amplitude": self.amplitude})

    @classmethod
    def load(cls, folder: Path) -> WarpSampler:
        """Load what `save` wrote; the images stay on disk."""
        images = np.load(folder / IMAGES, mmap_mode="r", allow_pickle=False)
        labels = np.load(folder / LABELS, allow_pickle=False)
        components = Components(**load_file(folder / COMPONENTS))
        return cls(components, images, labels, read_json(folder / SETTINGS)["amplitude"])
