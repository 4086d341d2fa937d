"""Duplicates: no candidate is missed, pixels decide, and groups are star clusters."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.datasets import load_digits

from makeweight.core.data import Images
from makeweight.intake.decoding import sketches as sketches_module
from makeweight.intake.decoding.sketches import sketches
from makeweight.intake.grouping import duplicates
from makeweight.intake.grouping.duplicates import candidates, distance, joined, near_pairs, numbered, star_clusters
from tests.support.images import RNG, smooth


def on_plain_background(n: int, background: float, noise: float, side: int = 64) -> Images:
    """Small objects before a plain, slightly noisy background: products, cells, radiographs."""
    images = np.full((n, side, side, 3), background)
    quarter, half = side // 4, side // 2
    images[:, quarter : quarter + half, quarter : quarter + half] = smooth(n, half)
    return np.clip(images + RNG.normal(0, noise, images.shape), 0, 255).astype(np.uint8)


def compressed(images: Images, quality: int) -> Images:
    """The images after JPEG compression."""
    files = [BytesIO() for _ in images]
    for image, file in zip(images, files, strict=True):
        Image.fromarray(image).save(file, "JPEG", quality=quality)
    return np.stack([np.asarray(Image.open(file)) for file in files])


def every_pair(images: Images) -> tuple[Any, Any]:
    """All pairs and their distances, one by one."""
    pairs = np.argwhere(np.triu(np.ones((len(images),) * 2, bool), 1))
    return pairs, np.concatenate(
        [distance(images[part[:, 0]], images[part[:, 1]]) for part in np.array_split(pairs, 20)]
    )


@pytest.mark.parametrize("background", [0, 6, 128, 250, 255])
@pytest.mark.parametrize("noise", [0.0, 1.0, 2.5])
def test_no_near_pair_is_missed_before_any_background(background: int, noise: float) -> None:
    originals = on_plain_background(40, background, noise)
    images = np.concatenate([originals, compressed(originals, 60)])
    pairs, distances = every_pair(images)
    found = near_pairs(lambda rows: images[rows], sketches(images), 0.3)
    assert found.tolist() == pairs[distances <= 0.3].tolist()
    assert found.tolist() == [[index, index + 40] for index in range(40)]


@pytest.mark.parametrize("threshold", [0.1, 0.5, 1.0])
def test_candidates_are_all_near_pairs_and_come_once(threshold: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicates, "TILE", 7)
    images = np.concatenate([smooth(30), smooth(3)[RNG.integers(0, 3, 20)] // 2, compressed(smooth(10), 30)])
    found = [tuple(pair) for pairs in candidates(sketches(images), threshold) for pair in pairs.tolist()]
    pairs, distances = every_pair(images)
    assert len(found) == len(set(found)) > 0
    assert set(map(tuple, pairs[distances <= threshold].tolist())) <= set(found)


@pytest.mark.parametrize(("side", "channels"), [(32, 1), (45, 3), (64, 3)])
def test_sketches_estimate_distances(side: int, channels: int) -> None:
    noise = RNG.integers(0, 256, (25, side, side, channels), np.uint8)
    images = np.concatenate([smooth(25, side, channels), noise])
    short = sketches(images)
    pairs, distances = every_pair(images)
    estimated = np.linalg.norm(short[pairs[:, 0]] - short[pairs[:, 1]], axis=1) ** 2 / distances**2
    assert estimated.mean() == pytest.approx(1, abs=0.1)
    assert estimated.std() == pytest.approx((2 / sketches_module.SUMS) ** 0.5, rel=0.3)  # that of a mean of chi-squared


def test_fine_textures_are_distinguished_without_comparing_their_pixels() -> None:
    noise = RNG.integers(0, 256, (200, 48, 48, 3), np.uint8)
    assert sum(map(len, candidates(sketches(noise), 0.3))) == 0


def test_too_few_images_have_no_pairs() -> None:
    assert near_pairs(lambda rows: smooth(1)[rows], sketches(smooth(1)), 0.3).shape == (0, 2)


def test_distance_ignores_brightness_and_contrast_and_distinguishes_other_images() -> None:
    images = smooth(40)
    paler = (images * 0.6 + 40).round().astype(np.uint8)
    assert distance(images, images).max() == 0
    assert distance(images, paler).max() < 0.4
    assert distance(images[:20], images[20:]).min() > 0.8
    black, white = np.zeros((1, 32, 32, 1), np.uint8), np.full((1, 32, 32, 1), 255, np.uint8)
    assert distance(black, white)[0] > 1.5
    assert distance(black, black + np.uint8(1))[0] < 0.2  # the noise of a flat image is not structure


def test_distance_is_the_root_mean_square_of_standardised_differences() -> None:
    a, b = smooth(1).astype(float), smooth(1).astype(float)
    means = [image.mean((0, 1, 2)) for image in (a, b)]
    standard = [(image - mean) / (image - mean).std() for image, mean in zip((a, b), means, strict=True)]
    expected = np.sqrt(((standard[0] - standard[1]) ** 2).mean() + (((means[0] - means[1]) / 128) ** 2).mean())
    assert distance(a.astype(np.uint8), b.astype(np.uint8))[0] == pytest.approx(expected)


def test_near_pairs_are_those_that_were_planted() -> None:
    images = smooth(300)
    images[200:210] = np.clip(images[:10].astype(int) + RNG.normal(0, 4, images[:10].shape), 0, 255).astype(np.uint8)
    pairs = near_pairs(lambda rows: images[rows], sketches(images), 0.3)
    assert pairs.tolist() == [[index, 200 + index] for index in range(10)]


def test_a_star_cluster_holds_neighbours_of_its_representative_and_no_neighbours_of_theirs() -> None:
    chain = np.array([[index, index + 1] for index in range(9)])
    groups = star_clusters(10, chain)
    neighbours = {(a, b) for a, b in chain.tolist()} | {(b, a) for a, b in chain.tolist()}
    assert all(center == index or (index, center) in neighbours for index, center in enumerate(groups.tolist()))
    assert np.bincount(groups).max() == 3
    assert star_clusters(4, np.array([[0, 3], [1, 3], [2, 3]])).tolist() == [3, 3, 3, 3]
    assert star_clusters(3, np.zeros((0, 2), np.int64)).tolist() == [0, 1, 2]


def test_digits_which_chain_into_one_component_stay_apart_in_star_clusters() -> None:
    digits = (load_digits().images * 15).astype(np.uint8)[..., None]
    pairs, distances = every_pair(digits)
    pairs = pairs[distances <= 0.5]
    links = coo_array((np.ones(len(pairs)), pairs.T), shape=(len(digits), len(digits)))
    _, chained = connected_components(links, directed=False)
    component, largest = np.bincount(chained).max(), np.bincount(star_clusters(len(digits), pairs)).max()
    assert component > 900
    assert largest < component / 5


def test_groupings_are_joined_where_either_has_a_group() -> None:
    groups = numbered(joined(np.array([0, 0, 1, 2, 3]), np.array([5, 6, 6, 7, 8])))
    assert groups.tolist() == [0, 0, 0, 1, 2]


def test_groups_are_numbered_as_they_come() -> None:
    assert numbered(np.array([7, 2, 7, 0])).tolist() == [0, 1, 0, 2]
