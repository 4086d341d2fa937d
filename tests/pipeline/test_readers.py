"""Readers: pictures in, one uint8 array out."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline.core import BadInput, Reading
from pipeline.readers.digits import Digits
from pipeline.readers.downloads import CIFAR10, MNIST
from pipeline.readers.folder import Folder
from pipeline.readers.resizing import fitted, side_of
from tests.pipeline.test_preparing import settings


def save(path: Path, pixels: Any, mode: str | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(np.asarray(pixels))
    (picture.convert(mode) if mode else picture).save(path)


def grey(value: int, height: int = 8, width: int = 8) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.full((height, width), value, np.uint8)


def read(folder: Path, **changes: Any) -> Reading:
    return Folder().read(settings(reader="folder", path=str(folder), **changes))


def test_digits_are_the_1797_of_scikit_learn_from_black_to_white() -> None:
    reading = Digits().read(settings())
    assert reading.images.images.shape == (1797, 8, 8, 1)
    assert (reading.images.images.min(), reading.images.images.max()) == (0, 255)
    assert reading.images.classes == tuple("0123456789")
    assert not reading.official_test.any()


def test_digits_of_another_size_are_refused() -> None:
    with pytest.raises(BadInput, match=r"data\.image_size"):
        Digits().read(settings(image_size=16))


def test_a_folder_gives_classes_by_name_and_images_from_any_depth(tmp_path: Path) -> None:
    save(tmp_path / "b" / "deep" / "er" / "1.png", grey(10))
    save(tmp_path / "a" / "2.PNG", grey(20))
    save(tmp_path / ".hidden" / "3.png", grey(30))
    (tmp_path / "a" / "notes.txt").write_text("no image")
    reading = read(tmp_path)
    assert reading.images.classes == ("a", "b")
    assert reading.images.images[:, 0, 0, 0].tolist() == [20, 10]
    assert reading.origins == ("a/2.PNG", "b/deep/er/1.png")


def test_grey_stays_grey_one_colour_image_makes_all_colour_and_the_parameter_rules(tmp_path: Path) -> None:
    save(tmp_path / "a" / "1.png", grey(10))
    save(tmp_path / "b" / "2.png", grey(20), "1")
    assert read(tmp_path).images.channels == 1
    save(tmp_path / "b" / "3.png", np.full((8, 8, 3), (200, 100, 0), np.uint8))
    reading = read(tmp_path)
    assert reading.images.channels == 3
    assert reading.images.images[0, 0, 0].tolist() == [10, 10, 10]
    assert reading.images.images[2, 0, 0].tolist() == [200, 100, 0]
    assert read(tmp_path, channels=1).images.channels == 1


def test_transparency_is_laid_over_black_and_16_bits_are_scaled(tmp_path: Path) -> None:
    half = np.zeros((8, 8, 4), np.uint8)
    half[:, :4] = 255
    save(tmp_path / "a" / "1.png", half)
    save(tmp_path / "b" / "2.png", np.full((8, 8), 256 * 77, np.uint16))
    images = read(tmp_path, channels=1).images.images
    assert images[0, 0, :, 0].tolist() == [255] * 4 + [0] * 4
    assert (images[1] == 77).all()


@pytest.mark.parametrize(
    ("fit", "expected"),
    [("pad", [0, 0, 0, 0]), ("crop", [255, 255, 9, 9]), ("stretch", [255, 255, 9, 9])],
)
def test_a_picture_that_is_not_square_is_padded_cropped_or_stretched(fit: Any, expected: list[int]) -> None:
    pixels = np.full((16, 8), 9, np.uint8)
    pixels[:, :4] = 255
    square = fitted(Image.fromarray(pixels), 8, fit, 1)
    assert square.shape == (8, 8, 1)
    middle = [int(square[4, column, 0]) for column in (0, 1, 6, 7)]  # between them, antialiasing blends
    assert middle == expected


def test_without_a_size_squares_keep_theirs_and_others_get_the_median_shorter_side() -> None:
    assert side_of([(28, 28), (28, 28)]) == 28
    assert side_of([(128, 128)]) == 128
    assert side_of([(20, 30), (40, 22), (26, 26)]) == 22
    assert side_of([(400, 600)]) == 64
    assert side_of([(4, 4)]) == 8


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda folder: (folder / "a" / "bad.png").write_text("not an image"), r"a.bad\.png is no image"),
        (
            lambda folder: (folder / "a" / "cut.png").write_bytes((folder / "a" / "1.png").read_bytes()[:60]),
            r"cut\.png",
        ),
        (lambda folder: (folder / "c").mkdir(), "no images in .*c"),
        (lambda folder: (folder / "b").rename(folder / ".b"), "has 1 sub-folders"),
        (lambda folder: folder.rename(folder.with_name("gone")), "there is no folder"),
    ],
)
def test_what_cannot_be_read_is_named(break_it: Any, message: str, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    save(folder / "a" / "1.png", np.random.default_rng(0).integers(0, 256, (8, 8), dtype=np.uint8))
    save(folder / "b" / "2.png", grey(20))
    break_it(folder)
    with pytest.raises(BadInput, match=message) as caught:
        read(folder)
    assert "\n" not in str(caught.value)


def write_idx(path: Path, values: np.ndarray[Any, np.dtype[np.uint8]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    header = struct.pack(f">I{values.ndim}I", 0x0800 + values.ndim, *values.shape)
    path.write_bytes(header + values.tobytes())


def write_mnist(root: Path) -> None:
    for name, n in (("train", 6), ("t10k", 4)):
        images = np.zeros((n, 28, 28), np.uint8)
        images[:, 0, 0] = np.arange(n) + (100 if name == "t10k" else 0)
        write_idx(root / "MNIST" / "raw" / f"{name}-images-idx3-ubyte", images)
        write_idx(root / "MNIST" / "raw" / f"{name}-labels-idx1-ubyte", (np.arange(n) % 3).astype(np.uint8))


def test_an_official_test_set_is_marked(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    reading = MNIST().read(settings(reader="mnist", path=str(tmp_path), download=False))
    assert reading.images.images[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4, 5, 100, 101, 102, 103]
    assert reading.official_test.tolist() == [False] * 6 + [True] * 4
    assert reading.origins[5:7] == ("train[5]", "test[0]")
    assert len(reading.images.classes) == 10


def test_a_data_set_can_be_resized_and_coloured(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    reading = MNIST().read(settings(reader="mnist", path=str(tmp_path), download=False, image_size=16, channels=3))
    assert reading.images.images.shape == (10, 16, 16, 3)


@pytest.mark.parametrize("reader", [MNIST, CIFAR10])
def test_a_data_set_that_is_not_there_and_may_not_be_fetched_is_a_clear_mistake(reader: Any, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"set data\.download to true"):
        reader().read(settings(reader="mnist", path=str(tmp_path), download=False))
