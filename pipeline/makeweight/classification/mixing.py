"""Mixing of real and synthetic images into batches: all that distinguishes arms with the same transform and loss.

All arms of a replicate follow one order, so that they can be compared in pairs. An epoch lists image indices: every
image once, then its repetitions. Within an epoch each position of a class gets a random number, which depends only on
the seed, the epoch, the class and the position. Hence controls with the same sampling serve the same batches,
`deferred` those of `none` until its sampling changes, and `oversample` and `balance`, whose epochs hold equally many
images of each class, a real image at the same place of the same batch; and in all arms the images that they share
follow one another in the same order. `uniform` takes the batches of a control, its base, and replaces some images of
each batch by synthetic images of the same class.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count, islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from makeweight.classification.interface import Control, find_control
from makeweight.core.data import Images, Labels, Split
from makeweight.core.errors import BadInput
from makeweight.core.parameters import GenerateSettings
from makeweight.core.seeds import stream

Loss = Callable[[Tensor, Tensor], Tensor]  # of logits and targets, as in `Control.loss`


@dataclass(frozen=True, slots=True)
class Phase:
    """A part of the training in which the sampling stays the same.

    Attributes:
        start: the fraction of the steps at which it begins.
        epoch: indices of the images of one epoch, int64.
    """

    start: float
    epoch: Labels


@dataclass(frozen=True, slots=True)
class Mixing:
    """The images of an arm, how they are mixed, and the loss that suits the mixture.

    Attributes:
        splits: the real images, followed by the synthetic ones in an arm that has them. Indices count through both.
        control: whose sampling and loss the arm uses.
        phases: in order; the first one starts at 0.
        batch: images in a batch.
        replaced: images of each batch that are replaced by synthetic images of their class.
    """

    splits: tuple[Split, ...]
    control: Control
    phases: tuple[Phase, ...]
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

    def frequencies(self) -> NDArray[np.float32]:
        """The fraction of each class among the images that the whole training serves, float32 [classes].

        Synthetic images have the class of those that they replace, and change nothing.
        """
        labels, classes = self.labels, len(self.splits[0].classes)
        ends = [*(phase.start for phase in self.phases[1:]), 1.0]
        parts = [
            (end - phase.start) * np.bincount(labels[phase.epoch], minlength=classes) / len(phase.epoch)
            for phase, end in zip(self.phases, ends, strict=True)
        ]
        return np.asarray(np.sum(parts, 0), np.float32)

    def loss(self, label_smoothing: float) -> Loss:
        """The loss of the control for the class frequencies as served."""
        frequencies = torch.from_numpy(self.frequencies())
        return lambda logits, targets: self.control.loss(
            logits, targets, frequencies.to(logits.device), label_smoothing
        )


def control_mixing(name: str, train: Split, batch: int, seed: int) -> Mixing:
    """The mixing of the control `name`: real images only, as often as the control says.

    Raises:
        BadInput: no control has this name.
    """
    control = find_control(name)
    return Mixing((train,), control, _phases(control, train.labels, seed), batch)


def _phases(control: Control, labels: Labels, seed: int) -> tuple[Phase, ...]:
    return tuple(Phase(start, control.epoch(labels, seed, start)) for start in (0.0, *control.changes))


def generator_mixing(
    train: Split, synthetic: Split, settings: GenerateSettings, base: str, batch: int, seed: int
) -> Mixing:
    """The mixing of a generator arm: real and synthetic images.

    `uniform` serves the batches of the control `base`, and uses its loss. It gives every class the same fraction of
    synthetic images, so that being synthetic reveals nothing about the class, and the images are the only difference
    between the arm and `base`. `balance` adds synthetic images to the classes that lack images, and repeats images
    where that is not enough, as `oversample` does; it has no base.

    Raises:
        BadInput: the strategy is `uniform`, and a class has real images but no synthetic ones; or no control has the
            name `base`.
    """
    if settings.strategy == "uniform":
        return uniform_mixing(train, synthetic, base, settings.synthetic_fraction, batch, seed)
    control, labels = find_control("oversample"), np.concatenate([train.labels, synthetic.labels])
    return Mixing((train, synthetic), control, _phases(control, labels, seed), batch)


def uniform_mixing(train: Split, synthetic: Split, base: str, fraction: float, batch: int, seed: int) -> Mixing:
    """The batches of the control `base`, of which synthetic images of the same classes replace `fraction`.

    Raises:
        BadInput: a class has real images but no synthetic ones, or no control has the name `base`.
    """
    if len(missing := np.flatnonzero((train.counts > 0) & (synthetic.counts == 0))):
        raise BadInput(
            f"there are no synthetic images of class {train.classes[missing[0]]!r}, which generate.strategy: uniform "
            "needs: run generate again"
        )
    control = find_control(base)
    replaced = min(batch - 1, max(1, round(fraction * batch)))
    return Mixing((train, synthetic), control, _phases(control, train.labels, seed), batch, replaced)


def mixed_batches(mixing: Mixing, steps: int, seed: int, done: int = 0) -> Iterator[tuple[Images, Labels]]:
    """The batches of `steps` steps after the first `done`: images uint8 [batch, h, w, c] and labels int64 [batch]."""
    labels = mixing.labels
    for indices in islice(batch_indices(mixing, steps, seed), done, None):
        yield mixing.images(indices), labels[indices]


def batch_indices(mixing: Mixing, steps: int, seed: int) -> Iterator[Labels]:
    """The indices of `steps` batches, one batch after the other, each int64 [batch]."""
    of_epochs = _shuffled_batches(mixing, steps, seed)
    return _with_synthetic(mixing, of_epochs, seed) if mixing.replaced else of_epochs


def _shuffled_batches(mixing: Mixing, steps: int, seed: int) -> Iterator[Labels]:
    """The batches of all phases. A phase begins with a new epoch; what was left of the last one is not served."""
    numbers, labels = count(), mixing.labels
    first_steps = [round(phase.start * steps) for phase in mixing.phases]
    for phase, first, end in zip(mixing.phases, first_steps, [*first_steps[1:], steps], strict=True):
        yield from islice(
            _batches_of_epochs(phase.epoch, labels[phase.epoch], numbers, mixing.batch, seed), end - first
        )


def _batches_of_epochs(
    epoch: Labels, labels: Labels, numbers: Iterator[int], batch: int, seed: int
) -> Iterator[Labels]:
    """Batches without end from the images `epoch` with `labels`, reshuffled in each epoch; `numbers` counts epochs."""
    positions = [(int(label), np.flatnonzero(labels == label)) for label in np.unique(labels)]
    keys = np.empty(len(labels))
    waiting = epoch[:0]
    for number in numbers:
        for label, of_class in positions:
            keys[of_class] = stream(seed, "batches", number, label).random(len(of_class))
        waiting = np.concatenate([waiting, epoch[keys.argsort(kind="stable")]])
        while len(waiting) >= batch:
            yield waiting[:batch]
            waiting = waiting[batch:]


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
