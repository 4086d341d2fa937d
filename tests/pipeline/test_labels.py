"""Class names, labels and groups as people write them: their order, what is missing, what looks alike."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.core import BadInput
from pipeline.dividing import divide
from tests.pipeline.test_dividing import counts_of, roll, settings
from tests.pipeline.test_preparing import photos, run
from tests.pipeline.test_readers import read, read_arrays, read_csv, table, write_arrays

NUMBERED = ("1", "10", "2", "-1", "plot 10", "plot 9", "Plot 1", "0.5", "007")
IN_ORDER = ("-1", "0.5", "1", "2", "007", "10", "Plot 1", "plot 9", "plot 10")


def test_folders_tables_and_arrays_have_classes_in_the_same_natural_order(tmp_path: Path) -> None:
    folder = photos(tmp_path / "photos", NUMBERED, each=1)
    lines = [f"{name}/0.png,{name}" for name in NUMBERED]
    write_arrays(tmp_path / "arrays", images=np.zeros((9, 8, 8), np.uint8), labels=np.array(NUMBERED))
    assert read(folder).classes == IN_ORDER
    assert read_csv(table(folder / "all.csv", "path,label", *lines)).classes == IN_ORDER
    assert read_arrays(tmp_path / "arrays").classes == IN_ORDER


def test_the_order_of_classes_is_printed(tmp_path: Path) -> None:
    report, _ = run(photos(tmp_path / "photos", ("1", "10", "2"), each=3))
    assert "3 classes, in the order of data.counts: 1, 2, 10" in report.text(20)


def test_counts_may_go_by_names(tmp_path: Path) -> None:
    source = roll(100, 50)
    assert counts_of(source, divide(source, settings(counts={"b": 5}), seed=0))["train"] == [70, 5]
    with pytest.raises(BadInput, match=r"data\.counts names c, but the classes are a, b"):
        divide(source, settings(counts={"c": 5}), seed=0)
    report, _ = run(photos(tmp_path / "photos"), counts={"cat": 2})
    assert report.text(20).startswith(
        "THINNED: data.counts leaves out 2 of 8 training images and keeps 2 of cat, 4 of dog"
    )


def test_only_the_digits_are_thinned_unless_asked(tmp_path: Path) -> None:
    report, _ = run(photos(tmp_path / "photos", each=30))
    assert not report.thinned
    assert [each["train"] for each in report.classes.values()] == [21, 21]
    for imbalance, kept in ((None, 8), (1.0, None)):
        report, _ = run(tmp_path, reader="digits", imbalance=imbalance)
        train = [each["train"] for each in report.classes.values()]
        assert max(train) / min(train) < 1.1 if kept is None else max(train) / min(train) > 19
        assert report.text(20).startswith("THINNED: data.imbalance (20, the reader's default; 1 keeps all)") == bool(
            kept
        )
