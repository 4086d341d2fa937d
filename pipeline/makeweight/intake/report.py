"""The data report: all that was found in the images, as JSON and as a table to read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from makeweight.core.text import counted, in_markdown, markdown_table, shown
from makeweight.intake.interface import FileIssue
from makeweight.runtime.artifacts import DATA_REPORT_JSON, DATA_REPORT_TABLE
from makeweight.runtime.files import atomic_files, write_json

Escape = Callable[[str], str]


@dataclass(slots=True)
class Report:
    """What `prepare` has found so far.

    Attributes:
        reader: its name.
        path: what it read from, as the parameters say.
        found: images that were found.
        used: images that stand in the splits.
        form: side, channels and why, once they are known.
        classes: images of each class in each split.
        mistakes: what makes the images unusable; empty in the end if splits were written.
        bad: files that cannot be used.
        conflicts: equal images under several labels.
        conversions: what was done to images: words, how many, an example.
        warnings: sentences that nobody must miss: they come first.
        remarks: sentences.
        thinned: how many training images `data.counts` or `data.imbalance` left out, in a sentence; "" if none.
        ignored: files that are no images and were not expected to be.
        duplicates: groups of equal and of nearly equal images.
        leaks: what splits share.
    """

    reader: str
    path: str | None
    found: int = 0
    used: int = 0
    form: dict[str, Any] = field(default_factory=dict)
    classes: dict[str, dict[str, int]] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    bad: list[FileIssue] = field(default_factory=list)
    conflicts: list[list[FileIssue]] = field(default_factory=list)
    conversions: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    thinned: str = ""
    ignored: list[FileIssue] = field(default_factory=list)
    duplicates: dict[str, Any] = field(default_factory=dict)
    leaks: dict[str, Any] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Write `data_report.json` and `data_report.md` into `folder`."""
        with atomic_files(folder) as temporary:
            write_json(temporary / DATA_REPORT_JSON, self.values())
            (temporary / DATA_REPORT_TABLE).write_text(self.text() + "\n", encoding="utf-8")

    def values(self) -> dict[str, Any]:
        """All of it as plain values."""
        return {
            "ended": "refused" if self.errors else "split",
            "mistakes": self.errors,
            "reader": self.reader,
            "path": self.path,
            "found": self.found,
            "used": self.used,
            "form": self.form,
            "classes": self.classes,
            "bad": _plain(self.bad),
            "conflicts": [[{"path": each.path, "class": each.reason} for each in group] for group in self.conflicts],
            "conversions": self.conversions,
            "warnings": self.warnings,
            "remarks": self.remarks,
            "thinned": self.thinned,
            "ignored": _plain(self.ignored),
            "duplicates": self.duplicates,
            "leaks": self.leaks,
        }

    def text(self, most: int | None = None) -> str:
        """All of it to read, as Markdown; with at most `most` lines a table."""
        source = f"{self.reader}, {self.path}" if self.path else self.reader
        escape = in_markdown if most is None else shown
        table = partial(_table, most=most, escape=escape)
        parts = [escape(self.thinned)] if self.thinned else []
        parts += [f"# Data report: {escape(source)}\n\n{self._summary(escape)}"]
        if most is None:  # on a terminal, they stand below the report
            parts += table("Mistakes", ("what is wrong",), [(line,) for line in self.errors])
        parts += table("Bad files", ("file", "reason"), [(each.path, each.reason) for each in self.bad])
        pairs = [", ".join(f"{each.path} ({each.reason})" for each in group) for group in self.conflicts]
        parts += table("The same image under several labels", ("images (class)",), [(pair,) for pair in pairs])
        parts += table(
            "What was done to images", ("what", "images", "for instance"),
            [(each["what"], each["images"], each["example"]) for each in self.conversions],
        )  # fmt: skip
        parts += self._about_duplicates(table)
        parts += table("Ignored", ("file", "why"), [(each.path, each.reason) for each in self.ignored])
        columns = next(iter(self.classes.values()), {})
        rows = [(name, *counts.values()) for name, counts in self.classes.items()]
        parts += table("Images", ("class", *columns), rows, most=None)
        return "\n\n".join(parts)

    def _summary(self, escape: Escape) -> str:
        sentences = [f"WARNING: {escape(warning)}" for warning in self.warnings]
        sentences += [
            f"{counted(self.found, 'image')} found, {counted(len(self.bad), 'bad file')}, {self.used:,} used."
        ]
        if self.form.get("side_because"):
            sentences.append(f"{self.form['side']}×{self.form['side']} pixels: {self.form['side_because']}.")
            sentences.append(f"{'Grey' if self.form['channels'] == 1 else 'RGB'}: {self.form['channels_because']}.")
        return "\n".join(f"- {escape(sentence)}" for sentence in [*sentences, *self.remarks])

    def _about_duplicates(self, table: Callable[..., list[str]]) -> Iterable[str]:
        for kind, title in (("equal", "Equal images"), ("near", "Near-duplicates")):
            groups = self.duplicates.get(kind, [])
            yield from table(title, ("images",), [(_listed(each),) for each in groups])
        groups = self.leaks.get("groups", [])
        rows = [tuple(_listed(each[split]) for split in ("train", "validation", "test")) for each in groups]
        yield from table("What splits share", ("train", "validation", "test"), rows)
        across = self.leaks.get("near_pairs_across", [])
        yield from table("Near-duplicates in two splits", ("one", "the other"), across)


def _plain(notes: Iterable[FileIssue]) -> list[dict[str, str]]:
    return [{"path": each.path, "reason": each.reason} for each in notes]


def _listed(paths: Sequence[str]) -> str:
    return ", ".join(paths)


def _table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], most: int | None, escape: Escape
) -> list[str]:
    """A heading and a table, or nothing if there are no rows."""
    if not rows:
        return []
    head = rows if most is None else rows[:most]
    cells = [[escape(str(cell)) for cell in row] for row in [columns, *head]]
    lines = [markdown_table(cells, max_width=60)]
    if len(rows) > len(head):
        lines.append(f"\n… and {len(rows) - len(head)} more: {DATA_REPORT_TABLE} and {DATA_REPORT_JSON} list them all.")
    return [f"## {title} ({len(rows)})", "\n".join(lines)]
