"""Controls by name: arms that train on real images only. A control is a sampling and a loss.

It is registered under the entry points `makeweight.controls`, as a frozen object with the attributes and methods of
`classification.interface.Control`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from torch import Tensor
from torch.nn.functional import cross_entropy

from makeweight.core.data import Labels
from makeweight.core.seeds import stream

DEFERRED = 0.75  # fraction of the steps after which `deferred` samples classes equally

Sampling = Callable[[Labels, int, float], Labels]
Loss = Callable[[Tensor, Tensor, Tensor, float], Tensor]


@dataclass(frozen=True, slots=True)
class SamplingAndLoss:
    """A control that consists of two functions, which `classification.interface.Control` describes."""

    description: str
    epoch: Sampling
    loss: Loss
    changes: tuple[float, ...] = ()
    allows_mix: bool = True


def instance_balanced(labels: Labels, seed: int, progress: float) -> Labels:
    """Every image once."""
    return np.arange(len(labels))


def class_balanced(labels: Labels, seed: int, progress: float) -> Labels:
    """Every class as often as the largest one."""
    return oversample_indices(labels, seed)


def class_balanced_at_the_end(labels: Labels, seed: int, progress: float) -> Labels:
    """Instance-balanced sampling first, class-balanced sampling after the fraction `DEFERRED` of the steps.

    Cao et al. 2019, "Learning imbalanced datasets with label-distribution-aware margin loss", section 3.3 (deferred
    re-sampling); Kang et al. 2020, "Decoupling representation and classifier for long-tailed recognition", section 4.
    """
    return (instance_balanced if progress < DEFERRED else class_balanced)(labels, seed, progress)


def plain_loss(logits: Tensor, targets: Tensor, frequencies: Tensor, label_smoothing: float) -> Tensor:
    """Cross-entropy."""
    return cross_entropy(logits, targets, label_smoothing=label_smoothing)


def weighted_loss(logits: Tensor, targets: Tensor, frequencies: Tensor, label_smoothing: float) -> Tensor:
    """Cross-entropy in which the class y of frequency f_y has the weight 1 / (C f_y).

    C is the number of classes that occur, so that the mean weight of the images as served is 1. The sum is divided by
    the number of images, not by their weights as in PyTorch: a batch with more rare images counts more.
    """
    occurs = frequencies > 0
    weights = occurs / (occurs.sum() * frequencies.where(occurs, 1.0))
    total = cross_entropy(logits, targets, weight=weights, label_smoothing=label_smoothing, reduction="sum")
    return total / len(logits)


def logit_adjusted_loss(logits: Tensor, targets: Tensor, frequencies: Tensor, label_smoothing: float) -> Tensor:
    """Cross-entropy of the logits plus the logarithm of the class priors.

    Menon et al. 2021, "Long-tail learning via logit adjustment", equation 10 with τ = 1. Predictions use the logits
    alone. A class that does not occur is not adjusted.
    """
    priors = frequencies.where(frequencies > 0, 1.0)
    return cross_entropy(logits + priors.log(), targets, label_smoothing=label_smoothing)


none = SamplingAndLoss("trained on the real images as they are", instance_balanced, plain_loss)
oversample = SamplingAndLoss(
    "trained on real images only, those of small classes repeated until all classes are equally frequent",
    class_balanced,
    plain_loss,
)
weighted = SamplingAndLoss(
    "trained on the real images as they are, with a loss that weights each class by the inverse of its frequency",
    instance_balanced,
    weighted_loss,
)
logit_adjusted = SamplingAndLoss(
    "trained on the real images as they are, with a loss that adds the logarithm of a class's frequency to its logit",
    instance_balanced,
    logit_adjusted_loss,
    allows_mix=False,  # its priors are those of single images
)
deferred = SamplingAndLoss(
    "trained on the real images as they are for three quarters of the steps, then on real images of which those of "
    "small classes are repeated until all classes are equally frequent",
    class_balanced_at_the_end,
    plain_loss,
    changes=(DEFERRED,),
)


def oversample_indices(labels: Labels, seed: int) -> Labels:
    """Indices with which every class that occurs is as frequent as the largest one.

    Each image of a class is repeated equally often; what is then still missing is drawn at random without replacement.
    """
    target = int(np.bincount(labels).max())
    indices = []
    for label in np.unique(labels):
        of_class = np.flatnonzero(labels == label)
        repetitions, remainder = divmod(target, len(of_class))
        rng = stream(seed, "levelling", int(label))
        indices += [np.tile(of_class, repetitions), rng.permutation(of_class)[:remainder]]
    return np.concatenate(indices)
