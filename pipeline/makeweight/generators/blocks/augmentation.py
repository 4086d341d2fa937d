"""Differentiable augmentation of what a discriminator sees (Zhao et al. 2020), with their strengths.

Each function takes images, float [n, c, h, w], and a streams of random numbers on their device, and treats each
image differently. Real and generated images pass through the same policy, so that the generator learns the images
and not their augmentations.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample, pad

from makeweight.training.rng import ReplicateGenerators

Operation = Literal["affine", "translation", "cutout", "brightness", "flip"]


def affine(images: Tensor, rng: ReplicateGenerators) -> Tensor:
    """Rotate by up to 12 degrees and scale by up to a tenth, between pixels; what comes in is -1 (black).

    The geometric operations of Karras et al. (2020, "Training generative adversarial networks with limited data").
    """
    angle, zoom = (most * (2 * rng.rand(len(images)) - 1) for most in (12.0, 0.1))
    cos, sin = (turn(angle.deg2rad()) * torch.exp(-zoom) for turn in (torch.cos, torch.sin))
    nothing = torch.zeros_like(cos)
    matrices = torch.stack([torch.stack([cos, -sin, nothing], 1), torch.stack([sin, cos, nothing], 1)], 1)
    grid = affine_grid(matrices, list(images.shape), align_corners=False)
    return grid_sample(images + 1, grid, align_corners=False) - 1


def translation(images: Tensor, rng: ReplicateGenerators) -> Tensor:
    """Shift by up to an eighth of the side, in whole pixels; what comes in is -1 (black)."""
    n, _, height, width = images.shape
    reach_y, reach_x = (max(1, round(side / 8)) for side in (height, width))
    down = rng.randint(-reach_y, reach_y + 1, n, 1)
    right = rng.randint(-reach_x, reach_x + 1, n, 1)
    rows = torch.arange(height, device=images.device) + reach_y - down
    columns = torch.arange(width, device=images.device) + reach_x - right
    framed = pad(images, (reach_x, reach_x, reach_y, reach_y), value=-1.0)
    # Channels last: indexing with [n, h, 1] and [n, 1, w] picks whole pixels, of all channels at once.
    framed = framed.permute(0, 2, 3, 1)
    picked = framed[torch.arange(n, device=images.device)[:, None, None], rows[:, :, None], columns[:, None, :]]
    return picked.permute(0, 3, 1, 2)


def cutout(images: Tensor, rng: ReplicateGenerators) -> Tensor:
    """Grey out (0) a square of half the side, centred anywhere, so that it may reach over the edge."""
    n, _, height, width = images.shape
    y = rng.randint(0, height + 1, n, 1, 1)
    x = rng.randint(0, width + 1, n, 1, 1)
    rows = torch.arange(height, device=images.device)[None, :, None] - y
    columns = torch.arange(width, device=images.device)[None, None, :] - x
    hidden = (rows >= -height // 4) & (rows < height // 4) & (columns >= -width // 4) & (columns < width // 4)
    return images * (~hidden)[:, None].to(images.dtype)


def brightness(images: Tensor, rng: ReplicateGenerators) -> Tensor:
    """Add a number between -0.5 and 0.5 to an image."""
    return images + rng.rand(len(images), 1, 1, 1, dtype=images.dtype) - 0.5


def flip(images: Tensor, rng: ReplicateGenerators) -> Tensor:
    """Mirror every second image, left to right. Never by default: a mirrored digit is none."""
    chosen = rng.rand(len(images), 1, 1, 1) < 0.5
    return torch.where(chosen, images.flip(3), images)


OPERATIONS: dict[Operation, Callable[[Tensor, ReplicateGenerators], Tensor]] = {
    "affine": affine,
    "translation": translation,
    "cutout": cutout,
    "brightness": brightness,
    "flip": flip,
}


def augment(images: Tensor, policy: Sequence[Operation], rng: ReplicateGenerators) -> Tensor:
    """Apply the operations of `policy` in their order to images [replicates, n, c, h, w]; differentiable."""
    changed = images.flatten(0, 1)
    for name in policy:
        changed = OPERATIONS[name](changed, rng)
    return changed.view(images.shape)
