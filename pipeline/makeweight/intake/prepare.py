"""Prepare a data set: read, decode, group, split and write its images, and report what was found, also on failure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from makeweight.core.data import SPLITS, Labels
from makeweight.core.errors import DISK_FULL, BadInput
from makeweight.core.parameters import DataSettings
from makeweight.core.text import counted, shown
from makeweight.intake.decoding.images import COMPOSITED
from makeweight.intake.decoding.parallel import (
    Decoded,
    Decoding,
    ImageHeaders,
    decode_all,
    read_headers,
    spec_of,
    with_value_range,
)
from makeweight.intake.grouping.groups import (
    GroupedImages,
    conflicts,
    describe_duplicates,
    first_equals,
    group_images,
    leaking_images,
    search_warning,
    too_large_groups,
)
from makeweight.intake.grouping.splitting import SplitInput, split_images
from makeweight.intake.interface import DatasetListing, FileIssue, ImageSpec, Reader
from makeweight.intake.report import Report, SpecReasons
from makeweight.runtime import fingerprints
from makeweight.runtime.artifacts import DATA_REPORT_JSON, DATA_REPORT_TABLE, GROUP, IMAGES
from makeweight.runtime.files import PREPARATION, atomic_directories, write_json
from makeweight.runtime.splits import copy_rows, write_labels

SCRATCH = ".prepare"


@dataclass(frozen=True, slots=True)
class Preparation:
    """What to prepare, and how.

    Attributes:
        reader: finds the images.
        settings: `data` of the parameters.
        seed: of the split.
        workers: processes that decode; the number changes no byte of the results.
        report: the folder of the report, for messages that refer to it.
    """

    reader: Reader
    settings: DataSettings
    seed: int
    workers: int
    report: Path


class _Refused(Exception):
    """The images have errors, which the report lists."""


def prepare(
    reader: Reader, settings: DataSettings, seed: int, *, workers: int, out: Path, report: Path
) -> tuple[Report, BadInput | None]:
    """Prepare all images that `reader` finds: write `train`, `validation` and `test` below `out`, all of them or none.

    Args:
        reader: finds the images.
        settings: `data` of the parameters.
        seed: of the split.
        workers: processes that decode; the number changes no byte of the results.
        out: the folder that gets the splits.
        report: the folder that gets the report, also if the images are refused.

    Returns:
        The report, and the errors for which the images are refused, one per line; None if the splits were written.
    """
    findings = Report(settings.reader, settings.path)
    try:
        with atomic_directories(out, SPLITS, SCRATCH) as scratch:
            _prepare(Preparation(reader, settings.with_home_expanded(), seed, workers, report), scratch, findings)
    except _Refused:
        pass  # the findings hold the errors
    except BadInput as error:
        findings.errors += error.errors
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        findings.errors.append(
            f"{out}: {error.strerror}: preparing the images takes up to {_gib(findings):.3g} GiB there: "
            "free some space, or name another folder with --out; the earlier images are unchanged"
        )
    try:
        findings.write(report)
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        findings.errors.append(f"{report}: {error.strerror}: the data report could not be written: free some space")
    return findings, BadInput(*findings.errors) if findings.errors else None


def _gib(report: Report) -> float:
    """An upper bound of the scratch space for decoded images, in GiB."""
    spec = report.spec or {"side": 0, "channels": 0}
    return float(2 * report.found * spec["side"] ** 2 * spec["channels"] / 2**30)


def _prepare(task: Preparation, scratch: Path, report: Report) -> None:
    """Run all steps and add their findings to `report`.

    Errors are collected as far as possible and raised late, so that one run shows as many of them as it can.
    """
    listing, settings = task.reader.read(task.settings), task.settings
    if settings.counts is None and settings.imbalance is None:
        settings = settings.model_copy(update={"imbalance": listing.imbalance})
    report.add_listing(listing)
    try:
        images, spec = _decode(listing, settings, task.workers, scratch, report)
    except BadInput as error:
        refusals = _refusals(report, settings, task.report, none_left=True)
        raise BadInput(*error.errors, *refusals) from error
    hashes = images.hashes if report.spec["channels"] == spec.channels else images.grey_hashes
    rows, report.conflicts = _without_conflicts(listing, images, hashes)
    report.errors += _refusals(report, settings, task.report)
    report.warnings += search_warning(rows, images, settings)
    grouped = group_images(listing, rows, hashes, images, settings)
    report.errors += too_large_groups(listing, grouped, settings)
    leaking = leaking_images(listing, grouped, settings)
    report.add_leaking([listing.origins[row] for row in grouped.rows[leaking]])
    grouped = grouped.without(leaking)
    splits, errors = _split(listing, grouped, settings, task.seed)
    report.errors += errors
    if report.errors:
        raise _Refused
    report.add_duplicates(describe_duplicates(listing, grouped, splits))
    _write(_Output(listing, grouped, hashes, images.images, report.spec["channels"]), splits, scratch)
    report.add_splits(_class_counts(listing, grouped, splits), len(grouped.rows), _subsampling(settings, listing))


def _decode(
    listing: DatasetListing, settings: DataSettings, workers: int, scratch: Path, report: Report
) -> tuple[Decoded, ImageSpec]:
    """Decode all images into files below `scratch`; the image specification is that of these files."""
    headers = read_headers(listing.source, workers)
    work = Decoding(listing.source, headers, scratch.absolute(), workers)
    try:
        spec, remarks = with_value_range(work, spec_of(headers, settings), settings)
    finally:
        report.add_bad(listing, headers.bad)
    report.remarks += remarks
    report.spec = {"side": spec.side, "channels": spec.channels, "side_because": "", "channels_because": ""}
    images = decode_all(work, spec, settings)
    report.add_bad(listing, {index: reason for index, reason in images.bad.items() if index not in headers.bad})
    report.add_decoded(listing, images)
    report.add_spec(spec, _spec_reasons(spec, headers, images, settings))
    return images, spec


def _spec_reasons(spec: ImageSpec, headers: ImageHeaders, images: Decoded, settings: DataSettings) -> SpecReasons:
    """The channels that images are written with, and the reasons for them and for the side."""
    good = _good(images)
    coloured = int((~images.colourless[good]).sum())
    stored_in_colour = int((~headers.grey[good]).sum())
    channels = spec.channels
    if settings.channels:
        because = "as data.channels says"
    elif channels == 1:
        why = f"data.bands names one band, {settings.bands[0]}" if settings.bands else "all files are stored as grey"
        because = f"{why}; data.channels: 3 makes them RGB"
    elif coloured:
        because = f"{coloured} of {len(good)} images have colour; data.channels: 1 makes them grey"
    else:
        channels = 1
        because = f"no image has any colour, though {stored_in_colour} are stored with it; data.channels: 3 keeps RGB"
    sizes = np.unique(headers.sizes[headers.sizes[:, 0] > 0], axis=0)
    own = len(sizes) == 1 and tuple(sizes[0]) == (spec.side, spec.side)
    size = "the images' own size" if own else f"found {_size_range(sizes)}; data.image_size sets it"
    if settings.image_size:
        size = "as data.image_size says"
    return SpecReasons(channels, size, because)


def _size_range(sizes: NDArray[np.int64]) -> str:
    (min_width, min_height), (max_width, max_height) = sizes.min(axis=0), sizes.max(axis=0)
    return f"widths {min_width} to {max_width}, heights {min_height} to {max_height}"


def _good(images: Decoded) -> Labels:
    """Positions of the images that could be decoded."""
    good = np.ones(len(images.hashes), dtype=bool)
    good[list(images.bad)] = False
    return np.flatnonzero(good).astype(np.int64)


def _without_conflicts(
    listing: DatasetListing, images: Decoded, hashes: NDArray[np.uint8]
) -> tuple[Labels, list[list[FileIssue]]]:
    """Positions of the images that can be used, and the groups of equal images under several labels, left out."""
    good = _good(images)
    firsts = first_equals(hashes[good])
    conflicting = conflicts(firsts, listing.labels[good])
    groups: dict[int, list[FileIssue]] = {}
    for first, row in zip(firsts[conflicting], good[conflicting], strict=True):
        issue = FileIssue(listing.origins[row], listing.classes[listing.labels[row]])
        groups.setdefault(int(first), []).append(issue)
    return good[~conflicting], list(groups.values())


def _refusals(report: Report, settings: DataSettings, folder: Path, *, none_left: bool = False) -> list[str]:
    """Errors for bad files and for conflicts, one line each, where these are to be refused or leave no image."""
    if settings.on_bad_file == "quarantine" and not none_left:
        return []
    where = f"listed above, and all of them in {folder / DATA_REPORT_JSON} and {DATA_REPORT_TABLE}"
    lines = []
    if report.bad:
        kinds = _first_of_each_kind(report.bad)
        same = "all for the same reason, " if len(kinds) == 1 < len(report.bad) else ""
        others = "" if none_left else ", or set data.on_bad_file to quarantine to go on without them"
        examples = "; ".join(f"{issue.path!r} ({issue.reason})" for issue in kinds[:3])
        lines.append(
            f"data: {counted(len(report.bad), 'file')} cannot be used ({where}), {same}the first: "
            f"{examples}: repair or remove them{others}"
        )
    if report.conflicts:
        one = report.conflicts[0][0]
        other = next(issue for issue in report.conflicts[0] if issue.reason != one.reason)
        first = f"{one.path!r} ({one.reason}) and {other.path!r} ({other.reason})"
        transparent = any(conversion["what"] == COMPOSITED for conversion in report.conversions)
        background = (
            f", or change data.background {settings.background} if they differ only in transparency"
            if transparent
            else ""
        )
        lines.append(
            f"data: {counted(len(report.conflicts), 'image')} under several labels ({where}), the first: {first}: "
            f"keep the right one, or set data.on_bad_file to quarantine to go on without any of them{background}"
        )
    return [shown(line) for line in lines]


def _first_of_each_kind(issues: Sequence[FileIssue]) -> list[FileIssue]:
    """The first issue with each reason; reasons that differ only in names or numbers count as one."""
    firsts: dict[str, FileIssue] = {}
    for issue in issues:
        firsts.setdefault(re.sub(r"\d+", "", re.split("[:;,']", issue.reason)[0]), issue)
    return list(firsts.values())


def _split(
    listing: DatasetListing, grouped: GroupedImages, settings: DataSettings, seed: int
) -> tuple[dict[str, Labels], list[str]]:
    """The splits as positions in `grouped.rows`, or the errors that rule them out."""
    rows = grouped.rows
    try:
        split_input = SplitInput(listing.labels[rows], listing.classes, listing.predefined[rows], grouped.groups)
        return split_images(split_input, settings, seed), []
    except BadInput as error:
        return {}, list(error.errors)


def _class_counts(
    listing: DatasetListing, grouped: GroupedImages, splits: Mapping[str, Labels]
) -> dict[str, dict[str, int]]:
    """The number of images of each class in each split."""
    counts = {
        split: np.bincount(listing.labels[grouped.rows[rows]], minlength=len(listing.classes)).tolist()
        for split, rows in splits.items()
    }
    return {name: {split: counts[split][label] for split in splits} for label, name in enumerate(listing.classes)}


def _subsampling(settings: DataSettings, listing: DatasetListing) -> str:
    """The setting that subsamples the training split, if one does."""
    if not settings.imbalance:
        return "data.counts"
    default = ", the reader's default" if settings.imbalance == listing.imbalance else ""
    return f"data.imbalance ({settings.imbalance:g}{default}; 1 keeps all)"


@dataclass(frozen=True, slots=True)
class _Output:
    """What the files of a split are written from: all images, their hashes and groups."""

    listing: DatasetListing
    grouped: GroupedImages
    hashes: NDArray[np.uint8]
    images: Path
    channels: int


def _write(output: _Output, splits: Mapping[str, Labels], scratch: Path) -> None:
    """Write each split into its folder below `scratch`, with an identifier that all splits share."""
    listing, hashes = output.listing, output.hashes
    for name, positions in splits.items():
        folder, rows = scratch / name, output.grouped.rows[positions]
        folder.mkdir()
        copy_rows(output.images, rows, folder / IMAGES, channels=output.channels)
        metadata = {
            "path": [listing.origins[row] for row in rows],
            "hash": [hashes[row].tobytes().hex() for row in rows],
            GROUP: output.grouped.groups[positions].tolist(),
            "split": [name] * len(rows),
        }
        write_labels(folder, listing.labels[rows], listing.classes, metadata)
    # The pixels are left out: metadata.csv holds their hashes.
    written = [path for name in splits for path in sorted((scratch / name).iterdir()) if path.name != IMAGES]
    for name in splits:
        write_json(scratch / name / PREPARATION, {"preparation": fingerprints.of_files(*written)})
