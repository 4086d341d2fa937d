"""How good generated images are, as a classifier of all of MNIST and the distances between images see it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pipeline.classifying import fit, predict
from pipeline.core import Images, Labels, Split
from pipeline.params import ClassifierSettings
from pipeline.replicates import Machine
from pipeline.serving import real_menu, serve
from pipeline.watching import median_distance

COMPARED = 300  # images of a class, for distances
STEPS = 3000


def judge(everything: Split, machine: Machine) -> nn.Module:
    """A classifier trained on as many real images as there are, plainly."""
    settings = ClassifierSettings(
        name="small_cnn", steps=STEPS, batch=64, learning_rate=0.003, weight_decay=0.01, label_smoothing=0.0
    )
    batches = serve(real_menu("none", everything, 64, 0), STEPS, 0)
    network, _ = fit(everything, batches, settings, seed=0, machine=machine, progress=lambda step: None)
    return network


def recognised(network: nn.Module, drawn: Split, machine: Machine) -> NDArray[np.float64]:
    """The share of each class's images that the judge takes for one of that class."""
    right = predict(network, drawn.images, machine).argmax(1) == drawn.labels
    return np.array([right[drawn.labels == label].mean() for label in range(len(drawn.classes))])


@dataclass(frozen=True)
class Likeness:
    """Class by class.

    Attributes:
        diversity: median distance between two drawn images over that between two real ones.
        novelty: median distance of a drawn image to its nearest training image over that of a held-out real one.
    """

    diversity: NDArray[np.float64]
    novelty: NDArray[np.float64]


def likeness(drawn: Split, train: Split, held_out: Split) -> Likeness:
    """Whether the images of a class are copies of each other, or of training images."""
    classes = range(len(train.classes))
    several, real = ([median_distance(_some(split, label)) for label in classes] for split in (drawn, held_out))
    nearest = [
        [_to_nearest(_some(split, label), _all(train, label)) for label in classes] for split in (drawn, held_out)
    ]
    return Likeness(np.array(several) / np.array(real), np.array(nearest[0]) / np.array(nearest[1]))


def _all(split: Split, label: int) -> Images:
    images: Images = split.images[split.labels == label]
    return images


def _some(split: Split, label: int) -> Images:
    return _all(split, label)[:COMPARED]


def _to_nearest(images: Images, others: Images) -> float:
    a, b = (torch.from_numpy(part.reshape(len(part), -1)).float() for part in (images, others))
    return float(torch.cdist(a, b).amin(1).median())


def labels_for(classes: int, each: int) -> Labels:
    """`each` labels of every class."""
    return np.repeat(np.arange(classes), each)
