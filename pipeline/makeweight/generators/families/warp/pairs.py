"""Pairs of similar training images of one class."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from makeweight.core.data import Images, Split
from makeweight.core.seeds import stream

LARGEST_SIDE = 32  # pixels: larger images are reduced to it, since deformations are smooth
SEARCHED = 10_000  # images of a class, at random, among which pairs are sought
REDUCED_AT_ONCE = 1000  # images


def draw_pairs(train: Split, n: int, neighbours: int, seed: int) -> tuple[Tensor, Tensor]:
    """Draw `n` pairs of an image and one of its nearest images of the same class.

    Each class gets pairs in proportion to the square root of its count: a large class shows more variation, and a small
    one should count as well. None of them belongs to a class of one image; without another class there are no pairs.

    Args:
        train: the images.
        n: number of pairs.
        neighbours: number of nearest images, by squared distance, from which the second image is drawn.
        seed: of the draws.

    Returns:
        First and second images, each float [n, c, side, side] in [0, 1], of at most `LARGEST_SIDE` pixels a side.
    """
    rng = stream(seed, "pairs")
    shares = np.where(train.counts > 1, np.sqrt(train.counts), 0.0)
    of_classes = np.diff(np.rint(n * shares.cumsum() / max(shares.sum(), 1.0)).astype(np.int64), prepend=0)
    found = []
    for label, of_class in enumerate(of_classes.tolist()):
        searched = rng.permutation(np.flatnonzero(train.labels == label))[:SEARCHED]
        found.append(_pairs_of_class(reduced(train.images[searched]), of_class, neighbours, rng))
    first, second = (torch.cat(images) for images in zip(*found, strict=True))
    return first, second


def _pairs_of_class(images: Tensor, n: int, neighbours: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    if n == 0:
        return images[:0], images[:0]
    first = torch.arange(n) % len(images)  # in random order already
    pixels = images.flatten(1)
    distances = torch.cdist(pixels[first], pixels)
    distances[torch.arange(n), first] = torch.inf  # not itself, but an equal image is a neighbour
    nearest = distances.topk(min(neighbours, len(images) - 1), largest=False).indices
    second = nearest[torch.arange(n), torch.from_numpy(rng.integers(nearest.shape[1], size=n))]
    return images[first], images[second]


def registered_side(size: int) -> int:
    """The side in pixels at which images of `size` pixels a side are registered."""
    return min(size, LARGEST_SIDE)


def reduced(images: Images) -> Tensor:
    """Uint8 [n, h, w, c] to float [n, c, side, side] in [0, 1], averaged to at most `LARGEST_SIDE` pixels a side."""
    side = registered_side(images.shape[1])
    small = torch.empty(len(images), images.shape[3], side, side)
    for start in range(0, len(images), REDUCED_AT_ONCE):
        batch = torch.from_numpy(np.ascontiguousarray(images[start : start + REDUCED_AT_ONCE]))
        small[start : start + REDUCED_AT_ONCE] = adaptive_avg_pool2d(batch.permute(0, 3, 1, 2).float() / 255, side)
    return small
