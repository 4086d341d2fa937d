"""Named settings, each value with its source. The default settings are in `params.yaml`."""

from __future__ import annotations

from typing import Any, Literal

Preset = Literal["classic"]

# The conditional GAN of most tutorials. DCGAN: Radford, Metz & Chintala (2016). CGAN: Mirza & Osindero (2014).
CLASSIC: dict[str, Any] = {
    "steps": 10000,  # about 20 passes through MNIST
    "batch": 128,  # DCGAN, section 4
    "latent": 100,  # DCGAN, section 3 and figure 1
    "generator_width": 64,  # DCGAN's code: ngf = 64
    "discriminator_width": 64,  # DCGAN's code: ndf = 64
    "loss": "non_saturating",  # Goodfellow et al. (2014), section 3
    "penalties": {},
    "conditioning": "concat",  # CGAN, section 3.2
    "matching_aware_weight": 0.0,
    "mode_seeking": 0.0,
    "warm_up": 0.0,
    "ramp": 0.0,
    "spectral_norm": [],
    "attention": None,
    "augment": [],
    "discriminator_steps": 1,  # DCGAN's code
    "generator_learning_rate": 0.0002,  # DCGAN, section 4
    "discriminator_learning_rate": 0.0004,  # twice that: two time-scale update rule (Heusel et al. 2017)
    "beta1": 0.5,  # DCGAN, section 4
    "beta2": 0.999,  # Adam's default (Kingma & Ba 2015), which DCGAN keeps
    "ema_decay": 0.0,  # no EMA: the last weights
    "temperature": 1.0,
}

PRESETS: dict[Preset, dict[str, Any]] = {"classic": CLASSIC}
