"""Finding images that are the same, or nearly: pure functions over arrays.

Two steps, as `docs/decisions/0010-intake.md` tells: short sketches of all images estimate how far any two are apart,
and where that is not much, the pixels themselves decide. Groups do not chain: every member is near the middle one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from makeweight.core.data import Images, Labels
from makeweight.core.errors import BadInput
from makeweight.intake.decoding.sketches import BRIGHTNESS, Sketches, moments, scale_of

Pairs = NDArray[np.int64]  # [m, 2], the first index below the second
SEARCH_SIDE = 64  # pixels; images that the networks see smaller are compared at this side, or at their own below it
# Estimates of a squared distance scatter like chi-squared over its 64 degrees of freedom: one is above 1.5² times the
# truth once in twenty million.
SAFETY_FACTOR = 1.5
TILE = 2048  # sketches that are compared with as many others at a time
COMPARED = 256  # pairs whose pixels are held at a time
MAX_PAIRS = 1 << 25  # 0.5 GiB of them


def candidates(short: Sketches, threshold: float) -> Iterator[Pairs]:
    """Pairs that may be at most `threshold` apart by their sketches; each pair comes once.

    Sorted along the direction in which they differ most, only neighbours need be compared.
    """
    if len(short) < 2:
        return
    centred = short - short.mean(axis=0)
    along = centred @ np.linalg.eigh(centred.T @ centred)[1][:, -1]
    order = np.argsort(along, kind="stable")
    ranked, along = centred[order], along[order]
    reach = SAFETY_FACTOR * threshold
    last = np.searchsorted(along, along + reach, "right")
    lengths = np.einsum("ij,ij->i", ranked, ranked)
    for top in range(0, len(ranked), TILE):
        rows = slice(top, top + TILE)
        for left in range(top, int(last[rows][-1]), TILE):
            columns = slice(left, left + TILE)
            squares = lengths[rows, None] + lengths[None, columns] - 2 * ranked[rows] @ ranked[columns].T
            above, beside = np.nonzero(squares <= reach**2)
            pairs = np.stack([above + top, beside + left], axis=1)
            yield np.sort(order[pairs[pairs[:, 0] < pairs[:, 1]]], axis=1)


def distance(first: Images, second: Images) -> NDArray[np.float64]:
    """How far images are apart, pixel by pixel, whatever their brightness and contrast.

    The root of the mean squared difference after each channel is brought to mean 0 and all of them together to standard
    deviation 1: a plain blue sky is flat. What their channels' means differ counts in units of `BRIGHTNESS`. 0: the
    same; 0.1: the same, compressed anew; about 1.4: nothing to do with each other.

    Args:
        first: uint8 [m, side, side, c].
        second: likewise.

    Returns:
        float64 [m]. Sums are of integers, so that no machine rounds otherwise.
    """
    (mean_a, variance_a), (mean_b, variance_b) = moments(first), moments(second)
    a, b = (images.reshape(len(images), -1).astype(np.int64) for images in (first, second))
    covariance = np.einsum("ij,ij->i", a, b) / a.shape[1] - (mean_a * mean_b).mean(axis=1)
    scale_a, scale_b = scale_of(variance_a), scale_of(variance_b)
    squares = variance_a / scale_a**2 + variance_b / scale_b**2 - 2 * covariance / (scale_a * scale_b)
    brightness = (((mean_a - mean_b) / BRIGHTNESS) ** 2).mean(axis=1)
    result: NDArray[np.float64] = np.sqrt(np.maximum(squares, 0) + brightness)
    return result


def near_pairs(fetch: Callable[[Labels], Images], short: Sketches, threshold: float) -> Pairs:
    """Pairs of images at most `threshold` apart, sorted.

    Args:
        fetch: gives the images at some indices, uint8 [m, side, side, c].
        short: their sketches.
        threshold: in the units of `distance`.

    Raises:
        BadInput: there are too many: the threshold takes most images for the same.
    """
    found = [np.zeros((0, 2), np.int64)]
    total = 0
    for pairs in candidates(short, threshold):
        for start in range(0, len(pairs), COMPARED):
            block = pairs[start : start + COMPARED]
            found.append(block[distance(fetch(block[:, 0]), fetch(block[:, 1])) <= threshold])
            total += len(found[-1])
            if total > MAX_PAIRS:
                raise BadInput(
                    f"data.near_duplicates: {threshold} takes most images for the same; lower it, or set it to null"
                )
    near = np.concatenate(found)
    return near[np.lexsort((near[:, 1], near[:, 0]))]


def star_clusters(n: int, pairs: Pairs) -> Labels:
    """Groups in which every member is a near-duplicate of the middle one: int64 [n], the middle's index for each image.

    The image with the most neighbours (the first of equals) takes them all, then the next among the rest. Were
    neighbours of neighbours taken as well, a chain of small differences would end in one group of nearly everything.
    """
    both = np.concatenate([pairs, pairs[:, ::-1]])
    both = both[np.argsort(both[:, 0], kind="stable")]
    starts = np.searchsorted(both[:, 0], np.arange(n + 1))
    representatives = np.arange(n)
    unclustered = np.ones(n, dtype=bool)
    for representative in np.argsort(-np.diff(starts), kind="stable"):
        if starts[representative] == starts[representative + 1]:
            break  # from here on, images without neighbours
        if unclustered[representative]:
            near = both[starts[representative] : starts[representative + 1], 1]
            near = near[unclustered[near]]
            representatives[near] = representative
            unclustered[near] = unclustered[representative] = False
    return representatives.astype(np.int64)


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
