"""The nouns, the streams and the names."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline import registry, seeds
from pipeline.core import BadInput, Split

IMAGES = np.zeros((3, 8, 8, 1), np.uint8)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (IMAGES.astype(float), np.zeros(3, np.int64), "images are float64"),
        (IMAGES[0], np.zeros(8, np.int64), r"not uint8 \[n, h, w, c\]"),
        (IMAGES, np.zeros(2, np.int64), "labels are int64"),
        (IMAGES, np.zeros(3, np.int32), "labels are int32"),
        (IMAGES, np.array([0, 1, 2]), "labels reach beyond the 2 classes"),
        (IMAGES, np.array([0, -1, 1]), "labels reach beyond the 2 classes"),
    ],
)
def test_a_split_that_cannot_be_is_refused(images: object, labels: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Split(images, labels, ("a", "b"))  # type: ignore[arg-type]


def test_counts_include_classes_without_images() -> None:
    assert Split(IMAGES, np.array([2, 0, 2]), ("a", "b", "c", "d")).counts.tolist() == [1, 0, 2, 0]


def test_streams_differ_by_seed_by_name_and_by_replicate() -> None:
    names: list[tuple[int, *tuple[str | int, ...]]] = [
        (0, "a", 1),
        (0, "a", 2),
        (0, "b", 1),
        (1, "a", 1),
        (1, "a", 0),
        (0, "a/1"),
        (0, "a", 1, 1),
    ]
    derived = [seeds.derive(*name) for name in names]
    assert len(set(derived)) == len(names) - 1  # "a", 1 and "a/1" are one name
    assert all(0 <= seed < 2**63 for seed in derived)


def test_a_stream_starts_anew_each_time() -> None:
    first, second = (seeds.stream(0, "a").random(3).tolist() for _ in range(2))
    assert first == second


def test_unknown_plugins_are_told_with_those_that_there_are() -> None:
    with pytest.raises(BadInput, match="'vae' is not among the registered families: autoencoder, cgan"):
        registry.find("families", "vae")
    with pytest.raises(BadInput, match=r"'\.\./cgan' cannot be a name"):
        registry.find("families", "../cgan")
