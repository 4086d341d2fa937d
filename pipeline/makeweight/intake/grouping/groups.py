"""What belongs together among images: equal ones, near-duplicates, and what the data itself puts together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from makeweight.core.data import SPLITS, Images, Labels
from makeweight.core.parameters import DataSettings
from makeweight.core.text import counted
from makeweight.intake.decoding.parallel import Decoded
from makeweight.intake.decoding.sketches import SMALLEST_SIDE
from makeweight.intake.grouping.duplicates import Pairs, joined, near_pairs, numbered, star_clusters
from makeweight.intake.interface import UNASSIGNED, DatasetListing, FileIssue
from makeweight.intake.report import Report

MIN_GROUP_LIMIT = 5  # so many near-duplicates are never too many: 2% of a small class may be less than one image


@dataclass(frozen=True, slots=True)
class GroupedImages:
    """The images that remain, as positions in the reading, with their groups.

    Attributes:
        rows: int64 [n], positions in the reading.
        groups: int64 [n], what stays together.
        representatives: int64 [n], the position in `rows` of the image of which each is a copy or a near-duplicate.
        firsts: int64 [n], the position in `rows` of the first image that is equal to each.
        pairs: int64 [m, 2], near-duplicates among first images, as positions in `rows`.
    """

    rows: Labels
    groups: Labels
    representatives: Labels
    firsts: Labels
    pairs: Pairs


def first_equals(hashes: NDArray[np.uint8]) -> Labels:
    """For each image, the position of the first one with the same hash; int64 [n]."""
    _, first, inverse = np.unique(
        np.ascontiguousarray(hashes).view("V16").ravel(), return_index=True, return_inverse=True
    )
    return first.astype(np.int64)[inverse]


def conflicts(firsts: Labels, labels: Labels) -> NDArray[np.bool_]:
    """Which images have an equal one under another label."""
    differs = labels != labels[firsts]
    return np.isin(firsts, firsts[differs])


def group_images(
    listing: DatasetListing, rows: Labels, hashes: NDArray[np.uint8], images: Decoded, settings: DataSettings
) -> GroupedImages:
    """What stays together: equal images, near-duplicates, and what the data itself puts into one group."""
    firsts = first_equals(hashes[rows])
    representatives, pairs = firsts, np.zeros((0, 2), np.int64)
    unique = np.unique(firsts)
    unique = unique[images.searchable[rows[unique]]]
    if settings.near_duplicates is not None and len(unique):

        def fetch(positions: Labels) -> Images:
            # Mapped anew, since pages of a map count as memory of the process until it goes.
            fetched: Images = np.load(images.compared, mmap_mode="r")[rows[unique[positions]]]
            return fetched

        found = near_pairs(fetch, images.sketches[rows[unique]], settings.near_duplicates)
        representative_of = np.arange(len(rows))
        representative_of[unique] = unique[star_clusters(len(unique), found)]
        representatives, pairs = representative_of[firsts], unique[found]
    groups = numbered(representatives)
    if len(listing.groups):
        groups = numbered(joined(groups, _named_groups([listing.groups[row] for row in rows])))
    return GroupedImages(rows, groups, representatives, firsts, pairs)


def unsearched(rows: Labels, images: Decoded, settings: DataSettings) -> str | None:
    """A warning of the images in which near-duplicates are not sought though they should be, if there are any."""
    left_out = int((~images.searchable[rows]).sum())
    if settings.near_duplicates is None or not left_out:
        return None
    return (
        f"near-duplicates were NOT searched for in {left_out} of {counted(len(rows), 'image')}, which have fewer than "
        f"{SMALLEST_SIDE} pixels on a side: copies that differ in a pixel may lie in train and in test; name what "
        "belongs together in a column group, or set data.near_duplicates to null if that is impossible"
    )


def _named_groups(names: list[str]) -> Labels:
    """A number for each name; "" belongs to nothing, and gets one of its own each time."""
    numbers: dict[object, int] = {}
    keys: list[object] = [name or index for index, name in enumerate(names)]
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], np.int64)


def too_large(listing: DatasetListing, grouped: GroupedImages, settings: DataSettings) -> list[str]:
    """A line for each group of near-duplicates that is too large a part of a class: different images, taken for one."""
    labels = listing.labels[grouped.rows]
    distinct = grouped.firsts == np.arange(len(grouped.rows))
    lines = []
    for label, name in enumerate(listing.classes):
        own = labels == label
        limit = max(MIN_GROUP_LIMIT, settings.max_group_fraction * own.sum())
        representatives, sizes = np.unique(grouped.representatives[own & distinct], return_counts=True)
        for representative, size in zip(representatives[sizes > limit], sizes[sizes > limit], strict=True):
            members = np.flatnonzero(own & distinct & (grouped.representatives == representative))
            some = ", ".join(repr(listing.origins[grouped.rows[member]]) for member in members[:3])
            lines.append(
                f"data: {size} images of class {name!r} ({100 * size / own.sum():.1f}% of it) count as near-duplicates "
                f"of {listing.origins[grouped.rows[representative]]!r}, among them {some}: if they differ, lower "
                f"data.near_duplicates ({settings.near_duplicates}) or set it to null; "
                f"if not, remove some or raise data.max_group_fraction ({settings.max_group_fraction})"
            )
    return lines


def without_leaks(
    listing: DatasetListing, grouped: GroupedImages, settings: DataSettings, report: Report
) -> GroupedImages:
    """Without the images that a later split shares with an earlier one, if that is wanted of ready-made splits."""
    if settings.on_leak == "keep" or (listing.predefined == UNASSIGNED).all():
        return grouped
    predefined = listing.predefined[grouped.rows]
    latest = np.zeros(len(grouped.rows), np.int8)
    np.maximum.at(latest, grouped.groups, predefined)
    kept = np.maximum(predefined, 0) == latest[grouped.groups]
    if dropped := np.flatnonzero(~kept).tolist():
        report.remarks.append(
            f"{counted(len(dropped), 'image')} left out: a later split holds the same or its relative"
        )
        report.ignored += [
            FileIssue(listing.origins[grouped.rows[at]], "a later split holds it or its like") for at in dropped
        ]
    old = np.cumsum(kept) - 1  # new positions of those that remain

    def moved(positions: Labels) -> Labels:
        new: Labels = np.where(kept[positions], old[positions], old)[kept]
        return new

    pairs = grouped.pairs[kept[grouped.pairs].all(axis=1)]
    return GroupedImages(
        grouped.rows[kept],
        numbered(grouped.groups[kept]),
        moved(grouped.representatives),
        moved(grouped.firsts),
        old[pairs],
    )


def describe_duplicates(
    listing: DatasetListing, grouped: GroupedImages, splits: Mapping[str, Labels], report: Report
) -> None:
    """What is there several times, and what splits share."""
    origins = [listing.origins[row] for row in grouped.rows] if len(grouped.rows) else []
    report.duplicates = {
        "equal": _listed_groups(grouped.firsts, origins),
        "near": _listed_groups(
            np.where(grouped.firsts == np.arange(len(grouped.rows)), grouped.representatives, -1), origins
        ),
    }
    place = np.full(len(grouped.rows), UNASSIGNED, np.int8)
    for number, name in enumerate(SPLITS):
        place[splits[name]] = number
    shared = _shared_groups(grouped.groups, place)
    on_test = int((np.isin(grouped.groups, shared) & (place == 2)).sum())
    across = grouped.pairs[(place[grouped.pairs] != UNASSIGNED).all(axis=1)]
    across = across[
        (place[across[:, 0]] != place[across[:, 1]]) & (grouped.groups[across[:, 0]] != grouped.groups[across[:, 1]])
    ]
    report.leaks = {
        "test_images": on_test,
        "of_test": round(on_test / max(1, len(splits["test"])), 6),
        "groups": [
            {name: [origins[i] for i in np.flatnonzero((grouped.groups == group) & (place == number))]
             for number, name in enumerate(SPLITS)}
            for group in shared
        ],
        "near_pairs_across": [[origins[a], origins[b]] for a, b in across],
    }  # fmt: skip
    equal, near = (sum(len(group) for group in report.duplicates[kind]) for kind in ("equal", "near"))
    if equal or near:
        report.remarks.append(
            f"{equal} images have equal ones, {near} have near-duplicates"
            + (": each group stays in one split" if not len(shared) else "")
        )
    labels = listing.labels[grouped.rows]
    if len(doubtful := grouped.pairs[labels[grouped.pairs[:, 0]] != labels[grouped.pairs[:, 1]]]):
        first, second = doubtful[0]
        report.remarks.append(
            f"{counted(len(doubtful), 'pair')} of near-duplicates with two labels, among them {origins[first]} and "
            f"{origins[second]}: are both right?"
        )
    if len(shared):
        report.remarks.append(
            f"LEAK: the ready-made splits share {len(shared)} groups of images; {on_test} test images "
            f"({100 * on_test / len(splits['test']):.2f}%) have a copy or relative in train or validation; they are "
            "kept as they are: data.on_leak: drop trains without such images; lower data.near_duplicates if they only "
            "look alike"
        )
    if len(across):
        report.remarks.append(
            f"{len(across)} pairs of near-duplicates lie in two splits, since groups do not chain: raise "
            "data.near_duplicates to join them"
        )


def _listed_groups(keys: Labels, origins: list[str]) -> list[list[str]]:
    """The origins of all images that share a key (of 0 and more) with another."""
    used = np.flatnonzero(keys >= 0)
    used = used[np.argsort(keys[used], kind="stable")]
    groups = np.split(used, np.flatnonzero(np.diff(keys[used])) + 1)
    return [[origins[index] for index in group] for group in groups if len(group) > 1]


def _shared_groups(groups: Labels, place: NDArray[np.int8]) -> Labels:
    """Groups that stand in several splits."""
    written = place != UNASSIGNED
    first = np.full(groups.max(initial=-1) + 1, 127, np.int8)
    last = np.full(len(first), -1, np.int8)
    np.minimum.at(first, groups[written], place[written])
    np.maximum.at(last, groups[written], place[written])
    shared: Labels = np.flatnonzero(first < last).astype(np.int64)
    return shared
