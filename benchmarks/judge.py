"""A reference classifier, and its accuracy on generated images."""

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
    """A classifier trained on all real images, without augmentation."""
    settings = ClassifierSettings(
        name="small_cnn", steps=STEPS, batch=64, learning_rate=0.003, weight_decay=0.01, label_smoothing=0.0
    )
    mixing = control_mixing("none", everything, 64, 0)
    batches = mixed_batches(mixing, STEPS, 0)
    network, _ = fit(
        everything, batches, settings, loss=mixing.loss(0.0), seed=0, machine=machine, progress=lambda step: None
    )
    return network


def recognised(network: nn.Module, images: Split, machine: Machine) -> NDArray[np.float64]:
    """The accuracy of the reference classifier on each class, [classes]."""
    correct = predict(network, images.images, machine).argmax(1) == images.labels
    return np.array([correct[images.labels == label].mean() for label in range(len(images.classes))])


def labels_for(classes: int, per_class: int) -> Labels:
    """`per_class` labels of each class."""
    return np.repeat(np.arange(classes), per_class)
