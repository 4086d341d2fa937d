"""Pictures of generated images: beside training images, and the worst and best of each class."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from makeweight.core.data import Images, Labels, Split
from makeweight.core.text import counted
from makeweight.quality.memorisation import Copies
from makeweight.runtime.pictures import MAX_ROWS, caption, labelled_rows

PAIRS, EACH = 6, 6  # pairs in a row; worst images in a row, and best ones


def nearest_neighbours(synthetic: Split, train: Split, copies: Copies) -> Image.Image:
    """The first images of each class, each followed by the nearest training image of its class.

    Args:
        synthetic: generated images.
        train: training images.
        copies: the nearest training images.
    """
    rows = [
        (caption(synthetic.classes[label], label), _pairs(synthetic, train, copies.rows, own[:PAIRS]))
        for label, own in _shown(synthetic)
    ]
    return labelled_rows(rows, 2 * PAIRS, group=2)


def closest(synthetic: Split, train: Split, copies: Copies) -> Image.Image:
    """The images of each class that are closest to a training image, each followed by it.

    Args:
        synthetic: generated images.
        train: training images.
        copies: the nearest training images; the number of near-copies is part of the caption.
    """
    rows = []
    for label, own in _shown(synthetic):
        n_copies = int(copies.near[own].sum())
        name = caption(synthetic.classes[label], label)
        text = f"{name}: {counted(n_copies, 'near-copy', 'near-copies')}" if n_copies else name
        order = own[np.argsort(copies.distances[own], kind="stable")]
        rows.append((text, _pairs(synthetic, train, copies.rows, order[:PAIRS])))
    return labelled_rows(rows, 2 * PAIRS, group=2)


def ranked(synthetic: Split, probabilities: NDArray[np.float64]) -> Image.Image:
    """Of each class the worst images, and after a gap the best ones, by the probability of the class.

    Args:
        synthetic: generated images.
        probabilities: that a classifier of the training images gives to the class of each, [n].
    """
    rows = []
    for label, own in _shown(synthetic):
        order = own[np.argsort(probabilities[own], kind="stable")]
        chosen = np.concatenate([order[:EACH], order[-EACH:]])
        rows.append((caption(synthetic.classes[label], label), synthetic.images[chosen]))
    return labelled_rows(rows, 2 * EACH, group=EACH)


def _shown(synthetic: Split) -> list[tuple[int, Labels]]:
    """The first classes that have images, each with the rows of its images."""
    labels = np.flatnonzero(synthetic.counts)[:MAX_ROWS]
    return [(int(label), np.flatnonzero(synthetic.labels == label)) for label in labels]


def _pairs(synthetic: Split, train: Split, nearest: Labels, rows: Labels) -> Images:
    """Each of `rows` of the generated images, followed by its nearest training image; white where there is none."""
    originals = np.full((len(rows), *train.images.shape[1:]), 255, dtype=np.uint8)
    known = nearest[rows] >= 0
    originals[known] = train.images[nearest[rows][known]]
    return np.stack([synthetic.images[rows], originals], axis=1).reshape(-1, *train.images.shape[1:])
