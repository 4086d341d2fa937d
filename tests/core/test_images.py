"""Sizes and scaling of images."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from makeweight.core.images import as_images, from_uint8, halvings


@pytest.mark.parametrize(
    ("size", "expected"), [(8, 1), (15, 1), (16, 2), (28, 2), (32, 3), (64, 4), (100, 4), (128, 5)]
)
def test_sides_are_halved_down_to_four_to_seven_pixels(size: int, expected: int) -> None:
    assert halvings(size) == expected
    assert 4 <= size // 2**expected < 8


def test_every_grey_value_survives_scaling_there_and_back() -> None:
    pixels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    scaled = from_uint8(torch.from_numpy(pixels).permute(0, 3, 1, 2))
    assert (scaled.min().item(), scaled.max().item()) == (-1, 1)
    assert np.array_equal(scaled.numpy().ravel(), np.arange(256, dtype=np.float32) / np.float32(127.5) - 1)
    assert np.array_equal(as_images(scaled), pixels)
