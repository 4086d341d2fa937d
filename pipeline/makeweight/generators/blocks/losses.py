"""Adversarial losses and penalties: pure functions of logits [replicates, n], or of the function that computes them.

Each returns one number for each replicate. `real_logits` belong to what the discriminator should accept, `fake_logits`
to what it should reject: generated images, or real ones under a wrong label (Reed et al. 2016). A higher logit means
more likely real.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import one_hot, relu, softplus

from makeweight.core.images import standardized
from makeweight.runtime import distributed
from makeweight.training.rng import ReplicateGenerators

Critic = Callable[[Tensor], Tensor]  # images [replicates, n, c, h, w] to logits [replicates, n]
LossName = Literal["minimax", "non_saturating", "hinge", "wasserstein", "relativistic"]
GradientPenalty = Literal["gradient_penalty", "r1", "r2"]


@dataclass(frozen=True, slots=True)
class Loss:
    """The losses of both networks.

    Attributes:
        discriminator: its loss, from real and fake logits.
        generator: its loss, from real and fake logits; only a `paired` one depends on the real ones.
        relative: whether only differences between logits are meaningful. Otherwise 0 separates real from fake.
        paired: whether real and fake logits are compared pair by pair.
    """

    discriminator: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[[Tensor, Tensor], Tensor]
    relative: bool = False
    paired: bool = False


def cross_entropy_discriminator(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """-E[log D(x)] - E[log(1 - D(G(z)))] with D = sigmoid(logit) (Goodfellow et al. 2014, equation 1)."""
    return softplus(-real_logits).mean(-1) + softplus(fake_logits).mean(-1)


def minimax_generator(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """E[log(1 - D(G(z)))], the same value function, minimized (Goodfellow et al. 2014, equation 1)."""
    return -softplus(fake_logits).mean(-1)


def non_saturating_generator(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """-E[log D(G(z))], whose gradient does not vanish under saturation (Goodfellow et al. 2014, section 3)."""
    return softplus(-fake_logits).mean(-1)


def hinge_discriminator(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """E[max(0, 1 - D(x))] + E[max(0, 1 + D(G(z)))] (Miyato et al. 2018, equation 16)."""
    return relu(1 - real_logits).mean(-1) + relu(1 + fake_logits).mean(-1)


def wasserstein_discriminator(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """E[D(G(z))] - E[D(x)]; needs a gradient penalty (Arjovsky et al. 2017; Gulrajani et al. 2017, equation 3)."""
    return fake_logits.mean(-1) - real_logits.mean(-1)


def mean_generator(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """-E[D(G(z))], for hinge and Wasserstein (Miyato et al. 2018, equation 17)."""
    return -fake_logits.mean(-1)


def relativistic_discriminator(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """E[softplus(D(G(z)) - D(x))], pair by pair: RpGAN (Jolicoeur-Martineau 2019; Huang et al. 2024, equation 2)."""
    return softplus(fake_logits - real_logits).mean(-1)


def relativistic_generator(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """E[softplus(D(x) - D(G(z)))], the generator's loss of RpGAN."""
    return softplus(real_logits - fake_logits).mean(-1)


LOSSES: dict[LossName, Loss] = {
    "minimax": Loss(cross_entropy_discriminator, minimax_generator),
    "non_saturating": Loss(cross_entropy_discriminator, non_saturating_generator),
    "hinge": Loss(hinge_discriminator, mean_generator),
    "wasserstein": Loss(wasserstein_discriminator, mean_generator, relative=True),
    "relativistic": Loss(relativistic_discriminator, relativistic_generator, relative=True, paired=True),
}


def _squared_gradient_norms(critic: Critic, images: Tensor) -> Tensor:
    """Squared gradient norm of each image's logit, [replicates, n]; differentiable."""
    images = images.detach().requires_grad_()
    (gradients,) = torch.autograd.grad(critic(images).sum(), images, create_graph=True)
    return gradients.square().sum((-3, -2, -1))


def gradient_penalty(critic: Critic, real_images: Tensor, fake_images: Tensor, rng: ReplicateGenerators) -> Tensor:
    """E[(|∇D(x̂)| - 1)²], x̂ between a real and a fake image (Gulrajani et al. 2017, equation 3)."""
    replicates, n = real_images.shape[:2]
    weight = rng.rand(replicates * n, 1, 1, 1).unflatten(0, (replicates, n))
    norms = (_squared_gradient_norms(critic, torch.lerp(real_images, fake_images, weight)) + 1e-12).sqrt()
    return (norms - 1).square().mean(-1)


def r1(critic: Critic, real_images: Tensor, fake_images: Tensor, rng: ReplicateGenerators) -> Tensor:
    """½ E[|∇D(x)|²] on real images (Mescheder et al. 2018, equation 9)."""
    return _squared_gradient_norms(critic, real_images).mean(-1) / 2


def r2(critic: Critic, real_images: Tensor, fake_images: Tensor, rng: ReplicateGenerators) -> Tensor:
    """½ E[|∇D(G(z))|²] on generated images (Mescheder et al. 2018, equation 10)."""
    return _squared_gradient_norms(critic, fake_images).mean(-1) / 2


GRADIENT_PENALTIES: dict[GradientPenalty, Callable[[Critic, Tensor, Tensor, ReplicateGenerators], Tensor]] = {
    "gradient_penalty": gradient_penalty,
    "r1": r1,
    "r2": r2,
}


class LeCam(torch.nn.Module):
    """E[(D(x) - α_F)²] + E[(D(G(z)) - α_R)²], α running means of the other kind's logits (Tseng et al. 2021, eq. 5).

    The decay of the means is that of the authors' code.
    """

    DECAY = 0.99

    def __init__(self, replicates: int) -> None:
        super().__init__()
        self.means: Tensor
        self.register_buffer("means", torch.zeros(2, replicates, 1))  # of real and of fake logits

    def forward(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """Update the means with these logits, and return the penalty [replicates]."""
        with torch.no_grad():
            means = distributed.all_reduce_mean(torch.stack([real_logits, fake_logits]).mean(-1, keepdim=True))
            self.means.lerp_(means, 1 - self.DECAY)
        real_mean, fake_mean = self.means
        penalty: Tensor = (real_logits - fake_mean).square().mean(-1) + (fake_logits - real_mean).square().mean(-1)
        return penalty


class ModeSeeking(torch.nn.Module):
    """A mode-seeking term (Mao et al. 2019) with a weight for each class, adapted to the training images' diversity.

    The *ratio* of two generated images of a class is the root mean square of their difference after `standardized`,
    divided by that of training images. The term is -E[w log(ratio + `FLOOR`)] over pairs in the batch: its gradient
    grows as a class collapses, and needs no second pass of the generator. The weight w is the multiplier of the
    constraint that the mean ratio of its class is at least 1: dual ascent raises it while the ratio is below 1 and
    lowers it while the ratio is above.

    Args:
        real: root mean square difference of two training images of each class, [classes]; where it is 0, the class has
            no constraint.
        replicates: each has its own weights.
        largest: upper bound of the weights; 0 is the lower one.
    """

    FLOOR = 0.05
    RATE = 0.01  # of the dual ascent, for each step

    def __init__(self, real: Tensor, replicates: int, largest: float) -> None:
        super().__init__()
        self.largest = largest
        self.real: Tensor
        self.weights: Tensor
        self.register_buffer("real", real)
        self.register_buffer("weights", torch.zeros(replicates, len(real)))

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """The term, [replicates], for images [replicates, n, c, h, w] of labels [replicates, n]; updates the weights.

        Each image forms a pair with the next one of its class. The term is 0 if no class has two images.
        """
        ordered, order = labels.sort(dim=1, stable=True)
        pixels = standardized(images[torch.arange(len(labels), device=labels.device)[:, None], order])
        classes = ordered[:, 1:]
        paired = (classes == ordered[:, :-1]) & (self.real[classes] > 0)
        difference = (pixels[:, 1:] - pixels[:, :-1]).square().mean(-1)
        real = torch.where(paired, self.real[classes], 1.0)
        ratios = (difference + 1e-8).sqrt() / real  # the root of 0 has no gradient
        terms = torch.where(paired, self.weights.gather(1, classes) * (ratios + self.FLOOR).log(), 0.0)
        self._update_weights(ratios.detach(), classes, paired)
        return -terms.sum(1) / paired.sum(1).clamp(min=1)

    @torch.no_grad()
    def _update_weights(self, ratios: Tensor, classes: Tensor, paired: Tensor) -> None:
        """One step of dual ascent in each class that has pairs; all tensors are [replicates, pairs]."""
        # A product, since `scatter_add` is not deterministic on a GPU.
        members = one_hot(classes, len(self.real)).float() * paired[..., None]
        sums = torch.stack([torch.where(paired, 1 - ratios, 0.0), paired.float()], 1) @ members
        lacking, pairs = distributed.all_reduce_mean(sums).unbind(1)
        self.weights.add_(self.RATE * lacking / torch.where(pairs > 0, pairs, 1.0)).clamp_(0, self.largest)
