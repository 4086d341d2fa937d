"""The conditional GAN: class-conditional batch norm, projection discriminator, differentiable augmentation."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import torch
from pydantic import Field
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.functional import relu
from torch.nn.utils.parametrizations import spectral_norm

from pipeline.core import Run, Split
from pipeline.diffaugment import Operation, augment
from pipeline.losses import hinge_accept, hinge_generator, hinge_reject
from pipeline.nets import Average, ConditionalBatchNorm, halvings
from pipeline.params import Count, Fraction, Positive, Settings
from pipeline.seeds import derive
from pipeline.storage import read_json, write_json

RECORDS = 100  # rows in the history of one replicate
SAMPLE_BATCH = 500  # images drawn at once


class ConditionalGAN(Settings):
    """Settings of the family `cgan`. Their meaning stands in `params.yaml`."""

    steps: Count
    batch: Annotated[int, Field(ge=2)]
    latent: Count
    generator_width: Count
    discriminator_width: Count
    generator_learning_rate: Positive
    discriminator_learning_rate: Positive
    beta1: Annotated[float, Field(ge=0, lt=1)]
    beta2: Fraction
    average_decay: Fraction
    mismatch: Annotated[float, Field(ge=0, lt=1)]
    augment: tuple[Operation, ...]

    @property
    def total_steps(self) -> int:
        """Steps of one fit."""
        return self.steps

    @property
    def images_per_step(self) -> int:
        """Real images that a step looks at."""
        return self.batch

    def fit(self, train: Split, *, monitor: Split, seeds: Sequence[int], run: Run) -> list[GANSampler]:
        """Train one generator for each seed on `train`."""
        return [self._fit(train, monitor, seed, run) for seed in seeds]

    def _fit(self, train: Split, monitor: Split, seed: int, run: Run) -> GANSampler:
        torch.manual_seed(derive(seed, "weights"))  # layers draw their first weights from the global stream
        shape = Shape(train.size, train.channels, len(train.classes))
        generator = (
            Generator(shape, self.latent, self.generator_width).to(run.device).to(memory_format=torch.channels_last)
        )
        discriminator = (
            Discriminator(shape, self.discriminator_width).to(run.device).to(memory_format=torch.channels_last)
        )
        average = Average(generator, self.average_decay)
        betas, fused = (self.beta1, self.beta2), True
        optimize_g = torch.optim.Adam(generator.parameters(), self.generator_learning_rate, betas, fused=fused)
        optimize_d = torch.optim.Adam(discriminator.parameters(), self.discriminator_learning_rate, betas, fused=fused)

        rng, watching = (torch.Generator(run.device).manual_seed(derive(seed, use)) for use in ("training", "watching"))
        real, watched = Pool(train, run.device), Pool(monitor, run.device)
        mixed = torch.autocast(run.device.type, run.autocast, enabled=run.autocast is not None, cache_enabled=False)

        for step in range(1, self.steps + 1):
            # The discriminator: real images against as many generated ones, in one batch.
            images, labels = real.draw(self.batch, rng)
            with torch.no_grad(), mixed:
                generated, wanted = generator.draw(self.batch, rng)
            both = augment(torch.cat([images, generated]), self.augment, rng)
            with mixed:
                of_real, of_generated = discriminator.features(both).chunk(2)
                on_real, on_generated = discriminator.score(of_real, labels), discriminator.score(of_generated, wanted)
                on_mismatched = discriminator.score(of_real, real.another(labels, rng))
            loss_d = (
                hinge_accept(on_real)
                + (1 - self.mismatch) * hinge_reject(on_generated)
                + self.mismatch * hinge_reject(on_mismatched)
            )
            optimize_d.zero_grad()
            loss_d.backward()
            optimize_d.step()

            # The generator: through a discriminator that stands still.
            discriminator.requires_grad_(False)
            with mixed:
                generated, wanted = generator.draw(self.batch, rng)
                loss_g = hinge_generator(discriminator(augment(generated, self.augment, rng), wanted))
            optimize_g.zero_grad()
            loss_g.backward()
            optimize_g.step()
            discriminator.requires_grad_(True)
            average.update(generator)

            run.progress(step)
            if step % max(1, self.steps // RECORDS) == 0 or step == self.steps:
                images, labels = watched.draw(self.batch, watching)
                with torch.no_grad(), mixed:
                    on_watched = discriminator(augment(images, self.augment, watching), labels)
                run.record(
                    {
                        "step": step,
                        "discriminator_loss": loss_d.item(),
                        "generator_loss": loss_g.item(),
                        "score_train": on_real.mean().item(),
                        "score_generated": on_generated.mean().item(),
                        "score_validation": on_watched.mean().item(),
                    }
                )
        return GANSampler(average.network)

    @staticmethod
    def load(folder: Path) -> GANSampler:
        """Read back what `GANSampler.save` wrote."""
        plan = read_json(folder / "generator.json")
        generator = Generator(Shape(**plan["shape"]), plan["latent"], plan["width"])
        generator.load_state_dict(load_file(folder / "generator.safetensors"))
        return GANSampler(generator)


class GANSampler:
    """A trained generator: the average of its weights over the last steps."""

    def __init__(self, generator: Generator) -> None:
        self.generator = generator.cpu().eval()

    @torch.no_grad()
    def sample(self, labels: Tensor, *, rng: torch.Generator) -> Tensor:
        """One image for each label (int64 [n]), float [n, c, h, w] in [-1, 1]; `rng` is on the CPU."""
        latent = torch.randn(len(labels), self.generator.latent, generator=rng)
        pairs = zip(latent.split(SAMPLE_BATCH), labels.split(SAMPLE_BATCH), strict=True)
        return torch.cat([self.generator(z, wanted) for z, wanted in pairs])

    def save(self, folder: Path) -> None:
        """Write weights and plan of the generator."""
        weights = {name: value.contiguous() for name, value in self.generator.state_dict().items()}
        save_file(weights, folder / "generator.safetensors")
        write_json(folder / "generator.json", self.generator.plan)


class Pool:
    """A split on the device, from which batches are drawn: labels uniformly, then an image of that label.

    Uniform labels on both sides: if real ones came at their own rates, the discriminator would learn how often a
    class occurs, and the generator would be paid for that instead of for its images.
    """

    def __init__(self, split: Split, device: torch.device) -> None:
        order = split.labels.argsort(kind="stable")
        images = torch.from_numpy(split.images[order]).to(device)
        self.images = images.permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
        self.counts = torch.from_numpy(split.counts).to(device)
        self.starts = self.counts.cumsum(0) - self.counts
        self.present = self.counts.nonzero().squeeze(1)

    def draw(self, n: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """`n` images, float [n, c, h, w] in [-1, 1], and their labels."""
        device = self.images.device
        labels = self.present[torch.randint(len(self.present), (n,), generator=rng, device=device)]
        within = torch.rand(n, generator=rng, device=device, dtype=torch.float64) * self.counts[labels]
        return self.images[self.starts[labels] + within.long()].float() / 127.5 - 1, labels

    def another(self, labels: Tensor, rng: torch.Generator) -> Tensor:
        """For each label another one that occurs, all equally likely; the same where there is only one."""
        n = len(self.present)
        shift = torch.randint(1, max(n, 2), labels.shape, generator=rng, device=labels.device)
        return self.present[(torch.searchsorted(self.present, labels) + shift) % n]


class Shape:
    """What both networks must know about the images."""

    def __init__(self, size: int, channels: int, classes: int) -> None:
        self.size, self.channels, self.classes = size, channels, classes


class Generator(nn.Module):
    """Noise and label to image: a linear map to a small map of features, doubled until it covers the image."""

    def __init__(self, shape: Shape, latent: int, width: int) -> None:
        super().__init__()
        self.plan = {"shape": vars(shape), "latent": latent, "width": width}
        self.latent, self.classes, self.size = latent, shape.classes, shape.size
        doublings = halvings(shape.size)
        self.side = -(-shape.size // 2**doublings)  # rounded up; what is too much is cut off at the end
        widths = [width * 2 ** min(level, 3) for level in reversed(range(doublings))]
        self.first = nn.Linear(latent, widths[0] * self.side**2)
        self.norms = nn.ModuleList(ConditionalBatchNorm(channels, shape.classes) for channels in widths)
        # The last one draws the image itself: feature maps of its full size would cost more than all others together.
        self.doubles = nn.ModuleList(
            nn.ConvTranspose2d(before, after, kernel_size=4, stride=2, padding=1)
            for before, after in zip(widths, [*widths[1:], shape.channels], strict=True)
        )

    def forward(self, latent: Tensor, labels: Tensor) -> Tensor:
        """Noise [n, latent] and labels [n] to images [n, c, size, size] in [-1, 1]."""
        features = self.first(latent).unflatten(1, (-1, self.side, self.side))
        features = features.contiguous(memory_format=torch.channels_last)
        for norm, double in zip(self.norms, self.doubles, strict=True):
            features = double(relu(norm(features, labels)))
        images = torch.tanh(features.float())
        margin = (images.shape[-1] - self.size) // 2
        return images[:, :, margin : margin + self.size, margin : margin + self.size]

    def draw(self, n: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """`n` images of labels drawn uniformly, and the labels."""
        device = self.first.weight.device
        labels = torch.randint(self.classes, (n,), generator=rng, device=device)
        return self(torch.randn(n, self.latent, generator=rng, device=device), labels), labels


class Discriminator(nn.Module):
    """Image and label to a score, by projection (Miyato & Koyama 2018).

    The convolutions are under spectral norm (Miyato et al. 2018). The two maps at the end are not: under it, ten
    classes share a norm of one, and on scarce data the labels then go unheard.
    """

    def __init__(self, shape: Shape, width: int) -> None:
        super().__init__()
        widths = [shape.channels, *(width * 2 ** min(level, 3) for level in range(halvings(shape.size)))]
        self.halves = nn.ModuleList(
            spectral_norm(nn.Conv2d(before, after, kernel_size=4, stride=2, padding=1))
            for before, after in pairwise(widths)
        )
        self.last = spectral_norm(nn.Conv2d(widths[-1], widths[-1], kernel_size=3, padding=1))
        self.realness = nn.Linear(widths[-1], 1)
        self.classes = nn.Embedding(shape.classes, widths[-1])

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """Scores [n]: the higher, the more real the discriminator holds the image for, as one of its label."""
        return self.score(self.features(images), labels)

    def features(self, images: Tensor) -> Tensor:
        """Images [n, c, size, size] to features [n, width], summed over the image."""
        features = images
        for half in self.halves:
            features = relu(half(features))
        return relu(self.last(features)).sum((2, 3))

    def score(self, features: Tensor, labels: Tensor) -> Tensor:
        """Scores, float32 [n], of images with these features under these labels."""
        features = features.float()
        score: Tensor = self.realness(features).squeeze(1).float() + (self.classes(labels) * features).sum(1)
        return score
