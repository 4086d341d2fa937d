"""Images in NumPy files."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from makeweight.core.errors import BadInput
from makeweight.intake.interface import UNASSIGNED
from tests.support.readers import TEST, TRAIN, decoded, read_arrays, write_arrays

PIXELS = np.arange(6 * 8 * 8, dtype=np.uint8).reshape(6, 8, 8)


def test_arrays_in_a_folder_are_mapped_and_numbers_may_have_names(tmp_path: Path) -> None:
    write_arrays(tmp_path, images=PIXELS, labels=np.array([0, 1, 10, 1, 0, 10]), groups=np.array(list("xxyyzz")))
    listing = read_arrays(tmp_path)
    assert listing.classes == ("0", "1", "10")
    assert listing.groups == list("xxyyzz")
    assert np.array_equal(decoded(listing)[..., 0], PIXELS)
    assert isinstance(listing.source.values, np.memmap)  # type: ignore[attr-defined]
    write_arrays(tmp_path, labels=np.array([0, 1, 1, 1, 0, 1]))
    (tmp_path / "classes.json").write_text('["no", "yes"]')
    assert [read_arrays(tmp_path).classes[label] for label in (0, 1)] == ["no", "yes"]


def test_arrays_of_each_split_are_kept_apart(tmp_path: Path) -> None:
    for name in ("train", "test"):
        write_arrays(tmp_path / name, images=PIXELS, labels=np.array(list("ababab")))
    listing = read_arrays(tmp_path)
    assert listing.predefined.tolist() == [TEST] * 6 + [TRAIN] * 6
    assert listing.origins[6] == "train[0]"


@pytest.mark.parametrize(
    "names", [("images", "labels"), ("x_train", "y_train"), ("X", "y"), ("train_images", "train_labels")]
)
def test_an_archive_goes_by_plain_names_or_those_of_keras(names: tuple[str, str], tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **{names[0]: PIXELS, names[1]: np.array([[0], [1]] * 3)})  # type: ignore[arg-type]
    listing = read_arrays(tmp_path / "a.npz")
    assert listing.classes == ("0", "1")
    assert set(listing.predefined) == ({TRAIN} if "train" in names[0] else {UNASSIGNED})


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"images": PIXELS, "X": PIXELS, "y": np.arange(6)}, "holds images and X, which mean the same"),
        ({"a": PIXELS, "b": np.arange(6)}, "holds a, b; it must hold images and labels"),
        ({"images": PIXELS, "labels": np.array(1)}, "labels holds a single value"),
        ({"images": np.array(1), "labels": np.arange(6)}, "images holds a single value"),
    ],
)
def test_an_archive_that_is_not_clear_is_refused(arrays: dict[str, Any], message: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(BadInput, match=message):
        read_arrays(tmp_path / "a.npz")


def test_arrays_that_mean_something_else_are_ignored_and_reported(tmp_path: Path) -> None:
    labels = np.arange(6)
    np.savez(
        tmp_path / "a.npz", images=PIXELS, labels=labels, labels_coarse=labels // 2, images_mask=np.zeros_like(PIXELS)
    )
    listing = read_arrays(tmp_path / "a.npz")
    assert len(listing.classes) == 6
    assert np.array_equal(decoded(listing)[..., 0], PIXELS)
    assert "ignored in" in listing.remarks[0]
    assert "images_mask, labels_coarse" in listing.remarks[0]


def test_arrays_of_an_archive_that_are_not_used_are_not_unpacked(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=PIXELS, labels=np.arange(6), features=np.arange(500))
    content = (tmp_path / "a.npz").read_bytes()
    start = content.index(np.arange(500).tobytes())
    (tmp_path / "a.npz").write_bytes(content[:start] + bytes(8) + b"x" + content[start + 9 :])  # a wrong checksum
    with pytest.raises(zipfile.BadZipFile), np.load(tmp_path / "a.npz") as archive:
        archive["features"]
    assert len(read_arrays(tmp_path / "a.npz").classes) == 6


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"zebra": 1, "ant": 0}', "must be a list of class names"),
        ('"ab"', "must be a list of class names"),
        ("[0, 1]", "must be a list of class names"),
        ('["cat", "cat"]', "names a class twice"),
        ("[", "is not a JSON list of class names"),
    ],
)
def test_names_of_classes_are_a_list_of_different_texts(content: str, message: str, tmp_path: Path) -> None:
    write_arrays(tmp_path, images=PIXELS, labels=np.array([0, 1] * 3))
    (tmp_path / "classes.json").write_text(content)
    with pytest.raises(BadInput, match=message):
        read_arrays(tmp_path)


def test_channels_that_come_first_are_moved_and_reported(tmp_path: Path) -> None:
    write_arrays(tmp_path, images=np.stack([PIXELS] * 3, axis=1), labels=np.array([0, 1] * 3))
    listing = read_arrays(tmp_path)
    assert decoded(listing).shape == (6, 8, 8, 3)
    assert "channels are moved to the end" in listing.remarks[0]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"images": PIXELS}, "there is no array labels among images"),
        ({"images": PIXELS, "labels": np.arange(5)}, "there are 5 labels for 6 images"),
        ({"images": PIXELS, "labels": np.eye(6)}, r"labels are float64 \[6, 6\]; .*labels.argmax"),
        ({"images": PIXELS[0], "labels": np.arange(8)}, r"images have the shape \[8, 8\]"),
        ({"images": PIXELS.astype("U3"), "labels": np.arange(6)}, "images hold <U3, which are not numbers"),
        ({"images": PIXELS, "labels": np.zeros(6, int)}, "the labels name 1 classes"),
        (
            {"images": PIXELS, "labels": np.array([0, 1] * 3), "splits": np.array(["train"] * 5 + ["x"])},
            r"splits\[5\] is 'x'",
        ),
        ({"images": PIXELS, "labels": np.array([{}] * 6)}, r"labels\.npy is not an array .* \(a pickle\).*astype"),
        ({"images": PIXELS, "labels": np.array([b"a", b"b"] * 3)}, r"labels are \|S1 .*: labels\.astype\(str\)"),
    ],
)
def test_arrays_that_do_not_fit_are_reported(arrays: dict[str, Any], message: str, tmp_path: Path) -> None:
    write_arrays(tmp_path, **arrays)
    with pytest.raises(BadInput, match=message):
        read_arrays(tmp_path)


def test_a_single_array_is_no_archive(tmp_path: Path) -> None:
    write_arrays(tmp_path, images=PIXELS, labels=np.arange(6))
    with pytest.raises(BadInput, match="is a single array: name the folder"):
        read_arrays(tmp_path / "images.npy")


@pytest.mark.parametrize("size", [0, 3, 60, 100, 150, 400])
@pytest.mark.parametrize("name", ["a.npz", "images.npy"])
def test_cut_off_arrays_are_reported(name: str, size: int, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=PIXELS, labels=np.arange(6))
    write_arrays(tmp_path, images=PIXELS, labels=np.arange(6))
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:size])
    with pytest.raises(BadInput, match=r"data\.path: .*a\.npz|data\.path: .*images\.npy"):
        read_arrays(tmp_path / "a.npz" if name == "a.npz" else tmp_path)
