"""Batches of real images with uniformly distributed labels."""

from __future__ import annotations

import torch
from torch import Tensor

from makeweight.core.data import Split
from makeweight.core.images import from_uint8
from makeweight.training.rng import ReplicateGenerators


class RealImages:
    """A split on the device, from which batches are drawn: labels uniformly, then an image of each label.

    Real and generated images have the same uniform label distribution. With the real class frequencies, the
    discriminator would learn these, and reward the generator for them instead of for its images.
    """

    def __init__(self, split: Split, device: torch.device) -> None:
        order = split.labels.argsort(kind="stable")
        images = torch.from_numpy(split.images[order]).to(device)
        self.images = images.permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
        self.counts = torch.from_numpy(split.counts).to(device)
        self.starts = self.counts.cumsum(0) - self.counts
        self.present = self.counts.nonzero().squeeze(1)

    def draw(self, n: int, rng: ReplicateGenerators) -> tuple[Tensor, Tensor]:
        """Draw `n` images for each replicate, float [replicates, n, c, h, w] in [-1, 1], with their labels."""
        labels = self.present[rng.randint(0, len(self.present), n * len(rng))]
        within = rng.rand(len(labels), dtype=torch.float64) * self.counts[labels]
        images = from_uint8(self.images[self.starts[labels] + within.long()])
        return images.unflatten(0, (len(rng), n)), labels.unflatten(0, (len(rng), n))

    def first(self, limit: int | None = None) -> tuple[Tensor, Tensor]:
        """At most `limit` images of each class (None: all), uint8 [n, c, h, w], class by class, with their labels."""
        counts = self.counts if limit is None else self.counts.clamp(max=limit)
        labels = torch.arange(len(counts), device=counts.device).repeat_interleave(counts)
        within = torch.arange(len(labels), device=counts.device) - (counts.cumsum(0) - counts)[labels]
        return self.images[self.starts[labels] + within], labels

    def other_labels(self, labels: Tensor, rng: ReplicateGenerators) -> Tensor:
        """Replace each label [replicates, n] by another present one, uniformly; if only one is present, keep it."""
        n = len(self.present)
        shift = rng.randint(1, max(n, 2), labels.numel()).view(labels.shape)
        return self.present[(torch.searchsorted(self.present, labels) + shift) % n]
