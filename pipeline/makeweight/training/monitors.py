"""Detection of training failures: functions of the recorded history and the drawn images, and a monitor that uses them.

A training failure can lead to a rollback, and validation images must not influence a training. So no detector reads a
figure of validation images; these are only logged.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

import numpy as np
import torch
from torch import Tensor

from makeweight.core.data import Images, Labels, Split
from makeweight.core.images import as_images, diversity, median_distance, of_class
from makeweight.core.parameters import MonitorSettings
from makeweight.training.loop import SHOWN_CLASSES, SHOWN_EACH, Sampler, TrainingFailure

SATURATED_RECORDS = 25  # records over which errors must be low; most are at first, while generated images are noise
ERRORS = ("error_train", "error_generated")
LOGGED_ONLY = "_validation"  # suffix of recorded figures of validation images
COMPARED = 50  # training images of each class
DRAWN_EACH = 20  # images of each class whose diversity is measured during training


@dataclass(frozen=True)
class Monitor:
    """Detects failures of a training on `train`, by `settings`.

    Attributes:
        settings: thresholds, and what to do about a failure.
        train: the training images.
        real: for each class, the median distance between two of its training images.
        real_diversity: for each class, the diversity of its training images.
    """

    settings: MonitorSettings
    train: Split
    real: list[float] = field(init=False)
    real_diversity: list[float] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "real", real_distances(self.train))
        object.__setattr__(self, "real_diversity", real_diversities(self.train))

    @property
    def labels(self) -> Labels:
        """Labels of the images in a frame: of the rarest classes, which fail first."""
        counts = self.train.counts
        rarest = [label for label in np.argsort(counts, kind="stable") if counts[label]][:SHOWN_CLASSES]
        return np.repeat(np.sort(np.array(rarest, dtype=np.int64)), SHOWN_EACH)

    def failure(
        self, history: Sequence[Mapping[str, float]], state: Mapping[str, Any], images: Images | None
    ) -> TrainingFailure | None:
        """The failure that the last row of `history` shows; see `TrainingMonitor`."""
        failure = non_finite(history[-1], state) or discriminator_saturation(history, self.settings)
        if failure or images is None:
            return failure
        return mode_collapse(images, self.labels, self.train, self.real, self.settings)

    def low_diversity_classes(self, sampler: Sampler) -> list[str]:
        """Names of the classes whose drawn images vary much less than their training images, with the ratio."""
        drawn = drawn_by_class(sampler, self.train, DRAWN_EACH, seed=0)
        ratios = {label: diversity_ratio(images, self.real_diversity[label]) for label, images in drawn}
        limit = self.settings.alarm_diversity_ratio
        return [f"{self.train.classes[label]!r} ({ratio:.2f})" for label, ratio in ratios.items() if ratio < limit]


def non_finite(row: Mapping[str, float], state: Mapping[str, Any]) -> TrainingFailure | None:
    """Losses or weights that are NaN or infinite."""
    names = [name for name, value in row.items() if not name.endswith(LOGGED_ONLY) and not math.isfinite(value)]
    names += [f"weights of {name}" for name, item in state.items() if not _all_finite(item)]
    if not names:
        return None
    return TrainingFailure(
        f"NaN or infinite: {', '.join(names)}", "lower learning rates, or compute.precision: float32"
    )


def _all_finite(item: Any) -> bool:
    weights: Iterator[Tensor] = item.parameters() if isinstance(item, torch.nn.Module) else iter(())
    return all(bool(weight.isfinite().all()) for weight in weights)


def discriminator_saturation(
    history: Sequence[Mapping[str, float]], settings: MonitorSettings
) -> TrainingFailure | None:
    """A discriminator that has long classified training and generated images almost without error.

    The generator then gets hardly any gradient. None where `history` has no columns `ERRORS`.
    """
    latest = history[-SATURATED_RECORDS:]
    if len(latest) < SATURATED_RECORDS or not all(name in latest[-1] for name in ERRORS):
        return None
    if any(fmean(row[name] for row in latest) > settings.min_discriminator_error for name in ERRORS):
        return None
    return TrainingFailure(
        f"discriminator saturation: for {SATURATED_RECORDS} records it has classified training and generated images "
        f"with at most {settings.min_discriminator_error:.1%} error",
        "a lower discriminator_learning_rate, more augment, or a penalty (r1)",
    )


def real_distances(train: Split) -> list[float]:
    """For each class, the median distance between two of its first `COMPARED` training images."""
    return [
        median_distance(train.images[np.flatnonzero(train.labels == label)[:COMPARED]])
        for label in range(len(train.classes))
    ]


def mode_collapse(
    images: Images, labels: Labels, train: Split, real: Sequence[float], settings: MonitorSettings
) -> TrainingFailure | None:
    """Classes whose drawn images are nearly identical although their training images are not.

    Args:
        images: drawn images, uint8 [n, h, w, c].
        labels: int64 [n].
        train: the training images.
        real: what `real_distances` returns for them.
        settings: thresholds.
    """
    collapsed = [
        train.classes[label]
        for label in np.unique(labels)
        if median_distance(images[labels == label]) < settings.min_diversity_ratio * real[label]
    ]
    if not collapsed:
        return None
    return TrainingFailure(
        f"mode collapse: the drawn images of {', '.join(map(repr, collapsed))} are nearly identical",
        "a larger mode_seeking, more augment, or a smaller matching_aware_weight",
    )


def real_diversities(train: Split) -> list[float]:
    """For each class, the `diversity` of its first `COMPARED` training images."""
    return [diversity(of_class(train, label)[:COMPARED]) for label in range(len(train.classes))]


def drawn_by_class(sampler: Sampler, train: Split, each: int, seed: int) -> Iterator[tuple[int, Images]]:
    """The label of each class that has training images, with `each` drawn images of it, uint8 [each, h, w, c].

    The images of one class at a time, so that many classes or large images need no more memory than few.
    """
    rng = torch.Generator().manual_seed(seed)
    for label in np.flatnonzero(train.counts).tolist():
        yield label, as_images(sampler.sample(torch.full((each,), label), rng=rng))


def diversity_ratio(images: Images, real: float) -> float:
    """The diversity of drawn images of one class (uint8 [n, h, w, c]) over that of its training images.

    NaN if fewer than two images are given, or if the training images do not vary (`real` is 0).
    """
    return diversity(images) / real if real and len(images) > 1 else math.nan
