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
from makeweight.core.parameters import WatchSettings

WINNING = 25  # records for which a discriminator must have won: at first, while all is noise, most of them do
ERRORS = ("error_train", "error_generated")
LOGGED_ONLY = "_validation"  # ends the names of recorded figures that are of validation images
COMPARED = 50  # real images of a class


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is wrong, and what to try, in plain words."""

    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.what}; try {self.remedy}"


def not_finite(row: Mapping[str, float], state: Mapping[str, Any]) -> Trouble | None:
    """Losses or weights that are NaN or infinite."""
    spoilt = [name for name, value in row.items() if not name.endswith(LOGGED_ONLY) and not math.isfinite(value)]
    spoilt += [f"weights of {name}" for name, thing in state.items() if not _all_finite(thing)]
    if not spoilt:
        return None
    return Trouble(f"no number any more: {', '.join(spoilt)}", "lower learning rates, or compute.precision: float32")


def _all_finite(thing: Any) -> bool:
    weights: Iterator[Tensor] = thing.parameters() if isinstance(thing, torch.nn.Module) else iter(())
    return all(bool(weight.isfinite().all()) for weight in weights)


def discriminator_won(history: Sequence[Mapping[str, float]], settings: WatchSettings) -> Trouble | None:
    """A discriminator that has long told training images from generated ones almost without error.

    It is saturated: the generator, which learns from these two kinds of images, gets hardly any gradient. None where
    `history` has no columns `ERRORS`.
    """
    latest = history[-WINNING:]
    if len(latest) < WINNING or not all(name in latest[-1] for name in ERRORS):
        return None
    if any(fmean(row[name] for row in latest) > settings.least_error for name in ERRORS):
        return None
    return Trouble(
        f"the discriminator has won: for {WINNING} records it has told training from generated images with at most "
        f"{settings.least_error:.1%} error",
        "a lower discriminator_learning_rate, more augment, or a penalty (r1)",
    )


def real_spreads(train: Split) -> list[float]:
    """The spread of each class's training images, of at most `COMPARED` of them."""
    return [
        median_distance(train.images[np.flatnonzero(train.labels == label)[:COMPARED]])
        for label in range(len(train.classes))
    ]


def alike(
    drawn: Images, labels: Labels, train: Split, real: Sequence[float], settings: WatchSettings
) -> Trouble | None:
    """Classes whose drawn images are all alike, although real ones are not."""
    same = [
        train.classes[label]
        for label in np.unique(labels)
        if median_distance(drawn[labels == label]) < settings.least_diversity * real[label]
    ]
    if not same:
        return None
    return Trouble(
        f"all drawn images of {', '.join(map(repr, same))} are alike",
        "fewer steps, more augment, or a smaller mismatch",
    )
