"""Images that a small classifier learns, and assessments of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from makeweight.core.data import Split
from makeweight.core.parameters import AssessSettings

CLASSES = ("left", "right", "middle")
SETTINGS: dict[str, Any] = {
    "families": (), "weights": None, "neighbours": 3, "max_images": 200, "per_class": 20, "near_copy": 0.3,
    "alarm_copies": 0.01, "alarm_ratio": 0.5, "alarm_membership": 0.6, "alarm_separable": 0.95,
}  # fmt: skip


def assess_settings(**changes: Any) -> AssessSettings:
    return AssessSettings(**{**SETTINGS, **changes})


def real(seed: int, counts: Sequence[int] = (40, 40, 40)) -> Split:
    """Noise with a bright square, whose place is that of the class and whose brightness varies."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(3), counts)
    images = rng.integers(0, 90, (len(labels), 8, 8, 1), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        start = (0, 5, 2)[label]
        image[start : start + 3, start : start + 3] += np.uint8(rng.integers(100, 165))
    return Split(images, labels, CLASSES)


def noise(seed: int, counts: Sequence[int] = (40, 40, 40)) -> Split:
    labels = np.repeat(np.arange(3), counts)
    images = np.random.default_rng(seed).integers(0, 256, (len(labels), 8, 8, 1), dtype=np.uint8)
    return Split(images, labels, CLASSES)


def copies(split: Split) -> Split:
    """The images with a change that no eye sees."""
    return Split(np.minimum(split.images, 254) + np.uint8(1), split.labels, split.classes)


def swapped(split: Split) -> Split:
    """The same images under swapped labels of the first two classes."""
    return Split(split.images, np.array([1, 0, 2])[split.labels], split.classes)
