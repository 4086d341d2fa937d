"""Readers: what they find, before anything is decoded."""

from __future__ import annotations

import os
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline.core import FREE, SPLITS, BadInput, Images, Note, Reading
from pipeline.decoding import form_of, looked_at
from pipeline.readers.arrays import ArrayFiles
from pipeline.readers.digits import Digits
from pipeline.readers.downloads import CIFAR10, MNIST
from pipeline.readers.folder import Folder
from pipeline.readers.tables import CSV, HuggingFace
from tests.pipeline.test_dividing import settings

TRAIN, VALIDATION, TEST = range(3)


def save(path: Path, pixels: Any, mode: str | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(np.asarray(pixels))
    (picture.convert(mode) if mode else picture).save(path)
    return path


def grey(value: int, height: int = 8, width: int = 8) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.full((height, width), value, np.uint8)


def read(folder: Path, **changes: Any) -> Reading:
    return Folder().read(settings(reader="folder", path=str(folder), **changes))


def decoded(reading: Reading, **changes: Any) -> Images:
    form = form_of(looked_at(reading.pictures, 1), settings(**changes))
    return np.stack([reading.pictures.squares(i, form, (form.side,))[0][0] for i in range(len(reading.pictures))])


def labelled(reading: Reading) -> dict[str, str]:
    return {path: reading.classes[label] for path, label in zip(reading.origins, reading.labels, strict=True)}


def test_digits_are_the_1797_of_scikit_learn_from_black_to_white() -> None:
    reading = Digits().read(settings())
    images = decoded(reading)
    assert images.shape == (1797, 8, 8, 1)
    assert (images.min(), images.max()) == (0, 255)
    assert reading.classes == tuple("0123456789")
    assert (reading.official == FREE).all()


def test_digits_of_another_size_are_refused() -> None:
    with pytest.raises(BadInput, match=r"data\.image_size"):
        Digits().read(settings(image_size=16))


def test_a_folder_gives_classes_by_name_and_images_from_any_depth(tmp_path: Path) -> None:
    save(tmp_path / "b" / "deep" / "er" / "1.png", grey(10))
    save(tmp_path / "a" / "2.PNG", grey(20))
    save(tmp_path / ".hidden" / "3.png", grey(30))
    (tmp_path / "a" / "notes.txt").write_text("no image")
    reading = read(tmp_path)
    assert reading.classes == ("a", "b")
    assert decoded(reading)[:, 0, 0, 0].tolist() == [20, 10]
    assert reading.origins == ["a/2.PNG", "b/deep/er/1.png"]
    assert reading.ignored == (Note(".hidden", "hidden"), Note("a/notes.txt", "no image, by its name"))
    assert reading.bad == ()


@pytest.mark.parametrize("validation", ["validation", "val", "Valid"])
def test_ready_made_splits_are_kept_by_the_names_of_their_folders(validation: str, tmp_path: Path) -> None:
    for name in ("train", validation, "test"):
        for label in ("cat", "dog"):
            save(tmp_path / name / label / "1.png", grey(5))
    reading = read(tmp_path)
    assert reading.classes == ("cat", "dog")
    told = dict(zip(reading.origins, reading.official.tolist(), strict=True))
    assert told["train/cat/1.png"] == TRAIN
    assert told[f"{validation}/dog/1.png"] == VALIDATION
    assert told["test/dog/1.png"] == TEST


def test_classes_that_are_called_like_splits_are_classes_unless_it_cannot_be_told(tmp_path: Path) -> None:
    for name in ("train", "car"):
        save(tmp_path / name / "1.png", grey(5))
    assert read(tmp_path).classes == ("car", "train")
    save(tmp_path / "test" / "1.png", grey(5))
    with pytest.raises(BadInput, match=r"beside ready-made splits .* stands 'car'"):
        read(tmp_path)


def test_two_folders_for_one_split_are_refused(tmp_path: Path) -> None:
    for name in ("train", "val", "validation"):
        save(tmp_path / name / "a" / "1.png", grey(5))
    with pytest.raises(BadInput, match="two folders mean the same split: train, val, validation"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda folder: folder.rename(folder.with_name("gone")), "there is no folder"),
        (lambda folder: folder.rename(folder.with_name("x")) and folder.write_text("zip"), "is a file"),
    ],
)
def test_a_folder_in_which_there_is_nothing_to_read_is_named(break_it: Any, message: str, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    save(folder / "a" / "1.png", grey(1))
    save(folder / "b" / "2.png", grey(20))
    break_it(folder)
    with pytest.raises(BadInput, match=message) as caught:
        read(folder)
    assert "\n" not in str(caught.value)


def test_fewer_than_two_classes_are_a_mistake_beside_all_that_is_bad(tmp_path: Path) -> None:
    save(tmp_path / "a" / "1.png", grey(1))
    save(tmp_path / "2.png", grey(1))
    reading = read(tmp_path)
    assert "has 1 sub-folder;" in reading.mistakes[0]
    assert [each.path for each in reading.bad] == ["2.png"]
    reading = read_csv(table(tmp_path / "all.csv", "path,label", "a/1.png,x", "gone.png,y", f"{tmp_path}/2.png,y"))
    assert reading.mistakes == (
        "data.path: the table names pictures of 1 classes; there must be two or more (2 lines cannot be used)",
    )
    assert [each.reason for each in reading.bad] == [
        "does not exist",
        "is an absolute path: write it as it is seen from the table's folder",
    ]


def test_a_picture_without_a_suffix_is_bad_with_the_way_out(tmp_path: Path) -> None:
    save(tmp_path / "b" / "1.png", grey(1))
    save(tmp_path / "a" / "1.png", grey(1)).rename(tmp_path / "a" / "1")
    reading = read(tmp_path)
    assert "give it the suffix .png" in reading.bad[0].reason
    assert "no images in" in reading.mistakes[0]
    assert "1 file there cannot be used" in reading.mistakes[0]


@pytest.mark.parametrize(("above", "said"), [(("learn", "exam"), True), (("training_set", "test_set"), False)])
def test_splits_by_another_name_are_known_or_suspected(above: tuple[str, str], said: bool, tmp_path: Path) -> None:
    for name in above:
        for label in ("cat", "dog"):
            save(tmp_path / name / label / "1.png", grey(5))
    reading = read(tmp_path)
    assert reading.classes == (("exam", "learn") if said else ("cat", "dog"))
    assert any("holds the same sub-folders, cat, dog" in remark for remark in reading.remarks) == said


def test_the_folder_that_was_probably_meant_is_named(tmp_path: Path) -> None:
    for label in ("cat", "dog"):
        save(tmp_path / "PetImages" / label / "1.png", grey(1))
    assert f"if they are PetImages/cat, PetImages/dog, name {tmp_path / 'PetImages'}" in read(tmp_path).mistakes[0]
    for label in ("cat", "dog"):
        save(tmp_path / label / "1.png", grey(1))
    assert "'PetImages' holds folders of other classes (cat, dog) once more" in read(tmp_path).mistakes[0]
    with pytest.raises(BadInput, match="~ is not expanded, write /"):
        read(Path("~/nowhere/at/all"))


def test_a_class_without_images_names_no_file_of_another_folder(tmp_path: Path) -> None:
    save(tmp_path / "crack" / "1.png", grey(1))
    (tmp_path / "crack" / "labels.xlsx").write_bytes(b"x")
    (tmp_path / "new folder").mkdir()
    assert read(tmp_path).mistakes == (f"data.path: no images in {tmp_path}/new folder: fill or remove the folder",)


def test_links_in_a_ring_end(tmp_path: Path) -> None:
    outside, folder = tmp_path / "outside", tmp_path / "photos"
    for name, other in (("a", "b"), ("b", "a")):
        save(folder / name / "1.png", grey(5))
        (folder / name / "inside").symlink_to(folder / other)
        save(outside / name / "2.png", grey(5))
        for link in ("one", "two"):
            (outside / name / link).symlink_to(outside / other)
    (folder / "a" / "out").symlink_to(outside / "a")
    reading = read(folder, follow_links=True)
    assert reading.origins == ["a/1.png", "a/out/2.png", "a/out/one/2.png", "b/1.png"]
    assert {each.reason for each in reading.bad} == {"is a link to a folder that is taken in anyway: remove it"}


def test_names_that_are_no_unicode_are_told_by_their_bytes(tmp_path: Path) -> None:
    save(tmp_path / "a" / "1.png", grey(1))
    try:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/b\xff")).mkdir()
    except OSError:
        pytest.skip("this file system takes Unicode alone")
    save(tmp_path / "a" / "2.png", grey(7)).rename(os.fsdecode(os.fsencode(tmp_path) + b"/b\xff/\xfe.png"))
    reading = read(tmp_path)
    assert labelled(reading) == {"a/1.png": "a", "b\\xff/\\xfe.png": "b\\xff"}
    assert decoded(reading)[1, 0, 0, 0] == 7


def test_links_are_followed_inside_the_folder_and_never_in_circles(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    inside = save(folder / "a" / "1.png", grey(1))
    save(folder / "b" / "2.png", grey(2))
    (folder / "b" / "again.png").symlink_to(inside)
    (folder / "b" / "round").symlink_to(folder)
    (folder / "b" / "gone.png").symlink_to(folder / "nothing.png")
    reading = read(folder, follow_links=True)
    assert reading.origins == ["a/1.png", "b/2.png", "b/again.png"]
    assert reading.bad == (
        Note("b/gone.png", "is a link to nothing: remove it"),
        Note("b/round", "is a link to a folder that holds it: remove it"),
    )


def table(path: Path, *lines: str, mark: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(mark + "\n".join(lines) + "\n", encoding="utf-8")
    return path


def read_csv(path: Path, **changes: Any) -> Reading:
    return CSV().read(settings(reader="csv", path=str(path), **changes))


def test_a_table_gives_labels_splits_and_groups(tmp_path: Path) -> None:
    for name in ("1", "2", "3", "ü,4"):
        save(tmp_path / "img" / f"{name}.png", grey(5))
    path = table(
        tmp_path / "all.csv", "Group,path,label,split,remark", "p1,img/1.png,cat,train,", ",img/2.png,dog,train,x",
        "p1,img/3.png,dog,val,", '"p,2","img/ü,4.png",cat,TEST,',
    )  # fmt: skip
    reading = read_csv(path)
    assert labelled(reading) == {"img/1.png": "cat", "img/2.png": "dog", "img/3.png": "dog", "img/ü,4.png": "cat"}
    assert reading.official.tolist() == [TRAIN, TRAIN, VALIDATION, TEST]
    assert reading.groups == ["p1", "", "p1", "p,2"]
    assert decoded(reading)[3, 0, 0, 0] == 5


def test_a_table_without_splits_and_groups_leaves_both_open(tmp_path: Path) -> None:
    for name in ("1", "2"):
        save(tmp_path / f"{name}.png", grey(5))
    reading = read_csv(table(tmp_path / "all.csv", "path,label", "1.png,0", "2.png,1"))
    assert reading.official.tolist() == [FREE, FREE]
    assert reading.groups == ()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"path,label\n1.png,a\n\xff.png,b\n", "line 3: is not UTF-8"),
        ("path,label\n".encode("utf-16"), "line 1: is UTF-16"),
        (b"file,label\n1.png,a\n", "line 1: there is no column path among file, label: rename file to path"),
        (b"name,dx\n1.png,a\n", "rename dx to label and name the one that holds the paths path"),
        (b"image,MEL,NV\n1.png,0,1\n", "rename image to path and name .* if classes are columns of 0 and 1"),
        (b"a\tlabel\n1.png\ta\n", "cells are separated by .* save the table with commas"),
        (b"path;label\n1.png;a\n", "line 1: there is no column path and no column label among path;label"),
        (b"", "there is no column path and no column label among none"),
        (b'path,label\n1.png,a\n"2.png,b\n', "line 3: is no CSV"),
        (b"path,label,Label\n1.png,a,b\n", "line 1: there are several columns label: keep one"),
        (b"path,label,split, Split\n1.png,a,train,test\n", "line 1: there are several columns split: keep one"),
    ],
)
def test_a_table_that_is_none_is_named_with_its_line(content: bytes, message: str, tmp_path: Path) -> None:
    save(tmp_path / "1.png", grey(5))
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(BadInput, match=message) as caught:
        read_csv(tmp_path / "t.csv")
    assert "\n" not in str(caught.value)


def test_one_picture_under_two_labels_in_a_table_is_used_under_neither(tmp_path: Path) -> None:
    for name in "123":
        save(tmp_path / f"{name}.png", grey(int(name)))
    reading = read_csv(table(tmp_path / "t.csv", "path,label", "1.png,a", "2.png,b", "3.png,a", "./1.png,b"))
    assert labelled(reading) == {"2.png": "b", "3.png": "a"}
    assert reading.bad == (
        Note("t.csv, line 5: ./1.png", "is named in t.csv, line 2 already, as 'a' and here as 'b': neither is used"),
    )


def test_hugging_faces_tables_stand_beside_the_images_or_in_each_split(tmp_path: Path) -> None:
    for split in ("train", "test"):
        for name, label in (("1", "a"), ("2", "b")):
            save(tmp_path / split / "deep" / f"{name}{label}.png", grey(int(name)))
        table(tmp_path / split / "metadata.csv", "file_name,label", "deep/1a.png,a", "deep/2b.png,b")
    read_it = HuggingFace().read(settings(reader="huggingface", path=str(tmp_path)))
    assert labelled(read_it) == {
        "test/deep/1a.png": "a", "test/deep/2b.png": "b", "train/deep/1a.png": "a", "train/deep/2b.png": "b"
    }  # fmt: skip
    assert read_it.official.tolist() == [TEST, TEST, TRAIN, TRAIN]
    assert decoded(read_it)[:, 0, 0, 0].tolist() == [1, 2, 1, 2]
    table(
        tmp_path / "metadata.csv", "file_name,label", "train/deep/1a.png,a", "test/deep/2b.png,b", "train/deep/2b.png,b"
    )
    whole = HuggingFace().read(settings(reader="huggingface", path=str(tmp_path)))
    assert whole.official.tolist() == [TRAIN, TEST, TRAIN]


def test_hugging_faces_folder_without_a_table_says_which_reader_to_take(tmp_path: Path) -> None:
    save(tmp_path / "train" / "a" / "1.png", grey(1))
    with pytest.raises(BadInput, match=r"no metadata\.csv in .* set data\.reader to folder"):
        HuggingFace().read(settings(reader="huggingface", path=str(tmp_path)))


def read_arrays(path: Path, **changes: Any) -> Reading:
    return ArrayFiles().read(settings(reader="arrays", path=str(path), **changes))


def write_arrays(folder: Path, **arrays: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, values in arrays.items():
        np.save(folder / f"{name}.npy", values)
    return folder


PIXELS = np.arange(6 * 8 * 8, dtype=np.uint8).reshape(6, 8, 8)


def test_arrays_in_a_folder_are_mapped_and_numbers_may_have_names(tmp_path: Path) -> None:
    write_arrays(tmp_path, images=PIXELS, labels=np.array([0, 1, 10, 1, 0, 10]), groups=np.array(list("xxyyzz")))
    reading = read_arrays(tmp_path)
    assert reading.classes == ("0", "1", "10")
    assert reading.groups == list("xxyyzz")
    assert np.array_equal(decoded(reading)[..., 0], PIXELS)
    assert isinstance(reading.pictures.values, np.memmap)  # type: ignore[attr-defined]
    write_arrays(tmp_path, labels=np.array([0, 1, 1, 1, 0, 1]))
    (tmp_path / "classes.json").write_text('["no", "yes"]')
    assert [read_arrays(tmp_path).classes[label] for label in (0, 1)] == ["no", "yes"]


def test_arrays_of_each_split_are_kept_apart(tmp_path: Path) -> None:
    for name in ("train", "test"):
        write_arrays(tmp_path / name, images=PIXELS, labels=np.array(list("ababab")))
    reading = read_arrays(tmp_path)
    assert reading.official.tolist() == [TEST] * 6 + [TRAIN] * 6
    assert reading.origins[6] == "train[0]"


@pytest.mark.parametrize(
    "names", [("images", "labels"), ("x_train", "y_train"), ("X", "y"), ("train_images", "train_labels")]
)
def test_an_archive_goes_by_plain_names_or_those_of_keras(names: tuple[str, str], tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **{names[0]: PIXELS, names[1]: np.array([[0], [1]] * 3)})  # type: ignore[arg-type]
    reading = read_arrays(tmp_path / "a.npz")
    assert reading.classes == ("0", "1")
    assert set(reading.official) == ({TRAIN} if "train" in names[0] else {FREE})


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


def test_arrays_that_mean_something_else_are_passed_over_and_said(tmp_path: Path) -> None:
    labels = np.arange(6)
    np.savez(
        tmp_path / "a.npz", images=PIXELS, labels=labels, labels_coarse=labels // 2, images_mask=np.zeros_like(PIXELS)
    )
    reading = read_arrays(tmp_path / "a.npz")
    assert len(reading.classes) == 6
    assert np.array_equal(decoded(reading)[..., 0], PIXELS)
    assert "passed over" in reading.remarks[0]
    assert "images_mask, labels_coarse" in reading.remarks[0]


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
        ("[", "is no JSON list of class names"),
    ],
)
def test_names_of_classes_are_a_list_of_different_texts(content: str, message: str, tmp_path: Path) -> None:
    write_arrays(tmp_path, images=PIXELS, labels=np.array([0, 1] * 3))
    (tmp_path / "classes.json").write_text(content)
    with pytest.raises(BadInput, match=message):
        read_arrays(tmp_path)


def test_channels_that_come_first_are_moved_and_told(tmp_path: Path) -> None:
    write_arrays(tmp_path, images=np.stack([PIXELS] * 3, axis=1), labels=np.array([0, 1] * 3))
    reading = read_arrays(tmp_path)
    assert decoded(reading).shape == (6, 8, 8, 3)
    assert "channels are moved to the end" in reading.remarks[0]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"images": PIXELS}, "there is no array labels among images"),
        ({"images": PIXELS, "labels": np.arange(5)}, "there are 5 labels for 6 images"),
        ({"images": PIXELS, "labels": np.eye(6)}, r"labels are float64 \[6, 6\]; .*labels.argmax"),
        ({"images": PIXELS[0], "labels": np.arange(8)}, r"images have the shape \[8, 8\]"),
        ({"images": PIXELS.astype("U3"), "labels": np.arange(6)}, "images hold <U3, which are no numbers"),
        ({"images": PIXELS, "labels": np.zeros(6, int)}, "the labels name 1 classes"),
        (
            {"images": PIXELS, "labels": np.array([0, 1] * 3), "splits": np.array(["train"] * 5 + ["x"])},
            r"splits\[5\] is 'x'",
        ),
        ({"images": PIXELS, "labels": np.array([{}] * 6)}, r"labels\.npy is no array .* \(a pickle\)"),
    ],
)
def test_arrays_that_do_not_fit_are_told(arrays: dict[str, Any], message: str, tmp_path: Path) -> None:
    write_arrays(tmp_path, **arrays)
    with pytest.raises(BadInput, match=message):
        read_arrays(tmp_path)


@pytest.mark.parametrize("size", [0, 3, 60, 100, 150, 400])
@pytest.mark.parametrize("name", ["a.npz", "images.npy"])
def test_cut_off_arrays_are_told(name: str, size: int, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=PIXELS, labels=np.arange(6))
    write_arrays(tmp_path, images=PIXELS, labels=np.arange(6))
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:size])
    with pytest.raises(BadInput, match=r"data\.path: .*a\.npz|data\.path: .*images\.npy"):
        read_arrays(tmp_path / "a.npz" if name == "a.npz" else tmp_path)


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
    assert decoded(reading)[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4, 5, 100, 101, 102, 103]
    assert reading.official.tolist() == [FREE] * 6 + [SPLITS.index("test")] * 4
    assert reading.origins[5:7] == ["train[5]", "test[0]"]
    assert len(reading.classes) == 10


def test_a_data_set_can_be_resized_and_coloured(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    reading = MNIST().read(settings(reader="mnist", path=str(tmp_path), download=False))
    assert decoded(reading, image_size=16, channels=3).shape == (10, 16, 16, 3)


@pytest.mark.parametrize("reader", [MNIST, CIFAR10])
def test_a_data_set_that_is_not_there_and_may_not_be_fetched_is_a_clear_mistake(reader: Any, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"set data\.download to true"):
        reader().read(settings(reader="mnist", path=str(tmp_path), download=False))
