"""Unions of the synthetic images of several families."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from makeweight.core.data import Labels, Split


def equal_parts(splits: Sequence[Split]) -> Split:
    """As many images of each class as one of `splits` holds, in equal parts from all of them.

    Of m splits, the j-th one gives the images whose rank within their class is j modulo m. One split stays as it is.
    The images of several are copied into memory. A split that has fewer images of a class, since filters left no more,
    gives fewer.

    Args:
        splits: of the same classes.
    """
    if len(splits) == 1:
        return splits[0]
    parts = parts_of(splits)
    images = np.concatenate([split.images[part] for split, part in zip(splits, parts, strict=True)])
    labels = np.concatenate([split.labels[part] for split, part in zip(splits, parts, strict=True)])
    return Split(images, labels, splits[0].classes)


def parts_of(splits: Sequence[Split]) -> list[Labels]:
    """The indices of the images of each of `splits` that `equal_parts` takes, int64 [m] each."""
    if len(splits) == 1:
        return [np.arange(len(splits[0]))]
    return [_every(len(splits), number, split.labels) for number, split in enumerate(splits)]


def _every(step: int, first: int, labels: Labels) -> Labels:
    """The indices of every `step`-th image of each class, from the `first`-th one on, int64 [m]; none of no images."""
    of_classes = [np.flatnonzero(labels == label)[first::step] for label in np.unique(labels)]
    return np.concatenate([np.arange(0), *of_classes])
