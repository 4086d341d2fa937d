"""The conditional variational autoencoder (Kingma & Welling 2014; Sohn et al. 2015), sampling its prior."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from makeweight.core.data import Split
from makeweight.core.parameters import Count, NotNegative, Positive
from makeweight.core.seeds import derive
from makeweight.core.validation import Settings
from makeweight.generators.blocks.networks import Decoder, Encoder, Shape, conditions
from makeweight.generators.blocks.training_data import TrainingData
from makeweight.generators.interface import BlockSampler, TrainedInSteps
from makeweight.runtime import distributed
from makeweight.training.checkpoints import State
from makeweight.training.ema import EMA, evaluation_mode
from makeweight.training.loop import TrainingContext
from makeweight.training.rng import ReplicateGenerators
from makeweight.training.stacking import ReplicateNetworks, stack

MAX_SAMPLE = 2000  # images from which the number of independent pixels is estimated


class ConditionalVAE(TrainedInSteps, Settings):
    """Settings of the family `cvae`, explained in `params.yaml`."""

    steps: Count
    batch: Annotated[int, Field(ge=2)]
    latent: Count
    encoder_width: Count
    decoder_width: Count
    beta: NotNegative
    learning_rate: Positive
    ema_decay: Annotated[float, Field(ge=0, lt=1)]

    def fit(self, train: Split, *, monitor: Split, seeds: Sequence[int], run: TrainingContext) -> list[VAESampler]:
        """Train one for each seed on `train`, all of them in one program: tensors have the shape [replicates, n, …]."""
        shape, pixels = Shape.of(train), independent_pixels(train)
        data = TrainingData.of(train, monitor, seeds, run)
        network = stack([self._network(shape, seed) for seed in seeds], run.device)
        ema = EMA(network, self.ema_decay)
        optimizer = torch.optim.Adam(network.parameters(), self.learning_rate, fused=True)
        state: State = {"network": network, "ema": ema, "optimizer": optimizer, **data.state()}

        for step in run.steps(self.steps, state, len(seeds)):
            images, labels = (distributed.shard(part) for part in data.train.draw(self.batch, data.rng))
            noise = self._noise(labels, data.rng)
            with data.autocast:
                reconstructed, mean, log_variance = network(images, conditions(labels, shape.classes), noise)
            reconstruction = reconstruction_loss(reconstructed, images, pixels)
            divergence = divergence_from_prior(mean, log_variance)
            loss = reconstruction + self.beta * divergence
            optimizer.zero_grad()
            loss.sum().backward()
            distributed.average_gradients(network)
            optimizer.step()
            ema.update(network)

            if step.recorded:
                images, labels = data.validation.draw(self.batch, data.monitor_rng)
                noise = self._noise(labels, data.monitor_rng)
                with evaluation_mode(network), data.autocast:
                    reconstructed, _, _ = network(images, conditions(labels, shape.classes), noise)
                run.record(
                    {
                        "step": step.number,
                        "reconstruction": reconstruction,
                        "divergence": divergence,
                        "reconstruction_validation": reconstruction_loss(reconstructed, images, pixels),
                    }
                )
            if step.shown:
                run.show(step.number, *_samplers(ema.network))
        return _samplers(ema.network)

    def _network(self, shape: Shape, seed: int) -> VariationalAutoencoding:
        torch.manual_seed(derive(seed, "weights"))  # layers initialize their weights from the global generator
        return VariationalAutoencoding(shape, self.latent, self.encoder_width, self.decoder_width)

    def _noise(self, labels: Tensor, rng: ReplicateGenerators) -> Tensor:
        return rng.randn(labels.numel(), self.latent).view(*labels.shape, self.latent)

    @staticmethod
    def load(folder: Path) -> VAESampler:
        """Load a sampler that `VAESampler.save` wrote."""
        return VAESampler(Decoder.load(folder))


def _samplers(networks: ReplicateNetworks[VariationalAutoencoding]) -> list[VAESampler]:
    return [VAESampler(network.decoder) for network in networks.networks()]


def independent_pixels(train: Split) -> float:
    """Effective number of independent pixels: the participation ratio (Σλ)² / Σλ² of the pixels' covariance.

    Neighbouring pixels are correlated. Counted one by one they outweigh the prior; then the codes encode the class and
    the decoder ignores the labels (`docs/decisions/0008-families.md`).
    """
    sample = np.random.default_rng(0).permutation(len(train))[:MAX_SAMPLE]
    pixels = train.images[sample].reshape(len(sample), -1).astype(np.float64)
    pixels -= pixels.mean(0)
    gram = pixels @ pixels.T  # has the nonzero eigenvalues of the covariance, up to a factor
    total = np.square(gram).sum()
    return float(np.trace(gram) ** 2 / total) if total else 1.0


def reconstruction_loss(reconstructed: Tensor, images: Tensor, pixels: float) -> Tensor:
    """-log p(x | z) in nats per image of `pixels` independent pixels, under Gaussian noise of the optimal variance.

    Images have the shape [replicates, n, c, h, w]. The variance is the mean squared error of the batch itself (Rybkin
    et al. 2021, equation 5), so no weight depends on the size or the contrast of the images.
    """
    error = distributed.all_reduce_mean((reconstructed.float() - images).square().flatten(1).mean(1))
    return pixels / 2 * (error.clamp(min=1e-6).log() + 1 + math.log(2 * math.pi))


def divergence_from_prior(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(q(z | x) ‖ N(0, 1)) of codes [replicates, n, latent], in nats per image (Kingma & Welling 2014, app. B)."""
    return (mean.square() + log_variance.exp() - 1 - log_variance).sum(-1).mean(-1) / 2


class VariationalAutoencoding(nn.Module):
    """Image and condition to a Gaussian over codes, and a code drawn from it back to an image."""

    def __init__(self, shape: Shape, latent: int, encoder_width: int, decoder_width: int) -> None:
        super().__init__()
        self.encoder = Encoder(shape, encoder_width)
        self.code = nn.Linear(self.encoder.channels * self.encoder.side**2 + shape.classes, 2 * latent)
        self.decoder = Decoder(shape, latent, decoder_width)

    def forward(self, images: Tensor, condition: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Images, conditions [n, classes] and noise [n, latent] to images; mean and log variance of the codes."""
        features = self.encoder(images).flatten(1).float()
        mean, log_variance = self.code(torch.cat([features, condition], 1)).float().chunk(2, 1)
        log_variance = log_variance.clamp(-10, 10)  # else the exponential overflows before training can correct it
        return self.decoder(mean + (log_variance / 2).exp() * noise, condition), mean, log_variance


class VAESampler(BlockSampler):
    """A trained decoder of codes drawn from the prior."""

    def __init__(self, decoder: Decoder) -> None:
        self.decoder = decoder

    def sample(self, labels: Tensor, *, rng: torch.Generator) -> Tensor:
        """Draw one image for each label (int64 [n]): float [n, c, h, w] in [-1, 1]; `rng` is on the CPU."""
        return torch.cat(list(self.sample_blocks(labels, rng=rng)))

    def sample_blocks(self, labels: Tensor, *, rng: torch.Generator) -> Iterator[Tensor]:
        """The images of `sample`, in batches."""
        codes = torch.randn(len(labels), self.decoder.latent, generator=rng)
        return self.decoder.draw(codes, labels)

    def to(self, device: torch.device) -> None:
        """Move the decoder to the device that is to draw."""
        self.decoder.to(device)

    def save(self, folder: Path) -> None:
        """Write the decoder."""
        self.decoder.save(folder)
