"""Class-conditional Gaussians for classes of few examples."""

from __future__ import annotations

import numpy as np
import torch

from makeweight.generators.blocks.densities import class_gaussians, draw_gaussians


def test_large_classes_get_their_own_means_and_covariances() -> None:
    rng = np.random.default_rng(0)
    first = rng.normal(0, [3, 1], (4000, 2)) + np.array([5, 0])
    second = rng.normal(0, [1, 2], (4000, 2)) - np.array([5, 0])
    codes, labels = np.concatenate([first, second]).astype(np.float32), np.repeat([0, 1], 4000)
    fitted = class_gaussians(codes, labels, 2)
    drawn = draw_gaussians(fitted, torch.tensor([1, 0] * 20000), torch.Generator().manual_seed(0))
    for label, sample in ((0, drawn[1::2]), (1, drawn[::2])):
        real = codes[labels == label]
        np.testing.assert_allclose(sample.mean(0), real.mean(0), atol=0.1)
        np.testing.assert_allclose(sample.std(0), real.std(0), rtol=0.05)


def test_scarce_classes_vary_as_all_classes_do() -> None:
    rng = np.random.default_rng(0)
    codes = np.concatenate([rng.normal(0, 2.0, (3000, 6)), rng.normal(9, 2.0, (3, 6))]).astype(np.float32)
    for scarce in (1, 2, 3):
        labels = np.repeat([0, 1], [3000, scarce])
        fitted = class_gaussians(codes[: 3000 + scarce], labels, 3)
        drawn = draw_gaussians(fitted, torch.ones(5000, dtype=torch.int64), torch.Generator().manual_seed(0))
        np.testing.assert_allclose(drawn.mean(0), codes[3000 : 3000 + scarce].mean(0), atol=0.2)
        assert 1.0 < float(drawn.std(0).mean()) < 3.5
        assert float(drawn.std(0).min()) > 0.5


def test_a_class_without_examples_is_zero() -> None:
    fitted = class_gaussians(np.ones((3, 2), np.float32), np.array([0, 0, 2]), 3)
    assert not fitted["means"][1].any()
    assert not fitted["factors"][1].any()
