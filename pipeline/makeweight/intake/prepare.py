"""Taking images in: found, decoded, hashed, grouped, divided and written; and a report of it, also where it fails."""

from __future__ import annotations

import errno
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from makeweight.core.data import SPLITS, Labels
from makeweight.core.errors import BadInput
from makeweight.core.parameters import DataSettings
from makeweight.core.text import counted, listed, shown
from makeweight.intake.decoding.parallel import Decoded, ImageHeaders, decoded, ranged, read_headers, spec_of
from makeweight.intake.grouping.groups import (
    GroupedImages,
    conflicts,
    describe_duplicates,
    first_equals,
    grouped,
    too_large,
    unsearched,
    without_leaks,
)
from makeweight.intake.grouping.splitting import SplitInput, split_images
from makeweight.intake.interface import DatasetListing, FileIssue, ImageSpec, Reader
from makeweight.intake.report import Report
from makeweight.runtime import fingerprints
from makeweight.runtime.artifacts import DATA_REPORT_JSON, DATA_REPORT_TABLE, IMAGES
from makeweight.runtime.files import PREPARATION, atomic_directories, write_json
from makeweight.runtime.splits import copy_rows, write_labels

SCRATCH = ".prepare"
DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def prepare(
    reader: Reader, settings: DataSettings, seed: int, *, workers: int, out: Path, report: Path
) -> tuple[Report, BadInput | None]:
    """Take in all that `reader` finds and write `train`, `validation` and `test` below `out`; all of them or none.

    Args:
        reader: finds the images.
        settings: what to do with them.
        seed: of the division.
        workers: processes that decode; changes no byte.
        out: the folder that gets the splits.
        report: the folder that gets the report, also when the images are refused.

    Returns:
        The report, and the mistakes for which the images are refused, if they are: a line for each.
    """
    told = Report(settings.reader, settings.path)
    try:
        with atomic_directories(out, SPLITS, SCRATCH) as scratch:
            _prepare(reader, settings, seed, workers, scratch, told, report)
    except BadInput as mistake:
        told.errors += [line for line in mistake.errors if line]
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        told.errors.append(
            f"{out}: {error.strerror}: the images take up to {_gib(told):.3g} GiB there while they are prepared; "
            "free some, or name another folder with --out; the earlier images are as they were"
        )
    try:
        told.write(report)
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        told.errors.append(f"{report}: {error.strerror}: the data report could not be written; free some space")
    return told, BadInput(*told.errors) if told.errors else None


def _gib(report: Report) -> float:
    form = report.form or {"side": 0, "channels": 0}
    return float(2 * report.found * form["side"] ** 2 * form["channels"] / 2**30)


def _prepare(
    reader: Reader, settings: DataSettings, seed: int, workers: int, scratch: Path, report: Report, place: Path
) -> None:
    """All of it, as far as mistakes allow: many of them show only when earlier ones are passed over for the moment."""
    reading = reader.read(settings)
    if settings.counts is None and settings.imbalance is None:
        settings = settings.model_copy(update={"imbalance": reading.imbalance})
    report.found = len(reading.labels)
    report.bad, report.ignored = list(reading.bad), list(reading.ignored)
    report.remarks, report.errors = list(reading.remarks), list(reading.errors)
    try:
        images, hashes = _decoded(reading, settings, workers, scratch, report)
    except BadInput as mistake:
        reasons = _refusals(report, settings, place, none_left=True)
        raise BadInput(*mistake.errors, *reasons) from mistake
    rows = _without_conflicts(reading, images, hashes, report)
    report.errors += _refusals(report, settings, place)
    if warning := unsearched(rows, images, settings):
        report.warnings.append(warning)
    taken = grouped(reading, rows, hashes, images, settings)
    report.errors += too_large(reading, taken, settings)
    taken = without_leaks(reading, taken, settings, report)
    splits = _divided(reading, taken, settings, seed, report)
    if report.errors:
        raise BadInput("")
    describe_duplicates(reading, taken, splits, report)
    _write(reading, taken, splits, hashes, images.images, report.form["channels"], scratch)
    _tell_sizes(reading, taken, splits, settings, report)


def _decoded(
    reading: DatasetListing, settings: DataSettings, workers: int, scratch: Path, report: Report
) -> tuple[Decoded, NDArray[np.uint8]]:
    """All pictures in files below `scratch`, and the hashes of those of their channels that are wanted."""
    looks = read_headers(reading.pictures, workers)
    lock = scratch.absolute() / "large.lock"
    try:
        form, remarks = ranged(reading.pictures, looks, spec_of(looks, settings), settings, lock, workers)
    finally:
        report.bad += [FileIssue(reading.origins[index], looks.bad[index]) for index in sorted(looks.bad)]
    report.remarks += remarks
    report.form = {"side": form.side, "channels": form.channels, "side_because": "", "channels_because": ""}
    images = decoded(reading.pictures, looks, form, settings, scratch, lock, workers)
    report.bad += [FileIssue(reading.origins[i], images.bad[i]) for i in sorted(images.bad.keys() - looks.bad.keys())]
    report.conversions = [
        {"what": word, "images": count, "example": reading.origins[images.examples[word]]}
        for word, count in sorted(images.said.items(), key=lambda item: (-item[1], item[0]))
    ]
    if warning := images.darkness:
        report.warnings.append(warning)
    if (doubtful := images.doubtful_opacity) is not None:
        report.errors.append(
            f"data: most images with transparency, among them {reading.origins[doubtful]!r}, are half transparent in "
            "most of their pixels, as if that band were something else, such as near-infrared: set data.bands to "
            "[1, 2, 3] to leave it out, or to [1, 2, 3, 4] to lay the images over data.background all the same"
        )
    report.form = _described(form, looks, images, settings)
    return images, images.hashes if report.form["channels"] == form.channels else images.grey_hashes


def _tell_sizes(
    reading: DatasetListing, taken: GroupedImages, splits: Mapping[str, Labels], settings: DataSettings, report: Report
) -> None:
    counts = {
        split: np.bincount(reading.labels[taken.rows[rows]], minlength=len(reading.classes)).tolist()
        for split, rows in splits.items()
    }
    report.classes = {
        name: {split: counts[split][label] for split in splits} for label, name in enumerate(reading.classes)
    }
    report.used = sum(len(rows) for rows in splits.values())
    report.remarks.append(
        f"{len(reading.classes)} classes, in the order of data.counts: {listed(reading.classes, 100)}"
    )
    if thinned := len(taken.rows) - report.used:
        why = "data.counts"
        if settings.imbalance:
            default = ", the reader's default" if settings.imbalance == reading.imbalance else ""
            why = f"data.imbalance ({settings.imbalance:g}{default}; 1 keeps all)"
        kept = listed([f"{count} of {name}" for name, count in zip(reading.classes, counts["train"], strict=True)], 100)
        report.thinned = (
            f"THINNED: {why} leaves out {thinned} of {thinned + len(splits['train'])} training images and keeps {kept}"
        )


def _described(form: ImageSpec, looks: ImageHeaders, images: Decoded, settings: DataSettings) -> dict[str, object]:
    """The form that images are written in, with its reasons."""
    good = _good(images)
    coloured = int((~images.colourless[good]).sum())
    stored = int((~looks.grey[good]).sum())
    channels = form.channels
    if settings.channels:
        because = "as data.channels says"
    elif channels == 1:
        chosen = f"data.bands names one band, {settings.bands[0]}" if settings.bands else "all files are stored as grey"
        because = f"{chosen}; data.channels: 3 makes them RGB"
    elif coloured:
        because = f"{coloured} of {len(good)} images have colour; data.channels: 1 makes them grey"
    else:
        channels = 1
        because = f"no image has any colour, though {stored} are stored with it; data.channels: 3 keeps RGB"
    sizes = np.unique(looks.sizes[looks.sizes[:, 0] > 0], axis=0)
    own = len(sizes) == 1 and tuple(sizes[0]) == (form.side, form.side)
    size = "the images' own size" if own else f"found {_span(sizes)}; data.image_size sets it"
    if settings.image_size:
        size = "as data.image_size says"
    return {"side": form.side, "channels": channels, "side_because": size, "channels_because": because}


def _span(sizes: NDArray[np.int64]) -> str:
    (least_w, least_h), (most_w, most_h) = sizes.min(axis=0), sizes.max(axis=0)
    return f"widths {least_w} to {most_w}, heights {least_h} to {most_h}"


def _good(images: Decoded) -> Labels:
    """Positions of the pictures that could be decoded."""
    good = np.ones(len(images.hashes), dtype=bool)
    good[list(images.bad)] = False
    return np.flatnonzero(good).astype(np.int64)


def _without_conflicts(reading: DatasetListing, images: Decoded, hashes: NDArray[np.uint8], report: Report) -> Labels:
    """Positions of the pictures that can be used; those that stand under several labels are told and left out."""
    good = _good(images)
    firsts = first_equals(hashes[good])
    conflicting = conflicts(firsts, reading.labels[good])
    groups: dict[int, list[FileIssue]] = {}
    for first, row in zip(firsts[conflicting], good[conflicting], strict=True):
        note = FileIssue(reading.origins[row], reading.classes[reading.labels[row]])
        groups.setdefault(int(first), []).append(note)
    report.conflicts = list(groups.values())
    return good[~conflicting]


def _refusals(report: Report, settings: DataSettings, place: Path, *, none_left: bool = False) -> list[str]:
    """A line each for bad files and conflicts, where these are to be refused, or where they leave nothing."""
    if settings.on_bad_file == "quarantine" and not none_left:
        return []
    where = f"listed above, and all of them in {place / DATA_REPORT_JSON} and {DATA_REPORT_TABLE}"
    lines = []
    if report.bad:
        kinds = _first_of_each_kind(report.bad)
        same = "all for the same reason, " if len(kinds) == 1 < len(report.bad) else ""
        others = "" if none_left else ", or set data.on_bad_file to quarantine to go on without them"
        lines.append(
            f"data: {counted(len(report.bad), 'file')} cannot be used ({where}), {same}the first: "
            f"{'; '.join(_cited(note) for note in kinds[:3])}: repair or remove them{others}"
        )
    if report.conflicts:
        first = " and ".join(f"{each.path!r} ({each.reason})" for each in report.conflicts[0][:2])
        lines.append(
            f"data: {counted(len(report.conflicts), 'image')} under several labels ({where}), the first: {first}: "
            "keep the right one, or set data.on_bad_file to quarantine to go on without any of them"
        )
    return [shown(line) for line in lines]


def _first_of_each_kind(notes: Sequence[FileIssue]) -> list[FileIssue]:
    """The first note with each reason, whatever names and figures it holds."""
    firsts: dict[str, FileIssue] = {}
    for note in notes:
        firsts.setdefault(re.sub(r"\d+", "", re.split("[:;,']", note.reason)[0]), note)
    return list(firsts.values())


def _cited(note: FileIssue) -> str:
    return f"{note.path!r} ({note.reason})"


def _divided(
    reading: DatasetListing, taken: GroupedImages, settings: DataSettings, seed: int, report: Report
) -> dict[str, Labels]:
    """The splits as positions in `taken.rows`; what is wrong with them joins the other mistakes."""
    try:
        roll = SplitInput(reading.labels[taken.rows], reading.classes, reading.predefined[taken.rows], taken.groups)
        return split_images(roll, settings, seed)
    except BadInput as mistake:
        report.errors += mistake.errors
        return {}


def _write(
    reading: DatasetListing, taken: GroupedImages, splits: Mapping[str, Labels], hashes: NDArray[np.uint8], images: Path,
    channels: int, scratch: Path,
) -> None:  # fmt: skip
    """Write each split into its folder below `scratch`, with an identifier that all of them share."""
    for name, positions in splits.items():
        folder, rows = scratch / name, taken.rows[positions]
        folder.mkdir()
        copy_rows(images, rows, folder / IMAGES, channels=channels)
        manifest = {
            "path": [reading.origins[row] for row in rows],
            "hash": [hashes[row].tobytes().hex() for row in rows],
            "group": taken.groups[positions].tolist(),
            "split": [name] * len(rows),
        }
        write_labels(folder, reading.labels[rows], reading.classes, manifest)
    # All but the pixels, whose hashes stand in metadata.csv.
    written = [path for name in splits for path in sorted((scratch / name).iterdir()) if path.name != IMAGES]
    for name in splits:
        write_json(scratch / name / PREPARATION, {"preparation": fingerprints.of_files(*written)})
