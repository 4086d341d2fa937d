"""Whether generated images are copies of each other, or of training images, by distances between pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from makeweight.core.data import Split
from makeweight.core.images import median_distance, nearest, of_class
from makeweight.runtime.artifacts import replicate_name
from makeweight.runtime.splits import read_split

COMPARED = 300  # images of a class, for distances


@dataclass(frozen=True)
class Similarity:
    """Class by class, shape [classes]; NaN where a class has too few images to tell.

    Attributes:
        diversity: median distance between two drawn images over that between two real, held-out ones. Copies of each
            other: 0.
        novelty: median distance of a drawn image to the nearest training image of its class over that of a held-out
            real one. Copies of training images: 0.
    """

    diversity: NDArray[np.float64]
    distance_ratio: NDArray[np.float64]


def similarity(drawn: Split, train: Split, held_out: Split) -> Similarity:
    """How alike the drawn images of each class are, and how near to training images; at most `COMPARED` of a class."""
    classes = range(len(train.classes))
    spreads, gaps = (
        [[measure(split, label) for label in classes] for split in (drawn, held_out)]
        for measure in (_spread, lambda split, label: _gap(split, train, label))
    )
    return Similarity(_ratio(*spreads), _ratio(*gaps))


def _spread(split: Split, label: int) -> float:
    return median_distance(of_class(split, label)[:COMPARED])


def _gap(split: Split, train: Split, label: int) -> float:
    images, others = of_class(split, label)[:COMPARED], of_class(train, label)
    return float(np.median(nearest(images, others)[1])) if len(images) and len(others) else 0.0


def _ratio(drawn: list[float], real: list[float]) -> NDArray[np.float64]:
    return np.array([a / b if b else np.nan for a, b in zip(drawn, real, strict=True)])


def similarities(data: Path, families: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """What the report shows of each family's similarity: a row a class, of the images that replicate 0 drew.

    Args:
        data: the folder of `train`, `validation` and `synthetic`.
        families: names.

    Raises:
        BadInput: a split is missing.
    """
    train, validation = read_split(data / "train"), read_split(data / "validation")
    found = {}
    for name in families:
        measured = similarity(read_split(data / "synthetic" / name / replicate_name(0)), train, validation)
        found[name] = [
            {"class": label, "diversity": float(diversity), "novelty": float(distance_ratio)}
            for label, diversity, distance_ratio in zip(
                train.classes, measured.diversity, measured.distance_ratio, strict=True
            )
        ]
    return found
