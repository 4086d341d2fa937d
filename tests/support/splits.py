"""Small splits."""

from __future__ import annotations

import numpy as np

from makeweight.core.data import Split


def split() -> Split:
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)
    return Split(images, np.array([1, 0, 1]), ('naïve, "quoted"', "b"))


def halves(counts: tuple[int, int], seed: int) -> Split:
    """Bright on the left (0) or on the right (1), with noise."""
    rng = np.random.default_rng(seed)
    labels = np.repeat([0, 1], counts)
    images = rng.integers(0, 100, (len(labels), 8, 8, 1), dtype=np.uint8)
    images[labels == 0, :, :4] += 100
    images[labels == 1, :, 4:] += 100
    return Split(images, labels, ("left", "right"))
