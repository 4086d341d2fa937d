"""Scaling, distances and sizes of images."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.distance import pdist

from makeweight.core.data import Images, Labels, Split

SMALLEST_MAP = 4  # pixels: the side of the smallest feature maps


def nearest(images: Images, others: Images) -> tuple[Labels, NDArray[np.float64]]:
    """For each of `images` [n, …], the index of and the Euclidean distance to the nearest of `others` [m, …]."""
    a, b = (torch.from_numpy(part.reshape(len(part), -1)).float() for part in (images, others))
    distances, indices = torch.cdist(a, b).min(1)
    return indices.numpy(), distances.double().numpy()


def of_class(split: Split, label: int) -> Images:
    """The images of one class."""
    images: Images = split.images[split.labels == label]
    return images


def halvings(size: int) -> int:
    """How often a side of `size` pixels can be halved without falling below `SMALLEST_MAP`, at least once."""
    return max(1, (size // SMALLEST_MAP).bit_length() - 1)


def from_uint8(pixels: torch.Tensor) -> torch.Tensor:
    """Scale values of any shape from [0, 255] to float32 in [-1, 1]."""
    return pixels.float() / 127.5 - 1


def as_images(images: torch.Tensor) -> Images:
    """Float [n, c, h, w] in [-1, 1] to uint8 [n, h, w, c]; values outside the range are clipped."""
    pixels = images.clamp(-1, 1).add_(1).mul_(127.5).round_().to(torch.uint8)
    return pixels.permute(0, 2, 3, 1).contiguous().numpy()


def median_distance(images: NDArray[Any]) -> float:
    """Median Euclidean distance between two of the images [n, …]; 0 for fewer than two."""
    return float(np.median(pdist(images.reshape(len(images), -1).astype(np.float32)))) if len(images) > 1 else 0.0
