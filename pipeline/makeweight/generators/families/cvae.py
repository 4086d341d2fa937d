"""The conditional variational autoencoder (Kingma & Welling 2014; Sohn et al. 2015), sampling its prior."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from makeweight.core.data import Split
from makeweight.core.parameters import Count, NotNegative, Positive
from makeweight.core.seeds import derive
from makeweight.core.validation import Settings
from makeweight.generators.blocks.batches import RealImages
from makeweight.generators.blocks.networks import Decoder, Encoder, Shape, conditions
from makeweight.runtime import distributed
from makeweight.runtime.machine import mixed_precision
from makeweight.training.checkpoints import State
from makeweight.training.ema import EMA, evaluation_mode
from makeweight.training.loop import TrainingContext
from makeweight.training.rng import ReplicateGenerators
from makeweight.training.stacking import ReplicateNetworks, together

MEASURED = 2000  # images from which independent pixels are counted


class ConditionalVAE(Settings):
    """Settings of the family `cvae`. Their meaning stands in `params.yaml`."""

    steps: Count
    batch: Annotated[int, Field(ge=2)]
    latent: Count
    encoder_width: Count
    decoder_width: Count
    beta: NotNegative
    learning_rate: Positive
    ema_decay: Annotated[float, Field(ge=0, lt=1)]

    supports_batched_seeds: ClassVar[bool] = True

    @property
    def total_steps(self) -> int:
        """Steps of one fit."""
        return self.steps

    @property
    def images_per_step(self) -> int:
        """Images that a step looks at."""
        return self.batch

    def fit(self, train: Split, *, monitor: Split, seeds: Sequence[int], run: TrainingContext) -> list[VAESampler]:
        """Train one for each seed on `train`, all of them in one program: tensors have the shape [replicates, n, …]."""
        shape, pixels = Shape.of(train), independent_pixels(train)
        network = together([self._network(shape, seed) for seed in seeds], run.device)
        average = EMA(network, self.ema_decay)
        optimizer = torch.optim.Adam(network.parameters(), self.learning_rate, fused=True)
        rng, watching = (
            ReplicateGenerators([derive(seed, use) for seed in seeds], run.device) for use in ("training", "watching")
        )
        real, watched = RealImages(train, run.device), RealImages(monitor, run.device)
        mixed = mixed_precision(run.device.type, run.autocast)
        state: State = {
            "network": network,
            "average": average,
            "optimizer": optimizer,
            **rng.state("rng"),
            **watching.state("watching"),
        }

        for step in run.steps(self.steps, state, len(seeds)):
            images, labels = (distributed.shard(each) for each in real.draw(self.batch, rng))
            with mixed:
                drawn, mean, log_variance = network(images, conditions(labels, shape.classes), self._noise(labels, rng))
            rebuilding, divergence = reconstruction(drawn, images, pixels), divergence_from_prior(mean, log_variance)
            loss = rebuilding + self.beta * divergence
            optimizer.zero_grad()
            loss.sum().backward()
            distributed.average_gradients(network)
            optimizer.step()
            average.update(network)

            if step.recorded:
                images, labels = watched.draw(self.batch, watching)
                noise = self._noise(labels, watching)
                with evaluation_mode(network), mixed:
                    drawn, _, _ = network(images, conditions(labels, shape.classes), noise)
                run.record(
                    {
                        "step": step.number,
                        "reconstruction": rebuilding,
                        "divergence": divergence,
                        "reconstruction_validation": reconstruction(drawn, images, pixels),
                    }
                )
            if step.shown:
                run.show(step.number, *_samplers(average.network))
        return _samplers(average.network)

    def _network(self, shape: Shape, seed: int) -> VariationalAutoencoding:
        torch.manual_seed(derive(seed, "weights"))  # layers draw their first weights from the global stream
        return VariationalAutoencoding(shape, self.latent, self.encoder_width, self.decoder_width)

    def _noise(self, labels: Tensor, rng: ReplicateGenerators) -> Tensor:
        return rng.randn(labels.numel(), self.latent).view(*labels.shape, self.latent)

    @staticmethod
    def load(folder: Path) -> VAESampler:
        """Read back what `VAESampler.save` wrote."""
        return VAESampler(Decoder.load(folder))


def _samplers(networks: ReplicateNetworks[VariationalAutoencoding]) -> list[VAESampler]:
    return [VAESampler(network.decoder) for network in networks.networks()]


def independent_pixels(train: Split) -> float:
    """How many independent pixels would vary as these do: the participation ratio (Σλ)² / Σλ² of their covariance.

    Neighbouring pixels tell the same. Counted one by one they outweigh the prior, codes then tell the class, and
    labels go unheard (`docs/decisions/0008-families.md`).
    """
    some = np.random.default_rng(0).permutation(len(train))[:MEASURED]
    pixels = train.images[some].reshape(len(some), -1).astype(np.float64)
    pixels -= pixels.mean(0)
    products = pixels @ pixels.T  # has the eigenvalues of the covariance
    total = np.square(products).sum()
    return float(np.trace(products) ** 2 / total) if total else 1.0


def reconstruction(drawn: Tensor, images: Tensor, pixels: float) -> Tensor:
    """-log p(x | z), in nats an image of so many independent pixels: Gaussian noise of the variance that fits best.

    Images have the shape [replicates, n, c, h, w]. The variance is the mean squared error of the batch itself (Rybkin
    et al. 2021, equation 5), so that nothing needs tuning to the size or the contrast of images.
    """
    error = distributed.all_reduce_mean((drawn.float() - images).square().flatten(1).mean(1))
    return pixels / 2 * (error.clamp(min=1e-6).log() + 1 + math.log(2 * math.pi))


def divergence_from_prior(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(q(z | x) ‖ N(0, 1)) of codes [replicates, n, latent], in nats an image (Kingma & Welling 2014, appendix B)."""
    return (mean.square() + log_variance.exp() - 1 - log_variance).sum(-1).mean(-1) / 2


class VariationalAutoencoding(nn.Module):
    """An image and its condition to a Gaussian over codes, and a code drawn from that back to an image."""

    def __init__(self, shape: Shape, latent: int, encoder_width: int, decoder_width: int) -> None:
        super().__init__()
        self.encoder = Encoder(shape, encoder_width)
        self.code = nn.Linear(self.encoder.channels * self.encoder.side**2 + shape.classes, 2 * latent)
        self.decoder = Decoder(shape, latent, decoder_width)

    def forward(self, images: Tensor, wanted: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Images, conditions [n, classes] and noise [n, latent] to images; mean and log variance of the codes."""
        features = self.encoder(images).flatten(1).float()
        mean, log_variance = self.code(torch.cat([features, wanted], 1)).float().chunk(2, 1)
        log_variance = log_variance.clamp(
            -10, 10
        )  # beyond it, the exponential overflows before training can correct it
        return self.decoder(mean + (log_variance / 2).exp() * noise, wanted), mean, log_variance


class VAESampler:
    """A trained decoder, which draws from codes of the prior."""

    def __init__(self, decoder: Decoder) -> None:
        self.decoder = decoder

    def sample(self, labels: Tensor, *, rng: torch.Generator) -> Tensor:
        """One image for each label (int64 [n]), float [n, c, h, w] in [-1, 1]; `rng` is on the CPU."""
        codes = torch.randn(len(labels), self.decoder.latent, generator=rng)
        return self.decoder.draw(codes, conditions(labels, self.decoder.classes))

    def save(self, folder: Path) -> None:
        """Write the decoder."""
        self.decoder.save(folder)
