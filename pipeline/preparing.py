"""Dividing images into train, validation and test, and thinning the training split."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.core import BadInput, Labels, Reading
from pipeline.params import DataSettings
from pipeline.seeds import stream
from pipeline.storage import replaced_folder, write_split


def divide(reading: Reading, settings: DataSettings, seed: int) -> dict[str, Labels]:
    """Indices of the images of `train`, `validation` and `test`, each sorted.

    Stratified: every class gives the same fraction to each split, rounded, but at least one image. An official
    test set is kept as it is, and `validation_fraction` is then taken of the rest. Thinned is `train` alone.

    Raises:
        BadInput: a class has too few images for three splits, or `data.counts` does not fit.
    """
    official = reading.official_test
    parts: dict[str, list[Labels]] = {"train": [], "validation": [], "test": []}
    for label, name in enumerate(reading.images.classes):
        own = reading.images.labels == label
        free = stream(seed, "split", label).permutation(np.flatnonzero(own & ~official))
        n_validation = max(1, round(settings.validation_fraction * len(free)))
        n_test = 0 if official.any() else max(1, round(settings.test_fraction * len(free)))
        if len(free) < n_validation + n_test + 1 or (official.any() and not (own & official).any()):
            raise BadInput(
                f"data: class {name!r} has {own.sum()} images, too few to train, validate and test: "
                f"it needs at least one for each; add images or leave the class out"
            )
        test, validation, train = np.split(free, [n_test, n_test + n_validation])
        parts["train"].append(train)
        parts["validation"].append(validation)
        parts["test"] += [test, np.flatnonzero(own & official)]
    parts["train"] = _thinned(parts["train"], reading.images.classes, settings)
    return {name: np.sort(np.concatenate(indices)) for name, indices in parts.items()}


def _thinned(train: list[Labels], classes: tuple[str, ...], settings: DataSettings) -> list[Labels]:
    """The first images of each class's random order, as many as `data.counts` or `data.imbalance` leave."""
    available = np.array([len(indices) for indices in train])
    wanted = _wanted(available, settings)
    if len(wanted) != len(classes):
        raise BadInput(f"data.counts has {len(wanted)} numbers for {len(classes)} classes: {', '.join(classes)}")
    if (short := wanted > available).any():
        first = int(np.flatnonzero(short)[0])
        raise BadInput(
            f"data.counts asks for {wanted[first]} training images of {classes[first]!r}; there are {available[first]}"
        )
    return [indices[:n] for indices, n in zip(train, wanted, strict=True)]


def _wanted(available: NDArray[np.int64], settings: DataSettings) -> NDArray[np.int64]:
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


def write_splits(reading: Reading, indices: Mapping[str, Labels], folders: Mapping[str, Path]) -> None:
    """Write each split into its folder, with the origin of every image; all of them or none."""
    with ExitStack() as stack:
        temporary = {name: stack.enter_context(replaced_folder(folder)) for name, folder in folders.items()}
        for name, folder in temporary.items():
            origins = [reading.origins[index] for index in indices[name]]
            write_split(folder, reading.images.take(indices[name]), {"origin": origins})
