"""Finding images that are the same, or nearly: pure functions over arrays.

Two steps, as `docs/decisions/0010-intake.md` tells: a perceptual hash of 64 bits finds candidates without comparing
every pair, and the pixels themselves decide, all of them. Groups do not chain: every member is near the middle one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from functools import cache

import numpy as np
from numpy.typing import NDArray

from pipeline.core import BadInput, Images, Labels

Hashes = NDArray[np.uint64]
Pairs = NDArray[np.int64]  # [m, 2], the first index below the second

SMALLEST_SIDE = 32  # pixels; smaller images of different things look alike to any hash
BITS, BANDS = 64, 4
# Two hashes at most 7 bits apart differ by at most one bit in one of four bands of 16: what makes looking up quick.
HASH_DISTANCE = 7
FLAT = 8.0  # grey levels; images with less contrast are measured as if they had so much, or noise would decide
BRIGHTNESS = 128.0  # grey levels; without it, black and white walls would be one
AT_ONCE = 1 << 20  # candidates looked at together
COMPARED = 256  # pairs whose pixels are held at a time
MOST_PAIRS = 1 << 25  # 0.5 GiB of them


def pixel_hash(image: Images) -> bytes:
    """16 bytes (BLAKE2b) that only equal pixels share; shape [h, w, c]."""
    return hashlib.blake2b(image.tobytes(), digest_size=16).digest()


def perceptual_hash(images: Images) -> Hashes:
    """The difference hash (dHash) of each image: is a cell brighter than its left neighbour, in 8 rows of 9 cells?

    Args:
        images: uint8 [n, side, side, c].

    Returns:
        uint64 [n], the same on every machine: all sums are of integers that float32 holds exactly.
    """
    grey = np.einsum("nhwc->nhw", images, dtype=np.float32)
    cells = _areas(8, images.shape[1]) @ grey @ _areas(9, images.shape[2]).T
    bits = np.packbits((cells[:, :, 1:] > cells[:, :, :-1]).reshape(len(images), BITS), axis=1)
    return np.ascontiguousarray(bits).view(">u8").astype(np.uint64).reshape(len(images))


@cache
def _areas(cells: int, side: int) -> NDArray[np.float32]:
    """How much of each pixel lies in each cell, in parts of 1/`cells`: whole numbers, shape [cells, side]."""
    starts = np.arange(cells)[:, None] * side
    pixels = np.arange(side)[None, :] * cells
    overlap: NDArray[np.int64] = np.minimum(starts + side, pixels + cells) - np.maximum(starts, pixels)
    return np.maximum(overlap, 0).astype(np.float32)


def candidates(hashes: Hashes) -> Iterator[Pairs]:
    """Pairs whose hashes are at most `HASH_DISTANCE` apart, in blocks; each pair comes once.

    Multi-index hashing (Norouzi et al. 2012): such a pair agrees in a band but for one bit, so that it is enough to
    look where each band, as it is or with one bit turned, stands in a sorted list of all bands.
    """
    width = BITS // BANDS
    low = np.uint64((1 << width) - 1)
    bands = [(hashes >> np.uint64(width * band)) & low for band in range(BANDS)]
    for number, keys in enumerate(bands):
        order = np.argsort(keys, kind="stable")
        ranked = keys[order]
        for turned in (0, *(1 << bit for bit in range(width))):
            wanted = keys ^ np.uint64(turned)
            first, last = (np.searchsorted(ranked, wanted, side) for side in ("left", "right"))
            for pairs in _expanded(first, last, order):
                apart = np.bitwise_count(hashes[pairs[:, 0]] ^ hashes[pairs[:, 1]])
                near = pairs[apart <= HASH_DISTANCE]
                yield near[~_seen_in_earlier_band(near, bands[:number])]


def _expanded(first: NDArray[np.intp], last: NDArray[np.intp], order: NDArray[np.intp]) -> Iterator[Pairs]:
    """Every i with every `order[first[i]:last[i]]` above it, in blocks of about `AT_ONCE`."""
    ends = np.cumsum(last - first)
    start = 0
    while start < len(ends):
        done = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, done + AT_ONCE, "right")))
        left = np.repeat(np.arange(start, stop), (last - first)[start:stop])
        within = np.arange(len(left)) - np.repeat(
            ends[start:stop] - (last - first)[start:stop] - done, (last - first)[start:stop]
        )
        right = order[first[left] + within]
        yield np.stack([left, right], axis=1)[left < right]
        start = stop


def _seen_in_earlier_band(pairs: Pairs, bands: list[Hashes]) -> NDArray[np.bool_]:
    seen = np.zeros(len(pairs), dtype=bool)
    for keys in bands:
        seen |= np.bitwise_count(keys[pairs[:, 0]] ^ keys[pairs[:, 1]]) <= 1
    return seen


def distance(first: Images, second: Images) -> NDArray[np.float64]:
    """How far images are apart, pixel by pixel, whatever their brightness and contrast.

    The root of the mean squared difference after each image is brought to mean 0 and standard deviation 1, over pixels
    and channels; what their brightness differs counts in units of `BRIGHTNESS`. 0: the same; 0.1: the same, compressed
    anew; about 1.4: nothing to do with each other.

    Args:
        first: uint8 [m, side, side, c].
        second: likewise.

    Returns:
        float64 [m]. Sums are of integers, so that no machine rounds otherwise.
    """
    a, b = (images.reshape(len(images), -1).astype(np.int64) for images in (first, second))
    n = a.shape[1]
    mean_a, mean_b = a.sum(axis=1) / n, b.sum(axis=1) / n
    squares_a, squares_b, products = (np.einsum("ij,ij->i", x, y) / n for x, y in ((a, a), (b, b), (a, b)))
    variance_a, variance_b = squares_a - mean_a**2, squares_b - mean_b**2
    scale_a, scale_b = (np.maximum(np.sqrt(np.maximum(each, 0)), FLAT) for each in (variance_a, variance_b))
    covariance = products - mean_a * mean_b
    squares = variance_a / scale_a**2 + variance_b / scale_b**2 - 2 * covariance / (scale_a * scale_b)
    result: NDArray[np.float64] = np.sqrt(np.maximum(squares, 0) + ((mean_a - mean_b) / BRIGHTNESS) ** 2)
    return result


def near_pairs(fetch: Callable[[Labels], Images], hashes: Hashes, threshold: float) -> Pairs:
    """Pairs of images at most `threshold` apart, sorted.

    Args:
        fetch: gives the images at some indices, uint8 [m, side, side, c].
        hashes: of all images, by `perceptual_hash`.
        threshold: in the units of `distance`.

    Raises:
        BadInput: there are too many: the threshold takes most images for the same.
    """
    found = [np.zeros((0, 2), np.int64)]
    total = 0
    for pairs in candidates(hashes):
        for start in range(0, len(pairs), COMPARED):
            block = pairs[start : start + COMPARED]
            found.append(block[distance(fetch(block[:, 0]), fetch(block[:, 1])) <= threshold])
            total += len(found[-1])
            if total > MOST_PAIRS:
                raise BadInput(
                    f"data.near_duplicates: {threshold} takes most images for the same; lower it, or set it to null"
                )
    near = np.concatenate(found)
    return near[np.lexsort((near[:, 1], near[:, 0]))]


def stars(n: int, pairs: Pairs) -> Labels:
    """Groups in which every member is a near-duplicate of the middle one: int64 [n], the middle's index for each image.

    The image with the most neighbours (the first of equals) takes them all, then the next among the rest. Were
    neighbours of neighbours taken as well, a chain of small differences would end in one group of nearly everything.
    """
    both = np.concatenate([pairs, pairs[:, ::-1]])
    both = both[np.argsort(both[:, 0], kind="stable")]
    starts = np.searchsorted(both[:, 0], np.arange(n + 1))
    middles = np.arange(n)
    free = np.ones(n, dtype=bool)
    for middle in np.argsort(-np.diff(starts), kind="stable"):
        if starts[middle] == starts[middle + 1]:
            break  # from here on, images without neighbours
        if free[middle]:
            near = both[starts[middle] : starts[middle + 1], 1]
            near = near[free[near]]
            middles[near] = middle
            free[near] = free[middle] = False
    return middles.astype(np.int64)


def joined(first: Labels, second: Labels) -> Labels:
    """Groups that hold together what either of two groupings does: int64 [n], numbered by their first image."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    n = len(first)
    _, a = np.unique(first, return_inverse=True)
    _, b = np.unique(second, return_inverse=True)
    edges = coo_array((np.ones(n, dtype=bool), (a, b + a.max(initial=-1) + 1)), shape=(2 * n, 2 * n))
    _, component = connected_components(edges, directed=False)
    return numbered(component[a])


def numbered(groups: NDArray[np.integer]) -> Labels:
    """`groups` renamed to 0, 1, … in the order in which they first appear."""
    _, first, inverse = np.unique(groups, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[inverse]
