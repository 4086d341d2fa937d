"""Search for near-duplicates: pure functions over arrays.

The search has two steps (`docs/decisions/0010-intake.md`): low-dimensional sketches of all images estimate the distance
of any two, and where the estimate is small, the pixels themselves decide. Groups are star clusters: every member is a
near-duplicate of the representative.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from makeweight.core.data import Images, Labels
from makeweight.core.errors import BadInput
from makeweight.intake.decoding.sketches import BRIGHTNESS, Sketches, moments, scale_of

Pairs = NDArray[np.int64]  # [m, 2], the first index below the second
SEARCH_SIDE = 64  # pixels; images that are used at a smaller size are compared at this side, or at their own below it
# Estimates of a squared distance are distributed like chi-squared with 64 degrees of freedom, divided by 64: one in
# twenty million exceeds 1.5² times the true value.
SAFETY_FACTOR = 1.5
TILE = 2048  # sketches compared with as many others at a time
COMPARED = 256  # pairs whose pixels are in memory at a time
MAX_PAIRS = 1 << 25  # 0.5 GiB of them


def candidates(short: Sketches, threshold: float) -> Iterator[Pairs]:
    """Pairs whose distance may be at most `threshold`, by their sketches; each pair is yielded once.

    Sketches are sorted along their first principal component, so that only neighbours need be compared.
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
    """The distance of pairs of images, mostly independent of brightness and contrast.

    The root mean squared difference of pixels after each channel is centred to mean 0 and all channels together are
    scaled to standard deviation 1, so that a plain blue sky is flat. Differences of the channels' means are added in
    units of `BRIGHTNESS`. 0: equal; 0.1: equal, but compressed again; about 1.4: unrelated.

    Args:
        first: uint8 [m, side, side, c].
        second: likewise.

    Returns:
        float64 [m]. Sums are of integers, so that rounding is the same on every machine.
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
        fetch: returns the images at some indices, uint8 [m, side, side, c].
        short: their sketches.
        threshold: in the units of `distance`.

    Raises:
        BadInput: there are too many pairs: at this threshold, most images count as near-duplicates.
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
                    f"data.near_duplicates: {threshold} makes most images near-duplicates: lower it, or set it to null"
                )
    near = np.concatenate(found)
    return near[np.lexsort((near[:, 1], near[:, 0]))]


def star_clusters(n: int, pairs: Pairs) -> Labels:
    """Cluster images around representatives: int64 [n], for each image the index of its representative.

    The image with the most neighbours (the first of equals) becomes the representative of all of them, then the next
    among the rest. With connected components instead, chains of small differences would join nearly all images.
    """
    both = np.concatenate([pairs, pairs[:, ::-1]])
    both = both[np.argsort(both[:, 0], kind="stable")]
    starts = np.searchsorted(both[:, 0], np.arange(n + 1))
    representatives = np.arange(n)
    unclustered = np.ones(n, dtype=bool)
    for representative in np.argsort(-np.diff(starts), kind="stable"):
        if starts[representative] == starts[representative + 1]:
            break  # the remaining images have no neighbours
        if unclustered[representative]:
            near = both[starts[representative] : starts[representative + 1], 1]
            near = near[unclustered[near]]
            representatives[near] = representative
            unclustered[near] = unclustered[representative] = False
    return representatives.astype(np.int64)


def joined(first: Labels, second: Labels) -> Labels:
    """Join two groupings: images in one group of either are in one group of the result, int64 [n]."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    n = len(first)
    _, a = np.unique(first, return_inverse=True)
    _, b = np.unique(second, return_inverse=True)
    edges = coo_array((np.ones(n, dtype=bool), (a, b + a.max(initial=-1) + 1)), shape=(2 * n, 2 * n))
    _, component = connected_components(edges, directed=False)
    return numbered(component[a])


def numbered(groups: NDArray[np.integer]) -> Labels:
    """`groups` renumbered to 0, 1, … in order of first appearance."""
    _, first, inverse = np.unique(groups, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[inverse]
