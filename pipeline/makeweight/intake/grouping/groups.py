"""Groups of related images (equal ones, near-duplicates, groups that the data names), and leaks between splits."""

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
from makeweight.intake.interface import UNASSIGNED, DatasetListing

MIN_GROUP_LIMIT = 5  # near-duplicates that are always allowed: 2% of a small class may be less than one image


@dataclass(frozen=True, slots=True)
class GroupedImages:
    """The images that can be used, as positions in the dataset listing, with their groups.

    Attributes:
        rows: int64 [n], positions in the listing.
        groups: int64 [n], which images stay in one split.
        representatives: int64 [n], for each image the position in `rows` of the image that it duplicates, or its own.
        firsts: int64 [n], for each image the position in `rows` of the first equal one.
        pairs: int64 [m, 2], near-duplicates among first images, as positions in `rows`.
    """

    rows: Labels
    groups: Labels
    representatives: Labels
    firsts: Labels
    pairs: Pairs

    def without(self, dropped: NDArray[np.bool_]) -> GroupedImages:
        """The groups without the images that `dropped` marks (bool [n]), with positions and groups renumbered."""
        if not dropped.any():
            return self
        kept = ~dropped
        new_position = np.cumsum(kept) - 1

        def renumbered(positions: Labels) -> Labels:
            # Where the image that a position refers to is dropped, its copy refers to itself.
            new: Labels = np.where(kept[positions], new_position[positions], new_position)[kept]
            return new

        return GroupedImages(
            self.rows[kept],
            numbered(self.groups[kept]),
            renumbered(self.representatives),
            renumbered(self.firsts),
            new_position[self.pairs[kept[self.pairs].all(axis=1)]],
        )


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
    """Group equal images, near-duplicates, and images that the data itself puts into one group."""
    firsts = first_equals(hashes[rows])
    representatives, pairs = firsts, np.zeros((0, 2), np.int64)
    unique = np.unique(firsts)
    unique = unique[images.searchable[rows[unique]]]
    if settings.near_duplicates is not None and len(unique):

        def fetch(positions: Labels) -> Images:
            # Opened for each call, since the pages of a memory map count as memory of the process until it is closed.
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


def search_warning(rows: Labels, images: Decoded, settings: DataSettings) -> list[str]:
    """A warning if images are too small to be searched for near-duplicates, though the settings ask for the search."""
    unsearched = int((~images.searchable[rows]).sum())
    if settings.near_duplicates is None or not unsearched:
        return []
    return [
        f"near-duplicates were NOT searched for in {unsearched} of {counted(len(rows), 'image')}, which have fewer "
        f"than {SMALLEST_SIDE} pixels on a side: copies that differ in a pixel may be in both train and test; put "
        "related images into one group with a column group, or set data.near_duplicates to null if that is impossible"
    ]


def _named_groups(names: list[str]) -> Labels:
    """A number for each name; each "" (no group) gets a number of its own."""
    numbers: dict[object, int] = {}
    keys: list[object] = [name or index for index, name in enumerate(names)]
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], np.int64)


def too_large_groups(listing: DatasetListing, grouped: GroupedImages, settings: DataSettings) -> list[str]:
    """An error for each group of near-duplicates that is too large a part of a class: different images, probably."""
    labels = listing.labels[grouped.rows]
    distinct = grouped.firsts == np.arange(len(grouped.rows))
    lines = []
    for label, name in enumerate(listing.classes):
        in_class = labels == label
        limit = max(MIN_GROUP_LIMIT, settings.max_group_fraction * in_class.sum())
        representatives, sizes = np.unique(grouped.representatives[in_class & distinct], return_counts=True)
        for representative, size in zip(representatives[sizes > limit], sizes[sizes > limit], strict=True):
            members = np.flatnonzero(in_class & distinct & (grouped.representatives == representative))
            examples = ", ".join(repr(listing.origins[grouped.rows[member]]) for member in members[:3])
            lines.append(
                f"data: {size} images of class {name!r} ({100 * size / in_class.sum():.1f}% of it) count as "
                f"near-duplicates of {listing.origins[grouped.rows[representative]]!r}, among them {examples}: if they "
                f"differ, lower data.near_duplicates ({settings.near_duplicates}) or set it to null; "
                f"if not, remove some or raise data.max_group_fraction ({settings.max_group_fraction})"
            )
    return lines


def leaking_images(listing: DatasetListing, grouped: GroupedImages, settings: DataSettings) -> NDArray[np.bool_]:
    """Images to drop because a later predefined split holds the same or a related one; bool [n], as `grouped.rows`.

    None, unless `data.on_leak` is `drop` and the data has predefined splits.
    """
    predefined = listing.predefined[grouped.rows]
    if settings.on_leak == "keep" or (listing.predefined == UNASSIGNED).all():
        return np.zeros(len(predefined), dtype=bool)
    latest = np.zeros(len(predefined), np.int8)
    np.maximum.at(latest, grouped.groups, predefined)
    leaking: NDArray[np.bool_] = np.maximum(predefined, 0) != latest[grouped.groups]
    return leaking


@dataclass(frozen=True, slots=True)
class DuplicateFindings:
    """Duplicates, and what splits share. Images are named by their origins.

    Attributes:
        equal: groups of equal images.
        near: groups of near-duplicates.
        leaks: for each group that is in several splits, its images in each split.
        leaked_test_images: test images in such groups.
        test_images: all test images.
        near_across: pairs of near-duplicates of different groups in two splits.
        label_pairs: how many pairs of near-duplicates have two labels.
        label_example: the first such pair.
    """

    equal: list[list[str]]
    near: list[list[str]]
    leaks: list[dict[str, list[str]]]
    leaked_test_images: int
    test_images: int
    near_across: list[list[str]]
    label_pairs: int
    label_example: tuple[str, ...]


def describe_duplicates(
    listing: DatasetListing, grouped: GroupedImages, splits: Mapping[str, Labels]
) -> DuplicateFindings:
    """Find what occurs several times, and what splits share."""
    n = len(grouped.rows)
    origins = [listing.origins[row] for row in grouped.rows]
    split_of = np.full(n, UNASSIGNED, np.int8)
    for number, name in enumerate(SPLITS):
        split_of[splits[name]] = number
    shared = _shared_groups(grouped.groups, split_of)
    pairs, labels = grouped.pairs, listing.labels[grouped.rows]
    written = pairs[(split_of[pairs] != UNASSIGNED).all(axis=1)]
    across = written[_differs(split_of, written) & _differs(grouped.groups, written)]
    doubtful = pairs[_differs(labels, pairs)]
    return DuplicateFindings(
        equal=_listed_groups(grouped.firsts, origins),
        near=_listed_groups(np.where(grouped.firsts == np.arange(n), grouped.representatives, -1), origins),
        leaks=[
            {
                name: [origins[index] for index in np.flatnonzero((grouped.groups == group) & (split_of == number))]
                for number, name in enumerate(SPLITS)
            }
            for group in shared
        ],
        leaked_test_images=int((np.isin(grouped.groups, shared) & (split_of == SPLITS.index("test"))).sum()),
        test_images=len(splits["test"]),
        near_across=[[origins[first], origins[second]] for first, second in across],
        label_pairs=len(doubtful),
        label_example=tuple(origins[index] for index in doubtful[:1].ravel()),
    )


def _differs(values: NDArray[np.integer], pairs: Pairs) -> NDArray[np.bool_]:
    """Which pairs of positions have different values."""
    differs: NDArray[np.bool_] = values[pairs[:, 0]] != values[pairs[:, 1]]
    return differs


def _listed_groups(keys: Labels, origins: list[str]) -> list[list[str]]:
    """The origins of all images that share a key with another; images with the key -1 are left out."""
    used = np.flatnonzero(keys >= 0)
    used = used[np.argsort(keys[used], kind="stable")]
    groups = np.split(used, np.flatnonzero(np.diff(keys[used])) + 1)
    return [[origins[index] for index in group] for group in groups if len(group) > 1]


def _shared_groups(groups: Labels, split_of: NDArray[np.int8]) -> Labels:
    """Groups that are in several splits."""
    written = split_of != UNASSIGNED
    first = np.full(groups.max(initial=-1) + 1, 127, np.int8)
    last = np.full(len(first), -1, np.int8)
    np.minimum.at(first, groups[written], split_of[written])
    np.maximum.at(last, groups[written], split_of[written])
    shared: Labels = np.flatnonzero(first < last).astype(np.int64)
    return shared
