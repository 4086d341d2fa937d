"""Filters of drawn images: by label agreement, by density under the training images, and by distance from near-copies.

A filter sees training images only. It gives each image a score, and drops those whose score is too low.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from makeweight.core.data import Images, Labels, Split
from makeweight.core.errors import BadInput
from makeweight.core.images import SEARCH_BLOCK, nearest, of_class
from makeweight.core.parameters import FilterName, FilterSettings
from makeweight.core.text import shown
from makeweight.runtime.artifacts import METADATA
from makeweight.training.scorer import features, probabilities, train_scorer

QUERIES = 1000  # points whose distances to all others are held at a time
MEASURED = 1000  # training images of a class whose distances to the nearest other one are measured


class NoImagesLeft(BadInput):
    """Filters leave a class without images."""


@dataclass(frozen=True)
class Filter:
    """A score of drawn images, and the least one with which an image is kept.

    Attributes:
        score: of images of one class (uint8 [n, h, w, c], at least one) and their label: float64 [n]. NaN: the training
            images do not determine it, and the image is kept.
        minimum: images with a lower score are dropped.
    """

    score: Callable[[Images, int], NDArray[np.float64]]
    minimum: float


@dataclass(frozen=True)
class TrainingImages:
    """The training images that filters compare with, and the scorer that is trained on them when it is needed.

    Attributes:
        split: the training images.
        scorer_steps: optimizer steps of the scorer.
        seed: of the scorer.
        device: where to compute.
    """

    split: Split
    scorer_steps: int
    seed: int
    device: torch.device

    @cached_property
    def scorer(self) -> nn.Sequential:
        """The trained scorer."""
        return train_scorer(self.split, self.scorer_steps, self.seed, self.device)


def agreement(train: TrainingImages, settings: FilterSettings) -> Filter:
    """Whether the scorer takes an image for its class.

    The score, -1 to 1, is the probability of the class minus that of the most probable other class.
    """

    def score(images: Images, label: int) -> NDArray[np.float64]:
        of_classes = probabilities(train.scorer, images).astype(np.float64)
        margins: NDArray[np.float64] = of_classes[:, label] - np.delete(of_classes, label, 1).max(1)
        return margins

    return Filter(score, 0.0)


def density(train: TrainingImages, settings: FilterSettings) -> Filter:
    """Whether an image is among the training images of its class, in the features of the scorer.

    The score is the density of Naeem et al. 2020, "Reliable fidelity and diversity metrics for generative models",
    section 3.2, of a single image: 1 / k times the number of training images of the class that have it in their ball,
    which reaches to the k-th nearest other one. It is above zero where the image is in the manifold that
    Kynkäänniemi et al. 2019, "Improved precision and recall metric for assessing generative models", equation 1,
    estimate by the union of the balls.
    """
    k = settings.neighbours
    balls: dict[int, tuple[Tensor, Tensor]] = {}

    def balls_of(label: int) -> tuple[Tensor, Tensor]:
        if label not in balls:
            centres = torch.from_numpy(features(train.scorer, of_class(train.split, label)))
            balls[label] = centres, distances_to_others(centres, centres, k)
        return balls[label]

    def score(images: Images, label: int) -> NDArray[np.float64]:
        centres, radii = balls_of(label)
        points = torch.from_numpy(features(train.scorer, images))
        inside = [(torch.cdist(part, centres) <= radii).sum(1) for part in points.split(QUERIES)]
        return torch.cat(inside).double().numpy() / k

    return Filter(score, 1 / k)


def novelty(train: TrainingImages, settings: FilterSettings) -> Filter:
    """Whether an image is no near-copy of a training image of its class.

    The score is the Euclidean distance of the pixels to the nearest training image of the class, divided by the median
    distance of a training image of the class to the nearest other one. NaN if that is zero, or there is only one.
    """
    medians: dict[int, float] = {}

    def median_of(label: int) -> float:
        if label not in medians:
            own = of_class(train.split, label)
            points = torch.from_numpy(own.reshape(len(own), -1))
            several = len(own) > 1
            medians[label] = float(distances_to_others(points[:MEASURED], points, 1).median()) if several else 0.0
        return medians[label]

    def score(images: Images, label: int) -> NDArray[np.float64]:
        if not (median := median_of(label)):
            return np.full(len(images), np.nan)
        _, distances = nearest(images, of_class(train.split, label))
        return distances / median

    return Filter(score, settings.min_novelty)


FILTERS: Mapping[FilterName, Callable[[TrainingImages, FilterSettings], Filter]] = {
    "agreement": agreement,
    "density": density,
    "novelty": novelty,
}


def distances_to_others(points: Tensor, all_points: Tensor, k: int) -> Tensor:
    """The Euclidean distance of each of `points` to the k-th nearest other one of `all_points`, float32 [n].

    Args:
        points: [n, d], the first ones of `all_points`.
        all_points: [m, d], more than k.
        k: from 1.
    """
    block = max(1, SEARCH_BLOCK // all_points.shape[1])
    found = []
    for part in points.split(QUERIES):
        smallest = torch.empty(len(part), 0)
        for others in all_points.split(block):
            distances = torch.cat([smallest, torch.cdist(part.float(), others.float())], 1)
            smallest = distances.topk(min(k + 1, distances.shape[1]), largest=False).values  # the point itself is one
        found.append(smallest[:, k])
    return torch.cat(found)


def require_neighbours(train: Split, filters: Collection[FilterName], settings: FilterSettings) -> None:
    """Check that the filter `density`, if it is among `filters`, finds enough training images.

    Raises:
        BadInput: a class that has training images has too few of them.
    """
    k, counts = settings.neighbours, train.counts
    too_few = np.flatnonzero((counts > 0) & (counts <= k))
    if "density" in filters and len(too_few):
        smallest = too_few[counts[too_few].argmin()]
        raise BadInput(
            f"generate.filtering.neighbours is {k}, but class {shown(train.classes[smallest])!r} has only "
            f"{counts[smallest]} training images: the filter density needs more than {k} of each class; lower "
            "neighbours or leave it out"
        )


def read_scores(folder: Path) -> dict[str, list[float | None]]:
    """The scores of synthetic images that were filtered, by filter; None where a score is undefined.

    Args:
        folder: of the images of one replicate.
    """
    table = pd.read_csv(folder / METADATA, usecols=lambda name: name in FILTERS, dtype=np.float64)
    return {str(name): [None if np.isnan(value) else value for value in table[name]] for name in table}


@dataclass(frozen=True)
class FilterCounts:
    """How many images were drawn, kept and dropped in one replicate, each int64 [classes].

    Attributes:
        quota: images that were wanted.
        drawn: images that were drawn; each is kept or dropped.
        kept: images that were kept.
        dropped: by filter, in the order of the filters; an image counts for the first one that drops it.
    """

    quota: Labels
    drawn: Labels
    kept: Labels
    dropped: Mapping[str, Labels]

    def rows(self, classes: tuple[str, ...]) -> list[dict[str, Any]]:
        """A row of plain values for each class."""
        return [
            {
                "class": name,
                **{key: int(getattr(self, key)[label]) for key in ("quota", "drawn", "kept")},
                "dropped": {name: int(numbers[label]) for name, numbers in self.dropped.items()},
            }
            for label, name in enumerate(classes)
        ]

    @classmethod
    def of(cls, rows: list[dict[str, Any]]) -> FilterCounts:
        """The counts of which `rows` were made."""
        quota, drawn, kept = (
            np.array([row[key] for row in rows], dtype=np.int64) for key in ("quota", "drawn", "kept")
        )
        names = rows[0]["dropped"]
        dropped = {name: np.array([row["dropped"][name] for row in rows], dtype=np.int64) for name in names}
        return cls(quota, drawn, kept, dropped)
