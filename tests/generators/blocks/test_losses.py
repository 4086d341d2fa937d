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
