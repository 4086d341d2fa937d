"""Whether a training goes wrong: pure functions of what it has recorded, each with what to try.

None of them reads a figure of validation images: these are logged and may not steer a training, which steps back
where something is found.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np
import torch
from torch import Tensor

from makeweight.core.data import Images, Labels, Split
from makeweight.core.images import median_distance
from makeweight.core.parameters import MonitorSettings

SATURATED_RECORDS = 25  # records for which a discriminator must have won: at first, while all is noise, most of them do
ERRORS = ("error_train", "error_generated")
LOGGED_ONLY = "_validation"  # ends the names of recorded figures that are of validation images
COMPARED = 50  # real images of a class


@dataclass(frozen=True, slots=True)
class TrainingFailure:
    """What is wrong, and what to try, in plain words."""

    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.what}; try {self.remedy}"


def non_finite(row: Mapping[str, float], state: Mapping[str, Any]) -> TrainingFailure | None:
    """Losses or weights that are NaN or infinite."""
    spoilt = [name for name, value in row.items() if not name.endswith(LOGGED_ONLY) and not math.isfinite(value)]
    spoilt += [f"weights of {name}" for name, thing in state.items() if not _all_finite(thing)]
    if not spoilt:
        return None
    return TrainingFailure(
        f"no number any more: {', '.join(spoilt)}", "lower learning rates, or compute.precision: float32"
    )


def _all_finite(thing: Any) -> bool:
    weights: Iterator[Tensor] = thing.parameters() if isinstance(thing, torch.nn.Module) else iter(())
    return all(bool(weight.isfinite().all()) for weight in weights)


def discriminator_saturation(
    history: Sequence[Mapping[str, float]], settings: MonitorSettings
) -> TrainingFailure | None:
    """A discriminator that has long told training images from generated ones almost without error.

    It is saturated: the generator, which learns from these two kinds of images, gets hardly any gradient. None where
    `history` has no columns `ERRORS`.
    """
    latest = history[-SATURATED_RECORDS:]
    if len(latest) < SATURATED_RECORDS or not all(name in latest[-1] for name in ERRORS):
        return None
    if any(fmean(row[name] for row in latest) > settings.min_discriminator_error for name in ERRORS):
        return None
    return TrainingFailure(
        f"the discriminator has won: for {SATURATED_RECORDS} records it has told training from generated images with at most "
        f"{settings.min_discriminator_error:.1%} error",
        "a lower discriminator_learning_rate, more augment, or a penalty (r1)",
    )


def real_distances(train: Split) -> list[float]:
    """The spread of each class's training images, of at most `COMPARED` of them."""
    return [
        median_distance(train.images[np.flatnonzero(train.labels == label)[:COMPARED]])
        for label in range(len(train.classes))
    ]


def mode_collapse(
    drawn: Images, labels: Labels, train: Split, real: Sequence[float], settings: MonitorSettings
) -> TrainingFailure | None:
    """Classes whose drawn images are all alike, although real ones are not."""
    same = [
        train.classes[label]
        for label in np.unique(labels)
        if median_distance(drawn[labels == label]) < settings.min_diversity_ratio * real[label]
    ]
    if not same:
        return None
    return TrainingFailure(
        f"all drawn images of {', '.join(map(repr, same))} are alike",
        "fewer steps, more augment, or a smaller matching_aware_weight",
    )
