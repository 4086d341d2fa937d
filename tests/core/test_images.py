"""Sizes and scaling of images."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from makeweight.core.images import as_images, from_uint8, halvings, nearest


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


def test_a_search_in_blocks_finds_the_same_neighbours_as_one_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    images, others = (rng.integers(0, 256, (n, 4, 4, 1), dtype=np.uint8) for n in (9, 50))
    expected = nearest(images, others)
    sizes: list[int] = []

    def counting(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        sizes.append(len(b))
        return cdist(a, b)

    cdist = torch.cdist
    monkeypatch.setattr(torch, "cdist", counting)
    monkeypatch.setattr("makeweight.core.images.SEARCH_BLOCK", 7 * 16, raising=False)
    indices, distances = nearest(images, others)
    assert max(sizes) == 7
    assert indices.tolist() == expected[0].tolist()
    np.testing.assert_allclose(distances, expected[1], rtol=1e-4)
