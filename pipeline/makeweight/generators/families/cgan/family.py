"""The conditional GAN: one loop, and settings of it that combine freely."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from makeweight.core.data import Split
from makeweight.core.parameters import Count, Fraction, Positive
from makeweight.core.seeds import derive
from makeweight.core.validation import Settings
from makeweight.generators.blocks.augmentation import Operation, augment
from makeweight.generators.blocks.batches import RealImages
from makeweight.generators.blocks.losses import GRADIENT_PENALTIES, LOSSES, GradientPenalty, LeCam, LossName
from makeweight.generators.blocks.networks import Decoder, LabelInput, Shape, conditions
from makeweight.generators.families.cgan.discriminators import DISCRIMINATORS, Conditioning, Discriminator
from makeweight.generators.families.cgan.presets import PRESETS, Preset
from makeweight.runtime import distributed
from makeweight.runtime.files import read_json, write_json
from makeweight.runtime.machine import mixed_precision
from makeweight.training.checkpoints import State
from makeweight.training.ema import EMA, evaluation_mode
from makeweight.training.loop import TrainingContext
from makeweight.training.rng import ReplicateGenerators
from makeweight.training.stacking import ReplicateNetworks, together

TEMPERATURE = "temperature.json"
LABEL_INPUTS: dict[Conditioning, LabelInput] = {"projection": "norms", "auxiliary": "norms", "concat": "input"}
LIST = Field(strict=False)  # what a preset fills in comes as a list
Part = Annotated[float, Field(ge=0, le=1)]


class ConditionalGAN(Settings):
    """Settings of the family `cgan`. Their meaning stands in `params.yaml`.

    `preset` fills in what is not given, from `pipeline/makeweight/generators/families/cgan/presets.py`.
    """

    preset: Preset | None
    steps: Count
    batch: Annotated[int, Field(ge=2)]
    latent: Count
    generator_width: Count
    discriminator_width: Count
    loss: LossName
    penalties: dict[GradientPenalty | Literal["lecam"], Positive]
    conditioning: Conditioning
    matching_aware_weight: Annotated[float, Field(ge=0, lt=1)]
    warm_up: Part
    ramp: Part
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

    supports_batched_seeds: ClassVar[bool] = True

    @model_validator(mode="before")
    @classmethod
    def _fill_in_preset(cls, given: Any) -> Any:
        name = given.get("preset") if isinstance(given, dict) else None
        if name not in PRESETS:
            return given
        if given.keys() >= PRESETS[name].keys():
            raise ValueError(f"preset {name!r} has nothing to fill in: delete the settings that shall come from it")
        return {**PRESETS[name], **given}

    @model_validator(mode="after")
    def _check_conditioning(self) -> ConditionalGAN:
        if self.warm_up + self.ramp >= 1:
            raise ValueError("warm_up and ramp are parts of the steps: together less than 1, or labels are never heard")
        if self.conditioning == "auxiliary" and self.matching_aware_weight:
            raise ValueError(
                "matching_aware_weight needs a discriminator that is told the label: set it to 0 for auxiliary"
            )
        return self

    @property
    def total_steps(self) -> int:
        """Steps of one fit."""
        return self.steps

    @property
    def images_per_step(self) -> int:
        """Real images that a step looks at."""
        return self.batch * self.discriminator_steps

    def fit(self, train: Split, *, monitor: Split, seeds: Sequence[int], run: TrainingContext) -> list[GANSampler]:
        """Train one generator for each seed on `train`, all of them in one program.

        Tensors of the loop have the shape [replicates, n, …]; each replicate has its own networks and random streams.
        """
        shape, loss = Shape.of(train), LOSSES[self.loss]
        generator, discriminator = self._networks(shape, seeds, run.device)
        average, lecam = EMA(generator, self.ema_decay), LeCam(len(seeds)).to(run.device)
        optimize_g = self._optimizer(generator, self.generator_learning_rate)
        optimize_d = self._optimizer(discriminator, self.discriminator_learning_rate)
        rng, watching = (
            ReplicateGenerators([derive(seed, use) for seed in seeds], run.device) for use in ("training", "watching")
        )
        real, watched = RealImages(train, run.device), RealImages(monitor, run.device)
        mixed = mixed_precision(run.device.type, run.autocast)
        state: State = {
            "generator": generator, "discriminator": discriminator, "average": average, "lecam": lecam,
            "optimize_g": optimize_g, "optimize_d": optimize_d, **rng.state("rng"), **watching.state("watching"),
        }  # fmt: skip

        for step in run.steps(self.steps, state, len(seeds)):
            influence = self._conditioning_scale(step.number)
            heard = partial(conditions, classes=shape.classes, influence=influence)
            for _ in range(self.discriminator_steps):
                # Real and generated images of the same labels, in one batch.
                images, labels = (distributed.shard(each) for each in real.draw(self.batch, rng))
                wanted = heard(labels)
                with mixed:
                    generated = generator(distributed.shard(self._noise(rng)), wanted)
                both = augment(_joined(images, generated.detach()), self.augment, rng)
                with mixed:
                    of_real, of_generated = discriminator.each("features", both).chunk(2, 1)
                on_real, on_generated = (discriminator.each("score", of, wanted) for of in (of_real, of_generated))
                loss_d = (1 - influence * self.matching_aware_weight) * loss.discriminator(on_real, on_generated)
                if self.matching_aware_weight and len(real.present) > 1:
                    wrong = heard(real.another(labels, rng))
                    on_mismatched = discriminator.each("score", of_real, wrong)
                    loss_d = loss_d + influence * self.matching_aware_weight * loss.discriminator(
                        on_real, on_mismatched
                    )
                for of in (of_real, of_generated):
                    loss_d = loss_d + discriminator.each("label_loss", of, wanted)
                loss_d = loss_d + self._penalty(discriminator, lecam, both, wanted, on_real, on_generated, rng)
                optimize_d.zero_grad()
                loss_d.sum().backward()
                distributed.average_gradients(discriminator)
                optimize_d.step()

            # The generator, by the last of these images: through a discriminator that stands still.
            discriminator.requires_grad_(False)
            with mixed:
                of_generated = discriminator.each("features", augment(generated, self.augment, rng))
                of_real = discriminator.each("features", both.chunk(2, 1)[0]) if loss.paired else of_real.detach()
            scores = (discriminator.each("score", of, wanted) for of in (of_real, of_generated))
            loss_g = loss.generator(*scores) + discriminator.each("label_loss", of_generated, wanted)
            optimize_g.zero_grad()
            loss_g.sum().backward()
            distributed.average_gradients(generator)
            optimize_g.step()
            discriminator.requires_grad_(True)
            average.update(generator)

            if step.recorded:
                seen = {"train": real.draw(self.batch, watching), "validation": watched.draw(self.batch, watching)}
                with mixed:
                    errors = self._errors(generator, discriminator, seen, heard, watching)
                run.record(
                    {
                        "step": step.number,
                        "discriminator_loss": loss_d,
                        "generator_loss": loss_g,
                        **errors,
                        "discriminator_gradient": discriminator.gradient_norms(),
                        "generator_gradient": generator.gradient_norms(),
                    }
                )
            if step.shown:
                run.show(step.number, *self._samplers(average.network))
        return self._samplers(average.network)

    def _networks(
        self, shape: Shape, seeds: Sequence[int], device: torch.device
    ) -> tuple[ReplicateNetworks[Decoder], ReplicateNetworks[Discriminator]]:
        generators, discriminators = [], []
        for seed in seeds:
            torch.manual_seed(derive(seed, "weights"))  # layers draw their first weights from the global stream
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
        return together(generators, device), together(discriminators, device)

    def _samplers(self, generators: ReplicateNetworks[Decoder]) -> list[GANSampler]:
        return [GANSampler(generator, self.temperature) for generator in generators.networks()]

    def _optimizer(self, network: torch.nn.Module, learning_rate: float) -> torch.optim.Adam:
        return torch.optim.Adam(network.parameters(), learning_rate, (self.beta1, self.beta2), fused=True)

    def _noise(self, rng: ReplicateGenerators) -> Tensor:
        return rng.randn(len(rng) * self.batch, self.latent).view(len(rng), self.batch, self.latent)

    def _conditioning_scale(self, step: int) -> float:
        """Of the labels: 0 while warming up, then growing to 1 (Shahbazi et al. 2022, section 4)."""
        beyond = step / self.steps - self.warm_up
        return min(1.0, max(0.0, beyond / self.ramp)) if self.ramp else float(beyond > 0 or not self.warm_up)

    def _penalty(
        self,
        discriminator: ReplicateNetworks[Discriminator],
        lecam: LeCam,
        both: Tensor,
        wanted: Tensor,
        on_real: Tensor,
        on_generated: Tensor,
        rng: ReplicateGenerators,
    ) -> Tensor:
        """The sum of the penalties, each by its weight; in float32, since they are slopes of slopes."""
        total = torch.zeros(len(both), device=both.device)
        for name, weight in self.penalties.items():
            if name == "lecam":
                total = total + weight * lecam(on_real, on_generated)
            else:
                real, generated = both.chunk(2, 1)
                penalty = GRADIENT_PENALTIES[name](lambda x: discriminator(x, wanted), real, generated, rng)
                total = total + weight * penalty
        return total

    def _errors(
        self,
        generator: ReplicateNetworks[Decoder],
        discriminator: ReplicateNetworks[Discriminator],
        seen: dict[str, tuple[Tensor, Tensor]],
        heard: Callable[[Tensor], Tensor],
        rng: ReplicateGenerators,
    ) -> dict[str, Tensor]:
        """The error rates of the discriminator on images of `seen` and on as many generated ones."""
        with evaluation_mode(generator, discriminator):
            labels = seen["train"][1]
            generated = generator(self._noise(rng), heard(labels))
            scores = {
                name: discriminator(augment(images, self.augment, rng), heard(asked))
                for name, (images, asked) in {**seen, "generated": (generated, labels)}.items()
            }
        return error_rates(scores, relative=LOSSES[self.loss].relative)

    @staticmethod
    def load(folder: Path) -> GANSampler:
        """Read back what `GANSampler.save` wrote."""
        return GANSampler(Decoder.load(folder), read_json(folder / TEMPERATURE))


def _joined(real: Tensor, generated: Tensor) -> Tensor:
    """Each replicate's images of both kinds, [replicates, 2n, c, h, w]; joined channels last, so that they stay so."""
    return torch.cat([images.movedim(2, -1) for images in (real, generated)], 1).movedim(-1, 2)


def error_rates(scores: dict[str, Tensor], *, relative: bool) -> dict[str, Tensor]:
    """How often the discriminator errs on images of the training and validation splits and on generated ones.

    Scores have the shape [replicates, n]; so many rates come out.

    Scores above a threshold say real: 0, or where a loss is relative the middle between the means of training and
    generated images. Where it errs less on training than on validation images, it has learnt the former by heart.
    """
    middle = (scores["train"].mean(-1, keepdim=True) + scores["generated"].mean(-1, keepdim=True)) / 2
    threshold = middle if relative else torch.zeros_like(middle)
    return {
        f"error_{name}": ((on > threshold) if name == "generated" else (on <= threshold)).float().mean(-1)
        for name, on in scores.items()
    }


class GANSampler:
    """A trained generator: the average of its weights over the last steps.

    Args:
        generator: draws an image from noise and a condition.
        temperature: standard deviation of the noise; that of training was 1.
    """

    def __init__(self, generator: Decoder, temperature: float) -> None:
        self.generator, self.temperature = generator, temperature

    def sample(self, labels: Tensor, *, rng: torch.Generator) -> Tensor:
        """One image for each label (int64 [n]), float [n, c, h, w] in [-1, 1]; `rng` is on the CPU."""
        noise = self.temperature * torch.randn(len(labels), self.generator.latent, generator=rng)
        return self.generator.draw(noise, conditions(labels, self.generator.classes))

    def save(self, folder: Path) -> None:
        """Write the generator and the temperature."""
        self.generator.save(folder)
        write_json(folder / TEMPERATURE, self.temperature)
