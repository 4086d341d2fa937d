"""Controls by name: arms that train on real images only.

A control decides how often one epoch shows each training image. It is registered under the entry points
`makeweight.controls`, as a frozen object with the attribute and the method of `classification.interface.Control`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from makeweight.core.data import Labels
from makeweight.core.seeds import stream


@dataclass(frozen=True, slots=True)
class NoResampling:
    """The training images as they are."""

    description: str = "trained on the real images as they are"

    def epoch(self, labels: Labels, seed: int) -> Labels:
        """Every image once."""
        return np.arange(len(labels))


@dataclass(frozen=True, slots=True)
class Oversampling:
    """Random oversampling: images of small classes are repeated until all classes are equally frequent."""

    description: str = (
        "trained on real images only, those of small classes repeated until all classes are equally frequent"
    )

    def epoch(self, labels: Labels, seed: int) -> Labels:
        """Every class as often as the largest one."""
        return oversample_indices(labels, seed)


none, oversample = NoResampling(), Oversampling()


def oversample_indices(labels: Labels, seed: int) -> Labels:
    """Indices with which every class that occurs is as frequent as the largest one.

    Each image of a class is repeated equally often; what is then still missing is drawn at random without replacement.
    """
    target = int(np.bincount(labels).max())
    indices = []
    for label in np.unique(labels):
        of_class = np.flatnonzero(labels == label)
        repetitions, remainder = divmod(target, len(of_class))
        rng = stream(seed, "levelling", int(label))
        indices += [np.tile(of_class, repetitions), rng.permutation(of_class)[:remainder]]
    return np.concatenate(indices)
