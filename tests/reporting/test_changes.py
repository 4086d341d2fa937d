"""Validation images whose prediction changed: which ones, and what is shown beside them."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from makeweight.core.data import Split
from makeweight.core.errors import BadInput
from makeweight.core.study import Arm
from makeweight.reporting.changes import (
    Change,
    Predictions,
    changes,
    most_changed_classes,
    shown_changes,
    validation_predictions,
)
from makeweight.runtime.files import read_arrays, write_arrays
from tests.support.study import small_study

LABELS = np.array([0, 0, 0, 0, 0, 1, 1])


def predictions(*rows: list[int]) -> Predictions:
    return np.array(rows, dtype=np.uint8)


REFERENCE = predictions([1, 2, 0, 0, 1, 1, 0], [1, 2, 0, 0, 0, 1, 0], [2, 0, 0, 0, 0, 1, 0])
ARM = predictions([0, 0, 2, 0, 0, 1, 0], [0, 0, 2, 0, 1, 1, 0], [0, 0, 1, 0, 0, 0, 0])


def test_images_that_changed_in_most_replicates_come_first_in_each_direction() -> None:
    found = changes(0, LABELS, ARM, REFERENCE)
    # Image 3 never changed, and image 4 as often in one direction as in the other.
    assert found == [Change(0, 1, 0, 3), Change(1, 2, 0, 2), Change(2, 0, 2, 3)]
    assert changes(1, LABELS, ARM, REFERENCE) == [Change(5, 1, 0, 1)]


def test_of_many_images_few_are_shown() -> None:
    labels = np.zeros(9, dtype=np.int64)
    worse = predictions([0] * 4 + [1] * 5)
    found = changes(0, labels, np.zeros_like(worse), worse)
    assert [change.image for change in found] == [4, 5]


def test_the_classes_with_the_largest_differences_are_shown_unless_they_are_zero() -> None:
    table = pd.DataFrame({"class": list("abcde"), "gain": [0.1, 0.0, -0.3, 0.1, 0.2]})
    assert most_changed_classes(table) == ["c", "e", "a"]
    assert most_changed_classes(table[:2]) == ["a"]


def flat(values: list[int], labels: list[int]) -> Split:
    """Images of 8 by 8 pixels, each of a single grey value."""
    images = np.broadcast_to(np.array(values, dtype=np.uint8)[:, None, None, None], (len(values), 8, 8, 1))
    return Split(images.copy(), np.array(labels), ("a", "b", "c"))


def greys(uri: str) -> list[int]:
    """The grey values of flat images of 8 by 8 pixels in a strip."""
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))
    return [int(value) for value in picture[0, ::9]]


def test_a_changed_image_is_shown_beside_the_nearest_images_of_its_class_of_each_family() -> None:
    validation = flat([10, 20, 30, 40, 50, 60, 70], LABELS.tolist())
    gains = pd.DataFrame({"class": ["a", "b"], "gain": [0.4, 0.0]})
    synthetic = {
        "cgan": flat([200, 13, 9, 25, 10], [0, 0, 0, 0, 1]),
        "warp": flat([10, 20], [1, 2]),
    }
    shown = shown_changes(gains, validation, (ARM, REFERENCE), synthetic)
    assert shown["heads"] == ["validation image", "nearest images of cgan", "nearest images of warp"]
    assert [row["change"] for row in shown["rows"]] == [
        "now right: “b” → “a” in 3 of 3 runs",
        "now right: “c” → “a” in 2 of 3 runs",
        "now wrong: “a” → “c” in 3 of 3 runs",
    ]
    assert [greys(row["image"]) for row in shown["rows"]] == [[10], [20], [30]]
    assert [greys(row["nearest"][0]) for row in shown["rows"]] == [[9, 13, 25], [25, 13, 9], [25, 13, 9]]
    assert {row["nearest"][1] for row in shown["rows"]} == {None}  # warp has none of this class
    assert shown["unchanged"] == []


def test_a_class_without_changed_images_is_named() -> None:
    validation = flat([10] * 7, LABELS.tolist())
    gains = pd.DataFrame({"class": ["a", "b"], "gain": [0.4, -0.1]})
    shown = shown_changes(gains, validation, (REFERENCE, REFERENCE), {"cgan": validation})
    assert shown["rows"] == []
    assert shown["unchanged"] == ["a", "b"]


def test_predictions_that_are_missing_or_of_other_images_are_named(tmp_path: Path) -> None:
    _, places = small_study(tmp_path)
    arm, path = Arm("cgan", "plain"), places.runs / "cgan-plain/predictions.npz"
    stored = read_arrays(path)
    labels = stored["validation_labels"]
    validation = flat([0] * len(labels), labels.tolist())
    found = validation_predictions(places.runs, arm, validation, 3)
    assert found.shape == (3, len(labels))
    assert np.array_equal(found[2], stored["validation_replicate_2"])
    with pytest.raises(BadInput, match="no predictions of validation images: run train-augmented for cgan-plain again"):
        validation_predictions(places.runs, arm, validation, 4)
    write_arrays(path, {**stored, "validation_labels": labels[::-1]})
    with pytest.raises(BadInput, match=r"predictions\.npz is of other validation images"):
        validation_predictions(places.runs, arm, validation, 3)
    path.unlink()
    with pytest.raises(BadInput, match=r"predictions\.npz holds no predictions of validation images"):
        validation_predictions(places.runs, arm, validation, 3)
