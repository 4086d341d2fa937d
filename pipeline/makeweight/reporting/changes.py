"""Validation images whose prediction differs between two arms, beside the nearest synthetic images of their class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from makeweight.core.data import Images, Labels, Split
from makeweight.core.errors import BadInput
from makeweight.core.images import SEARCH_BLOCK, nearest, of_class
from makeweight.core.study import Arm
from makeweight.reporting import embed
from makeweight.runtime.artifacts import CLASS, GAIN, LABELS, PREDICTIONS, VALIDATION, replicate_name
from makeweight.runtime.files import read_arrays

CLASSES = 3  # of which images are shown, at most
IMAGES = 2  # of a class that are shown for each direction of change, at most
NEIGHBOURS = 3  # synthetic images of each family that are shown beside each of them

Predictions = NDArray[np.unsignedinteger[Any]]  # class indices [replicates, images]


@dataclass(frozen=True, slots=True)
class Change:
    """A changed prediction of one image.

    Attributes:
        image: index of the image.
        before: class that the reference arm predicts.
        after: class that the arm predicts; one of both is right.
        replicates: number of replicates in which the prediction changed in this direction.
    """

    image: int
    before: int
    after: int
    replicates: int


def changes(label: int, labels: Labels, arm: Predictions, reference: Predictions) -> list[Change]:
    """The images of one class whose prediction changed in most replicates: first to the right class, then from it.

    An image counts in the direction in which its prediction changed more often; the wrong class is the most frequent.

    Args:
        label: the class.
        labels: of the images, int64 [images].
        arm: predicted classes.
        reference: of the reference arm.
    """
    images = np.flatnonzero(labels == label)
    right, right_before = arm[:, images] == label, reference[:, images] == label
    to_right, to_wrong = right & ~right_before, right_before & ~right
    corrected = [
        Change(int(images[i]), _most_frequent(reference[to_right[:, i], images[i]]), label, int(to_right[:, i].sum()))
        for i in _most_changed(to_right, to_wrong)
    ]
    spoiled = [
        Change(int(images[i]), label, _most_frequent(arm[to_wrong[:, i], images[i]]), int(to_wrong[:, i].sum()))
        for i in _most_changed(to_wrong, to_right)
    ]
    return corrected + spoiled


def _most_changed(changed: NDArray[np.bool_], opposite: NDArray[np.bool_]) -> Labels:
    counts = changed.sum(0)
    candidates = np.flatnonzero(counts > opposite.sum(0))
    order: Labels = candidates[np.argsort(-counts[candidates], kind="stable")]
    return order[:IMAGES]


def _most_frequent(predicted: Predictions) -> int:
    return int(np.bincount(predicted).argmax())


def most_changed_classes(gains: pd.DataFrame) -> list[str]:
    """The classes with the largest absolute differences in recall, the rows of one contrast in `classes.csv`."""
    order = gains[GAIN].abs().sort_values(ascending=False, kind="stable").index
    return [str(name) for name, gain in gains.loc[order[:CLASSES], [CLASS, GAIN]].to_numpy() if gain != 0]


def validation_predictions(runs: Path, arm: Arm, validation: Split, replicates: int) -> Predictions:
    """The classes that each replicate of an arm predicts for the validation images.

    Raises:
        BadInput: they are missing, or of other images.
    """
    path = runs / str(arm) / PREDICTIONS
    arrays = read_arrays(path) if path.exists() else {}
    names = [VALIDATION + name for name in (LABELS, *map(replicate_name, range(replicates)))]
    if not all(name in arrays for name in names):
        raise BadInput(f"{path} holds no predictions of validation images: run {arm.stage} for {arm} again")
    labels, *predicted = (arrays[name] for name in names)
    if not np.array_equal(labels, validation.labels):
        raise BadInput(f"{path} is of other validation images: run {arm.stage} for {arm} again")
    return np.stack(predicted)


def shown_changes(
    gains: pd.DataFrame,
    validation: Split,
    predictions: tuple[Predictions, Predictions],
    synthetic: Mapping[str, Split],
) -> dict[str, Any]:
    """What the template shows of one contrast.

    Args:
        gains: the rows of the contrast in `classes.csv`.
        validation: the validation images.
        predictions: of the arm and of the reference arm.
        synthetic: for each family the images of replicate 0 that the arm was trained on.
    """
    names = most_changed_classes(gains)
    rows = []
    for name in names:
        label = validation.classes.index(name)
        found = changes(label, validation.labels, *predictions)
        drawn = [of_class(images, label) for images in synthetic.values()] if found else []
        rows += [_row(change, label, validation, drawn, len(predictions[0])) for change in found]
    shown = {row["class"] for row in rows}
    return {
        "heads": ["validation image", *(f"nearest images of {family}" for family in synthetic)],
        "rows": rows,
        "unchanged": [name for name in names if name not in shown],
    }


def _row(change: Change, label: int, validation: Split, drawn: Sequence[Images], replicates: int) -> dict[str, Any]:
    image = np.array(validation.images[change.image])  # a copy: the images are mapped read-only
    before, after = (validation.classes[index] for index in (change.before, change.after))
    direction = "now right" if change.after == label else "now wrong"
    return {
        "class": validation.classes[label],
        "change": f"{direction}: “{before}” → “{after}” in {change.replicates} of {replicates} runs",
        "image": embed.as_data_uri(image[None]),
        "nearest": [embed.as_data_uri(_closest(image, images)) if len(images) else None for images in drawn],
    }


def _closest(image: NDArray[np.uint8], others: Images) -> Images:
    """The `NEIGHBOURS` of `others` with the smallest Euclidean distances to the image, nearest first."""
    block = max(1, SEARCH_BLOCK // image.size)
    distances = [nearest(others[start : start + block], image[None])[1] for start in range(0, len(others), block)]
    return others[np.argsort(np.concatenate(distances), kind="stable")[:NEIGHBOURS]]
