"""Smooth, invertible deformations of images: integrated stationary velocity fields (Arsigny et al. 2006).

Coordinates are normalised: -1 and 1 are the edges of the image; x (right) comes before y (down).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import grid_sample, interpolate

from makeweight.generators.blocks.bilinear import warp

SQUARINGS = 4  # the velocity field is divided by 2⁴, and the small deformation composed with itself four times


def displacements(velocities: Tensor, size: int) -> Tensor:
    """Integrate velocity fields from time 0 to 1, by scaling and squaring (Arsigny et al. 2006, algorithm 2).

    Args:
        velocities: at the nodes of a coarse grid over the image, float [n, 2, grid, grid]; bicubic in between.
        size: side of the images in pixels.

    Returns:
        For each pixel, how far from it the deformed image takes its value: float [n, 2, size, size].
    """
    weights = _bicubic(velocities.shape[-1], size).to(velocities.device)
    flow: Tensor = weights @ (velocities / 2**SQUARINGS) @ weights.T
    for _ in range(SQUARINGS):
        flow = flow + deform(flow, flow)
    return flow


def deform(images: Tensor, displacement: Tensor) -> Tensor:
    """Images, float [n, c, size, size], deformed by `displacements`; beyond the border, its pixels are repeated."""
    size = images.shape[-1]
    centres = (2 * torch.arange(size, device=images.device) + 1) / size - 1
    identity = torch.stack(torch.meshgrid(centres, centres, indexing="xy"))
    grid = (identity + displacement).permute(0, 2, 3, 1)
    if images.device.type == "cpu":  # where torch's own has a deterministic gradient, too, and takes 0.4 of the time
        return grid_sample(images, grid, padding_mode="border", align_corners=False)
    return warp(images, grid, "border")


def displacements_without_folds(velocities: Tensor, size: int) -> Tensor:
    """The `displacements` of fields that are halved until every Jacobian determinant is positive: nothing folds."""
    flow = displacements(velocities, size)
    while len(folded := (smallest_determinants(flow) <= 0).nonzero().flatten()):
        velocities = velocities.index_copy(0, folded, velocities[folded] / 2)
        flow[folded] = displacements(velocities[folded], size)
    return flow


def smallest_determinants(displacement: Tensor) -> Tensor:
    """The smallest Jacobian determinant of each deformation, by differences between pixels: float [n]."""
    spacing = 2 / displacement.shape[-1]
    down = (displacement[..., 1:, :-1] - displacement[..., :-1, :-1]) / spacing
    right = (displacement[..., :-1, 1:] - displacement[..., :-1, :-1]) / spacing
    determinants = (1 + right[:, 0]) * (1 + down[:, 1]) - right[:, 1] * down[:, 0]
    return determinants.flatten(1).amin(1)


def _bicubic(grid: int, size: int) -> Tensor:
    """Weights of `grid` nodes, from the first pixel to the last, in `size` interpolated values: float [size, grid].

    Two products of matrices interpolate an image, and have a deterministic gradient on every device.
    """
    identity = torch.eye(grid)[None, None]
    return interpolate(identity, (size, grid), mode="bicubic", align_corners=True)[0, 0]
