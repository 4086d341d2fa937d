"""Blocks and pure functions that networks share: losses, augmentation, norms, averages, classifiers."""

from __future__ import annotations

import pytest
import torch

from pipeline import losses
from pipeline.diffaugment import OPERATIONS, affine, augment, brightness, cutout, flip, translation
from pipeline.nets import (
    Average,
    ConditionalBatchNorm,
    Decoder,
    Encoder,
    FromImage,
    SelfAttention,
    Shape,
    ToImage,
    conditions,
    folded,
    halvings,
    unfolded,
)  # fmt: skip
from pipeline.registry import find, names
from pipeline.streams import Streams


def rng(seed: int = 0) -> Streams:
    return Streams([seed], torch.device("cpu"))


REAL, GENERATED = torch.tensor([2.0, 0.5, -1.0]), torch.tensor([-3.0, 0.25, 1.5])
ACCEPTED, REJECTED = REAL.sigmoid(), 1 - GENERATED.sigmoid()


@pytest.mark.parametrize(
    ("name", "discriminator", "generator"),
    [
        ("minimax", -ACCEPTED.log().mean() - REJECTED.log().mean(), REJECTED.log().mean()),
        ("non_saturating", -ACCEPTED.log().mean() - REJECTED.log().mean(), -(1 - REJECTED).log().mean()),
        ("hinge", torch.tensor((0 + 0.5 + 2) / 3 + (0 + 1.25 + 2.5) / 3), -GENERATED.mean()),
        ("wasserstein", GENERATED.mean() - REAL.mean(), -GENERATED.mean()),
        ("relativistic", -(REAL - GENERATED).sigmoid().log().mean(), -(GENERATED - REAL).sigmoid().log().mean()),
    ],
)
def test_losses_are_those_of_their_papers(
    name: losses.LossName, discriminator: torch.Tensor, generator: torch.Tensor
) -> None:
    loss = losses.LOSSES[name]
    torch.testing.assert_close(loss.discriminator(REAL, GENERATED), discriminator)
    torch.testing.assert_close(loss.generator(REAL, GENERATED), generator)


def test_only_relative_losses_are_blind_to_a_shift_of_all_scores() -> None:
    for loss in losses.LOSSES.values():
        before, after = loss.discriminator(REAL, GENERATED), loss.discriminator(REAL + 1, GENERATED + 1)
        assert torch.allclose(before, after) == loss.relative


def bowl(images: torch.Tensor) -> torch.Tensor:
    """Scores |x|² / 2, whose gradient is x itself."""
    return images.square().sum((2, 3, 4)) / 2


def test_penalties_on_gradients_by_hand() -> None:
    real, generated = torch.full((1, 4, 1, 2, 2), 1.0), torch.full((1, 4, 1, 2, 2), 3.0)
    assert losses.r1(bowl, real, generated, rng()).item() == pytest.approx(4 / 2)  # four pixels of 1: a norm of 2
    assert losses.r2(bowl, real, generated, rng()).item() == pytest.approx(36 / 2)
    at = rng().rand(4)
    expected = (2 * (1 + 2 * at) - 1).square().mean()
    assert losses.gradient_penalty(bowl, real, generated, rng()).item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("name", losses.GRADIENT_PENALTIES)
def test_penalties_reach_the_weights(name: losses.GradientPenalty) -> None:
    weight = torch.ones((), requires_grad=True)
    images = torch.rand(1, 3, 1, 2, 2)
    losses.GRADIENT_PENALTIES[name](lambda x: weight * bowl(x), images, images + 1, rng()).backward()
    assert weight.grad is not None
    assert weight.grad != 0


def test_lecam_draws_scores_to_the_running_means_of_the_other_side() -> None:
    lecam = losses.LeCam(1)
    assert lecam.get_buffer("means").flatten().tolist() == [0, 0]
    of_real, of_generated = (0.01 * scores.mean() for scores in (REAL, GENERATED))
    expected = (REAL - of_generated).square().mean() + (GENERATED - of_real).square().mean()
    torch.testing.assert_close(lecam(REAL[None], GENERATED[None]), expected[None])


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


def test_affine_turns_and_scales_about_the_middle_and_brings_in_black() -> None:
    images = torch.full((300, 1, 33, 33), -1.0)
    images[:, :, 4:29, 4:29] = 1.0
    turned = affine(images, rng())
    assert (turned[:, 0, 16, 16] == 1).all()
    assert (turned[:, 0, 0, 0] == -1).all()
    area = (turned > 0).float().sum((1, 2, 3)) / 625
    assert 0.8 < area.min() < 0.87  # about exp(-0.2), exp(0.2)
    assert 1.15 < area.max() < 1.26


def test_flip_mirrors_about_half_of_the_images() -> None:
    images = torch.arange(4.0).expand(400, 1, 4, 4)
    mirrored = flip(images, rng())[:, 0, 0, 0] == 3
    assert 150 < mirrored.sum() < 250


def test_without_a_policy_nothing_happens() -> None:
    images = torch.rand(1, 2, 1, 8, 8)
    assert torch.equal(augment(images, (), rng()), images)


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
    gain, bias = (table[labels][:, :, None, None] for table in (1 + norm.gain, norm.bias))
    torch.testing.assert_close(norm(features, conditions(labels, 3)), gain * plain + bias)
    torch.testing.assert_close(norm(features, conditions(labels, 3, influence=0.0)), plain)


def test_conditions_are_one_hot_times_the_influence() -> None:
    assert conditions(torch.tensor([2, 0]), 3, 0.5).tolist() == [[0, 0, 0.5], [0.5, 0, 0]]


def test_self_attention_starts_by_adding_nothing_and_adds_what_the_formula_says() -> None:
    block = SelfAttention(16)
    features = torch.randn(2, 16, 4, 4)
    assert torch.equal(block(features), features)
    torch.nn.init.constant_(block.weight, 0.5)
    pooled = [torch.nn.functional.max_pool2d(layer(features), 2).flatten(2) for layer in (block.key, block.value)]
    shares = torch.einsum("bcq,bck->bqk", block.query(features).flatten(2), pooled[0]).softmax(2)
    seen = torch.einsum("bqk,bck->bcq", shares, pooled[1]).unflatten(2, (4, 4))
    torch.testing.assert_close(block(features), features + 0.5 * block.out(seen))


@pytest.mark.parametrize(("size", "attention", "sides"), [(28, 14, (14, 14)), (30, 15, (16, 15)), (100, 25, (28, 25))])
def test_attention_stands_at_the_map_nearest_to_the_side_that_was_asked_for(
    size: int, attention: int, sides: tuple[int, int]
) -> None:
    shape, seen = Shape(size, 1, 3), []

    def note(block: torch.nn.Module, inputs: tuple[torch.Tensor], _: torch.Tensor) -> None:
        seen.append(inputs[0].shape[-1])

    decoder, encoder = Decoder(shape, 4, 1, attention=attention), Encoder(shape, 1, attention=attention, normed=True)
    for network in (decoder, encoder):
        (block,) = (block for block in network.attentions if isinstance(block, SelfAttention))
        block.register_forward_hook(note)
    encoder(decoder(torch.randn(2, 4), conditions(torch.tensor([0, 1]), 3)))
    assert tuple(seen) == sides


@pytest.mark.parametrize("size", [8, 11, 28, 33, 64])
def test_decoders_and_encoders_fit_every_size(size: int) -> None:
    shape = Shape(size, 3, 4)
    encoder = Encoder(shape, width=2)
    features = encoder(torch.randn(2, 3, size, size))
    assert features.shape == (2, encoder.channels, encoder.side, encoder.side)
    for hearing in ("norms", "input", "nothing"):
        decoder = Decoder(shape, 5, 2, hearing)
        images = Decoder.planned(decoder.plan)(torch.randn(2, 5), conditions(torch.tensor([0, 3]), 4))
        assert images.shape == (2, 3, size, size)


def test_networks_under_spectral_norm_have_convolutions_of_norm_one() -> None:
    network = Encoder(Shape(8, 1, 3), width=8, normed=True).train()
    for _ in range(50):  # one power iteration each
        network(torch.zeros(1, 1, 8, 8))
    network.eval()
    for layer in (*network.halves, network.last):
        assert isinstance(layer.weight, torch.Tensor)
        assert abs(float(torch.linalg.matrix_norm(layer.weight.detach().flatten(1), 2)) - 1) < 0.02


def test_widths_double_with_each_halving_up_to_eight_times() -> None:
    for size, expected in ((8, [4]), (64, [32, 16, 8, 4]), (128, [32, 32, 16, 8, 4])):
        doubles = Decoder(Shape(size, 1, 2), latent=4, width=4).doubles
        assert [weights.shape[0] for weights in doubles.parameters() if weights.ndim == 4] == expected


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("side", [8, 28, 33])
def test_folded_convolutions_are_the_ordinary_ones(channels: int, side: int) -> None:
    images, maps = torch.randn(2, channels, side, side).double(), torch.randn(2, 5, side, side).double()
    from_image, to_image = FromImage(channels, 5).double(), ToImage(5, channels).double()
    torch.testing.assert_close(from_image(images), torch.nn.Conv2d.forward(from_image, images))
    torch.testing.assert_close(to_image(maps), torch.nn.ConvTranspose2d.forward(to_image, maps))


def test_folding_puts_four_pixels_side_by_side() -> None:
    maps = torch.tensor([[[[1, 2], [3, 4]], [[5, 6], [7, 8]]]])  # two channels
    assert folded(maps).flatten().tolist() == [1, 5, 2, 6, 3, 7, 4, 8]
    assert unfolded(folded(maps)).tolist() == maps.tolist()


def test_the_average_follows_its_closed_form_and_copies_buffers() -> None:
    network = torch.nn.BatchNorm1d(1)
    average = Average(network, decay=0.8)  # reached after 115 steps
    torch.nn.init.zeros_(average.network.weight)
    expected = 0.0
    for step in range(1, 200):
        torch.nn.init.constant_(network.weight, float(step))
        assert network.running_mean is not None
        network.running_mean.fill_(step)
        average.update(network)
        decay = min(0.8, (1 + step) / (30 + step))
        expected = decay * expected + (1 - decay) * step
    assert average.network.weight.item() == pytest.approx(expected, rel=1e-5)
    assert average.network.running_mean is not None
    assert average.network.running_mean.item() == 199


def test_the_average_of_the_first_steps_forgets_the_random_start() -> None:
    network = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(network.weight, 100.0)
    average = Average(network, decay=0.999)
    torch.nn.init.constant_(network.weight, 31.0)
    average.update(network)  # decay 2/31
    assert average.network.weight.item() == pytest.approx(2 / 31 * 100 + 29)
    torch.nn.init.constant_(network.weight, 32.0)
    average.update(network)  # decay 3/32
    assert average.network.weight.item() == pytest.approx(3 / 32 * (200 / 31 + 29) + 29)


@pytest.mark.parametrize("name", names("classifiers"))
@pytest.mark.parametrize(("size", "channels"), [(8, 1), (28, 1), (33, 3), (128, 3)])
def test_classifiers_take_every_size_and_give_a_logit_for_each_class(name: str, size: int, channels: int) -> None:
    network = find("classifiers", name)(channels, size, 7)
    assert network(torch.randn(2, channels, size, size)).shape == (2, 7)
