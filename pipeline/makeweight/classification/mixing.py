"""Mixing of real and synthetic images into batches: all that distinguishes arms with the same transform.

All arms of a replicate follow one order, so that they can be compared in pairs. An epoch lists image indices: every
image once, then its repetitions. Within an epoch each position of a class gets a random number, which depends only on
the seed, the epoch, the class and the position. Hence `oversample` and `balance`, whose epochs hold equally many images
of each class, show a real image at the same place of the same batch, and in all arms the images that they share follow
one another in the same order. `uniform` takes the batches of `oversample` and replaces some images of each batch by
synthetic images of the same class.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, islice

import numpy as np
from numpy.typing import NDArray

from makeweight.classification.controls import oversample_indices
from makeweight.classification.interface import Control
from makeweight.core.data import Images, Labels, Split
from makeweight.core.errors import BadInput
from makeweight.core.parameters import GenerateSettings
from makeweight.core.plugins import find
from makeweight.core.seeds import stream


@dataclass(frozen=True, slots=True)
class Mixing:
    """The images of an arm and how they are mixed.

    Attributes:
        splits: the real images, followed by the synthetic ones in an arm that has them. Indices count through both.
        epoch: indices of the images of one epoch, int64.
        batch: images in a batch.
        replaced: images of each batch that are replaced by synthetic images of their class.
    """

    splits: tuple[Split, ...]
    epoch: Labels
    batch: int
    replaced: int = 0

    @property
    def labels(self) -> Labels:
        """Labels of all images in `splits`."""
        return np.concatenate([split.labels for split in self.splits])

    def images(self, indices: Labels) -> Images:
        """The images at `indices`, from whichever split."""
        images = np.empty((len(indices), *self.splits[0].images.shape[1:]), np.uint8)
        start = 0
        for split in self.splits:
            in_split = (indices >= start) & (indices < start + len(split))
            images[in_split] = split.images[indices[in_split] - start]
            start += len(split)
        return images


def control_mixing(name: str, train: Split, batch: int, seed: int) -> Mixing:
    """The mixing of the control `name`: real images only, as often as the control says.

    Raises:
        BadInput: no control has this name.
    """
    control: Control = find("controls", name)
    return Mixing((train,), control.epoch(train.labels, seed), batch)


def generator_mixing(train: Split, synthetic: Split, settings: GenerateSettings, batch: int, seed: int) -> Mixing:
    """The mixing of a generator arm: real and synthetic images, balanced over the classes under both strategies.

    `uniform` gives every class the same fraction of synthetic images, so that being synthetic reveals nothing about the
    class. `balance` adds synthetic images to the classes that lack images, and repeats images where that is not enough.

    Raises:
        BadInput: the strategy is `uniform`, and a class has real images but no synthetic ones.
    """
    splits = (train, synthetic)
    if settings.strategy == "balance":
        return Mixing(splits, oversample_indices(np.concatenate([train.labels, synthetic.labels]), seed), batch)
    if len(missing := np.flatnonzero((train.counts > 0) & (synthetic.counts == 0))):
        raise BadInput(
            f"there are no synthetic images of class {train.classes[missing[0]]!r}, which generate.strategy: uniform "
            "needs: run generate again"
        )
    replaced = min(batch - 1, max(1, round(settings.synthetic_fraction * batch)))
    return Mixing(splits, oversample_indices(train.labels, seed), batch, replaced)


def mixed_batches(mixing: Mixing, steps: int, seed: int) -> Iterator[tuple[Images, Labels]]:
    """`steps` batches: images uint8 [batch, h, w, c] and labels int64 [batch]."""
    labels = mixing.labels
    for indices in islice(batch_indices(mixing, seed), steps):
        yield mixing.images(indices), labels[indices]


def batch_indices(mixing: Mixing, seed: int) -> Iterator[Labels]:
    """The indices of one batch after the other, without end, each int64 [batch]."""
    of_epochs = _shuffled_batches(mixing, seed)
    return _with_synthetic(mixing, of_epochs, seed) if mixing.replaced else of_epochs


def _shuffled_batches(mixing: Mixing, seed: int) -> Iterator[Labels]:
    labels = mixing.labels[mixing.epoch]
    positions = [(int(label), np.flatnonzero(labels == label)) for label in np.unique(labels)]
    keys = np.empty(len(labels))
    waiting = mixing.epoch[:0]
    for epoch in count():
        for label, of_class in positions:
            keys[of_class] = stream(seed, "batches", epoch, label).random(len(of_class))
        waiting = np.concatenate([waiting, mixing.epoch[keys.argsort(kind="stable")]])
        while len(waiting) >= mixing.batch:
            yield waiting[: mixing.batch]
            waiting = waiting[mixing.batch :]


def _with_synthetic(mixing: Mixing, real_batches: Iterator[Labels], seed: int) -> Iterator[Labels]:
    """The batches with `mixing.replaced` images of each replaced by synthetic images of the same class.

    At any time the same fraction of every class's images has been replaced, to within one image. Within a class, the
    images that have been replaced least often come first, ties in random order: so all images of a class are shown
    nearly equally often.
    """
    real, synthetic = mixing.splits
    rng = stream(seed, "replaced")
    replacements = {
        int(label): _cycle(len(real) + np.flatnonzero(synthetic.labels == label), seed, int(label))
        for label in np.unique(real.labels)
    }
    times_replaced = np.zeros(len(real), np.int64)
    due = np.zeros(len(real.classes))  # images of each class that are still to be replaced, as a fraction
    for batch in real_batches:
        indices, labels = batch.copy(), real.labels[batch]
        counts = np.bincount(labels, minlength=len(due))
        due += counts * (mixing.replaced / mixing.batch)
        ranking = np.lexsort((rng.random(len(indices)), times_replaced[indices]))
        numbers = _apportion(due, counts, mixing.replaced, rng)
        due -= numbers
        for label in np.flatnonzero(numbers).tolist():
            places = ranking[labels[ranking] == label][: numbers[label]]
            np.add.at(times_replaced, batch[places], 1)  # a batch may hold one image twice
            indices[places] = [next(replacements[label]) for _ in places]
        yield indices


def _apportion(due: NDArray[np.float64], limits: Labels, total: int, rng: np.random.Generator) -> Labels:
    """Whole numbers near `due` that add up to `total`, none above its limit; ties are broken at random."""
    numbers = np.zeros(len(due), np.int64)
    ties = 1e-9 * rng.random(len(due))
    for _ in range(total):
        numbers[np.where(numbers < limits, due - numbers + ties, -np.inf).argmax()] += 1
    return numbers


def _cycle(indices: Labels, seed: int, label: int) -> Iterator[int]:
    """The synthetic images of a class again and again, reshuffled each time."""
    rng = stream(seed, "synthetic", label)
    while True:
        yield from rng.permutation(indices)
