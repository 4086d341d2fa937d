"""Scaling, distances and sizes of images."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from makeweight.core.data import Images, Labels, Split

SEARCH_BLOCK = 2**26  # values of images that are converted to floats at a time
SMALLEST_MAP = 4  # pixels: the side of the smallest feature maps
CONTRAST_FLOOR = 0.05  # standard deviation, of values in [-1, 1], below which contrast is not raised to 1


def nearest(images: Images, others: Images) -> tuple[Labels, NDArray[np.float64]]:
    """For each of `images` [n, …], the index of and the Euclidean distance to the nearest of `others` [m, …]."""
    queries = _flat_floats(images)
    block = max(1, SEARCH_BLOCK // max(1, queries.shape[1]))
    found = [torch.cdist(queries, _flat_floats(others[i : i + block])).min(1) for i in range(0, len(others), block)]
    distances, best = torch.stack([distances for distances, _ in found]).min(0)
    within = torch.stack([indices for _, indices in found]).gather(0, best[None])[0]
    return (best * block + within).numpy(), distances.double().numpy()


def _flat_floats(images: Images) -> torch.Tensor:
    return torch.from_numpy(images.reshape(len(images), -1)).float()


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
    from scipy.spatial.distance import pdist  # slow to import, and few commands need it

    return float(np.median(pdist(images.reshape(len(images), -1).astype(np.float32)))) if len(images) > 1 else 0.0


def standardized(images: torch.Tensor) -> torch.Tensor:
    """Take brightness and contrast out of images […, c, h, w]: flattened to […, c * h * w], of mean 0 and deviation 1.

    The mean of squared differences of two of them is 2 (1 - r), with the correlation r of their pixels. A constant
    image becomes 0, and one whose deviation is near `CONTRAST_FLOOR` stays small.
    """
    pixels = images.flatten(-3)
    centred = pixels - pixels.mean(-1, keepdim=True)
    return centred / (centred.square().mean(-1, keepdim=True) + CONTRAST_FLOOR**2).sqrt()


def diversity(images: Images) -> float:
    """Median root mean square difference between two images (uint8 [n, h, w, c]) after `standardized`, 0 to 2.

    0 for fewer than two images. Differences of brightness and contrast alone, the easiest to generate, do not count.
    """
    pixels = standardized(from_uint8(torch.from_numpy(images)))
    return median_distance(pixels.numpy()) / float(np.sqrt(pixels.shape[1]))
