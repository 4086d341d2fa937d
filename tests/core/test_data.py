"""Splits."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from makeweight.core.data import Split

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


def test_a_split_that_is_mapped_from_a_file_is_pickled_by_its_path(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (2000, 8, 8, 1), dtype=np.uint8)
    np.save(tmp_path / "images.npy", images)
    mapped = Split(np.load(tmp_path / "images.npy", mmap_mode="r"), np.zeros(2000, np.int64), ("a",))
    pickled = pickle.dumps(mapped)
    assert len(pickled) < mapped.labels.nbytes + 2000
    again = pickle.loads(pickled)
    assert isinstance(again.images, np.memmap)
    for split in (mapped, Split(images, mapped.labels, ("a",))):
        assert np.array_equal(pickle.loads(pickle.dumps(split)).images, images)
    part = mapped.take(np.arange(3, 7))
    view = Split(mapped.images[3:7], mapped.labels[3:7], ("a",))
    for split in (part, view):
        assert np.array_equal(pickle.loads(pickle.dumps(split)).images, images[3:7])
