"""The data report: the findings of `prepare`, as JSON and as Markdown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from makeweight.core.data import SPLITS
from makeweight.core.text import counted, in_markdown, listed, markdown_table, shown
from makeweight.intake.decoding.parallel import Decoded
from makeweight.intake.grouping.groups import DuplicateFindings
from makeweight.intake.interface import DatasetListing, FileIssue, ImageSpec
from makeweight.runtime.artifacts import DATA_REPORT_JSON, DATA_REPORT_TABLE
from makeweight.runtime.files import atomic_files, write_json

Escape = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class SpecReasons:
    """The channels that images are written with, and why they have these channels and their side."""

    channels: int
    side_because: str
    channels_because: str


@dataclass(slots=True)
class Report:
    """The findings of `prepare`, assembled step by step, so that a run that fails reports those made so far.

    Attributes:
        reader: name of the reader.
        path: `data.path`.
        found: number of images found.
        used: number of images in the splits.
        spec: side, channels and the reasons for them; empty while they are not known.
        classes: number of images of each class in each split.
        errors: reasons why the images cannot be used; empty if the splits were written.
        bad: files that cannot be used.
        conflicts: groups of equal images under several labels.
        conversions: what was done to images: description, number of images, an example.
        warnings: sentences that come first in the report.
        remarks: sentences.
        subsampled: how many training images `data.counts` or `data.imbalance` left out, as a sentence; "" if none.
        ignored: files that are no images and were not expected to be.
        duplicates: groups of equal images and of near-duplicates.
        leaks: what splits share.
    """

    reader: str
    path: str | None
    found: int = 0
    used: int = 0
    spec: dict[str, Any] = field(default_factory=dict)
    classes: dict[str, dict[str, int]] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    bad: list[FileIssue] = field(default_factory=list)
    conflicts: list[list[FileIssue]] = field(default_factory=list)
    conversions: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    subsampled: str = ""
    ignored: list[FileIssue] = field(default_factory=list)
    duplicates: dict[str, Any] = field(default_factory=dict)
    leaks: dict[str, Any] = field(default_factory=dict)

    def add_listing(self, listing: DatasetListing) -> None:
        """Add what the reader found."""
        self.found = len(listing.labels)
        self.bad += listing.bad
        self.ignored += listing.ignored
        self.remarks += listing.remarks
        self.errors += listing.errors

    def add_bad(self, listing: DatasetListing, reasons: Mapping[int, str]) -> None:
        """Add images that cannot be used, by their index."""
        self.bad += [FileIssue(listing.origins[index], reasons[index]) for index in sorted(reasons)]

    def add_decoded(self, listing: DatasetListing, images: Decoded) -> None:
        """Add the conversions of the decoded images, and doubts about what their numbers mean."""
        self.conversions = [
            {"what": what, "images": count, "example": listing.origins[images.examples[what]]}
            for what, count in sorted(images.conversions.items(), key=lambda item: (-item[1], item[0]))
        ]
        self.warnings += images.darkness_warning
        if (example := images.doubtful_opacity) is not None:
            self.errors.append(
                f"data: most images with transparency, among them {listing.origins[example]!r}, are half transparent "
                "in most of their pixels, as if that band were something else, such as near-infrared: set data.bands "
                "to [1, 2, 3] to leave it out, or to [1, 2, 3, 4] to composite the images over data.background anyway"
            )

    def add_spec(self, spec: ImageSpec, reasons: SpecReasons) -> None:
        """Add the size and channels that the images are written with."""
        self.spec = {
            "side": spec.side,
            "channels": reasons.channels,
            "side_because": reasons.side_because,
            "channels_because": reasons.channels_because,
        }

    def add_leaking(self, origins: Sequence[str]) -> None:
        """Add images that are left out because a later predefined split holds the same or a related one."""
        if origins:
            self.remarks.append(
                f"{counted(len(origins), 'image')} left out: a later split holds the same image or a related one"
            )
            self.ignored += [
                FileIssue(origin, "a later split holds the same image or a related one") for origin in origins
            ]

    def add_duplicates(self, findings: DuplicateFindings) -> None:
        """Add duplicates, and what splits share."""
        leaks, on_test = findings.leaks, findings.leaked_test_images
        self.duplicates = {"equal": findings.equal, "near": findings.near}
        self.leaks = {
            "test_images": on_test,
            "of_test": round(on_test / max(1, findings.test_images), 6),
            "groups": leaks,
            "near_pairs_across": findings.near_across,
        }
        equal, near = (sum(map(len, groups)) for groups in (findings.equal, findings.near))
        if equal or near:
            self.remarks.append(
                f"{equal} images have equal ones, {near} have near-duplicates"
                + (": each group stays in one split" if not leaks else "")
            )
        if findings.label_pairs:
            self.remarks.append(
                f"{counted(findings.label_pairs, 'pair')} of near-duplicates with two labels, among them "
                f"{' and '.join(findings.label_example)}: are both right?"
            )
        if leaks:
            self.remarks.append(
                f"LEAK: the predefined splits share {len(leaks)} groups of images; {on_test} test images "
                f"({100 * on_test / findings.test_images:.2f}%) have a copy or a related image in train or validation; "
                "they are kept as they are: data.on_leak: drop trains without such images; lower data.near_duplicates "
                "if they only look similar"
            )
        if findings.near_across:
            self.remarks.append(
                f"{len(findings.near_across)} pairs of near-duplicates are in two splits, since a group holds only "
                "near-duplicates of one image: raise data.near_duplicates to join them"
            )

    def add_splits(self, classes: dict[str, dict[str, int]], available: int, setting: str) -> None:
        """Add the sizes of the splits.

        Args:
            classes: number of images of each class in each split.
            available: number of images that could be used.
            setting: which setting left out the others.
        """
        self.classes = classes
        self.used = sum(sum(counts.values()) for counts in classes.values())
        self.remarks.append(f"{len(classes)} classes, in the order of data.counts: {listed(list(classes), 100)}")
        if dropped := available - self.used:
            kept = listed([f"{counts['train']} of {name}" for name, counts in classes.items()], 100)
            train = dropped + sum(counts["train"] for counts in classes.values())
            self.subsampled = f"SUBSAMPLED: {setting} leaves out {dropped} of {train} training images and keeps {kept}"

    def write(self, folder: Path) -> None:
        """Write `data_report.json` and `data_report.md` into `folder`."""
        with atomic_files(folder) as temporary:
            write_json(temporary / DATA_REPORT_JSON, self.values())
            (temporary / DATA_REPORT_TABLE).write_text(self.text() + "\n", encoding="utf-8")

    def values(self) -> dict[str, Any]:
        """The report as JSON values."""
        return {
            "ended": "refused" if self.errors else "split",
            "errors": self.errors,
            "reader": self.reader,
            "path": self.path,
            "found": self.found,
            "used": self.used,
            "spec": self.spec,
            "classes": self.classes,
            "bad": _as_dicts(self.bad),
            "conflicts": [[{"path": issue.path, "class": issue.reason} for issue in group] for group in self.conflicts],
            "conversions": self.conversions,
            "warnings": self.warnings,
            "remarks": self.remarks,
            "subsampled": self.subsampled,
            "ignored": _as_dicts(self.ignored),
            "duplicates": self.duplicates,
            "leaks": self.leaks,
        }

    def text(self, max_rows: int | None = None) -> str:
        """The report as Markdown; for a terminal, with at most `max_rows` rows in each table."""
        source = f"{self.reader}, {self.path}" if self.path else self.reader
        escape = in_markdown if max_rows is None else shown
        table = partial(_table, max_rows=max_rows, escape=escape)
        parts = [escape(self.subsampled)] if self.subsampled else []
        parts += [f"# Data report: {escape(source)}\n\n{self._summary(escape)}"]
        if max_rows is None:  # on a terminal, the errors follow the report
            parts += table("Errors", ("error",), [(line,) for line in self.errors])
        parts += table("Bad files", ("file", "reason"), [(issue.path, issue.reason) for issue in self.bad])
        conflicts = [", ".join(f"{issue.path} ({issue.reason})" for issue in group) for group in self.conflicts]
        parts += table(
            "The same image under several labels", ("images (class)",), [(conflict,) for conflict in conflicts]
        )
        parts += table(
            "Conversions", ("what", "images", "example"),
            [(conversion["what"], conversion["images"], conversion["example"]) for conversion in self.conversions],
        )  # fmt: skip
        parts += self._duplicate_tables(table)
        parts += table("Ignored", ("file", "reason"), [(issue.path, issue.reason) for issue in self.ignored])
        columns = next(iter(self.classes.values()), {})
        rows = [(name, *counts.values()) for name, counts in self.classes.items()]
        parts += table("Images", ("class", *columns), rows, max_rows=None)
        return "\n\n".join(parts)

    def _summary(self, escape: Escape) -> str:
        sentences = [f"WARNING: {escape(warning)}" for warning in self.warnings]
        sentences += [
            f"{counted(self.found, 'image')} found, {counted(len(self.bad), 'bad file')}, {self.used:,} used."
        ]
        if self.spec.get("side_because"):
            sentences.append(f"{self.spec['side']}×{self.spec['side']} pixels: {self.spec['side_because']}.")
            sentences.append(f"{'Grey' if self.spec['channels'] == 1 else 'RGB'}: {self.spec['channels_because']}.")
        return "\n".join(f"- {escape(sentence)}" for sentence in [*sentences, *self.remarks])

    def _duplicate_tables(self, table: Callable[..., list[str]]) -> Iterable[str]:
        for kind, title in (("equal", "Equal images"), ("near", "Near-duplicates")):
            yield from table(title, ("images",), [(", ".join(group),) for group in self.duplicates.get(kind, [])])
        rows = [tuple(", ".join(group[split]) for split in SPLITS) for group in self.leaks.get("groups", [])]
        yield from table("Groups in several splits", SPLITS, rows)
        across = self.leaks.get("near_pairs_across", [])
        yield from table("Near-duplicates in two splits", ("one", "the other"), across)


def _as_dicts(issues: Iterable[FileIssue]) -> list[dict[str, str]]:
    return [{"path": issue.path, "reason": issue.reason} for issue in issues]


def _table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], max_rows: int | None, escape: Escape
) -> list[str]:
    """A heading and a table, or nothing if there are no rows."""
    if not rows:
        return []
    head = rows if max_rows is None else rows[:max_rows]
    cells = [[escape(str(cell)) for cell in row] for row in [columns, *head]]
    lines = [markdown_table(cells, max_width=60)]
    if len(rows) > len(head):
        lines.append(f"\n… and {len(rows) - len(head)} more: {DATA_REPORT_TABLE} and {DATA_REPORT_JSON} list them all.")
    return [f"## {title} ({len(rows)})", "\n".join(lines)]
