"""Plain training loops as baselines: eager float32, with the networks of the families and of the classifier."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss
from torch.utils.data import DataLoader, TensorDataset

from makeweight.classification.networks import WIDTHS
from makeweight.core.data import Images, Labels, Split
from makeweight.core.images import halvings
from makeweight.core.parameters import ClassifierSettings
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
    reconstruction_loss,
)
from makeweight.training.rng import ReplicateGenerators

Network = TypeVar("Network", bound=nn.Module)


def batches(train: Split, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Endless batches from a `DataLoader`, balanced over the classes as those of the families."""
    images = torch.from_numpy(train.images).permute(0, 3, 1, 2).float().contiguous() / 127.5 - 1
    labels = torch.from_numpy(train.labels)
    weights = (1 / labels.bincount(minlength=len(train.classes)).clamp(min=1))[labels]
    sampler = torch.utils.data.WeightedRandomSampler(weights.tolist(), 100 * size)
    loader = DataLoader(TensorDataset(images, labels), batch_size=size, sampler=sampler)
    return itertools.chain.from_iterable(loader for _ in itertools.count())


def with_torch_convolutions(network: Network) -> Network:
    """Replace our implementations of convolutions by those of torch, which compute the same sums."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            layer.forward = partial(nn.Conv2d.forward, layer)  # type: ignore[method-assign]
        elif isinstance(layer, nn.ConvTranspose2d):
            layer.forward = partial(nn.ConvTranspose2d.forward, layer)  # type: ignore[method-assign]
    return network


def cgan(settings: ConditionalGAN, train: Split, seed: int = 0) -> Iterator[Decoder]:
    """The default conditional GAN as in a tutorial; yields the generator after each step."""
    torch.manual_seed(seed)
    shape, loss, rng = Shape.of(train), LOSSES[settings.loss], ReplicateGenerators([seed], torch.device("cpu"))

    def augmented(images: Tensor) -> Tensor:
        return augment(images[None], settings.augment, rng)[0]

    generator = with_torch_convolutions(
        Decoder(shape, settings.latent, settings.generator_width, LABEL_INPUTS[settings.conditioning])
    )
    discriminator = with_torch_convolutions(
        DISCRIMINATORS[settings.conditioning](
            shape, settings.discriminator_width, normed="discriminator" in settings.spectral_norm, attention=None
        )
    )
    betas = settings.beta1, settings.beta2
    g_optimizer = torch.optim.Adam(generator.parameters(), settings.generator_learning_rate, betas)
    d_optimizer = torch.optim.Adam(discriminator.parameters(), settings.discriminator_learning_rate, betas)
    for images, labels in batches(train, settings.batch):
        condition = conditions(labels, shape.classes)
        mismatched_labels = (labels + torch.randint(1, shape.classes, labels.shape)) % shape.classes
        mismatched_condition = conditions(mismatched_labels, shape.classes)
        fake_images = generator(torch.randn(len(labels), settings.latent), condition)
        real_features = discriminator.features(augmented(images))
        real_logits = discriminator.score(real_features, condition)
        fake_logits = discriminator(augmented(fake_images.detach()), condition)
        mismatched_logits = discriminator.score(real_features, mismatched_condition)
        d_loss = (1 - settings.matching_aware_weight) * loss.discriminator(real_logits, fake_logits)
        d_loss = d_loss + settings.matching_aware_weight * loss.discriminator(real_logits, mismatched_logits)
        d_optimizer.zero_grad()
        d_loss.backward()
        d_optimizer.step()
        g_loss = loss.generator(real_logits, discriminator(augmented(fake_images), condition))
        g_optimizer.zero_grad()
        g_loss.backward()
        g_optimizer.step()
        yield generator


def cvae(settings: ConditionalVAE, train: Split) -> Iterator[nn.Module]:
    """The variational autoencoder."""
    shape, pixels = Shape.of(train), independent_pixels(train)
    network = with_torch_convolutions(
        VariationalAutoencoding(shape, settings.latent, settings.encoder_width, settings.decoder_width)
    )
    optimizer = torch.optim.Adam(network.parameters(), settings.learning_rate)
    for images, labels in batches(train, settings.batch):
        noise = torch.randn(len(images), settings.latent)
        reconstructed, mean, log_variance = network(images, conditions(labels, shape.classes), noise)
        (reconstruction,), (divergence,) = (
            reconstruction_loss(reconstructed[None], images[None], pixels),
            divergence_from_prior(mean[None], log_variance[None]),
        )
        loss = reconstruction + settings.beta * divergence
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield network


def autoencoder(settings: Autoencoder, train: Split) -> Iterator[nn.Module]:
    """The autoencoder."""
    shape = Shape.of(train)
    network = with_torch_convolutions(
        Autoencoding(shape, settings.latent, settings.encoder_width, settings.decoder_width)
    )
    optimizer = torch.optim.Adam(network.parameters(), settings.learning_rate)
    for images, _ in batches(train, settings.batch):
        loss = mse_loss(network(images), images)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield network


def small_cnn(channels: int, size: int, classes: int) -> nn.Sequential:
    """The classifier `small_cnn` as in a tutorial: the same function, parameters and initial values."""

    def convolution(in_channels: int, out_channels: int) -> list[nn.Module]:
        return [nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False), nn.BatchNorm2d(out_channels), nn.ReLU()]

    layers: list[nn.Module] = []
    for width in WIDTHS[: halvings(size)]:
        layers += [*convolution(channels, width), nn.MaxPool2d(2)]
        channels = width
    layers += convolution(channels, 2 * channels)
    side = size // 2 ** halvings(size)
    return nn.Sequential(*layers, nn.Flatten(), nn.Dropout(0.3), nn.Linear(2 * channels * side**2, classes))


def classifier(
    settings: ClassifierSettings, train: Split, batches: Iterable[tuple[Images, Labels]]
) -> Iterator[nn.Module]:
    """The training of `small_cnn`; yields the network after each step."""
    network = small_cnn(train.channels, train.size, len(train.classes)).train()
    optimizer = torch.optim.AdamW(network.parameters(), settings.learning_rate, weight_decay=settings.weight_decay)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, settings.learning_rate, total_steps=settings.budgets[0])
    for images, labels in batches:
        logits = network(torch.from_numpy(images).permute(0, 3, 1, 2).float().contiguous() / 127.5 - 1)
        loss = cross_entropy(logits, torch.from_numpy(labels), label_smoothing=settings.label_smoothing)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        yield network


LOOPS = {"cgan": cgan, "cvae": cvae, "autoencoder": autoencoder}
