"""Losses and penalties against their papers' formulas."""

from __future__ import annotations

import pytest
import torch

from makeweight.generators.blocks import losses
from tests.support.rng import rng

REAL, FAKE = torch.tensor([2.0, 0.5, -1.0]), torch.tensor([-3.0, 0.25, 1.5])
ACCEPTED, REJECTED = REAL.sigmoid(), 1 - FAKE.sigmoid()


@pytest.mark.parametrize(
    ("name", "discriminator", "generator"),
    [
        ("minimax", -ACCEPTED.log().mean() - REJECTED.log().mean(), REJECTED.log().mean()),
        ("non_saturating", -ACCEPTED.log().mean() - REJECTED.log().mean(), -(1 - REJECTED).log().mean()),
        ("hinge", torch.tensor((0 + 0.5 + 2) / 3 + (0 + 1.25 + 2.5) / 3), -FAKE.mean()),
        ("wasserstein", FAKE.mean() - REAL.mean(), -FAKE.mean()),
        ("relativistic", -(REAL - FAKE).sigmoid().log().mean(), -(FAKE - REAL).sigmoid().log().mean()),
    ],
)
def test_losses_are_those_of_their_papers(
    name: losses.LossName, discriminator: torch.Tensor, generator: torch.Tensor
) -> None:
    loss = losses.LOSSES[name]
    torch.testing.assert_close(loss.discriminator(REAL, FAKE), discriminator)
    torch.testing.assert_close(loss.generator(REAL, FAKE), generator)


def test_only_relative_losses_are_invariant_to_a_shift_of_all_logits() -> None:
    for loss in losses.LOSSES.values():
        before, after = loss.discriminator(REAL, FAKE), loss.discriminator(REAL + 1, FAKE + 1)
        assert torch.allclose(before, after) == loss.relative


def bowl(images: torch.Tensor) -> torch.Tensor:
    """Logits |x|² / 2, whose gradient is x."""
    return images.square().sum((2, 3, 4)) / 2


def test_penalties_on_gradients_by_hand() -> None:
    real, fake = torch.full((1, 4, 1, 2, 2), 1.0), torch.full((1, 4, 1, 2, 2), 3.0)
    assert losses.r1(bowl, real, fake, rng()).item() == pytest.approx(4 / 2)  # four pixels of 1: a norm of 2
    assert losses.r2(bowl, real, fake, rng()).item() == pytest.approx(36 / 2)
    weight = rng().rand(4)
    expected = (2 * (1 + 2 * weight) - 1).square().mean()
    assert losses.gradient_penalty(bowl, real, fake, rng()).item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("name", losses.GRADIENT_PENALTIES)
def test_penalties_reach_the_weights(name: losses.GradientPenalty) -> None:
    weight = torch.ones((), requires_grad=True)
    images = torch.rand(1, 3, 1, 2, 2)
    losses.GRADIENT_PENALTIES[name](lambda x: weight * bowl(x), images, images + 1, rng()).backward()
    assert weight.grad is not None
    assert weight.grad != 0


def test_lecam_pulls_logits_to_the_running_means_of_the_other_kind() -> None:
    lecam = losses.LeCam(1)
    assert lecam.get_buffer("means").flatten().tolist() == [0, 0]
    real_mean, fake_mean = (0.01 * logits.mean() for logits in (REAL, FAKE))
    expected = (REAL - fake_mean).square().mean() + (FAKE - real_mean).square().mean()
    torch.testing.assert_close(lecam(REAL[None], FAKE[None]), expected[None])


def mode_seeking(real: tuple[float, ...] = (0.5, 0.5), largest: float = 5.0, replicates: int = 1) -> losses.ModeSeeking:
    return losses.ModeSeeking(torch.tensor(real), replicates, largest)


def images(spread: float, n: int = 8) -> torch.Tensor:
    """Noise of deviation `spread` around one image."""
    rng = torch.Generator().manual_seed(0)
    return torch.randn(1, 1, 1, 6, 6, generator=rng) + spread * torch.randn(1, n, 1, 6, 6, generator=rng)


LABELS = torch.tensor([[0, 1, 0, 1, 0, 1, 0, 1]])


def test_the_weight_of_a_class_rises_while_its_images_are_too_alike_and_falls_while_they_are_not() -> None:
    term = mode_seeking()
    collapsed = torch.where((LABELS == 0)[..., None, None, None], images(0.05), images(2.0))
    for _ in range(20):
        term(collapsed, LABELS)
    first, second = term.weights[0].tolist()
    assert 0.15 < first < 0.2  # 20 steps of 0.01 times the lacking ratio, which is nearly 1
    assert second == 0
    for _ in range(20):
        term(images(2.0), LABELS)
    assert term.weights[0, 0] < first


def test_the_term_drives_images_of_a_class_apart_unless_they_differ_by_brightness_and_contrast_only() -> None:
    term = mode_seeking()
    term.weights.fill_(1.0)
    drawn = images(0.05).requires_grad_()
    before = term(drawn, LABELS)
    before.backward()
    assert drawn.grad is not None
    assert term(drawn.detach() - drawn.grad, LABELS) < before
    one = images(0.0, n=8)
    brighter = one * torch.linspace(0.5, 1.5, 8)[:, None, None, None] + torch.linspace(0, 1, 8)[:, None, None, None]
    torch.testing.assert_close(term(brighter, LABELS), term(one, LABELS), atol=0.15, rtol=0)


def test_a_weight_stays_within_its_bounds_however_large_they_are() -> None:
    bounded, free = mode_seeking(largest=0.02), mode_seeking(largest=1e30)
    for _ in range(10):
        for term in (bounded, free):
            assert term(images(0.01), LABELS).isfinite().all()
    assert bounded.weights.max() == pytest.approx(0.02)
    assert free.weights.max() < 0.11


def test_only_pairs_of_one_class_whose_training_images_vary_count() -> None:
    alone = mode_seeking((0.5, 0.0))
    for labels in (torch.tensor([[0, 1]]), torch.tensor([[1, 1]])):
        drawn = images(0.0, n=2).requires_grad_()
        value = alone(drawn, labels)
        value.sum().backward()
        assert value.tolist() == [0.0]
        assert drawn.grad is not None
        assert drawn.grad.isfinite().all()
    assert (alone.weights == 0).all()


def test_identical_images_have_a_finite_gradient() -> None:
    term = mode_seeking()
    term.weights.fill_(1.0)
    drawn = images(0.0).requires_grad_()
    term(drawn, LABELS).sum().backward()
    assert drawn.grad is not None
    assert drawn.grad.isfinite().all()


def test_each_replicate_has_its_own_weights() -> None:
    together, alone = mode_seeking(replicates=2), [mode_seeking() for _ in range(2)]
    parts = [images(0.05), images(0.3)]
    for _ in range(3):
        values = together(torch.cat(parts), LABELS.expand(2, -1))
        expected = torch.cat([term(part, LABELS) for term, part in zip(alone, parts, strict=True)])
        torch.testing.assert_close(values, expected)
    torch.testing.assert_close(together.weights, torch.cat([term.weights for term in alone]))
    assert not torch.equal(together.weights[0], together.weights[1])
