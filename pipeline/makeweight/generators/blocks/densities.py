"""Gaussians for classes of which there are few examples."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.covariance import ledoit_wolf
from torch import Tensor

from makeweight.core.data import Labels

Table = NDArray[np.float32]


def class_gaussians(codes: Table, labels: Labels, classes: int) -> dict[str, Tensor]:
    """A mean and a factor of the covariance for each class.

    The covariance of a class is shrunk towards the one that all classes share: codes are whitened by the latter
    (Fukunaga 1990, section 10.2), and there the shrinkage of Ledoit & Wolf (2004) pulls towards the identity by as
    much as the data call for. A class of one or two examples keeps the shared one.

    Args:
        codes: [n, d].
        labels: [n].
        classes: how many; those without examples get zeros.

    Returns:
        `means` [classes, d] and `factors` [classes, d, d]: mean + factor @ standard normal noise is a draw.
    """
    present = np.flatnonzero(np.bincount(labels, minlength=classes))
    means = np.zeros((classes, codes.shape[1]))
    for label in present:
        means[label] = codes[labels == label].mean(0)
    centred = codes - means[labels]
    spread, axes = np.linalg.eigh(_shrunk(centred, len(present)))
    whitening = axes / np.sqrt(np.maximum(spread, 1e-12))
    colouring = axes * np.sqrt(np.maximum(spread, 0))
    factors = np.zeros((classes, codes.shape[1], codes.shape[1]))
    for label in present:
        values, vectors = np.linalg.eigh(_shrunk(centred[labels == label] @ whitening, 1))
        factors[label] = colouring @ (vectors * np.sqrt(np.maximum(values, 0)))
    return {"means": torch.from_numpy(means).float(), "factors": torch.from_numpy(factors).float()}


def draw_gaussians(fitted: dict[str, Tensor], labels: Tensor, rng: torch.Generator) -> Tensor:
    """One code for each label (int64 [n]): [n, d]."""
    noise = torch.randn((len(labels), fitted["means"].shape[1]), generator=rng)
    drawn = fitted["means"][labels]
    for label in labels.unique():  # a factor for each image would fill the memory
        own = labels == label
        drawn[own] += noise[own] @ fitted["factors"][label].T
    return drawn


def _shrunk(centred: NDArray[Any], fitted: int) -> NDArray[Any]:
    """The covariance of rows from which `fitted` means have been taken; of two rows or fewer, the identity.

    Two rows less their mean are each other's opposite: to Ledoit & Wolf they look as if they told the covariance
    without error.
    """
    n = len(centred)
    if n - fitted < 2:
        return np.eye(centred.shape[1])
    covariance: NDArray[Any] = ledoit_wolf(centred, assume_centered=True)[0] * n / (n - fitted)
    return covariance
