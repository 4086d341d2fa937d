"""Dividing images into train, validation and test without tearing groups apart, and thinning the training split."""

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
Places = NDArray[np.int8]  # [n], each an index into SPLITS or FREE


@dataclass(frozen=True, slots=True)
class SplitInput:
    """What dividing needs to know of each image.

    Attributes:
        labels: int64 [n].
        classes: class names in the order of their labels.
        official: int8 [n], the split that the data itself names, or `UNASSIGNED`.
        groups: int64 [n]; images of one group stay together.
    """

    labels: Labels
    classes: tuple[str, ...]
    predefined: Places
    groups: Labels


def split_images(roll: SplitInput, settings: DataSettings, seed: int) -> dict[str, Labels]:
    """Indices of the images of `train`, `validation` and `test`, each sorted.

    Stratified: every class gives the same fraction to each split, rounded, but at least one image, as far as groups
    allow. Splits that the data itself names are kept as they are; those that it does not name are taken from its
    training images. Thinned is `train` alone.

    Raises:
        BadInput: classes have too few images or groups for three splits, or `data.counts` does not fit; a line each.
    """
    given = [place for place in (VALIDATION, TEST) if (roll.predefined == place).any()]
    places = roll.predefined.copy()
    free = ~np.isin(roll.predefined, given)
    places[free] = UNASSIGNED
    orders = [stream(seed, "split", label).permutation(np.flatnonzero(free & (roll.labels == label)))
              for label in range(len(roll.classes))]  # fmt: skip
    wanted = np.array([_wanted_of(len(order), given, settings) for order in orders])
    _place_groups(places, roll, free, wanted, seed)
    for label, order in enumerate(orders):
        _place_single_images(places, order, wanted[label])
    _spread(places, roll, free, [place for place in range(3) if place not in given])
    _check(places, roll, given)
    train = [order[places[order] == TRAIN] for order in orders]
    rows = {name: np.flatnonzero(places == place) for place, name in enumerate(SPLITS)}
    rows["train"] = np.sort(np.concatenate(_subsampled(train, roll.classes, settings)))
    return {name: indices.astype(np.int64) for name, indices in rows.items()}


def _wanted_of(n: int, given: Sequence[int], settings: DataSettings) -> list[int]:
    """How many of a class's `n` free images each split should get."""
    validation = 0 if VALIDATION in given else max(1, round(settings.validation_fraction * n))
    test = 0 if TEST in given else max(1, round(settings.test_fraction * n))
    return [n - validation - test, validation, test]


def _place_groups(places: Places, roll: SplitInput, free: NDArray[np.bool_], wanted: Labels, seed: int) -> None:
    """Put groups of several images where there is room, the largest first, with odds as the room that is left."""
    rows = np.flatnonzero(free)
    large = _members(roll.groups, rows[np.bincount(roll.groups[rows])[roll.groups[rows]] > 1])
    draws = stream(seed, "split", "groups")
    large = [large[index] for index in draws.permutation(len(large))]
    room = wanted.astype(np.int64).copy()  # [classes, splits]
    for rows in sorted(large, key=len, reverse=True):
        counts = np.bincount(roll.labels[rows], minlength=len(roll.classes))
        own = counts > 0
        fits = (counts[own, None] <= room[own]).all(axis=0)
        odds = np.where(fits, np.maximum(room[own], 0).sum(axis=0), 0).astype(float)
        # Where it fits nowhere, it does the least harm in the split that was to be the largest.
        place = int(draws.choice(3, p=odds / odds.sum())) if odds.any() else int(wanted[own].sum(axis=0).argmax())
        places[rows] = place
        room[own, place] -= counts[own]


def _place_single_images(places: Places, order: Labels, wanted: Labels) -> None:
    """Fill up a class's splits with its images that belong to nothing, in random order: test, validation, train."""
    single = order[places[order] == UNASSIGNED]
    missing = np.maximum(wanted - np.bincount(places[order[places[order] != UNASSIGNED]], minlength=3), 0)
    test, validation, train = np.split(single, [missing[TEST], missing[TEST] + missing[VALIDATION]])
    places[test], places[validation], places[train] = TEST, VALIDATION, TRAIN


def _spread(places: Places, roll: SplitInput, free: NDArray[np.bool_], open_places: Sequence[int]) -> None:
    """Where a class got nothing in a split, move the smallest group there that can go without such harm elsewhere."""
    held = np.zeros((len(roll.classes), 3), np.int64)
    np.add.at(held, (roll.labels[free], places[free]), 1)
    poor = {label for label, counts in enumerate(held[:, list(open_places)]) if not counts.all()}
    if not poor:
        return
    by_class: dict[int, list[Labels]] = {label: [] for label in poor}
    concerned = free & np.isin(roll.groups, roll.groups[free & np.isin(roll.labels, list(poor))])
    for rows in sorted(_members(roll.groups, np.flatnonzero(concerned)), key=len):
        for label in poor & set(roll.labels[rows].tolist()):
            by_class[label].append(rows)
    for label in sorted(poor):
        for place in open_places:
            if held[label, place]:
                continue
            for rows in by_class[label]:
                counts = np.bincount(roll.labels[rows], minlength=len(roll.classes))
                source = places[rows[0]]
                if (held[counts > 0, source] > counts[counts > 0]).all():
                    held[:, source] -= counts
                    held[:, place] += counts
                    places[rows] = place
                    break


def _members(groups: Labels, rows: Labels) -> list[Labels]:
    """The images among `rows` of each group, in the order of the groups' numbers."""
    order = rows[np.argsort(groups[rows], kind="stable")]
    bounds = np.flatnonzero(np.diff(groups[order])) + 1
    return [each for each in np.split(order, bounds) if len(each)]


def _check(places: Places, roll: SplitInput, given: Sequence[int]) -> None:
    errors = []
    for label, name in enumerate(roll.classes):
        own = roll.labels == label
        images = counted(int(own.sum()), "image")
        held = np.bincount(places[own & (places != UNASSIGNED)], minlength=3)
        if held.all():
            continue
        lacking = ", ".join(SPLITS[place] for place in np.flatnonzero(held == 0))
        if not own.any():
            errors.append(f"data: no image of class {name!r} is left: all were listed as bad or under several labels")
        elif any(held[place] == 0 for place in given):
            errors.append(
                f"data: class {name!r} has {images}, but none in the ready-made {lacking} images: "
                "add some there, or leave the class out"
            )
        else:
            groups = len(np.unique(roll.groups[own]))
            several = f" in {groups} groups that stay together" if groups < own.sum() else ""
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
    """The first images of each class's random order, as many as `data.counts` or `data.imbalance` leave."""
    available = np.array([len(indices) for indices in train])
    wanted = _wanted(available, classes, settings)
    if len(wanted) != len(classes):
        raise BadInput(f"data.counts has {len(wanted)} numbers for {len(classes)} classes: {listed(classes)}")
    if (short := wanted > available).any():
        first = int(np.flatnonzero(short)[0])
        raise BadInput(
            f"data.counts asks for {wanted[first]} training images of {classes[first]!r}; there are {available[first]}"
        )
    return [indices[:n] for indices, n in zip(train, wanted, strict=True)]


def _wanted(available: NDArray[np.int64], classes: tuple[str, ...], settings: DataSettings) -> NDArray[np.int64]:
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
    wanted: NDArray[np.int64] = np.minimum(available, np.maximum(1, np.round(available.max() * decline))).astype(
        np.int64
    )
    return wanted
