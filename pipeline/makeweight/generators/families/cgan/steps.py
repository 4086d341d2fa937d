"""The discriminator update, the generator update and the monitored error rates of a conditional GAN.

Tensors have the shape [replicates, n, …]; each loss is one number for each replicate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from makeweight.generators.blocks.augmentation import Operation, augment
from makeweight.generators.blocks.losses import GRADIENT_PENALTIES, GradientPenalty, LeCam, Loss, ModeSeeking
from makeweight.generators.blocks.networks import Decoder, conditions
from makeweight.generators.blocks.training_data import TrainingData
from makeweight.generators.families.cgan.discriminators import Discriminator
from makeweight.runtime import distributed
from makeweight.training.ema import evaluation_mode
from makeweight.training.rng import ReplicateGenerators
from makeweight.training.stacking import ReplicateNetworks

Penalty = GradientPenalty | Literal["lecam"]


@dataclass(frozen=True)
class Objective:
    """What both networks optimize.

    Attributes:
        loss: the adversarial loss.
        penalties: the weight of each penalty in the discriminator's loss.
        lecam: the LeCam penalty with its running means.
        augmentation: operations on all images that the discriminator sees.
        matching_aware_weight: weight of real images under a wrong label, as the label is fully conditioned on.
        mode_seeking: the generator's term for diversity within classes, or None.
    """

    loss: Loss
    penalties: Mapping[Penalty, float]
    lecam: LeCam
    augmentation: Sequence[Operation]
    matching_aware_weight: float
    mode_seeking: ModeSeeking | None


@dataclass(frozen=True)
class Trainer:
    """Both networks with their optimizers, the objective and the data; images of a batch, length of the noise."""

    generator: ReplicateNetworks[Decoder]
    discriminator: ReplicateNetworks[Discriminator]
    g_optimizer: torch.optim.Optimizer
    d_optimizer: torch.optim.Optimizer
    objective: Objective
    data: TrainingData
    batch: int
    latent: int

    def noise(self, rng: ReplicateGenerators) -> Tensor:
        """Standard normal noise for one batch, float [replicates, batch, latent]."""
        return rng.randn(len(rng) * self.batch, self.latent).view(len(rng), self.batch, self.latent)


@dataclass(frozen=True)
class LabelEncoding:
    """One-hot encoding of labels, scaled by how far they are faded in: 0 (unconditional) to 1."""

    classes: int
    scale: float

    def __call__(self, labels: Tensor) -> Tensor:
        """Labels [replicates, n] to conditions [replicates, n, classes]."""
        return conditions(labels, self.classes, self.scale)


@dataclass(frozen=True)
class Batch:
    """Real and fake images of the same labels; the fake ones carry the generator's graph."""

    real_images: Tensor
    fake_images: Tensor
    labels: Tensor
    condition: Tensor


def draw_batch(trainer: Trainer, encode: LabelEncoding) -> Batch:
    """Draw real images of uniformly drawn labels, and generate as many of the same labels."""
    data = trainer.data
    real_images, labels = (distributed.shard(part) for part in data.train.draw(trainer.batch, data.rng))
    condition = encode(labels)
    with data.autocast:
        fake_images = trainer.generator(distributed.shard(trainer.noise(data.rng)), condition)
    return Batch(real_images, fake_images, labels, condition)


def update_discriminator(trainer: Trainer, batch: Batch, encode: LabelEncoding) -> tuple[Tensor, Tensor, Tensor]:
    """Take one optimizer step of the discriminator.

    Returns:
        d_loss [replicates], the augmented real images, and their features.
    """
    discriminator, objective, data = trainer.discriminator, trainer.objective, trainer.data
    # Real and fake images go through the network in one batch.
    images = augment(_concatenated(batch.real_images, batch.fake_images.detach()), objective.augmentation, data.rng)
    with data.autocast:
        real_features, fake_features = discriminator.call("features", images).chunk(2, 1)
    real_logits = discriminator.call("score", real_features, batch.condition)
    fake_logits = discriminator.call("score", fake_features, batch.condition)

    matching_aware_weight = encode.scale * objective.matching_aware_weight
    d_loss = (1 - matching_aware_weight) * objective.loss.discriminator(real_logits, fake_logits)
    if objective.matching_aware_weight and len(data.train.present) > 1:
        mismatched_condition = encode(data.train.other_labels(batch.labels, data.rng))
        mismatched_logits = discriminator.call("score", real_features, mismatched_condition)
        d_loss = d_loss + matching_aware_weight * objective.loss.discriminator(real_logits, mismatched_logits)
    for features in (real_features, fake_features):
        d_loss = d_loss + discriminator.call("label_loss", features, batch.condition)
    d_loss = d_loss + _penalty(trainer, images, batch.condition, (real_logits, fake_logits))
    _optimizer_step(discriminator, trainer.d_optimizer, d_loss)
    return d_loss, images.chunk(2, 1)[0], real_features


def update_generator(trainer: Trainer, batch: Batch, real_images: Tensor, real_features: Tensor) -> Tensor:
    """Take one optimizer step of the generator, the discriminator frozen; return g_loss [replicates].

    `real_images` and `real_features` are those of the last discriminator update; a paired loss computes the features
    again, with the updated discriminator.
    """
    discriminator, objective, data = trainer.discriminator, trainer.objective, trainer.data
    discriminator.requires_grad_(False)
    with data.autocast:
        fake_features = discriminator.call("features", augment(batch.fake_images, objective.augmentation, data.rng))
        if objective.loss.paired:
            real_features = discriminator.call("features", real_images)
    real_logits = discriminator.call("score", real_features.detach(), batch.condition)
    fake_logits = discriminator.call("score", fake_features, batch.condition)

    g_loss: Tensor = objective.loss.generator(real_logits, fake_logits)
    g_loss = g_loss + discriminator.call("label_loss", fake_features, batch.condition)
    if objective.mode_seeking is not None:
        g_loss = g_loss + objective.mode_seeking(batch.fake_images, batch.labels)
    _optimizer_step(trainer.generator, trainer.g_optimizer, g_loss)
    discriminator.requires_grad_(True)
    return g_loss


def _optimizer_step(network: torch.nn.Module, optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.sum().backward()
    distributed.average_gradients(network)
    optimizer.step()


def _penalty(trainer: Trainer, images: Tensor, condition: Tensor, logits: tuple[Tensor, Tensor]) -> Tensor:
    """The weighted sum of the penalties, [replicates]; in float32, since they need second-order gradients."""
    discriminator, objective, rng = trainer.discriminator, trainer.objective, trainer.data.rng
    total = torch.zeros(len(images), device=images.device)
    for name, weight in objective.penalties.items():
        if name == "lecam":
            total = total + weight * objective.lecam(*logits)
        else:
            real_images, fake_images = images.chunk(2, 1)
            penalty = GRADIENT_PENALTIES[name](lambda x: discriminator(x, condition), real_images, fake_images, rng)
            total = total + weight * penalty
    return total


def _concatenated(real_images: Tensor, fake_images: Tensor) -> Tensor:
    """Each replicate's real and fake images, [replicates, 2n, c, h, w], kept in channels-last memory format."""
    return torch.cat([images.movedim(2, -1) for images in (real_images, fake_images)], 1).movedim(-1, 2)


def discriminator_errors(trainer: Trainer, encode: LabelEncoding) -> dict[str, Tensor]:
    """Error rates of the discriminator on a batch of training, validation and fake images each."""
    generator, discriminator, data = trainer.generator, trainer.discriminator, trainer.data
    rng, augmentation = data.monitor_rng, trainer.objective.augmentation
    batches = {"train": data.train.draw(trainer.batch, rng), "validation": data.validation.draw(trainer.batch, rng)}
    with data.autocast, evaluation_mode(generator, discriminator):
        labels = batches["train"][1]
        batches["generated"] = generator(trainer.noise(rng), encode(labels)), labels
        logits = {
            name: discriminator(augment(images, augmentation, rng), encode(labels))
            for name, (images, labels) in batches.items()
        }
    return error_rates(logits, relative=trainer.objective.loss.relative)


def error_rates(logits: Mapping[str, Tensor], *, relative: bool) -> dict[str, Tensor]:
    """How often the discriminator errs on `train`, `validation` and `generated` images.

    A lower error on training than on validation images shows that the discriminator overfits.

    Args:
        logits: of each kind of image, [replicates, n]; above the threshold the discriminator takes an image for real.
        relative: whether the threshold is the middle between the means of training and generated images (relativistic
            losses), instead of 0.

    Returns:
        `error_<kind>`, each [replicates].
    """
    middle = (logits["train"].mean(-1, keepdim=True) + logits["generated"].mean(-1, keepdim=True)) / 2
    threshold = middle if relative else torch.zeros_like(middle)
    return {
        f"error_{name}": ((values > threshold) if name == "generated" else (values <= threshold)).float().mean(-1)
        for name, values in logits.items()
    }
