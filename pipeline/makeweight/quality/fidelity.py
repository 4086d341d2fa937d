"""Fidelity and diversity of generated images: distances between two sets of feature vectors."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

Features = NDArray[np.float64]  # [images, values]


def frechet_distance(features: Features, others: Features) -> float:
    """Squared Fréchet distance between Gaussians fitted to two sets (Heusel et al. 2017, eq. 6), at least 0.

    |μ₁ - μ₂|² + tr(S₁ + S₂ - 2 (S₁ S₂)^½). With S = AᵀA, the trace of the root is the sum of the singular values of
    A₁ A₂ᵀ, which is exact also where there are fewer images than values. Estimated from few images the distance is
    biased upwards: compare only figures of equally many images.

    Args:
        features: of at least two images, [n, values].
        others: of at least two images, [m, values].
    """
    offset = features.mean(0) - others.mean(0)
    roots = [_root_of_covariance(each) for each in (features, others)]
    total = sum(float(np.square(root).sum()) for root in roots)
    return max(0.0, float(offset @ offset) + total - 2 * float(np.linalg.norm(roots[0] @ roots[1].T, "nuc")))


def _root_of_covariance(features: Features) -> Features:
    """A with AᵀA = the covariance of `features`, [min(n, values), values]."""
    centred = (features - features.mean(0)) / np.sqrt(len(features) - 1)
    root: Features = np.linalg.qr(centred, mode="r")  # type: ignore[assignment]  # NumPy's types ignore the mode
    return root


def kernel_distance(features: Features, others: Features) -> float:
    """Kernel distance: the squared maximum mean discrepancy of two sets (Bińkowski et al. 2018, section 4).

    The unbiased estimate with the kernel (x·y / values + 1)³, of all images at once. Near 0, also below, for two sets
    from the same distribution, however many images there are.

    Args:
        features: of at least two images, [n, values].
        others: of at least two images, [m, values].
    """
    within = sum(_mean_off_diagonal(_kernel(each, each)) for each in (features, others))
    return within - 2 * float(_kernel(features, others).mean())


def _kernel(features: Features, others: Features) -> Features:
    kernel: Features = (features @ others.T / features.shape[1] + 1) ** 3
    return kernel


def _mean_off_diagonal(kernel: Features) -> float:
    n = len(kernel)
    return float((kernel.sum() - np.trace(kernel)) / (n * (n - 1)))


def neighbourhoods(real: Features, generated: Features, neighbours: int) -> dict[str, float]:
    """Precision, recall, density and coverage.

    The neighbourhood of an image is the ball that reaches to its `neighbours`-th nearest image of the same set.
    - precision: fraction of generated images in the neighbourhood of a real one (Kynkäänniemi et al. 2019, eq. 2).
    - recall: fraction of real images in the neighbourhood of a generated one (the same equation).
    - density: real neighbourhoods that a generated image is in, divided by `neighbours`; about 1 for images from the
      same distribution, and more is possible (Naeem et al. 2020, section 3).
    - coverage: fraction of real images whose neighbourhood holds a generated one (the same section).

    Args:
        real: of more than `neighbours` images, [n, values].
        generated: likewise, [m, values].
        neighbours: k, at least 1.
    """
    between = cdist(real, generated)
    inside_real = between <= _radii(real, neighbours)[:, None]
    inside_generated = between <= _radii(generated, neighbours)[None, :]
    return {
        "precision": float(inside_real.any(0).mean()),
        "recall": float(inside_generated.any(1).mean()),
        "density": float(inside_real.sum(0).mean() / neighbours),
        "coverage": float(inside_real.any(1).mean()),
    }


def _radii(features: Features, neighbours: int) -> Features:
    """The distance of each image to its `neighbours`-th nearest other one; the nearest, at 0, is the image itself."""
    radii: Features = np.partition(cdist(features, features), neighbours, axis=1)[:, neighbours]
    return radii
