"""The loops that people write: eager float32, a `DataLoader`, one pass for each batch. The networks are ours."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss
from torch.utils.data import DataLoader, TensorDataset

from makeweight.core.data import Split
from makeweight.generators.blocks.augmentation import augment
from makeweight.generators.blocks.losses import LOSSES
from makeweight.generators.blocks.networks import Decoder, Shape, conditions
from makeweight.generators.families.autoencoder import Autoencoder, Autoencoding
from makeweight.generators.families.cgan.discriminators import DISCRIMINATORS
from makeweight.generators.families.cgan.family import LABEL_INPUTS, ConditionalGAN
from makeweight.generators.families.cvae import (
    ConditionalVAE,
    VariationalAutoencoding,
    divergence_from_prior,
    independent_pixels,
    reconstruction,
)
from makeweight.training.rng import ReplicateGenerators

Network = TypeVar("Network", bound=nn.Module)


def batches(train: Split, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Endless passes through a `DataLoader`, level over the classes as our own batches are."""
    images = torch.from_numpy(train.images).permute(0, 3, 1, 2).float().contiguous() / 127.5 - 1
    labels = torch.from_numpy(train.labels)
    weights = (1 / labels.bincount(minlength=len(train.classes)).clamp(min=1))[labels]
    sampler = torch.utils.data.WeightedRandomSampler(weights.tolist(), 100 * size)
    loader = DataLoader(TensorDataset(images, labels), batch_size=size, sampler=sampler)
    return itertools.chain.from_iterable(loader for _ in itertools.count())


def ordinary(network: Network) -> Network:
    """With the convolutions that torch offers, where ours compute the same sums in another way."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            layer.forward = partial(nn.Conv2d.forward, layer)  # type: ignore[method-assign]
        elif isinstance(layer, nn.ConvTranspose2d):
            layer.forward = partial(nn.ConvTranspose2d.forward, layer)  # type: ignore[method-assign]
    return network


def cgan(settings: ConditionalGAN, train: Split, seed: int = 0) -> Iterator[Decoder]:
    """Our default as a tutorial would write it; yields the generator after each step."""
    torch.manual_seed(seed)
    shape, loss, rng = Shape.of(train), LOSSES[settings.loss], ReplicateGenerators([seed], torch.device("cpu"))

    def augmented(images: Tensor) -> Tensor:
        return augment(images[None], settings.augment, rng)[0]

    generator = ordinary(Decoder(shape, settings.latent, settings.generator_width, LABEL_INPUTS[settings.conditioning]))
    discriminator = ordinary(
        DISCRIMINATORS[settings.conditioning](
            shape, settings.discriminator_width, normed="discriminator" in settings.spectral_norm, attention=None
        )
    )
    betas = settings.beta1, settings.beta2
    optimize_g = torch.optim.Adam(generator.parameters(), settings.generator_learning_rate, betas)
    optimize_d = torch.optim.Adam(discriminator.parameters(), settings.discriminator_learning_rate, betas)
    for images, labels in batches(train, settings.batch):
        wanted = conditions(labels, shape.classes)
        wrong = conditions((labels + torch.randint(1, shape.classes, labels.shape)) % shape.classes, shape.classes)
        generated = generator(torch.randn(len(labels), settings.latent), wanted)
        of_real = discriminator.features(augmented(images))
        on_real = discriminator.score(of_real, wanted)
        on_generated = discriminator(augmented(generated.detach()), wanted)
        on_wrong = discriminator.score(of_real, wrong)
        loss_d = (1 - settings.matching_aware_weight) * loss.discriminator(on_real, on_generated)
        loss_d = loss_d + settings.matching_aware_weight * loss.discriminator(on_real, on_wrong)
        optimize_d.zero_grad()
        loss_d.backward()
        optimize_d.step()
        loss_g = loss.generator(on_real, discriminator(augmented(generated), wanted))
        optimize_g.zero_grad()
        loss_g.backward()
        optimize_g.step()
        yield generator


def cvae(settings: ConditionalVAE, train: Split) -> Iterator[nn.Module]:
    """The variational autoencoder."""
    shape, pixels = Shape.of(train), independent_pixels(train)
    network = ordinary(VariationalAutoencoding(shape, settings.latent, settings.encoder_width, settings.decoder_width))
    optimizer = torch.optim.Adam(network.parameters(), settings.learning_rate)
    for images, labels in batches(train, settings.batch):
        drawn, mean, log_variance = network(
            images, conditions(labels, shape.classes), torch.randn(len(images), settings.latent)
        )
        (rebuilding,), (divergence,) = (
            reconstruction(drawn[None], images[None], pixels),
            divergence_from_prior(mean[None], log_variance[None]),
        )
        loss = rebuilding + settings.beta * divergence
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield network


def autoencoder(settings: Autoencoder, train: Split) -> Iterator[nn.Module]:
    """The autoencoder."""
    shape = Shape.of(train)
    network = ordinary(Autoencoding(shape, settings.latent, settings.encoder_width, settings.decoder_width))
    optimizer = torch.optim.Adam(network.parameters(), settings.learning_rate)
    for images, _ in batches(train, settings.batch):
        loss = mse_loss(network(images), images)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield network


LOOPS = {"cgan": cgan, "cvae": cvae, "autoencoder": autoencoder}
