"""Stratified split into train, validation and test that keeps groups whole, and subsampling of the training split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from makeweight.core.data import SPLITS, Labels
from makeweight.core.errors import BadInput
from makeweight.core.parameters import DataSettings
from makeweight.core.seeds import stream
from makeweight.core.text import counted, listed, means_unknown
from makeweight.intake.interface import UNASSIGNED

TRAIN, VALIDATION, TEST = range(3)  # indices into SPLITS
SplitIndices = NDArray[np.int8]  # [n], indices into SPLITS, or UNASSIGNED


@dataclass(frozen=True, slots=True)
class SplitInput:
    """What the split depends on.

    Attributes:
        labels: int64 [n].
        classes: class names in the order of their labels.
        predefined: int8 [n], the split that the data itself defines, or `UNASSIGNED`.
        groups: int64 [n]; images of one group stay in one split.
    """

    labels: Labels
    classes: tuple[str, ...]
    predefined: SplitIndices
    groups: Labels


def split_images(split_input: SplitInput, settings: DataSettings, seed: int) -> dict[str, Labels]:
    """Indices of the images of `train`, `validation` and `test`, each sorted.

    Stratified: every class gives the same fraction to each split, rounded, but at least one image, as far as groups
    allow. Predefined splits are kept; splits that are not predefined are taken from the training images. Only `train`
    is subsampled.

    Raises:
        BadInput: classes have too few images or groups for three splits, or `data.counts` does not fit; one line each.
    """
    predefined_splits = [split for split in (VALIDATION, TEST) if (split_input.predefined == split).any()]
    open_splits = [split for split in range(3) if split not in predefined_splits]
    assignable = ~np.isin(split_input.predefined, predefined_splits)
    assignment = split_input.predefined.copy()
    assignment[assignable] = UNASSIGNED
    orders = [stream(seed, "split", label).permutation(np.flatnonzero(assignable & (split_input.labels == label)))
              for label in range(len(split_input.classes))]  # fmt: skip
    targets = np.array([_target_sizes(len(order), predefined_splits, settings) for order in orders])
    _assign_groups(assignment, split_input, assignable, targets, seed)
    for label, order in enumerate(orders):
        _assign_single_images(assignment, order, targets[label])
    _fill_empty_splits(assignment, split_input, assignable, open_splits)
    _check(assignment, split_input, predefined_splits)
    train = [order[assignment[order] == TRAIN] for order in orders]
    rows = {name: np.flatnonzero(assignment == split) for split, name in enumerate(SPLITS)}
    rows["train"] = np.sort(np.concatenate(_subsampled(train, split_input.classes, settings)))
    return {name: indices.astype(np.int64) for name, indices in rows.items()}


def _target_sizes(n: int, predefined_splits: Sequence[int], settings: DataSettings) -> list[int]:
    """How many of the `n` assignable images of a class each split should get."""
    validation = 0 if VALIDATION in predefined_splits else max(1, round(settings.validation_fraction * n))
    test = 0 if TEST in predefined_splits else max(1, round(settings.test_fraction * n))
    return [n - validation - test, validation, test]


def _assign_groups(
    assignment: SplitIndices, split_input: SplitInput, assignable: NDArray[np.bool_], targets: Labels, seed: int
) -> None:
    """Assign groups of several images, the largest first, to a random split with room, in proportion to its room."""
    rows = np.flatnonzero(assignable)
    large = _members(split_input.groups, rows[np.bincount(split_input.groups[rows])[split_input.groups[rows]] > 1])
    draws = stream(seed, "split", "groups")
    large = [large[index] for index in draws.permutation(len(large))]
    room = targets.astype(np.int64).copy()  # [classes, splits]
    for rows in sorted(large, key=len, reverse=True):
        counts = np.bincount(split_input.labels[rows], minlength=len(split_input.classes))
        own = counts > 0
        fits = (counts[own, None] <= room[own]).all(axis=0)
        odds = np.where(fits, np.maximum(room[own], 0).sum(axis=0), 0).astype(float)
        # A group that fits into no split goes into the largest, where it changes the fractions least.
        split = int(draws.choice(3, p=odds / odds.sum())) if odds.any() else int(targets[own].sum(axis=0).argmax())
        assignment[rows] = split
        room[own, split] -= counts[own]


def _assign_single_images(assignment: SplitIndices, order: Labels, targets: Labels) -> None:
    """Fill the splits of a class with its images that are in no group, in the random order `order`."""
    single = order[assignment[order] == UNASSIGNED]
    missing = np.maximum(targets - np.bincount(assignment[order[assignment[order] != UNASSIGNED]], minlength=3), 0)
    test, validation, train = np.split(single, [missing[TEST], missing[TEST] + missing[VALIDATION]])
    assignment[test], assignment[validation], assignment[train] = TEST, VALIDATION, TRAIN


def _fill_empty_splits(
    assignment: SplitIndices, split_input: SplitInput, assignable: NDArray[np.bool_], open_splits: Sequence[int]
) -> None:
    """Where a class has no image in a split, move its smallest group there that leaves no other split without one."""
    held = np.zeros((len(split_input.classes), 3), np.int64)
    np.add.at(held, (split_input.labels[assignable], assignment[assignable]), 1)
    lacking_classes = {label for label, counts in enumerate(held[:, list(open_splits)]) if not counts.all()}
    if not lacking_classes:
        return
    by_class: dict[int, list[Labels]] = {label: [] for label in lacking_classes}
    affected = assignable & np.isin(
        split_input.groups, split_input.groups[assignable & np.isin(split_input.labels, list(lacking_classes))]
    )
    for rows in sorted(_members(split_input.groups, np.flatnonzero(affected)), key=len):
        for label in lacking_classes & set(split_input.labels[rows].tolist()):
            by_class[label].append(rows)
    for label in sorted(lacking_classes):
        for split in open_splits:
            if held[label, split]:
                continue
            for rows in by_class[label]:
                counts = np.bincount(split_input.labels[rows], minlength=len(split_input.classes))
                source = assignment[rows[0]]
                if (held[counts > 0, source] > counts[counts > 0]).all():
                    held[:, source] -= counts
                    held[:, split] += counts
                    assignment[rows] = split
                    break


def _members(groups: Labels, rows: Labels) -> list[Labels]:
    """The images among `rows` of each group, in the order of the groups' numbers."""
    order = rows[np.argsort(groups[rows], kind="stable")]
    bounds = np.flatnonzero(np.diff(groups[order])) + 1
    return [members for members in np.split(order, bounds) if len(members)]


def _check(assignment: SplitIndices, split_input: SplitInput, predefined_splits: Sequence[int]) -> None:
    """Raise BadInput with a line for each class that lacks images in a split."""
    errors = []
    for label, name in enumerate(split_input.classes):
        own = split_input.labels == label
        images = counted(int(own.sum()), "image")
        held = np.bincount(assignment[own & (assignment != UNASSIGNED)], minlength=3)
        if held.all():
            continue
        lacking = ", ".join(SPLITS[split] for split in np.flatnonzero(held == 0))
        if not own.any():
            errors.append(f"data: no image of class {name!r} is left: all were listed as bad or under several labels")
        elif any(held[split] == 0 for split in predefined_splits):
            errors.append(
                f"data: class {name!r} has {images}, but none in the predefined {lacking} images: "
                "add some there, or leave the class out"
            )
        else:
            groups = len(np.unique(split_input.groups[own]))
            several = f" in {counted(groups, 'group')} that must each stay in one split" if groups < own.sum() else ""
            remedy = "add images, join it with another class, or leave the class out"
            if means_unknown(name):
                remedy = "leave it out if it means that their class is not known"
            errors.append(
                f"data: class {name!r} has {images}{several}, too few to train, validate and test: it needs "
                f"at least one {'group' if several else 'image'} for each and has none for {lacking}; {remedy}"
            )
    if errors:
        raise BadInput(*errors)


def _subsampled(train: list[Labels], classes: tuple[str, ...], settings: DataSettings) -> list[Labels]:
    """The first images of each class, in its random order, as many as `data.counts` or `data.imbalance` say."""
    available = np.array([len(indices) for indices in train])
    targets = _training_sizes(available, classes, settings)
    if len(targets) != len(classes):
        raise BadInput(f"data.counts has {len(targets)} numbers for {len(classes)} classes: {listed(classes)}")
    if (short := targets > available).any():
        first = int(np.flatnonzero(short)[0])
        raise BadInput(
            f"data.counts asks for {targets[first]} training images of {classes[first]!r}; there are {available[first]}"
        )
    return [indices[:n] for indices, n in zip(train, targets, strict=True)]


def _training_sizes(
    available: NDArray[np.int64], classes: tuple[str, ...], settings: DataSettings
) -> NDArray[np.int64]:
    if isinstance(settings.counts, Mapping):
        if unknown := [name for name in settings.counts if name not in classes]:
            raise BadInput(f"data.counts names {listed(unknown)}, but the classes are {listed(classes)}")
        return np.array([settings.counts.get(name, n) for name, n in zip(classes, available, strict=True)])
    if settings.counts is not None:
        return np.array(settings.counts)
    if settings.imbalance is None:
        return available
    # Cui et al. (2019, section 5.1): n_k = n_max * ratio^(-k / (K - 1)), so that first : last = ratio.
    decline = settings.imbalance ** -np.linspace(0, 1, len(available))
    targets: NDArray[np.int64] = np.minimum(available, np.maximum(1, np.round(available.max() * decline))).astype(
        np.int64
    )
    return targets
