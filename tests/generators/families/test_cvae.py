"""The losses of the conditional variational autoencoder."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from makeweight.core.data import Split
from makeweight.generators.families.cvae import divergence_from_prior, independent_pixels, reconstruction_loss


def noise(independent: int, copies: int) -> Split:
    """Images of `independent` independent pixels, each repeated `copies` times."""
    values = np.random.default_rng(0).integers(0, 256, (2000, independent), dtype=np.uint8)
    images = np.repeat(values, copies, 1).reshape(2000, 8, 8, 1)
    return Split(images, np.zeros(2000, np.int64), ("a",))


@pytest.mark.parametrize("independent", [1, 4, 16, 64])
def test_repeated_pixels_count_once(independent: int) -> None:
    assert independent_pixels(noise(independent, 64 // independent)) == pytest.approx(independent, rel=0.05)


def test_images_that_are_all_the_same_count_as_one_pixel() -> None:
    assert independent_pixels(Split(np.ones((5, 8, 8, 1), np.uint8), np.zeros(5, np.int64), ("a",))) == 1


def test_reconstruction_is_the_negative_log_likelihood_at_the_best_variance() -> None:
    reconstructed, images = torch.zeros(1, 3, 1, 2, 2), 0.5 * torch.ones(1, 3, 1, 2, 2)
    noise = torch.distributions.Normal(reconstructed, 0.5)  # the root of the mean squared error
    expected = -noise.log_prob(images).sum((2, 3, 4)).mean(1)
    torch.testing.assert_close(reconstruction_loss(reconstructed, images, 4), expected)


def test_divergence_is_that_of_torch() -> None:
    mean, log_variance = torch.randn(2, 5, 3), torch.randn(2, 5, 3)
    code, prior = torch.distributions.Normal(mean, (log_variance / 2).exp()), torch.distributions.Normal(0.0, 1.0)
    expected = torch.distributions.kl_divergence(code, prior).sum(2).mean(1)
    torch.testing.assert_close(divergence_from_prior(mean, log_variance), expected)
    assert divergence_from_prior(torch.zeros(1, 1, 2), torch.zeros(1, 1, 2)) == 0
    assert math.isfinite(float(reconstruction_loss(torch.zeros(1, 1), torch.zeros(1, 1), 4)))
