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
    x, y = _in_pixels(x, images.shape[3], border), _in_pixels(y, images.shape[2], border)
    if border == "zeros":  # the edge of the padded image is the nearest pixel to all points outside
        images, x, y = pad(images, (1, 1, 1, 1)), x + 1, y + 1
    n, channels, height, width = images.shape
    (left, x), (top, y) = _split(x, width), _split(y, height)

    pixels = images.flatten(2)
    corner = (top * width + left).flatten(1)[:, None].expand(-1, channels, -1)
    right, below = min(1, width - 1), min(1, height - 1) * width  # offsets of the neighbours; 0 in a single line
    upper = torch.lerp(pixels.gather(2, corner), pixels.gather(2, corner + right), x)
    lower = torch.lerp(pixels.gather(2, corner + below), pixels.gather(2, corner + (below + right)), x)
    return torch.lerp(upper, lower, y).view(n, channels, *grid.shape[1:3])


def _in_pixels(coordinates: Tensor, size: int, border: Border) -> Tensor:
    """Normalised coordinates to those of pixels: 0 is the centre of the first, `size - 1` that of the last."""
    points = ((coordinates + 1) * size - 1) / 2
    if border == "reflection":  # the mirrored images repeat with a period of two sides
        points = size - 0.5 - (size - torch.remainder(points + 0.5, 2 * size)).abs()
    return points


def _split(points: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Points, limited to the image: the pixel before each, int64, and the distance from it, [n, 1, points]."""
    points = points.clamp(0, size - 1)
    before = points.detach().long().clamp_(0, max(0, size - 2))  # NaN becomes any pixel, at the distance NaN
    return before, (points - before).flatten(1)[:, None]
