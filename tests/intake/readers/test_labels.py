"""Class names, labels and groups as users write them: order, missing values, names that look the same."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from makeweight.core.errors import BadInput
from makeweight.intake.grouping.splitting import split_images
from tests.support.data_settings import counts_of, settings, split_input
from tests.support.preparing import photos, run
from tests.support.readers import decoded, read, read_arrays, read_csv, table, write_arrays

NUMBERED = ("1", "10", "2", "-1", "plot 10", "plot 9", "Plot 1", "0.5", "007")
IN_ORDER = ("-1", "0.5", "1", "2", "007", "10", "Plot 1", "plot 9", "plot 10")


def test_folders_tables_and_arrays_have_classes_in_the_same_natural_order(tmp_path: Path) -> None:
    folder = photos(tmp_path / "photos", NUMBERED, count=1)
    lines = [f"{name}/0.png,{name}" for name in NUMBERED]
    write_arrays(tmp_path / "arrays", images=np.zeros((9, 8, 8), np.uint8), labels=np.array(NUMBERED))
    assert read(folder).classes == IN_ORDER
    assert read_csv(table(folder / "all.csv", "path,label", *lines)).classes == IN_ORDER
    assert read_arrays(tmp_path / "arrays").classes == IN_ORDER


def test_the_order_of_classes_is_printed(tmp_path: Path) -> None:
    report, _ = run(photos(tmp_path / "photos", ("1", "10", "2"), count=3))
    assert "3 classes, in the order of data.counts: 1, 2, 10" in report.text(20)


def test_counts_may_go_by_names(tmp_path: Path) -> None:
    images = split_input(100, 50)
    assert counts_of(images, split_images(images, settings(counts={"b": 5}), seed=0))["train"] == [70, 5]
    with pytest.raises(BadInput, match=r"data\.counts names c, but the classes are a, b"):
        split_images(images, settings(counts={"c": 5}), seed=0)
    report, _ = run(photos(tmp_path / "photos"), counts={"cat": 2})
    assert report.text(20).startswith(
        "SUBSAMPLED: data.counts leaves out 2 of 8 training images and keeps 2 of cat, 4 of dog"
    )


def test_only_the_digits_are_subsampled_by_default(tmp_path: Path) -> None:
    report, _ = run(photos(tmp_path / "photos", count=30))
    assert not report.subsampled
    assert [counts["train"] for counts in report.classes.values()] == [21, 21]
    for imbalance, kept in ((None, 8), (1.0, None)):
        report, _ = run(tmp_path, reader="digits", imbalance=imbalance)
        train = [counts["train"] for counts in report.classes.values()]
        assert max(train) / min(train) < 1.1 if kept is None else max(train) / min(train) > 19
        assert report.text(20).startswith("SUBSAMPLED: data.imbalance (20, the reader's default; 1 keeps all)") == bool(
            kept
        )


MISSING = ("nan", "NaN", "None", "NA", "N/A", "<NA>", "NULL", "#N/A", "", "  ", "_unlabeled")


def test_a_missing_label_is_no_class_in_tables_and_arrays(tmp_path: Path) -> None:
    folder = photos(tmp_path / "photos", ("cat", "dog"), count=len(MISSING))
    lines = [f"cat/{index}.png,{text}" for index, text in enumerate(MISSING)]
    listing = read_csv(table(folder / "all.csv", "path,label", *lines, "dog/0.png,cat", "dog/1.png,dog"))
    assert listing.classes == ("cat", "dog")
    assert len(listing.bad) == len(MISSING)
    assert all(issue.reason.startswith("has no label") for issue in listing.bad)
    labels = np.array([*MISSING, "cat", "dog"])
    images = np.arange(len(labels), dtype=np.uint8)[:, None, None] * np.ones((8, 8), np.uint8)
    write_arrays(tmp_path / "arrays", images=images, labels=labels)
    listing = read_arrays(tmp_path / "arrays")
    assert listing.classes == ("cat", "dog")
    assert listing.origins == ["images[11]", "images[12]"]
    assert decoded(listing)[:, 0, 0, 0].tolist() == [11, 12]
    assert [issue.path for issue in listing.bad] == [f"images[{index}]" for index in range(len(MISSING))]


def test_none_and_null_in_small_letters_are_classes_that_are_asked_about(tmp_path: Path) -> None:
    listing = read(photos(tmp_path / "photos", ("none", "null", "scratch")))
    assert listing.classes == ("none", "null", "scratch")
    assert "'none' is treated as a class like the others" in listing.remarks[0]


def test_a_missing_group_is_no_group(tmp_path: Path) -> None:
    write_arrays(
        tmp_path / "a", images=np.zeros((6, 8, 8), np.uint8), labels=np.arange(6) % 2,
        groups=np.array([[7], [7], [np.nan], [np.nan], [-1], [8]]),
    )  # fmt: skip
    listing = read_arrays(tmp_path / "a")
    assert listing.groups == ["7.0", "7.0", "", "", "", "8.0"]
    assert any("2 images with the group 'nan'" in remark for remark in listing.remarks)
    folder = photos(tmp_path / "photos")
    rows = [
        f"cat/{index}.png,{'ab'[index % 2]},{group}" for index, group in enumerate(("p1", "NA", "None", "unknown", " "))
    ]
    assert read_csv(table(folder / "all.csv", "path,label,group", *rows)).groups == ["p1", "", "", "", ""]


@pytest.mark.parametrize(
    "names", [("cat", "cat "), ("cat", "Cat\u200b"), ("no finding", "no  finding"), ("cat", "cat\r"), ("1", "1.0", "x")]
)
def test_names_that_look_the_same_are_refused(names: tuple[str, ...], tmp_path: Path) -> None:
    write_arrays(tmp_path, images=np.zeros((len(names), 8, 8), np.uint8), labels=np.array(names))
    assert re.fullmatch(r"data\.path: the classes .* and .* differ only in .*", read_arrays(tmp_path).errors[0])


@pytest.mark.parametrize(
    ("names", "refused", "asked"),
    [
        (("Mass", "Nodule", "Mass|Nodule"), True, False),
        (("Mass", "Effusion; Mass"), True, False),
        (("['Mass']", "['Nodule']", "['Mass', 'Nodule']"), True, False),
        (("rust", "scab", "rust scab"), False, True),
        (("apple", "Pepper,_bell", "a|b", "a|c", "benign/malignant", "apple tree"), False, False),
    ],
)
def test_names_that_join_several_classes_are_refused_or_asked_about(
    names: tuple[str, ...], refused: bool, asked: bool, tmp_path: Path
) -> None:
    write_arrays(tmp_path, images=np.zeros((len(names), 8, 8), np.uint8), labels=np.array(names))
    listing = read_arrays(tmp_path)
    assert any("hold several classes" in line for line in listing.errors) == refused
    assert any("several labels at once?" in line for line in listing.remarks) == asked


def test_a_folder_of_images_without_labels_is_asked_about(tmp_path: Path) -> None:
    for name in ("_unlabeled", "Un-labelled", "no_label"):
        listing = read(photos(tmp_path / name, ("cat", "dog", name)))
        assert listing.classes == ("cat", "dog")
        assert f"the folder {name!r} has a name for images without a label" in listing.errors[0]
    _, errors = run(photos(photos(tmp_path / "photos"), ("unknown",), count=1))
    assert "leave it out if it means that their class is not known" in errors
    assert "add images" not in errors


@pytest.mark.parametrize(
    ("labels", "present", "absent"),
    [
        (np.array([[0, 1, 1], [1, 0, 0]] * 2), "2 rows of 4 are not one-hot", "argmax"),
        (np.array([[0.2, 0.8], [0.5, 0.5]] * 2), "4 rows of 4 are not one-hot", "argmax"),
        (np.array([0.0, np.nan, 1.0, 1.0]), "1 are NaN", "astype"),
        (np.array([0.5, 1.0, 1.0, 1.0]), "fractions", "astype"),
        (np.array([0.0, 1.0, 1.0, 1.0]), "labels.astype(int)", "argmax"),
        (np.eye(4), "labels.argmax(1)", "astype"),
    ],
)
def test_labels_of_another_form_get_advice_that_suits_them(
    labels: Any, present: str, absent: str, tmp_path: Path
) -> None:
    write_arrays(tmp_path, images=np.zeros((4, 8, 8), np.uint8), labels=labels)
    with pytest.raises(BadInput) as caught:
        read_arrays(tmp_path)
    assert present in str(caught.value)
    assert absent not in str(caught.value)
