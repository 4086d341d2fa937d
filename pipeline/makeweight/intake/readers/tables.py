"""Tables of paths and labels: any CSV file, or the `metadata.csv` or `.jsonl` of Hugging Face's `imagefolder`."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np

from makeweight.core.data import SPLITS
from makeweight.core.errors import BadInput
from makeweight.core.parameters import DataSettings
from makeweight.core.text import in_natural_order, listed, printable, shown, valid_unicode
from makeweight.intake.class_names import split_called
from makeweight.intake.decoding.sources import Files
from makeweight.intake.interface import UNASSIGNED, DatasetListing, FileIssue
from makeweight.intake.readers import nearest
from makeweight.intake.readers.folder import existing_folder, leads_out
from makeweight.intake.readers.labels import class_errors, class_remarks, known_groups, no_label
from makeweight.runtime.artifacts import JSON_METADATA, METADATA

COLUMNS = ("label", "split", "group")
# Names, without underscores, that columns of paths and labels often have.
PATH_SYNONYMS = frozenset({
    "path", "file", "filename", "filepath", "image", "imagepath", "imageid", "imagename", "img", "imgpath",
    "imageindex",
})  # fmt: skip
LABEL_SYNONYMS = frozenset({
    "class", "classid", "classname", "category", "target", "labels", "findinglabels", "diagnosis", "dx", "species", "y",
})  # fmt: skip
SYNONYMS = {"path": PATH_SYNONYMS, "file_name": PATH_SYNONYMS, "label": LABEL_SYNONYMS}
MISSING_FILE = "does not exist"
DELIMITERS = ",;\t"
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
UTF_16_MARKS = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a table that names an existing image."""

    where: str
    path: str
    label: str
    split: int
    group: str


@dataclass(slots=True)
class Rows:
    """The usable lines of one or several tables so far, and the issues of the others.

    Attributes:
        root: the folder to which all paths are relative.
        follow_links: whether links may lead out of it.
        good: lines that can be used, provided that their label is known.
        bad: the issues of the others.
        remarks: sentences for the report.
        lines: for each image, the line that names it first, and its label.
        contradicted: images to which a later line gives another label.
        repairs: for each path that names no file, how to change it to name one; "" if this is unclear.
        files: all files below `root`, once they are needed.
    """

    root: Path
    follow_links: bool
    good: list[Row] = field(default_factory=list)
    bad: list[FileIssue] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    lines: dict[str, tuple[str, str]] = field(default_factory=dict)
    contradicted: set[str] = field(default_factory=set)
    repairs: list[str] = field(default_factory=list)
    files: nearest.Files | None = None

    def add(self, table: str, path_column: str, folder: str = "", split: int = UNASSIGNED) -> None:
        """Add the lines of a table below `root`, whose paths are relative to `folder`.

        Args:
            table: its path, relative to `root`.
            path_column: the column that holds paths.
            folder: below `root`.
            split: of all its images, unless a column says otherwise.

        Raises:
            BadInput: it cannot be read, or lacks a column.
        """
        lines = _lines(self.root / table, table, self.remarks)
        start, head = next(lines, (1, []))
        names = [name.strip().lower() for name in head]
        columns = {name: index for index, name in enumerate(names)}
        if repeated := [name for name in (path_column, *COLUMNS) if names.count(name) > 1]:
            raise BadInput(
                f"data.path: {printable(table)}, line {start}: there are several columns {' and '.join(repeated)}: "
                "keep one"
            )
        if missing := [name for name in (path_column, "label") if name not in columns]:
            raise BadInput(
                f"data.path: {printable(table)}, line {start}: there is no column {' and no column '.join(missing)} "
                f"among {listed(head) or 'none'}{_column_remedy(head, missing)}"
            )
        for number, cells in lines:
            if not cells:
                continue
            where = f"{valid_unicode(table)}, line {number}"
            if len(cells) != len(head):
                self.bad.append(FileIssue(where, f"has {len(cells)} cells instead of {len(head)}"))
                continue
            values = {name: cells[index].strip() for name, index in columns.items()}
            self._add_row(where, values[path_column], folder, values, split)

    def _add_row(self, where: str, name_in_table: str, folder: str, values: dict[str, str], split: int) -> None:
        path = os.path.normpath(f"{folder}/{name_in_table}" if folder else name_in_table)
        called = split_called(values.get("split", ""))
        if reason := self._wrong(name_in_table, path, values, folder) or self._repeated(path, values["label"]):
            self.bad.append(FileIssue(f"{where}: {valid_unicode(name_in_table)}", reason))
            return
        self.lines[path] = (where, values["label"])
        place = SPLITS.index(called) if called else split
        self.good.append(
            Row(where, path, valid_unicode(values["label"]), place, valid_unicode(values.get("group", "")))
        )

    def _wrong(self, name_in_table: str, path: str, values: dict[str, str], folder: str) -> str | None:
        """The reason why a line cannot be used, or None."""
        split = values.get("split", "")
        checks: tuple[tuple[Callable[[], bool], str], ...] = (
            (lambda: not name_in_table, "names no image: the cell is empty"),
            (lambda: "\0" in name_in_table, "is not a path: it contains a null byte"),
            (
                lambda: name_in_table.startswith("/"),
                "is an absolute path: write it relative to the table's folder",
            ),
            (
                lambda: path.partition("/")[0] == "..",
                "leads out of the folder that holds the table: move the table to a folder above all images",
            ),
            (lambda: no_label(values["label"]) is not None, no_label(values["label"]) or ""),
            (
                lambda: bool(split) and not split_called(split),
                f"has the unknown split {split!r}: train, validation or test",
            ),
            (lambda: not (self.root / path).exists(), MISSING_FILE),
            (
                lambda: not self.follow_links and leads_out(self.root, path),
                "is a link out of the folder: copy it here, or set data.follow_links to true",
            ),
        )
        try:
            reason = next((reason for wrong, reason in checks if wrong()), None)
        except OSError as error:
            return f"cannot be read: {error.strerror}"
        return self._missing(name_in_table, folder) if reason == MISSING_FILE else reason

    def _missing(self, name_in_table: str, folder: str) -> str:
        """The reason for a path that names no file, with the file that is probably meant."""
        self.files = self.files or nearest.Files(self.root)
        found = self.files.nearest(f"{folder}/{name_in_table}" if folder else name_in_table)
        if found is None:
            self.repairs.append("")
            return MISSING_FILE
        seen = os.path.relpath(found, folder or ".")
        self.repairs.append(nearest.changes(name_in_table, seen))
        return f"{MISSING_FILE}; the nearest file is {valid_unicode(seen)!r}: {self.repairs[-1]}"

    def _same_repair(self) -> list[str]:
        """One line if all paths that name no file have the same fault, else none."""
        if len(self.repairs) < 2 or len(set(self.repairs)) > 1 or not self.repairs[0]:
            return []
        return [f"all {len(self.repairs)} paths that name no file have the same fault: {shown(self.repairs[0])}"]

    def _repeated(self, path: str, label: str) -> str | None:
        """The reason if an earlier line names the same image, or None."""
        if path not in self.lines:
            return None
        first, earlier = self.lines[path]
        if label == earlier:
            return f"is already named in {first}"
        self.contradicted.add(path)
        return f"is already named in {first}, as {earlier!r}, but here as {label!r}: neither is used"

    def listing(self) -> DatasetListing:
        """The dataset listing of all lines; those with a label that no training line has are bad."""
        rows = [row for row in self.good if row.path not in self.contradicted]
        if len({row.split for row in rows}) > 1:
            known = {row.label for row in rows if row.split in (SPLITS.index("train"), UNASSIGNED)}
            self.bad += [
                FileIssue(
                    f"{row.where}: {valid_unicode(row.path)}", f"has a label that no training line has: {row.label!r}"
                )
                for row in rows
                if row.label not in known
            ]
            rows = [row for row in rows if row.label in known]
        groups = known_groups([row.group for row in rows], self.remarks)
        classes = in_natural_order({row.label for row in rows})
        errors = class_errors(classes)
        self.remarks += [*class_remarks(classes), *self._same_repair()]
        if len(classes) < 2:
            errors.append(
                f"data.path: the table names images of {len(classes)} classes; there must be two or more"
                + (f" ({len(self.bad)} lines cannot be used)" if self.bad else "")
            )
            errors += [f"data.path: {line}" for line in self._same_repair()]
        numbers = {name: number for number, name in enumerate(classes)}
        return DatasetListing(
            Files(str(self.root.absolute()), [row.path for row in rows]),
            np.array([numbers[row.label] for row in rows], np.int64), tuple(classes),
            [valid_unicode(row.path) for row in rows],
            np.array([row.split for row in rows], np.int8), groups if any(groups) else (),
            bad=tuple(self.bad), remarks=tuple(self.remarks), errors=tuple(errors),
        )  # fmt: skip


def _column_remedy(head: list[str], missing: list[str]) -> str:
    """How to name the columns `missing`, as far as the first line shows."""
    if separators := [sign for sign in ";\t|" if any(sign in cell for cell in head)]:
        return f": the cells seem to be separated by {' or '.join(map(repr, separators))}: save the table with commas"
    names = [name.strip() for name in head]
    meant = {
        column: next((name for name in names if name.casefold().replace("_", "") in SYNONYMS[column]), None)
        for column in missing
    }
    renamed = [f"rename {name} to {column}" for column, name in meant.items() if name]
    rest = [column for column, name in meant.items() if not name]
    if "label" in rest:
        renamed.append("name the one that holds the class label (write one, if classes are columns of 0 and 1)")
    if rest and rest != ["label"]:
        renamed.append(f"name the one that holds the paths {next(name for name in rest if name != 'label')}")
    return f": {' and '.join(renamed)}"


def _lines(path: Path, name: str, remarks: list[str]) -> Iterator[tuple[int, list[str]]]:
    """The lines of a table, blank ones included, with their numbers from 1; the first one names the columns."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BadInput(f"data.path: {printable(path)} cannot be read ({error.strerror}): name a CSV file") from error
    if content.startswith(UTF_16_MARKS):
        raise BadInput(f"data.path: {printable(name)}, line 1: is UTF-16: save it as UTF-8")
    if content.startswith(BYTE_ORDER_MARK):
        remarks.append(f"{printable(name)}, line 1: begins with a byte-order mark, which is ignored")
        content = content.removeprefix(BYTE_ORDER_MARK)
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise BadInput(f"data.path: {printable(name)}, line {line}: is not UTF-8: save the table as UTF-8") from error
    if path.suffix == ".jsonl":
        yield from _lines_of_json(text, name)
        return
    delimiter = _delimiter(text)
    if delimiter != ",":
        remarks.append(f"{printable(name)}, line 1: the cells are separated by {delimiter!r}")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    number = 1
    try:
        for cells in reader:
            yield number, cells
            number = reader.line_num + 1
    except csv.Error as error:
        raise BadInput(
            f"data.path: {printable(name)}, line {number}: is not valid CSV ({error}): correct the quotation marks"
        ) from error


def _lines_of_json(text: str, name: str) -> Iterator[tuple[int, list[str]]]:
    """The lines of a JSON Lines file as those of a table, with a first one that names all keys."""
    rows = [_json_row(line, f"{printable(name)}, line {number}") for number, line in enumerate(text.split("\n"), 1)]
    keys = list(dict.fromkeys(key for row in rows for key in row))
    yield 1, keys
    for number, row in enumerate(rows, start=1):
        yield number, [_as_text(row.get(key)) for key in keys] if row else []


def _json_row(line: str, where: str) -> dict[str, object]:
    try:
        row = json.loads(line) if line.strip() else {}
    except (ValueError, RecursionError) as error:
        raise BadInput(f"data.path: {where}: is not valid JSON: write one object on each line") from error
    if not isinstance(row, dict):
        raise BadInput(f"data.path: {where}: is no JSON object: write one object on each line")
    return row


def _as_text(value: object) -> str:
    """A value of JSON as the cell of a table."""
    return "" if value is None else value if isinstance(value, str) else json.dumps(value)


def _delimiter(text: str) -> str:
    """The comma, unless the first line contains no other delimiter than `;` or the tab."""
    present = [sign for sign in DELIMITERS if sign in text.partition("\n")[0]]
    return present[0] if len(present) == 1 else ","


class CSV:
    """A table with the columns `path`, `label` and optionally `split` and `group`; paths are relative to its folder."""

    uses: ClassVar[frozenset[str]] = frozenset({"path"})

    def read(self, settings: DataSettings) -> DatasetListing:
        """List the images of the table `data.path`; BadInput if it is not a table."""
        table = Path(settings.path or "")
        if table.is_dir():
            raise BadInput(f"data.path: {printable(table)} is a folder; the reader csv needs a CSV file")
        rows = Rows(table.parent, settings.follow_links)
        rows.add(table.name, "path")
        return rows.listing()


class HuggingFace:
    """A local `imagefolder`: a table with `file_name` and `label`, for all images or in each split.

    It is called `metadata.csv` or `metadata.jsonl`; the first is read where both are there.
    """

    uses: ClassVar[frozenset[str]] = frozenset({"path"})

    def read(self, settings: DataSettings) -> DatasetListing:
        """List the images of the tables; BadInput if there are none."""
        folder = existing_folder(settings.path or "")
        rows = Rows(folder, settings.follow_links)
        if table := _table_in(folder):
            rows.add(table, "file_name")
            rows.good = [_with_split_of_folder(row) for row in rows.good]
            return rows.listing()
        tables = {entry.name: table for entry in sorted(folder.iterdir()) if (table := _table_in(entry))}
        splits = {name: split for name in tables if (split := split_called(name))}
        if not splits:
            raise BadInput(
                f"data.path: there is no {METADATA} or {JSON_METADATA} in {printable(folder)}, nor in train, "
                "validation and test below it (no other table is read); if sub-folders are the labels, set data.reader "
                "to folder"
            )
        if len(set(splits.values())) < len(splits):
            raise BadInput(f"data.path: two folders mean the same split: {shown(', '.join(splits))}: join them")
        for name, split in splits.items():
            rows.add(f"{name}/{tables[name]}", "file_name", name, SPLITS.index(split))
        return rows.listing()


def _table_in(folder: Path) -> str | None:
    return next((name for name in (METADATA, JSON_METADATA) if (folder / name).is_file()), None)


def _with_split_of_folder(row: Row) -> Row:
    """The row with the split that its top folder names, as in Hugging Face's own reader, unless it has a split."""
    first, *rest = row.path.split("/")
    split = split_called(first) if rest else None
    if row.split != UNASSIGNED or not split:
        return row
    return Row(row.where, row.path, row.label, SPLITS.index(split), row.group)
