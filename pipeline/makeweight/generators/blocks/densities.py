"""Class-conditional Gaussians with shrunk covariances, for classes of few examples."""

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
    """Mean and covariance factor of each class.

    The covariance of a class is shrunk towards the pooled covariance: codes are whitened by the pooled one (Fukunaga
    1990, section 10.2), and their covariance is then shrunk towards the identity with the intensity of Ledoit & Wolf
    (2004). A class of one or two examples gets the pooled covariance.

    Args:
        codes: [n, d].
        labels: [n].
        classes: number of classes; those without examples get zeros.

    Returns:
        `means` [classes, d] and `factors` [classes, d, d]: mean + factor @ standard normal noise is a sample.
    """
    present = np.flatnonzero(np.bincount(labels, minlength=classes))
    means = np.zeros((classes, codes.shape[1]))
    for label in present:
        means[label] = codes[labels == label].mean(0)
    centred = codes - means[labels]
    variances, axes = np.linalg.eigh(_shrunk(centred, len(present)))
    whitening = axes / np.sqrt(np.maximum(variances, 1e-12))
    colouring = axes * np.sqrt(np.maximum(variances, 0))
    factors = np.zeros((classes, codes.shape[1], codes.shape[1]))
    for label in present:
        values, vectors = np.linalg.eigh(_shrunk(centred[labels == label] @ whitening, 1))
        factors[label] = colouring @ (vectors * np.sqrt(np.maximum(values, 0)))
    return {"means": torch.from_numpy(means).float(), "factors": torch.from_numpy(factors).float()}


def draw_gaussians(fitted: dict[str, Tensor], labels: Tensor, rng: torch.Generator) -> Tensor:
    """Sample one code for each label (int64 [n]): [n, d]."""
    noise = torch.randn((len(labels), fitted["means"].shape[1]), generator=rng)
    codes = fitted["means"][labels]
    for label in labels.unique():  # gathering a factor for each image would need too much memory
        positions = labels == label
        codes[positions] += noise[positions] @ fitted["factors"][label].T
    return codes


def _shrunk(centred: NDArray[Any], n_means: int) -> NDArray[Any]:
    """Ledoit-Wolf covariance of rows from which `n_means` means were subtracted; the identity for too few rows.

    With one mean, two rows are too few: centred, they are opposite, and Ledoit & Wolf's estimate does not shrink them.
    """
    n = len(centred)
    if n - n_means < 2:
        return np.eye(centred.shape[1])
    covariance: NDArray[Any] = ledoit_wolf(centred, assume_centered=True)[0] * n / (n - n_means)
    return covariance
