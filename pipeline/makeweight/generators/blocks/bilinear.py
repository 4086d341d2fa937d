"""Bilinear sampling of images at given coordinates, with deterministic gradients on every device."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import pad

Border = Literal["zeros", "border", "reflection"]


def warp(images: Tensor, grid: Tensor, border: Border) -> Tensor:
    """Sample `images` at the coordinates `grid`, with bilinear interpolation.

    It equals `torch.nn.functional.grid_sample(images, grid, padding_mode=border, align_corners=False)`, whose gradient
    has no deterministic implementation on CUDA. Here the pixels are looked up by `gather`, whose gradient has one under
    `torch.use_deterministic_algorithms(True)`. Both gradients can be differentiated again.

    Args:
        images: float [n, c, height, width].
        grid: float [n, rows, columns, 2]: x and y of each sampled point, where -1 and 1 are the outer edges of the
            image's first and last pixels.
        border: what lies outside of the image: `zeros`; `border`, the nearest pixel of the edge; or `reflection`, the
            image mirrored at its edges.

    Returns:
        Float [n, c, rows, columns], NaN where a coordinate is. Computed in float32, also under autocast and of
        bfloat16, or in float64 if `images` or `grid` is.
    """
    dtype = torch.promote_types(torch.promote_types(images.dtype, grid.dtype), torch.float32)
    images, (x, y) = images.to(dtype), grid.to(dtype).unbind(-1)
    height, width = images.shape[2:]
    x, y = _in_pixels(x, width, border), _in_pixels(y, height, border)
    if border == "zeros":  # the edge of the padded image is the nearest pixel to all points outside
        images = pad(images, (1, 1, 1, 1))
    n, channels, height, width = images.shape
    left, x = _split(x, width)
    top, y = _split(y, height)

    right, down = min(1, width - 1), min(1, height - 1) * width  # offsets of the neighbours; 0 in a single line
    corner = (top * width + left).flatten(1)
    corners = torch.cat([corner, corner + right, corner + down, corner + (down + right)], 1)
    pixels = images.flatten(2).gather(2, corners[:, None].expand(-1, channels, -1))
    before, behind = pixels.view(n, channels, 2, 2, -1).unbind(3)
    above, below = torch.lerp(before, behind, x[:, None]).unbind(2)
    return torch.lerp(above, below, y).view(n, channels, *grid.shape[1:3])


def _in_pixels(coordinates: Tensor, size: int, border: Border) -> Tensor:
    """Normalised coordinates to those of pixels: 0 is the centre of the first, which for `zeros` is one of padding."""
    points = coordinates * (size / 2) + (size / 2 - (0.5 if border != "zeros" else -0.5))
    if border == "reflection":  # the mirrored images repeat with a period of two sides
        points = size - 0.5 - (size - torch.remainder(points + 0.5, 2 * size)).abs()
    return points


def _split(points: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Points, limited to the image: the pixel before each, int64, and the distance from it, [n, 1, points]."""
    points = points.clamp(0, size - 1)
    before = points.detach().long().clamp_(0, max(0, size - 2))  # NaN becomes any pixel, at the distance NaN
    return before, (points - before).flatten(1)[:, None]
