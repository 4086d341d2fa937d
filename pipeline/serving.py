"""Which images a classifier is shown, and in what order: the only thing in which arms with one transform differ.

A menu is a sequence of pools. Every batch takes a fixed number of images from each pool, in the order of endless
reshuffled passes through it, so that all arms train the same number of steps on batches of the same size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.core import Images, Labels, Split
from pipeline.params import GenerateSettings
from pipeline.seeds import stream


@dataclass(frozen=True, slots=True)
class Pool:
    """Images to serve, and how many of them stand in each batch.

    Attributes:
        split: where the images are.
        indices: which of them, each as often as it stands here.
        per_batch: how many a batch takes.
    """

    split: Split
    indices: Labels
    per_batch: int


def real_menu(control: str, train: Split, batch: int, seed: int) -> tuple[Pool, ...]:
    """The menu of a control: the real images as they are (`none`), or repeated until classes are level."""
    return (Pool(train, levelled(train, seed) if control == "oversample" else np.arange(len(train)), batch),)


def mixed_menu(train: Split, synthetic: Split, settings: GenerateSettings, batch: int, seed: int) -> tuple[Pool, ...]:
    """The menu of a generator arm: real and synthetic images, level over the classes in both ways to fill.

    `even` serves every class the same share of synthetic images, so that being synthetic tells nothing about the
    class. `level` tops up what a class lacks and repeats what is still missing.
    """
    if settings.fill == "level":
        joined = Split(
            np.concatenate([train.images, synthetic.images]),
            np.concatenate([train.labels, synthetic.labels]),
            train.classes,
        )
        return (Pool(joined, levelled(joined, seed), batch),)
    drawn = min(batch - 1, max(1, round(settings.share * batch)))
    return (
        Pool(train, levelled(train, seed), batch - drawn),
        Pool(synthetic, levelled(synthetic, seed), drawn),
    )


def levelled(split: Split, seed: int) -> Labels:
    """Indices in which every class that occurs stands as often as the largest: whole passes, then a random rest."""
    rng = stream(seed, "levelling")
    target = int(split.counts.max())
    rows = []
    for label in np.flatnonzero(split.counts):
        own = np.flatnonzero(split.labels == label)
        passes, rest = divmod(target, len(own))
        rows += [np.tile(own, passes), rng.permutation(own)[:rest]]
    return np.concatenate(rows)


def serve(menu: Sequence[Pool], steps: int, seed: int) -> Iterator[tuple[Images, Labels]]:
    """`steps` batches: images uint8 [batch, h, w, c] and labels int64 [batch]."""
    streams = [_passes(pool, seed, number) for number, pool in enumerate(menu)]
    for _ in range(steps):
        picks = [(pool.split, next(indices)) for pool, indices in zip(menu, streams, strict=True)]
        yield (
            np.concatenate([split.images[indices] for split, indices in picks]),
            np.concatenate([split.labels[indices] for split, indices in picks]),
        )


def _passes(pool: Pool, seed: int, number: int) -> Iterator[Labels]:
    rng = stream(seed, "batches", number)
    waiting = rng.permutation(pool.indices)
    while True:
        while len(waiting) < pool.per_batch:
            waiting = np.concatenate([waiting, rng.permutation(pool.indices)])
        yield waiting[: pool.per_batch]
        waiting = waiting[pool.per_batch :]
