"""Files in image folders that contradict the folders are reported before anything is trained."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.support.preparing import noise_image, photos, run
from tests.support.readers import read, table

DICOM = bytes(128) + b"DICM" + bytes(300)
NIFTI = bytes(344) + b"n+1\0" + bytes(60)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("1.dcm", b"x", "is DICOM, which is not supported"),
        ("IM0001", DICOM, "is DICOM, which is not supported"),
        ("1.2.840.113.7", DICOM, "is DICOM, which is not supported"),
        ("1.nii.gz", b"x", "is NIfTI, which is not supported"),
        ("1.img", NIFTI, "is NIfTI, which is not supported"),
        ("1.MHA", b"x", "is a medical volume"),
        ("1.CR3", b"x", "is a raw photograph"),
        ("slide.svs", b"x", "is a file of a microscope"),
        ("1.npy", b"x", "is a NumPy file"),
        ("1.txt", b"\x89PNG\r\n\x1a\n", "give it the suffix .png"),
        ("1", b"\xff\xd8\xff\xe0", "give it the suffix .jpg"),
    ],
)
def test_images_of_a_format_that_is_not_read_are_bad(name: str, content: bytes, reason: str, tmp_path: Path) -> None:
    folder = photos(tmp_path / "photos")
    (folder / "dog" / name).write_bytes(content)
    (folder / "dog" / "notes.txt").write_text("no image")
    report, errors = run(folder)
    assert [issue.path for issue in report.bad] == [f"dog/{name}"]
    assert [issue.path for issue in report.ignored] == ["dog/notes.txt"]
    assert reason in errors
    report, errors = run(folder, on_bad_file="quarantine")
    assert not errors


def test_a_class_of_bad_files_alone_is_not_advised_to_add_images(tmp_path: Path) -> None:
    folder = photos(tmp_path / "photos")
    (folder / "nodule").mkdir()
    for index in range(3):
        (folder / "nodule" / f"{index}.dcm").write_bytes(DICOM)
    _, errors = run(folder, on_bad_file="quarantine")
    assert "nodule: 3 files there cannot be used" in errors
    assert "add images" not in errors


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("benign (1).png", "benign (1)_mask.png"),
        ("benign (1).png", "benign (1)_mask_1.png"),
        ("x1.png", "x1-Segmentation.PNG"),
        ("x1.png", "mask_x1.png"),
        ("x1.png", "masks/x1.png"),
        ("images/x1.png", "masks/x1_mask.png"),
    ],
)
def test_a_mask_is_no_image_of_the_class(image: str, mask: str, tmp_path: Path) -> None:
    folder = photos(tmp_path / "photos")
    for name in (image, mask):
        (folder / "cat" / name).parent.mkdir(exist_ok=True)
        noise_image().save(folder / "cat" / name)
    listing = read(folder)
    assert [(issue.path, issue.reason) for issue in listing.bad] == [
        (f"cat/{mask}", f"is a mask of 'cat/{image}', by its name: move masks away")
    ]
    assert f"cat/{image}" in listing.origins


def test_names_like_masks_without_an_image_beside_them_are_images(tmp_path: Path) -> None:
    folder = photos(tmp_path / "photos", ("mask", "no_mask"))
    noise_image().save(folder / "mask" / "person_mask.png")
    listing = read(folder)
    assert not listing.bad
    assert len(listing.origins) == 13


def test_folders_of_images_and_their_masks_are_no_classes(tmp_path: Path) -> None:
    errors = read(photos(tmp_path / "photos", ("images", "masks"))).errors
    assert any("masks: 6 files there cannot be used" in line for line in errors)


def shards(folder: Path) -> None:
    photos(folder, ("00000", "00001"))
    labels = [[f"{shard}/{index}.png", index % 2] for shard in ("00000", "00001") for index in range(6)]
    (folder / "dataset.json").write_text(json.dumps({"labels": labels}))


def fiftyone(folder: Path) -> None:
    photos(folder, ("data",))
    (folder / "labels.json").write_text(
        json.dumps({"classes": ["a", "b"], "labels": {str(i): i % 2 for i in range(6)}})
    )


def one_hot(folder: Path) -> None:
    for split in ("train", "valid"):
        (folder / split).mkdir(parents=True)
        for index in range(3):
            noise_image().save(folder / split / f"{split}{index}.png")
        table(
            folder / split / "_classes.csv",
            "filename, cat, dog",
            *(f"{split}{i}.png, {i % 2}, {1 - i % 2}" for i in range(3)),
        )


def lines(folder: Path) -> None:
    photos(folder, ("x", "y"))
    rows = [json.dumps({"file_name": f"{c}/{i}.png", "label": "ab"[i % 2]}) for c in "xy" for i in range(6)]
    (folder / "metadata.jsonl").write_text("\n".join(rows))


@pytest.mark.parametrize("plant", [shards, fiftyone, one_hot, lines])
def test_labels_beside_images_that_are_not_those_of_the_folders_are_refused(
    plant: Callable[[Path], None], tmp_path: Path
) -> None:
    plant(tmp_path / "photos")
    for on_bad_file in ("refuse", "quarantine"):
        _, errors = run(tmp_path / "photos", on_bad_file=on_bad_file)
        assert "has its own labels" in errors


def test_a_table_that_agrees_with_the_folders_or_refines_them_is_only_reported(tmp_path: Path) -> None:
    folder = photos(tmp_path / "photos")
    rows = [f"{name}/{index}.png,{name}{index % 2}" for name in ("cat", "dog") for index in range(6)]
    table(folder / "breeds.csv", "path,label", *rows)
    (folder / "readme.json").write_text('{"licence": "CC0"}')
    listing = read(folder)
    assert not listing.errors
    assert [remark for remark in listing.remarks if "is not read" in remark] == [
        "breeds.csv names images but is not read: the folders (cat, dog) are the classes"
    ]


def test_unlabelled_test_images_are_not_advised_to_be_moved_into_a_class(tmp_path: Path) -> None:
    photos(tmp_path / "photos" / "train", count=8)
    photos(tmp_path / "photos", ("test",), count=3)
    report, errors = run(tmp_path / "photos")
    assert "has no label, since it lies in no class folder" in errors
    assert np.all([issue.path.startswith("test/") for issue in report.bad])
    assert not run(tmp_path / "photos", on_bad_file="quarantine")[1]


def test_pipes_and_links_to_nothing_named_like_tables_are_not_read(tmp_path: Path) -> None:
    folder = photos(tmp_path / "photos")
    os.mkfifo(folder / "cat" / "labels.csv")  # opening it would wait for a writer forever
    (folder / "cat" / ".#labels.csv").symlink_to("user@host.1234")  # Emacs, while somebody edits the table
    report, errors = run(folder)
    assert not errors
    assert [issue.path for issue in report.ignored] == ["cat/.#labels.csv", "cat/labels.csv"]


def test_a_table_whose_name_is_not_unicode_is_searched_for_labels(tmp_path: Path) -> None:
    folder = photos(tmp_path / "photos", ("cat", "dog"), 4)
    name = os.fsdecode(b"caf\xe9.csv")
    try:
        (folder / "cat" / name).write_text("cat/0.png,dog\ncat/1.png,cat\ndog/0.png,cat\ndog/1.png,dog\n")
    except OSError:  # macOS
        pytest.skip("this file system has Unicode names only")
    assert r"cat/caf\xe9.csv names images" in run(folder)[0].remarks[0]
    table = "path,label\ncat/0.png,dog\ncat/1.png,cat\ndog/0.png,cat\ndog/1.png,dog\n"
    (folder / "cat" / name).write_text(table)
    assert r"data.path: cat/caf\xe9.csv has its own labels" in run(folder)[1]
