"""Which images a classifier is shown, and in what order: the only thing in which arms with one transform differ.

All arms of a replicate follow one order, so that they can be compared in pairs. A menu lists what one pass shows, class
by class: every image once, then its repetitions. The order of a pass gives each position within a class a random
number, which depends on nothing but the seed, the pass, the class and the position: so `oversample` and `balance`, whose
passes hold equally many images of each class, show a real image at the same place of the same batch, and in all arms
the images that they share follow one another in the same order. `uniform` shows the very batches of `oversample` and
replaces some images of each by synthetic ones of the same class.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, islice

import numpy as np
from numpy.typing import NDArray

from makeweight.core.data import Images, Labels, Split
from makeweight.core.errors import BadInput
from makeweight.core.parameters import GenerateSettings
from makeweight.core.seeds import stream


@dataclass(frozen=True, slots=True)
class Mixing:
    """What a classifier is shown.

    Attributes:
        splits: where the images are: real ones, and synthetic ones in an arm that has them. Indices count through both.
        one_pass: int64, the indices that one pass shows.
        batch: images in a batch.
        replaced: how many of them are replaced by synthetic images of their class.
    """

    splits: tuple[Split, ...]
    epoch: Labels
    batch: int
    replaced: int = 0

    @property
    def labels(self) -> Labels:
        """Of all images in `splits`."""
        return np.concatenate([split.labels for split in self.splits])

    def images(self, indices: Labels) -> Images:
        """The images at `indices`, of whichever split."""
        images = np.empty((len(indices), *self.splits[0].images.shape[1:]), np.uint8)
        start = 0
        for split in self.splits:
            own = (indices >= start) & (indices < start + len(split))
            images[own] = split.images[indices[own] - start]
            start += len(split)
        return images


def control_mixing(control: str, train: Split, batch: int, seed: int) -> Mixing:
    """The menu of a control: the real images as they are (`none`), or repeated until classes are level."""
    return Mixing(
        (train,), oversample_indices(train.labels, seed) if control == "oversample" else np.arange(len(train)), batch
    )


def generator_mixing(train: Split, synthetic: Split, settings: GenerateSettings, batch: int, seed: int) -> Mixing:
    """The menu of a generator arm: real and synthetic images, level over the classes in both ways to fill.

    `uniform` serves every class the same share of synthetic images, so that being synthetic tells nothing about the
    class. `balance` tops up what a class lacks and repeats what is still missing.

    Raises:
        BadInput: `uniform`, and a class has real images but no synthetic ones.
    """
    splits = (train, synthetic)
    if settings.strategy == "balance":
        return Mixing(splits, oversample_indices(np.concatenate([train.labels, synthetic.labels]), seed), batch)
    if len(missing := np.flatnonzero((train.counts > 0) & (synthetic.counts == 0))):
        raise BadInput(
            f"there are no synthetic images of class {train.classes[missing[0]]!r}, which generate.strategy: even needs: "
            "run generate again"
        )
    replaced = min(batch - 1, max(1, round(settings.synthetic_fraction * batch)))
    return Mixing(splits, oversample_indices(train.labels, seed), batch, replaced)


def oversample_indices(labels: Labels, seed: int) -> Labels:
    """Indices in which every class that occurs stands as often as the largest: whole passes, then a random rest."""
    target = int(np.bincount(labels).max())
    rows = []
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        passes, rest = divmod(target, len(own))
        rows += [np.tile(own, passes), stream(seed, "levelling", int(label)).permutation(own)[:rest]]
    return np.concatenate(rows)


def serve(menu: Mixing, steps: int, seed: int) -> Iterator[tuple[Images, Labels]]:
    """`steps` batches: images uint8 [batch, h, w, c] and labels int64 [batch]."""
    labels = menu.labels
    for indices in islice(order(menu, seed), steps):
        yield menu.images(indices), labels[indices]


def order(menu: Mixing, seed: int) -> Iterator[Labels]:
    """The indices of one batch after the other, without end, each int64 [batch]."""
    batches = _batches(menu, seed)
    return _with_synthetic(menu, batches, seed) if menu.replaced else batches


def _batches(menu: Mixing, seed: int) -> Iterator[Labels]:
    labels = menu.labels[menu.epoch]
    of_class = [(int(label), np.flatnonzero(labels == label)) for label in np.unique(labels)]
    keys = np.empty(len(labels))
    waiting = menu.epoch[:0]
    for number in count():
        for label, own in of_class:
            keys[own] = stream(seed, "batches", number, label).random(len(own))
        waiting = np.concatenate([waiting, menu.epoch[keys.argsort(kind="stable")]])
        while len(waiting) >= menu.batch:
            yield waiting[: menu.batch]
            waiting = waiting[menu.batch :]


def _with_synthetic(menu: Mixing, batches: Iterator[Labels], seed: int) -> Iterator[Labels]:
    """The batches with `menu.replaced` images of each replaced by synthetic ones of the same class.

    At any time every class has had the same part of its images replaced, to within an image. Within a class those
    images are replaced that have been so least often, at random among equals: so all images of a class are shown
    nearly equally often.
    """
    real, synthetic = menu.splits
    rng = stream(seed, "replaced")
    drawn = {
        int(label): _cycle(len(real) + np.flatnonzero(synthetic.labels == label), seed, int(label))
        for label in np.unique(real.labels)
    }
    times = np.zeros(len(real), np.int64)
    owed = np.zeros(len(real.classes))  # the part of each class's images that is still to be replaced
    for batch in batches:
        indices, labels = batch.copy(), real.labels[batch]
        counts = np.bincount(labels, minlength=len(owed))
        owed += counts * (menu.replaced / menu.batch)
        ranking = np.lexsort((rng.random(len(indices)), times[indices]))
        numbers = _whole(owed, counts, menu.replaced, rng)
        owed -= numbers
        for label in np.flatnonzero(numbers).tolist():
            places = ranking[labels[ranking] == label][: numbers[label]]
            np.add.at(times, batch[places], 1)  # a batch may show one image twice
            indices[places] = [next(drawn[label]) for _ in places]
        yield indices


def _whole(owed: NDArray[np.float64], limits: Labels, total: int, rng: np.random.Generator) -> Labels:
    """Whole numbers near `owed` that add up to `total`, none above its limit; ties are broken at random."""
    numbers = np.zeros(len(owed), np.int64)
    ties = 1e-9 * rng.random(len(owed))
    for _ in range(total):
        numbers[np.where(numbers < limits, owed - numbers + ties, -np.inf).argmax()] += 1
    return numbers


def _cycle(indices: Labels, seed: int, label: int) -> Iterator[int]:
    """One reshuffled pass after the other through the synthetic images of a class."""
    rng = stream(seed, "synthetic", label)
    while True:
        yield from rng.permutation(indices)
