"""Whether generated images are copies of each other, or of training images, by distances between pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.core import Images, Labels, Split
from pipeline.watching import median_distance

COMPARED = 300  # images of a class, for distances


@dataclass(frozen=True)
class Likeness:
    """Class by class, shape [classes]; NaN where a class has too few images to tell.

    Attributes:
        diversity: median distance between two drawn images over that between two real, held-out ones. Copies of each
            other: 0.
        novelty: median distance of a drawn image to the nearest training image of its class over that of a held-out
            real one. Copies of training images: 0.
    """

    diversity: NDArray[np.float64]
    novelty: NDArray[np.float64]


def likeness(drawn: Split, train: Split, held_out: Split) -> Likeness:
    """How alike the drawn images of each class are, and how near to training images; at most `COMPARED` of a class."""
    classes = range(len(train.classes))
    spreads, gaps = (
        [[measure(split, label) for label in classes] for split in (drawn, held_out)]
        for measure in (_spread, lambda split, label: _gap(split, train, label))
    )
    return Likeness(_ratio(*spreads), _ratio(*gaps))


def nearest(images: Images, others: Images) -> tuple[Labels, NDArray[np.float64]]:
    """For each of `images` [n, …] the index of the nearest among `others` [m, …], and its distance in grey values."""
    a, b = (torch.from_numpy(part.reshape(len(part), -1)).float() for part in (images, others))
    distances, indices = torch.cdist(a, b).min(1)
    return indices.numpy(), distances.double().numpy()


def of_class(split: Split, label: int) -> Images:
    """The images of one class."""
    images: Images = split.images[split.labels == label]
    return images


def _spread(split: Split, label: int) -> float:
    return median_distance(of_class(split, label)[:COMPARED])


def _gap(split: Split, train: Split, label: int) -> float:
    images, others = of_class(split, label)[:COMPARED], of_class(train, label)
    return float(np.median(nearest(images, others)[1])) if len(images) and len(others) else 0.0


def _ratio(drawn: list[float], real: list[float]) -> NDArray[np.float64]:
    return np.array([a / b if b else np.nan for a, b in zip(drawn, real, strict=True)])
