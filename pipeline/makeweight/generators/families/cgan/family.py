"""The conditional GAN: its settings, which combine freely, its training loop and its sampler."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from makeweight.core.data import Split
from makeweight.core.images import diversity, of_class
from makeweight.core.parameters import Count, Fraction, NotNegative, Positive
from makeweight.core.seeds import derive
from makeweight.core.validation import Settings
from makeweight.generators.blocks.augmentation import Operation
from makeweight.generators.blocks.losses import LOSSES, LeCam, LossName, ModeSeeking
from makeweight.generators.blocks.networks import Decoder, LabelInput, Shape
from makeweight.generators.blocks.training_data import TrainingData
from makeweight.generators.families.cgan.discriminators import DISCRIMINATORS, Conditioning, Discriminator
from makeweight.generators.families.cgan.presets import PRESETS, Preset
from makeweight.generators.families.cgan.steps import (
    LabelEncoding,
    Objective,
    Penalty,
    Trainer,
    discriminator_errors,
    draw_batch,
    update_discriminator,
    update_generator,
)
from makeweight.generators.interface import BlockSampler, TrainedInSteps
from makeweight.runtime.files import read_json, write_json
from makeweight.training.checkpoints import State
from makeweight.training.ema import EMA
from makeweight.training.loop import TrainingContext
from makeweight.training.stacking import ReplicateNetworks, stack

TEMPERATURE = "temperature.json"
LABEL_INPUTS: dict[Conditioning, LabelInput] = {"projection": "norms", "auxiliary": "norms", "concat": "input"}
LIST = Field(strict=False)  # presets hold lists, not tuples
STEPS_PER_DECADE = 1000  # of training images, see `for_images`
MAX_COMPARED = 200  # training images of a class whose differences are the target of mode seeking
PartOfSteps = Annotated[float, Field(ge=0, le=1)]


class ConditionalGAN(TrainedInSteps, Settings):
    """Settings of the family `cgan`, explained in `params.yaml`.

    `preset` supplies the settings that are not given, from `pipeline/makeweight/generators/families/cgan/presets.py`.
    """

    preset: Preset | None
    steps: Count | None
    batch: Annotated[int, Field(ge=2)]
    latent: Count
    generator_width: Count
    discriminator_width: Count
    loss: LossName
    penalties: dict[Penalty, Positive]
    conditioning: Conditioning
    matching_aware_weight: Annotated[float, Field(ge=0, lt=1)]
    mode_seeking: NotNegative
    warm_up: PartOfSteps
    ramp: PartOfSteps
    spectral_norm: Annotated[tuple[Literal["generator", "discriminator"], ...], LIST]
    attention: Count | None
    augment: Annotated[tuple[Operation, ...], LIST]
    discriminator_steps: Count
    generator_learning_rate: Positive
    discriminator_learning_rate: Positive
    beta1: Annotated[float, Field(ge=0, lt=1)]
    beta2: Fraction
    ema_decay: Annotated[float, Field(ge=0, lt=1)]
    temperature: Positive

    @model_validator(mode="before")
    @classmethod
    def _fill_in_preset(cls, given: Any) -> Any:
        name = given.get("preset") if isinstance(given, dict) else None
        if name not in PRESETS:
            return given
        if given.keys() >= PRESETS[name].keys():
            raise ValueError(f"preset {name!r} has nothing to fill in: delete the settings that it should supply")
        return {**PRESETS[name], **given}

    @model_validator(mode="after")
    def _check_conditioning(self) -> ConditionalGAN:
        if self.warm_up + self.ramp >= 1:
            raise ValueError(
                "warm_up and ramp are parts of the steps: together less than 1, or labels never take full effect"
            )
        if self.conditioning == "auxiliary" and self.matching_aware_weight:
            raise ValueError("matching_aware_weight needs a label-conditioned score: set it to 0 for auxiliary")
        return self

    @property
    def images_per_step(self) -> int:
        """Real images that a step processes."""
        return self.batch * self.discriminator_steps

    def for_images(self, train: Split) -> Self:
        """The same settings, with steps by the number of training images if `steps` is None.

        `STEPS_PER_DECADE` for each power of ten, rounded to hundreds. Measured on sign digits (509 images) and CIFAR-10
        (12,376): there the Fréchet distance to validation images falls by a fifth in the last third of these steps.
        """
        if self.steps is not None:
            return self
        return self.model_copy(update={"steps": 100 * round(STEPS_PER_DECADE / 100 * math.log10(max(10, len(train))))})

    def fit(self, train: Split, *, monitor: Split, seeds: Sequence[int], run: TrainingContext) -> list[GANSampler]:
        """Train one generator for each seed on `train`, all of them in one program."""
        if self.steps is None:
            return self.for_images(train).fit(train, monitor=monitor, seeds=seeds, run=run)
        trainer = self._trainer(train, monitor, seeds, run)
        ema = EMA(trainer.generator, self.ema_decay)
        state: State = {
            "generator": trainer.generator,
            "discriminator": trainer.discriminator,
            "ema": ema,
            "lecam": trainer.objective.lecam,
            "g_optimizer": trainer.g_optimizer,
            "d_optimizer": trainer.d_optimizer,
            **trainer.data.state(),
        }
        if trainer.objective.mode_seeking:
            state = {**state, "mode_seeking": trainer.objective.mode_seeking}

        for step in run.steps(self.total_steps, state, len(seeds)):
            encode = LabelEncoding(len(train.classes), self._conditioning_scale(step.number))
            for _ in range(self.discriminator_steps):
                batch = draw_batch(trainer, encode)
                d_loss, real_images, real_features = update_discriminator(trainer, batch, encode)
            g_loss = update_generator(trainer, batch, real_images, real_features)
            ema.update(trainer.generator)

            if step.recorded:
                run.record(
                    {
                        "step": step.number,
                        "discriminator_loss": d_loss,
                        "generator_loss": g_loss,
                        **discriminator_errors(trainer, encode),
                        "discriminator_gradient": trainer.discriminator.gradient_norms(),
                        "generator_gradient": trainer.generator.gradient_norms(),
                    }
                )
            if step.shown:
                run.show(step.number, *self._samplers(ema.network))
        return self._samplers(ema.network)

    def _trainer(self, train: Split, monitor: Split, seeds: Sequence[int], run: TrainingContext) -> Trainer:
        generator, discriminator = self._networks(Shape.of(train), seeds, run.device)
        mode_seeking = self._mode_seeking(train, len(seeds))
        objective = Objective(
            LOSSES[self.loss],
            self.penalties,
            LeCam(len(seeds)).to(run.device),
            self.augment,
            self.matching_aware_weight,
            mode_seeking.to(run.device) if mode_seeking else None,
        )
        return Trainer(
            generator,
            discriminator,
            self._optimizer(generator, self.generator_learning_rate),
            self._optimizer(discriminator, self.discriminator_learning_rate),
            objective,
            TrainingData.of(train, monitor, seeds, run),
            self.batch,
            self.latent,
        )

    def _mode_seeking(self, train: Split, replicates: int) -> ModeSeeking | None:
        if not self.mode_seeking:
            return None
        real = [diversity(of_class(train, label)[:MAX_COMPARED]) for label in range(len(train.classes))]
        return ModeSeeking(torch.tensor(real), replicates, self.mode_seeking)

    def _networks(
        self, shape: Shape, seeds: Sequence[int], device: torch.device
    ) -> tuple[ReplicateNetworks[Decoder], ReplicateNetworks[Discriminator]]:
        generators, discriminators = [], []
        for seed in seeds:
            torch.manual_seed(derive(seed, "weights"))  # layers initialize their weights from the global generator
            generators.append(
                Decoder(
                    shape, self.latent, self.generator_width, LABEL_INPUTS[self.conditioning],
                    normed="generator" in self.spectral_norm, attention=self.attention,
                )
            )  # fmt: skip
            discriminators.append(
                DISCRIMINATORS[self.conditioning](
                    shape, self.discriminator_width,
                    normed="discriminator" in self.spectral_norm, attention=self.attention,
                )
            )  # fmt: skip
        return stack(generators, device), stack(discriminators, device)

    def _samplers(self, generators: ReplicateNetworks[Decoder]) -> list[GANSampler]:
        return [GANSampler(generator, self.temperature) for generator in generators.networks()]

    def _optimizer(self, network: torch.nn.Module, learning_rate: float) -> torch.optim.Adam:
        return torch.optim.Adam(network.parameters(), learning_rate, (self.beta1, self.beta2), fused=True)

    def _conditioning_scale(self, step: int) -> float:
        """Scale of the conditions: 0 during warm-up, then growing to 1 (Shahbazi et al. 2022, section 4)."""
        after_warm_up = step / self.total_steps - self.warm_up
        if not self.ramp:
            return float(after_warm_up > 0 or not self.warm_up)
        return min(1.0, max(0.0, after_warm_up / self.ramp))

    @staticmethod
    def load(folder: Path) -> GANSampler:
        """Load a sampler that `GANSampler.save` wrote."""
        return GANSampler(Decoder.load(folder), read_json(folder / TEMPERATURE))


class GANSampler(BlockSampler):
    """A trained generator: the EMA of its weights.

    Args:
        generator: noise and conditions to images.
        temperature: standard deviation of the noise; it is 1 during training.
    """

    def __init__(self, generator: Decoder, temperature: float) -> None:
        self.generator, self.temperature = generator, temperature

    def sample(self, labels: Tensor, *, rng: torch.Generator) -> Tensor:
        """Draw one image for each label (int64 [n]): float [n, c, h, w] in [-1, 1]; `rng` is on the CPU."""
        return torch.cat(list(self.sample_blocks(labels, rng=rng)))

    def sample_blocks(self, labels: Tensor, *, rng: torch.Generator) -> Iterator[Tensor]:
        """The images of `sample`, in batches."""
        noise = self.temperature * torch.randn(len(labels), self.generator.latent, generator=rng)
        return self.generator.draw(noise, labels)

    def to(self, device: torch.device) -> None:
        """Move the generator to the device that is to draw."""
        self.generator.to(device)

    def save(self, folder: Path) -> None:
        """Write the generator and the temperature."""
        self.generator.save(folder)
        write_json(folder / TEMPERATURE, self.temperature)
