"""Adversarial losses and penalties: pure functions of scores (logits, shape [replicates, n]), or of what gives them.

Each gives a number for each replicate.
`real` are scores of what a discriminator should accept, `generated` of what it should reject: generated images, or
real ones under a wrong label (Reed et al. 2016). The higher a score, the more real.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import relu, softplus

from makeweight.runtime import distributed
from makeweight.training.rng import ReplicateGenerators

Score = Callable[[Tensor], Tensor]  # images [replicates, n, c, h, w] to scores [replicates, n]
LossName = Literal["minimax", "non_saturating", "hinge", "wasserstein", "relativistic"]
GradientPenalty = Literal["gradient_penalty", "r1", "r2"]


@dataclass(frozen=True, slots=True)
class Loss:
    """A game of two.

    Attributes:
        discriminator: its loss, of the scores `real` and `generated`.
        generator: likewise; only a `paired` one looks at `real`.
        relative: whether scores mean something only beside each other. Otherwise 0 separates real from generated.
        paired: whether real and generated images are compared pair by pair.
    """

    discriminator: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[[Tensor, Tensor], Tensor]
    relative: bool = False
    paired: bool = False


def cross_entropy_discriminator(real: Tensor, generated: Tensor) -> Tensor:
    """-E[log D(x)] - E[log(1 - D(G(z)))] with D = sigmoid(score) (Goodfellow et al. 2014, equation 1)."""
    return softplus(-real).mean(-1) + softplus(generated).mean(-1)


def minimax_generator(real: Tensor, generated: Tensor) -> Tensor:
    """E[log(1 - D(G(z)))], the same value function played from the other side (Goodfellow et al. 2014, equation 1)."""
    return -softplus(generated).mean(-1)


def non_saturating_generator(real: Tensor, generated: Tensor) -> Tensor:
    """-E[log D(G(z))], which goes on pulling where the discriminator wins (Goodfellow et al. 2014, section 3)."""
    return softplus(-generated).mean(-1)


def hinge_discriminator(real: Tensor, generated: Tensor) -> Tensor:
    """E[max(0, 1 - D(x))] + E[max(0, 1 + D(G(z)))] (Miyato et al. 2018, equation 16)."""
    return relu(1 - real).mean(-1) + relu(1 + generated).mean(-1)


def wasserstein_discriminator(real: Tensor, generated: Tensor) -> Tensor:
    """E[D(G(z))] - E[D(x)]; wants a penalty on gradients (Arjovsky et al. 2017; Gulrajani et al. 2017, equation 3)."""
    return generated.mean(-1) - real.mean(-1)


def mean_generator(real: Tensor, generated: Tensor) -> Tensor:
    """-E[D(G(z))], of hinge and Wasserstein alike (Miyato et al. 2018, equation 17)."""
    return -generated.mean(-1)


def relativistic_discriminator(real: Tensor, generated: Tensor) -> Tensor:
    """E[softplus(D(G(z)) - D(x))], pair by pair: RpGAN (Jolicoeur-Martineau 2019; Huang et al. 2024, equation 2)."""
    return softplus(generated - real).mean(-1)


def relativistic_generator(real: Tensor, generated: Tensor) -> Tensor:
    """E[softplus(D(x) - D(G(z)))], the other side of RpGAN."""
    return softplus(real - generated).mean(-1)


LOSSES: dict[LossName, Loss] = {
    "minimax": Loss(cross_entropy_discriminator, minimax_generator),
    "non_saturating": Loss(cross_entropy_discriminator, non_saturating_generator),
    "hinge": Loss(hinge_discriminator, mean_generator),
    "wasserstein": Loss(wasserstein_discriminator, mean_generator, relative=True),
    "relativistic": Loss(relativistic_discriminator, relativistic_generator, relative=True, paired=True),
}


def _squared_gradient_norms(score: Score, images: Tensor) -> Tensor:
    """Squared norm of the gradient of each image's score, shape [replicates, n]; differentiable."""
    images = images.detach().requires_grad_()
    (slopes,) = torch.autograd.grad(score(images).sum(), images, create_graph=True)
    return slopes.square().sum((-3, -2, -1))


def gradient_penalty(score: Score, real: Tensor, generated: Tensor, rng: ReplicateGenerators) -> Tensor:
    """E[(|∇D(x̂)| - 1)²], x̂ between a real and a generated image (Gulrajani et al. 2017, equation 3)."""
    replicates, n = real.shape[:2]
    at = rng.rand(replicates * n, 1, 1, 1).unflatten(0, (replicates, n))
    slopes = (_squared_gradient_norms(score, torch.lerp(real, generated, at)) + 1e-12).sqrt()
    return (slopes - 1).square().mean(-1)


def r1(score: Score, real: Tensor, generated: Tensor, rng: ReplicateGenerators) -> Tensor:
    """½ E[|∇D(x)|²] on real images (Mescheder et al. 2018, equation 9)."""
    return _squared_gradient_norms(score, real).mean(-1) / 2


def r2(score: Score, real: Tensor, generated: Tensor, rng: ReplicateGenerators) -> Tensor:
    """½ E[|∇D(G(z))|²] on generated images (Mescheder et al. 2018, equation 10)."""
    return _squared_gradient_norms(score, generated).mean(-1) / 2


GRADIENT_PENALTIES: dict[GradientPenalty, Callable[[Score, Tensor, Tensor, ReplicateGenerators], Tensor]] = {
    "gradient_penalty": gradient_penalty,
    "r1": r1,
    "r2": r2,
}


class LeCam(torch.nn.Module):
    """E[(D(x) - α_F)²] + E[(D(G(z)) - α_R)²], α running means of the other side (Tseng et al. 2021, eq. 5).

    The decay of the means is that of their code.
    """

    DECAY = 0.99

    def __init__(self, replicates: int) -> None:
        super().__init__()
        self.means: Tensor
        self.register_buffer("means", torch.zeros(2, replicates, 1))  # of real and of generated images

    def forward(self, real: Tensor, generated: Tensor) -> Tensor:
        """The penalty, after the means have taken in these scores."""
        with torch.no_grad():
            means = distributed.all_reduce_mean(torch.stack([real, generated]).mean(-1, keepdim=True))
            self.means.lerp_(means, 1 - self.DECAY)
        of_real, of_generated = self.means
        penalty: Tensor = (real - of_generated).square().mean(-1) + (generated - of_real).square().mean(-1)
        return penalty
