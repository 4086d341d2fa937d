"""Pixel hashes and low-dimensional sketches of images, for the search for duplicates."""

from __future__ import annotations

import hashlib
from functools import cache

import numpy as np
from numpy.typing import NDArray

from makeweight.core.data import Images, Labels

Sketches = NDArray[np.float32]  # [n, SUMS + 1]
SMALLEST_SIDE = 32  # pixels; smaller images of different objects look too similar
SUMS = 64  # per sketch
FLAT = 8.0  # grey levels; the minimal standard deviation to divide by, since in flat images noise would dominate
BRIGHTNESS = (
    128.0  # grey levels; the unit of differences in brightness, without which flat black and flat white would be equal
)


def pixel_hash(image: Images) -> bytes:
    """16 bytes (BLAKE2b) that only equal pixels share; shape [h, w, c]."""
    return hashlib.blake2b(image.tobytes(), digest_size=16).digest()


def sketches(images: Images) -> Sketches:
    """Sketches whose squared Euclidean distance is an unbiased estimate of the squared `distance` of the images.

    Count sketches (Charikar et al. 2002; Weinberger et al. 2009, Lemma 2) of standardised images: sums of pixels with
    random signs, each pixel in one random sum. Unlike hashes of gradients, they work for plain backgrounds, where noise
    decides which pixel is brighter. The last number is the brightness.

    Args:
        images: uint8 [n, side, side, c].

    Returns:
        float32 [n, 65].
    """
    mean, variance = moments(images)
    order, signs, starts = _scattered(images[0].size)
    scale = scale_of(variance) * np.sqrt(images[0].size)
    standard = (images - mean[:, None, None, :].astype(np.float32)) / scale[:, None, None, None].astype(np.float32)
    sums = np.add.reduceat(standard.reshape(len(images), -1)[:, order] * signs, starts, axis=1)
    return np.column_stack([sums, mean.mean(axis=1) / BRIGHTNESS]).astype(np.float32)


@cache
def _scattered(values: int) -> tuple[Labels, NDArray[np.float32], Labels]:
    """A random order of `values` pixels, a random sign for each, and the start of each sum in that order."""
    rng = np.random.default_rng(0)
    order = rng.permutation(values)
    return order, rng.choice(np.array([-1, 1], np.float32), values), np.arange(SUMS) * values // SUMS


def moments(images: Images) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The mean of each channel, [n, c], and the variance around these means over pixels and channels, [n]."""
    values = images.reshape(len(images), -1, images.shape[-1]).astype(np.int64)
    mean = values.sum(axis=1) / values.shape[1]
    squares = np.einsum("npc,npc->n", values, values) / values[0].size
    return mean, np.maximum(squares - (mean**2).mean(axis=1), 0)


def scale_of(variance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Standard deviations, but at least `FLAT`."""
    return np.maximum(np.sqrt(variance), FLAT)
