"""Blocks and pure functions that networks share: losses, augmentation, norms, averages, classifiers."""

from __future__ import annotations

import pytest
import torch

from pipeline import losses
from pipeline.diffaugment import OPERATIONS, augment, brightness, cutout, flip, translation
from pipeline.nets import Average, ConditionalBatchNorm, halvings
from pipeline.registry import find, names


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_hinge_losses_by_hand() -> None:
    scores = torch.tensor([2.0, 0.5, -1.0])
    assert losses.hinge_accept(scores).item() == pytest.approx((0 + 0.5 + 2) / 3)
    assert losses.hinge_reject(scores).item() == pytest.approx((3 + 1.5 + 0) / 3)
    assert losses.hinge_generator(scores).item() == pytest.approx(-0.5)


@pytest.mark.parametrize("name", OPERATIONS)
def test_augmentation_is_seeded_keeps_the_shape_and_lets_gradients_through(name: str) -> None:
    images = torch.randn(64, 3, 12, 12, requires_grad=True)
    first, again, other = (augment(images, [name], rng(seed)) for seed in (0, 0, 1))  # type: ignore[list-item]
    assert first.shape == images.shape
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    first.sum().backward()
    assert images.grad is not None
    assert images.grad.abs().sum() > 0


def test_translation_moves_a_pixel_by_at_most_an_eighth_and_brings_in_black() -> None:
    images = torch.full((400, 1, 16, 16), -1.0)
    images[:, 0, 8, 8] = 1.0
    moved = translation(images, rng())
    _, _, rows, columns = (moved == 1).nonzero(as_tuple=True)
    assert len(rows) == 400
    assert set((rows - 8).tolist()) == set((columns - 8).tolist()) == {-2, -1, 0, 1, 2}
    assert ((moved == 1) | (moved == -1)).all()


def test_translation_carries_the_whole_picture_along() -> None:
    image = torch.rand(1, 2, 8, 8)
    shifts = [translation(image, rng(seed)) for seed in range(30)]
    expected = torch.full_like(image, -1.0)
    expected[:, :, 1:, :7] = image[:, :, :7, 1:]  # one down, one to the left
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


def test_flip_mirrors_about_half_of_the_images() -> None:
    images = torch.arange(4.0).expand(400, 1, 4, 4)
    mirrored = flip(images, rng())[:, 0, 0, 0] == 3
    assert 150 < mirrored.sum() < 250


def test_without_a_policy_nothing_happens() -> None:
    images = torch.rand(2, 1, 8, 8)
    assert augment(images, (), rng()) is images


@pytest.mark.parametrize(
    ("size", "expected"), [(8, 1), (15, 1), (16, 2), (28, 2), (32, 3), (64, 4), (100, 4), (128, 5)]
)
def test_sides_are_halved_down_to_four_to_seven_pixels(size: int, expected: int) -> None:
    assert halvings(size) == expected
    assert 4 <= size // 2**expected < 8


def test_conditional_batch_norm_scales_each_image_by_its_own_class() -> None:
    norm = ConditionalBatchNorm(2, classes=3)
    features = torch.randn(50, 2, 4, 4)
    labels = torch.arange(50) % 3
    plain = torch.nn.functional.batch_norm(features, None, None, training=True)
    expected = torch.stack(
        [
            norm.gain.weight[k][:, None, None] * x + norm.bias.weight[k][:, None, None]
            for k, x in zip(labels, plain, strict=True)
        ]
    )
    torch.testing.assert_close(norm(features, labels), expected)


def test_the_average_follows_its_closed_form_and_copies_buffers() -> None:
    network = torch.nn.BatchNorm1d(1)
    average = Average(network, decay=0.9)
    torch.nn.init.zeros_(average.network.weight)
    expected = 0.0
    for step in range(1, 200):
        torch.nn.init.constant_(network.weight, float(step))
        assert network.running_mean is not None
        network.running_mean.fill_(step)
        average.update(network)
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * step
    assert average.network.weight.item() == pytest.approx(expected, rel=1e-5)
    assert average.network.running_mean is not None
    assert average.network.running_mean.item() == 199


@pytest.mark.parametrize("name", names("classifiers"))
@pytest.mark.parametrize(("size", "channels"), [(8, 1), (28, 1), (33, 3), (128, 3)])
def test_classifiers_take_every_size_and_give_a_logit_for_each_class(name: str, size: int, channels: int) -> None:
    network = find("classifiers", name)(channels, size, 7)
    assert network(torch.randn(2, channels, size, size)).shape == (2, 7)
