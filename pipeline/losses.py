"""Adversarial losses: pure functions of the discriminator's outputs (logits, shape [n])."""

from torch import Tensor
from torch.nn.functional import relu


def hinge_accept(scores: Tensor) -> Tensor:
    """E[max(0, 1 - D(x))]: what a discriminator loses on what it should accept (Miyato et al. 2018, equation 16)."""
    return relu(1 - scores).mean()


def hinge_reject(scores: Tensor) -> Tensor:
    """E[max(0, 1 + D(x))]: what it loses on what it should reject: generated images, or real ones with a wrong label.

    The latter after Reed et al. (2016, algorithm 1), who weigh both kinds alike.
    """
    return relu(1 + scores).mean()


def hinge_generator(generated: Tensor) -> Tensor:
    """L_G = -E[D(G(z))] (Miyato et al. 2018, equation 17)."""
    return -generated.mean()
