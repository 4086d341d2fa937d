"""Differentiable augmentation of the discriminator's input (Zhao et al. 2020), with the strengths of that paper.

Each operation takes images, float [n, c, h, w], and random generators on their device, and draws new parameters for
each image. Real and generated images pass through the same policy, so that the augmentations do not leak into the
generated images.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor

from makeweight.generators.blocks.bilinear import warp
from makeweight.training.rng import ReplicateGenerators

Operation = Literal["affine", "translation", "cutout", "brightness", "flip"]

AFFINE_PROBABILITY = 0.5


def affine(images: Tensor, rng: ReplicateGenerators) -> Tensor:
    """Rotate half of the images by up to 12 degrees and scale them by up to a tenth; borders are mirrored.

    The geometric operations of Karras et al. (2020, "Training generative adversarial networks with limited data").
    Bilinear interpolation blurs. If it blurred all images, the discriminator could not see differences between
    neighbouring pixels, and the generator would produce checkerboards.
    """
    angle, zoom = (limit * (2 * rng.rand(len(images), 1, 1) - 1) for limit in (12.0, 0.1))
    warped = rng.rand(len(images), 1, 1) < AFFINE_PROBABILITY
    angle, zoom = angle * warped, zoom * warped
    cos, sin = (function(angle.deg2rad()) * torch.exp(-zoom) for function in (torch.cos, torch.sin))
    # Not by `affine_grid`, whose matrix product would round the coordinates to bfloat16 under autocast.
    y, x = (_centres(side, images.device) for side in images.shape[2:])
    y = y[:, None]
    return warp(images, torch.stack([cos * x - sin * y, sin * x + cos * y], -1), "reflection")


def _centres(side: int, device: torch.device) -> Tensor:
    """Coordinates of the centres of `side` pixels, where -1 and 1 are the outer edges."""
    return (2 * torch.arange(side, device=device) + 1) / side - 1


def translation(images: Tensor, rng: ReplicateGenerators) -> Tensor:
    """Shift by up to an eighth of the side, in whole pixels; borders are mirrored."""
    n, _, height, width = images.shape
    down, right = (
        rng.randint(-limit, limit + 1, n, 1) for limit in (max(1, round(side / 8)) for side in (height, width))
    )
    rows = _mirrored(torch.arange(height, device=images.device) - down, height)
    columns = _mirrored(torch.arange(width, device=images.device) - right, width)
    # Channels last, so that indexing with [n, h, 1] and [n, 1, w] selects all channels of a pixel.
    pixels = images.permute(0, 2, 3, 1)
    shifted = pixels[torch.arange(n, device=images.device)[:, None, None], rows[:, :, None], columns[:, None, :]]
    return shifted.permute(0, 3, 1, 2)


def _mirrored(indices: Tensor, size: int) -> Tensor:
    """Indices less than one `size` outside of the image, mirrored at its edges: -1 becomes 0."""
    inside = torch.where(indices < 0, -1 - indices, indices)
    return torch.where(inside >= size, 2 * size - 1 - inside, inside)


def cutout(images: Tensor, rng: ReplicateGenerators) -> Tensor:
    """Set a square of half the side to 0 (grey); its centre is anywhere, so that it may extend over the edge."""
    n, _, height, width = images.shape
    y = rng.randint(0, height + 1, n, 1, 1)
    x = rng.randint(0, width + 1, n, 1, 1)
    rows = torch.arange(height, device=images.device)[None, :, None] - y
    columns = torch.arange(width, device=images.device)[None, None, :] - x
    hidden = (rows >= -height // 4) & (rows < height // 4) & (columns >= -width // 4) & (columns < width // 4)
    return images * (~hidden)[:, None].to(images.dtype)


def brightness(images: Tensor, rng: ReplicateGenerators) -> Tensor:
    """Add a number between -0.5 and 0.5 to all pixels of an image."""
    return images + rng.rand(len(images), 1, 1, 1, dtype=images.dtype) - 0.5


def flip(images: Tensor, rng: ReplicateGenerators) -> Tensor:
    """Mirror an image left to right with probability 0.5. Not in the default: a mirrored digit is not a digit."""
    mirrored = rng.rand(len(images), 1, 1, 1) < 0.5
    return torch.where(mirrored, images.flip(3), images)


OPERATIONS: dict[Operation, Callable[[Tensor, ReplicateGenerators], Tensor]] = {
    "affine": affine,
    "translation": translation,
    "cutout": cutout,
    "brightness": brightness,
    "flip": flip,
}


def augment(images: Tensor, policy: Sequence[Operation], rng: ReplicateGenerators) -> Tensor:
    """Apply the operations of `policy` in order to images [replicates, n, c, h, w]; differentiable."""
    augmented = images.flatten(0, 1)
    for name in policy:
        augmented = OPERATIONS[name](augmented, rng)
    return augmented.view(images.shape)
