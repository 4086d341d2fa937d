"""Memorisation: distances to the nearest training images of the same class, near-copies, membership inference.

Distances are of pixels: a network that was trained on the training images would tell them from others by itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom, hypergeom

from makeweight.core.data import Labels, Split
from makeweight.core.images import nearest
from makeweight.quality.auc import AUC, stratified_auc


@dataclass(frozen=True, slots=True)
class Copies:
    """The nearest training image of each synthetic image, of the same class.

    Attributes:
        rows: of the training image, [n]; -1 where the class has none.
        distances: to it, [n]; NaN where the class has none.
        typical: the median distance of held-out images of each class to theirs, [classes]; that of all held-out images
            where a class has none.
        near: whether a synthetic image is a near-copy, [n].
        near_held_out: the fraction of the held-out images of each class that would count as one, [classes].
    """

    rows: Labels
    distances: NDArray[np.float64]
    typical: NDArray[np.float64]
    near: NDArray[np.bool_]
    near_held_out: NDArray[np.float64]


def find_copies(synthetic: Split, train: Split, held_out: Split, near: float) -> Copies:
    """Near-copies: images whose distance to the nearest training image is below `near` × that of held-out images."""
    rows, distances = nearest_of_class(synthetic, train)
    _, real = nearest_of_class(held_out, train)
    known = ~np.isnan(real)
    by_class = [real[known & (held_out.labels == label)] for label in range(len(train.classes))]
    overall = np.median(real[known]) if known.any() else np.nan
    typical = np.array([np.median(own) if len(own) else overall for own in by_class])
    fractions = [
        (own < near * limit).mean() if len(own) else np.nan for own, limit in zip(by_class, typical, strict=True)
    ]
    return Copies(rows, distances, typical, distances < near * typical[synthetic.labels], np.array(fractions))


def chance_of_copies(
    near: Labels, drawn: Labels, near_held_out: Labels, held_out: Labels
) -> tuple[NDArray[np.float64], float]:
    """P-values of the near-copies among generated images, if these were near-copies as often as held-out images.

    Of each class by Fisher's exact test, one-sided. Of all together by their sum, given the total of each class: it is
    a sum of independent Bernoulli variables, whose upper tail is at most that of the binomial distribution of the same
    mean (Hoeffding 1956, theorem 5), so that the test is conservative.

    Args:
        near: near-copies among the generated images of each class, [classes].
        drawn: generated images, [classes].
        near_held_out: near-copies among the held-out images, [classes].
        held_out: held-out images, [classes]; a class without any is compared with those of all classes.

    Returns:
        That of each class, [classes], 1 without near-copies; and that of all classes together.
    """
    near_real, real = (np.where(held_out > 0, own, own.sum()) for own in (near_held_out, held_out))
    images, copies = drawn + real, near + near_real
    expected = (copies * drawn / np.maximum(1, images)).sum()
    together = binom.sf(near.sum() - 1, copies.sum(), expected / max(1, copies.sum()))
    return hypergeom.sf(near - 1, images, copies, drawn), float(together)


def nearest_of_class(split: Split, others: Split) -> tuple[Labels, NDArray[np.float64]]:
    """For each image of `split`, the nearest image of the same class in `others`.

    Returns:
        Its row, [n], -1 where the class has none; and the Euclidean distance of the pixels, [n], NaN there.
    """
    rows, distances = np.full(len(split), -1), np.full(len(split), np.nan)
    for label in np.unique(split.labels):
        own, available = np.flatnonzero(split.labels == label), np.flatnonzero(others.labels == label)
        if len(available):
            found, distances[own] = nearest(split.images[own], others.images[available])
            rows[own] = available[found]
    return rows, distances


def membership_auc(train: Split, held_out: Split, synthetic: Split, groups: Labels) -> AUC:
    """How well the distance to the nearest synthetic image of its class tells a training image from a held-out one.

    The black-box attack of Chen et al. (2020, "GAN-Leaks") on the images that a generator drew: 0.5 means
    that it learns nothing, 1 that it recognises every training image. Only images of one class are compared.

    Args:
        train: images that the generator was fitted to.
        held_out: images of the same kind that it was not.
        synthetic: images that it drew.
        groups: of the training images, followed by those of the held-out ones, from 0.
    """
    distances = np.concatenate([nearest_of_class(split, synthetic)[1] for split in (train, held_out)])
    labels = np.concatenate([train.labels, held_out.labels])
    members = np.arange(len(labels)) < len(train)
    known = ~np.isnan(distances)
    return stratified_auc(-distances[known], members[known], labels[known], groups[known])
