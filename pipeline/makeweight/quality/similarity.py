"""Diversity and memorisation of generated images, measured by differences of pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from makeweight.core.data import Split
from makeweight.core.images import diversity, nearest, of_class
from makeweight.runtime.artifacts import SYNTHETIC_FOLDER, replicate_name
from makeweight.runtime.splits import read_split

MAX_COMPARED = 300  # images of a class


@dataclass(frozen=True)
class Similarity:
    """Ratios for each class, [classes]; NaN where a class has too few images.

    Attributes:
        diversity: the median difference of two synthetic images over that of two held-out real ones, brightness and
            contrast taken out; 0 means mode collapse.
        distance_ratio: nearest-neighbour distance ratio: the median distance of a synthetic image to the nearest
            training image of its class over that of a held-out real image; 0 means memorisation.
    """

    diversity: NDArray[np.float64]
    distance_ratio: NDArray[np.float64]


def similarity(synthetic: Split, train: Split, held_out: Split) -> Similarity:
    """Diversity and nearest-neighbour distance ratio of each class, from at most `MAX_COMPARED` images of a class."""
    labels = range(len(train.classes))
    diversity = _ratio(*([_diversity(split, label) for label in labels] for split in (synthetic, held_out)))
    distances = _ratio(*([_distance(split, train, label) for label in labels] for split in (synthetic, held_out)))
    return Similarity(diversity, distances)


def _diversity(split: Split, label: int) -> float:
    return diversity(of_class(split, label)[:MAX_COMPARED])


def _distance(split: Split, train: Split, label: int) -> float:
    images, training_images = of_class(split, label)[:MAX_COMPARED], of_class(train, label)
    if not len(images) or not len(training_images):
        return 0.0
    return float(np.median(nearest(images, training_images)[1]))


def _ratio(synthetic: list[float], real: list[float]) -> NDArray[np.float64]:
    return np.array([a / b if b else np.nan for a, b in zip(synthetic, real, strict=True)])


def similarities(data: Path, families: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """The similarity of each family's synthetic images (replicate 0): one row per class, for the report.

    Args:
        data: the folder of `train`, `validation` and `synthetic`.
        families: their names.

    Raises:
        BadInput: a split is missing.
    """
    train, validation = read_split(data / "train"), read_split(data / "validation")
    rows = {}
    for name in families:
        ratios = similarity(read_split(data / SYNTHETIC_FOLDER / name / replicate_name(0)), train, validation)
        rows[name] = [
            {"class": label, "diversity": float(diversity), "novelty": float(distance_ratio)}
            for label, diversity, distance_ratio in zip(
                train.classes, ratios.diversity, ratios.distance_ratio, strict=True
            )
        ]
    return rows
