"""How good generated images are, as a classifier of all of MNIST sees it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import nn

from makeweight.classification.fit import fit, predict
from makeweight.classification.mixing import control_mixing, mixed_batches
from makeweight.core.data import Labels, Split
from makeweight.core.parameters import ClassifierSettings
from makeweight.runtime.machine import Machine

STEPS = 3000


def judge(everything: Split, machine: Machine) -> nn.Module:
    """A classifier trained on as many real images as there are, plainly."""
    settings = ClassifierSettings(
        name="small_cnn", steps=STEPS, batch=64, learning_rate=0.003, weight_decay=0.01, label_smoothing=0.0
    )
    batches = mixed_batches(control_mixing("none", everything, 64, 0), STEPS, 0)
    network, _ = fit(everything, batches, settings, seed=0, machine=machine, progress=lambda step: None)
    return network


def recognised(network: nn.Module, drawn: Split, machine: Machine) -> NDArray[np.float64]:
    """The share of each class's images that the judge takes for one of that class."""
    right = predict(network, drawn.images, machine).argmax(1) == drawn.labels
    return np.array([right[drawn.labels == label].mean() for label in range(len(drawn.classes))])


def labels_for(classes: int, each: int) -> Labels:
    """`each` labels of every class."""
    return np.repeat(np.arange(classes), each)
