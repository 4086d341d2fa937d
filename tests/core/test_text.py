"""Names that mean something to a spreadsheet, to CSV, HTML or Markdown stay names."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from makeweight.core.text import as_cell, from_cell, points
from makeweight.intake.interface import FileIssue
from makeweight.intake.report import Report
from makeweight.runtime.files import write_csv
from makeweight.runtime.splits import write_labels

FORMULAS = ("=1+1", "+cmd|x", "-", "-a", "@SUM(1)", "\t=1", "\r=1", '=HYPERLINK("x")')
HARMLESS = ("cat", "-1", "+2.5", "1e3", "a=b", "", "it's")


@pytest.mark.parametrize("text", [*FORMULAS, *HARMLESS, "'", "'=1", "''x", "'cat"])
def test_a_cell_gives_back_its_text(text: str) -> None:
    assert from_cell(as_cell(text)) == text


def test_no_cell_of_a_csv_file_is_a_formula(tmp_path: Path) -> None:
    names = [*FORMULAS, *HARMLESS]
    write_labels(tmp_path, np.arange(len(names)), names, {"path": names, "group": [-1] * len(names)})
    write_csv(tmp_path / "table.csv", pd.DataFrame({"class": names, "=x": 0.5, "images": -1}))
    with (tmp_path / "metadata.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    with (tmp_path / "table.csv").open(newline="", encoding="utf-8") as file:
        rows += csv.reader(file)
    texts = [cell for row in rows for cell in row if cell[:1] in "=+-@\t\r" and cell]
    assert set(texts) == {"-1", "+2.5"}
    assert [from_cell(row[1]) for row in rows[1 : len(names) + 1]] == names


def test_a_class_name_with_line_breaks_survives_a_table(tmp_path: Path) -> None:
    names = ["a\rb", "a\nb", "a\r\nb", 'a"b', "c"]
    write_csv(tmp_path / "table.csv", pd.DataFrame({"class": names, "mean": 0.5}))
    table = pd.read_csv(tmp_path / "table.csv", keep_default_na=False)
    assert table["class"].tolist() == names
    assert table["mean"].tolist() == [0.5] * 5


def test_the_data_report_holds_no_html_and_no_links(tmp_path: Path) -> None:
    evil = "<img onerror=x> [x](javascript:y) `c` a|b"
    report = Report(
        evil, evil, bad=[FileIssue(evil, evil)], remarks=[evil], errors=[evil], ignored=[FileIssue(evil, "why")]
    )
    report.classes, report.conflicts = {evil: {"train": 1}}, [[FileIssue(evil, evil)]]
    report.subsampled = evil
    report.write(tmp_path)
    text = (tmp_path / "data_report.md").read_text(encoding="utf-8")
    assert text.count("img onerror") == 11
    assert not set("<>[]`") & set(text)
    assert "[x](javascript:y)" in report.text(20)


@pytest.mark.parametrize(
    ("fraction", "text"),
    [(0.0123, "+1.23"), (-0.5, "-50.00"), (0.00001, "+0.001"), (0.0, "0.00"), (3e-17, "0.00"), (-3e-17, "0.00")],
)
def test_points_never_round_a_difference_to_none(fraction: float, text: str) -> None:
    assert points(fraction) == text
