"""Duplicates: every candidate found, pixels decide, groups do not chain."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.datasets import load_digits

from pipeline.core import Images
from pipeline.duplicates import (
    HASH_DISTANCE,
    candidates,
    distance,
    joined,
    near_pairs,
    numbered,
    perceptual_hash,
    pixel_hash,
    stars,
)

RNG = np.random.default_rng(0)


def smooth(n: int, side: int = 32, channels: int = 3) -> Images:
    """Pictures with large structures, no two alike."""
    small = RNG.integers(0, 256, (n, 6, 6, channels), dtype=np.uint8)
    whole = [Image.fromarray(each.squeeze()).resize((side, side), Image.Resampling.BICUBIC) for each in small]
    return np.stack([np.asarray(each).reshape(side, side, channels) for each in whole])


def apart(hashes: Any) -> Any:
    return np.bitwise_count(hashes[:, None] ^ hashes[None, :])


@pytest.mark.parametrize("spread", [4, 12, 64])
def test_candidates_are_all_pairs_within_the_distance_each_once(spread: int) -> None:
    middles = RNG.integers(0, 2**63, 12, dtype=np.uint64)
    bits = np.array([np.bitwise_or.reduce(np.uint64(1) << RNG.integers(0, 64, RNG.integers(1, spread), dtype=np.uint64))
                     for _ in range(600)])  # fmt: skip
    hashes = middles[RNG.integers(0, 12, 600)] ^ bits
    found = np.concatenate(list(candidates(hashes)))
    expected = np.argwhere(np.triu(apart(hashes) <= HASH_DISTANCE, 1))
    assert len(expected)
    assert sorted(map(tuple, found)) == sorted(map(tuple, expected))


def test_the_hash_hears_structure_and_not_brightness_size_or_colour() -> None:
    images = smooth(50)
    darker = (images * 0.7 + 20).astype(np.uint8)
    larger = np.stack([np.asarray(Image.fromarray(each).resize((64, 64), Image.Resampling.BICUBIC)) for each in images])
    own = perceptual_hash(images)
    assert np.bitwise_count(own ^ perceptual_hash(darker)).max() <= HASH_DISTANCE
    assert np.bitwise_count(own ^ perceptual_hash(larger)).max() <= HASH_DISTANCE
    others = apart(own)[np.triu_indices(50, 1)]
    assert 24 < others.mean() < 40


def test_the_hash_compares_each_cell_with_its_left_neighbour() -> None:
    rising = np.tile(np.arange(0, 252, 7, dtype=np.uint8), (36, 1))[None, :, :, None]
    assert perceptual_hash(rising).tolist() == [2**64 - 1]
    assert perceptual_hash(rising[:, :, ::-1]).tolist() == [0]


def test_only_equal_pixels_share_a_hash() -> None:
    image = smooth(1)[0]
    other = image.copy()
    other[3, 4, 1] ^= 1
    assert pixel_hash(image) == pixel_hash(image.copy()) != pixel_hash(other)


def test_distance_ignores_brightness_and_contrast_and_tells_other_pictures_apart() -> None:
    images = smooth(40)
    paler = (images * 0.6 + 40).round().astype(np.uint8)
    assert distance(images, images).max() == 0
    assert distance(images, paler).max() < 0.4
    assert distance(images[:20], images[20:]).min() > 0.8
    black, white = np.zeros((1, 32, 32, 1), np.uint8), np.full((1, 32, 32, 1), 255, np.uint8)
    assert distance(black, white)[0] > 1.5
    assert distance(black, black + np.uint8(1))[0] < 0.2  # noise of a flat picture is none of its structure


def test_distance_is_the_root_mean_square_of_standardised_differences() -> None:
    a, b = smooth(1).astype(float), smooth(1).astype(float)
    standard = [(each - each.mean()) / each.std() for each in (a, b)]
    expected = np.sqrt(((standard[0] - standard[1]) ** 2).mean() + ((a.mean() - b.mean()) / 128) ** 2)
    assert distance(a.astype(np.uint8), b.astype(np.uint8))[0] == pytest.approx(expected)


def test_near_pairs_are_those_that_were_planted() -> None:
    images = smooth(300)
    images[200:210] = np.clip(images[:10].astype(int) + RNG.normal(0, 4, images[:10].shape), 0, 255).astype(np.uint8)
    pairs = near_pairs(lambda rows: images[rows], perceptual_hash(images), 0.4)
    assert pairs.tolist() == [[index, 200 + index] for index in range(10)]


def test_a_star_holds_neighbours_of_its_middle_and_no_neighbours_of_theirs() -> None:
    chain = np.array([[index, index + 1] for index in range(9)])
    groups = stars(10, chain)
    neighbours = {(a, b) for a, b in chain.tolist()} | {(b, a) for a, b in chain.tolist()}
    assert all(middle == index or (index, middle) in neighbours for index, middle in enumerate(groups.tolist()))
    assert np.bincount(groups).max() == 3
    assert stars(4, np.array([[0, 3], [1, 3], [2, 3]])).tolist() == [3, 3, 3, 3]
    assert stars(3, np.zeros((0, 2), np.int64)).tolist() == [0, 1, 2]


def test_digits_which_chain_into_one_heap_stay_apart_in_stars() -> None:
    digits = (load_digits().images * 15).astype(np.uint8)[..., None]
    hashes = perceptual_hash(digits)
    pairs = np.argwhere(np.triu(apart(hashes) <= 8, 1))
    links = coo_array((np.ones(len(pairs)), pairs.T), shape=(len(digits), len(digits)))
    _, chained = connected_components(links, directed=False)
    heap, largest = np.bincount(chained).max(), np.bincount(stars(len(digits), pairs)).max()
    assert heap > 900
    assert largest < heap / 5


def test_groupings_are_joined_where_either_holds_together() -> None:
    groups = numbered(joined(np.array([0, 0, 1, 2, 3]), np.array([5, 6, 6, 7, 8])))
    assert groups.tolist() == [0, 0, 0, 1, 2]


def test_groups_are_numbered_as_they_come() -> None:
    assert numbered(np.array([7, 2, 7, 0])).tolist() == [0, 1, 0, 2]
