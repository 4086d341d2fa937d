"""The Albumentations transform that replaces images by synthetic ones."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import albumentations
import numpy as np
import pytest

from makeweight import BadInput, ReplaceWithSynthetic, Split, write_split


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Ten images of each of two classes: dark cats (0 … 9), bright dogs (200 … 209)."""
    values = np.concatenate([np.arange(10), 200 + np.arange(10)]).astype(np.uint8)
    images = np.tile(values[:, None, None, None], (1, 8, 8, 3))
    write_split(tmp_path / "drawn", Split(images, np.repeat([0, 1], 10), ("cat", "dog")), {})
    return tmp_path / "drawn"


IMAGE = np.full((8, 8, 3), 100, np.uint8)


def test_images_are_replaced_by_those_of_their_class(folder: Path) -> None:
    transform = albumentations.Compose([ReplaceWithSynthetic(folder, p=1.0)], seed=0)
    for label, low, high in (("cat", 0, 9), ("dog", 200, 209), (0, 0, 9), (np.int64(1), 200, 209)):
        drawn = [transform(image=IMAGE, label=label)["image"] for _ in range(20)]
        assert all(low <= image.min() <= image.max() <= high for image in drawn)
        assert len({int(image[0, 0, 0]) for image in drawn}) > 3


def test_the_probability_holds_for_each_class(folder: Path) -> None:
    transform = albumentations.Compose([ReplaceWithSynthetic(folder, p=0.3)], seed=0)
    for label in ("cat", "dog"):
        replaced = sum(transform(image=IMAGE, label=label)["image"][0, 0, 0] != 100 for _ in range(1000))
        assert 250 < replaced < 350


def test_the_same_seed_gives_the_same_images(folder: Path) -> None:
    def drawn(seed: int) -> list[int]:
        transform = albumentations.Compose([ReplaceWithSynthetic(folder, p=0.5)], seed=seed)
        return [int(transform(image=IMAGE, label="cat")["image"][0, 0, 0]) for _ in range(20)]

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)


def test_it_is_serialized_as_other_transforms_are(folder: Path) -> None:
    transform = albumentations.Compose([ReplaceWithSynthetic(folder, label_key="kind", p=0.3)])
    copy = albumentations.from_dict(transform.to_dict())
    assert copy.transforms[0].get_transform_init_args() == transform.transforms[0].get_transform_init_args()
    assert copy.transforms[0].p == 0.3
    assert copy(image=IMAGE, kind="cat")["image"].shape == IMAGE.shape
    used = ReplaceWithSynthetic(folder, p=1.0)
    used(image=IMAGE, label="cat")
    unpickled = pickle.loads(pickle.dumps(used))
    assert unpickled(image=IMAGE, label="dog")["image"].min() >= 200
    assert len(pickle.dumps(used)) < 10_000  # without the images


def test_it_stands_in_a_pipeline_with_other_transforms(folder: Path) -> None:
    transform = albumentations.Compose([ReplaceWithSynthetic(folder, p=1.0), albumentations.HorizontalFlip(p=1.0)])
    assert transform(image=IMAGE, label="dog")["image"].min() >= 200


def test_floats_and_grey_images(tmp_path: Path) -> None:
    grey = np.full((4, 8, 8, 1), 51, np.uint8)
    write_split(tmp_path / "grey", Split(grey, np.array([0, 0, 1, 1]), ("a", "b")), {})
    transform = ReplaceWithSynthetic(tmp_path / "grey", p=1.0)
    floats = transform(image=np.ones((8, 8, 1), np.float32), label="a")["image"]
    assert floats.dtype == np.float32
    assert floats == pytest.approx(0.2)
    assert transform(image=np.zeros((8, 8), np.uint8), label="a")["image"].shape == (8, 8)


@pytest.mark.parametrize(
    ("image", "label", "message"),
    [
        (IMAGE, "cow", "holds no synthetic images of label 'cow': its classes are cat, dog"),
        (IMAGE, 7, "holds no synthetic images of label 7"),
        (IMAGE[..., 0], "cat", r"\[8, 8\], the synthetic images \[8, 8, 3\]"),
        (IMAGE.astype(np.uint16), "cat", "uint16: it must be uint8, or float32"),
        (np.zeros((9, 9, 3), np.uint8), "cat", r"\[9, 9, 3\], the synthetic images \[8, 8, 3\]"),
    ],
)
def test_wrong_labels_and_shapes(folder: Path, image: Any, label: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ReplaceWithSynthetic(folder, p=1.0)(image=image, label=label)


def test_a_missing_label_or_folder(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="label"):
        ReplaceWithSynthetic(folder, p=1.0)(image=IMAGE)
    with pytest.raises(BadInput, match="holds no images"):
        ReplaceWithSynthetic(tmp_path / "nowhere", p=1.0)(image=IMAGE, label="cat")
