"""A reference classifier, and its accuracy on generated images."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from makeweight.classification.fit import fit, predict
from makeweight.classification.mixing import control_mixing, mixed_batches
from makeweight.core.data import Labels, Split
from makeweight.core.parameters import ClassifierSettings
from makeweight.runtime.machine import Machine
from makeweight.training.loop import TrainingContext

STEPS = 3000


def judge(everything: Split, machine: Machine) -> nn.Module:
    """A classifier trained on all real images, without augmentation."""
    settings = ClassifierSettings(
        name="small_cnn",
        steps=STEPS,
        batch=64,
        learning_rate=0.003,
        weight_decay=0.01,
        label_smoothing=0.0,
        mix="none",
        mix_alpha=1.0,
    )
    mixing = control_mixing("none", everything, 64, 0)
    batches = partial(mixed_batches, mixing, STEPS, 0)
    run = TrainingContext(torch.device(machine.device), machine.autocast)
    network, _ = fit(everything, batches, settings, loss=mixing.loss(0.0), seed=0, run=run)
    return network


def recognised(network: nn.Module, images: Split, machine: Machine) -> NDArray[np.float64]:
    """The accuracy of the reference classifier on each class, [classes]."""
    correct = predict(network, images.images, machine).argmax(1) == images.labels
    return np.array([correct[images.labels == label].mean() for label in range(len(images.classes))])


def labels_for(classes: int, per_class: int) -> Labels:
    """`per_class` labels of each class."""
    return np.repeat(np.arange(classes), per_class)
