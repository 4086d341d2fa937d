"""Bilinear sampling with deterministic gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from makeweight.generators.blocks.bilinear import Border, warp

BORDERS: tuple[Border, ...] = ("zeros", "border", "reflection")
SHAPES = [(3, 1, 8, 8), (2, 3, 7, 11), (2, 2, 1, 5), (1, 1, 4, 1)]


def inputs(shape: tuple[int, ...], reach: float, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    """Images, and points up to `reach` times as far from the centre as the edge is."""
    rng = torch.Generator().manual_seed(0)
    images = torch.randn(shape, generator=rng, dtype=dtype, requires_grad=True)
    grid = reach * (2 * torch.rand(shape[0], 5, 6, 2, generator=rng, dtype=dtype) - 1)
    return images, grid.requires_grad_(True)


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("reach", [0.9, 4.0])
def test_values_and_both_gradients_equal_those_of_grid_sample(
    border: Border, shape: tuple[int, ...], reach: float
) -> None:
    images, grid = inputs(shape, reach)
    sampled = warp(images, grid, border)
    expected = grid_sample(images, grid, padding_mode=border, align_corners=False)
    weights = torch.randn(expected.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    torch.testing.assert_close(sampled, expected, rtol=0, atol=1e-10)
    for own, reference in zip(
        *(torch.autograd.grad((output * weights).sum(), (images, grid)) for output in (sampled, expected)),
        strict=True,
    ):
        torch.testing.assert_close(own, reference, rtol=0, atol=1e-10)


@pytest.mark.parametrize("border", BORDERS)
def test_float32_differs_from_grid_sample_by_rounding_only(border: Border) -> None:
    images, grid = inputs((4, 3, 32, 32), 1.2, torch.float32)
    expected = grid_sample(images, grid, padding_mode=border, align_corners=False)
    torch.testing.assert_close(warp(images, grid, border), expected, rtol=0, atol=1e-5)


def test_gradients_can_be_differentiated_again() -> None:
    images, grid = inputs((1, 2, 4, 4), 0.9)
    assert torch.autograd.gradgradcheck(lambda images, grid: warp(images, grid, "zeros"), (images, grid[:, :2, :2]))


def test_coordinates_are_float32_under_autocast_and_of_bfloat16_images() -> None:
    images, grid = inputs((2, 1, 64, 64), 0.9, torch.float32)
    rounded = images.to(torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        sampled = warp(rounded, grid, "zeros")
    assert sampled.dtype == torch.float32
    assert torch.equal(sampled, warp(rounded.float(), grid, "zeros"))


@pytest.mark.parametrize("border", BORDERS)
def test_a_coordinate_that_is_nan_gives_nan_there_and_nothing_else(border: Border) -> None:
    images, grid = inputs((1, 1, 4, 4), 0.9)
    with torch.no_grad():
        grid[0, 2, 3, 0] = torch.nan
    assert warp(images, grid, border).isnan().nonzero().tolist() == [[0, 0, 2, 3]]
