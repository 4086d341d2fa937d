"""Differentiable augmentation."""

from __future__ import annotations

import pytest
import torch

from makeweight.generators.blocks.augmentation import OPERATIONS, affine, augment, brightness, cutout, flip, translation
from tests.support.rng import rng


@pytest.mark.parametrize("name", OPERATIONS)
def test_augmentation_is_seeded_keeps_the_shape_and_lets_gradients_through(name: str) -> None:
    images = torch.randn(1, 64, 3, 12, 12, requires_grad=True)
    first, again, other = (augment(images, [name], rng(seed)) for seed in (0, 0, 1))  # type: ignore[list-item]
    assert first.shape == images.shape
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    first.sum().backward()
    assert images.grad is not None
    assert images.grad.abs().sum() > 0


def test_translation_moves_a_pixel_by_at_most_an_eighth() -> None:
    images = torch.full((400, 1, 16, 16), -1.0)
    images[:, 0, 8, 8] = 1.0
    moved = translation(images, rng())
    _, _, rows, columns = (moved == 1).nonzero(as_tuple=True)
    assert len(rows) == 400
    assert set((rows - 8).tolist()) == set((columns - 8).tolist()) == {-2, -1, 0, 1, 2}
    assert ((moved == 1) | (moved == -1)).all()


def test_translation_carries_the_whole_picture_along_and_mirrors_its_borders() -> None:
    image = torch.rand(1, 2, 8, 8)
    shifts = [translation(image, rng(seed)) for seed in range(30)]
    expected = image[:, :, [0, 0, 1, 2, 3, 4, 5, 6]][:, :, :, [1, 2, 3, 4, 5, 6, 7, 7]]  # one down, one to the left
    assert any(torch.equal(shifted, expected) for shifted in shifts)


def test_cutout_hides_at_most_a_square_of_half_the_side() -> None:
    hidden = (cutout(torch.ones(300, 1, 8, 8), rng()) == 0).flatten(1).sum(1)
    assert hidden.max() == 16
    assert hidden.min() == 4  # centred on a corner
    assert len(hidden.unique()) > 3


def test_brightness_adds_one_number_between_minus_and_plus_a_half_to_an_image() -> None:
    added = brightness(torch.zeros(500, 3, 4, 4), rng()).flatten(1)
    torch.testing.assert_close(added.amax(1), added.amin(1))
    assert -0.5 <= added.min() < -0.45
    assert 0.45 < added.max() <= 0.5


def test_affine_turns_and_scales_about_the_middle() -> None:
    images = torch.full((300, 1, 33, 33), -1.0)
    images[:, :, 4:29, 4:29] = 1.0
    turned = affine(images, rng())
    assert (turned[:, 0, 16, 16] == 1).all()
    torch.testing.assert_close(turned[:, 0, 0, 0], torch.full((300,), -1.0))
    area = (turned > 0).float().sum((1, 2, 3)) / 625
    assert 0.8 < area.min() < 0.87  # about exp(-0.2), exp(0.2)
    assert 1.15 < area.max() < 1.26


def test_affine_leaves_half_of_the_images_as_sharp_as_they_are() -> None:
    images = torch.rand(400, 1, 12, 12)
    difference = (affine(images, rng()) - images).abs().amax((1, 2, 3))
    assert 0.4 < (difference < 1e-4).float().mean() < 0.6


def test_affine_and_translation_bring_in_no_value_that_the_image_does_not_hold() -> None:
    images = torch.full((100, 1, 16, 16), 0.7)
    for operation in (affine, translation):
        torch.testing.assert_close(operation(images, rng()), images)


def test_affine_has_coordinates_in_float32_under_autocast() -> None:
    images = torch.rand(8, 1, 32, 32)
    with torch.autocast("cpu", torch.bfloat16):
        turned = affine(images, rng())
    assert torch.equal(turned, affine(images, rng()))


def test_flip_mirrors_about_half_of_the_images() -> None:
    images = torch.arange(4.0).expand(400, 1, 4, 4)
    mirrored = flip(images, rng())[:, 0, 0, 0] == 3
    assert 150 < mirrored.sum() < 250


def test_without_a_policy_nothing_happens() -> None:
    images = torch.rand(1, 2, 1, 8, 8)
    assert torch.equal(augment(images, (), rng()), images)
