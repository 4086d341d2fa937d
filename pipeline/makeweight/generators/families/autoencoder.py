"""An autoencoder that only reconstructs, and draws in the space of its codes (DeepSMOTE: Dablain et al. 2023)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from safetensors.torch import load_file, save_file
from sklearn.neighbors import NearestNeighbors
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from makeweight.core.data import Split
from makeweight.core.images import from_uint8
from makeweight.core.parameters import Count, Positive
from makeweight.core.seeds import derive
from makeweight.core.validation import Settings
from makeweight.generators.blocks.batches import RealImages
from makeweight.generators.blocks.densities import class_gaussians, draw_gaussians
from makeweight.generators.blocks.networks import Decoder, Encoder, Shape, conditions
from makeweight.runtime import distributed
from makeweight.runtime.files import read_json, write_json
from makeweight.runtime.machine import mixed_precision
from makeweight.training.checkpoints import State
from makeweight.training.ema import EMA, evaluation_mode
from makeweight.training.loop import TrainingContext
from makeweight.training.rng import ReplicateGenerators
from makeweight.training.stacking import ReplicateNetworks, together

ENCODED_AT_ONCE, SHOWN = 500, 50  # images; of a class, those among which it is drawn to be shown
CODES, PLAN = "codes.safetensors", "sampler.json"
Draw = Literal["neighbours", "gaussian"]


class Autoencoder(Settings):
    """Settings of the family `autoencoder`. Their meaning stands in `params.yaml`."""

    steps: Count
    batch: Annotated[int, Field(ge=2)]
    latent: Count
    encoder_width: Count
    decoder_width: Count
    learning_rate: Positive
    ema_decay: Annotated[float, Field(ge=0, lt=1)]
    draw: Draw
    neighbours: Count

    supports_batched_seeds: ClassVar[bool] = True

    @property
    def total_steps(self) -> int:
        """Steps of one fit."""
        return self.steps

    @property
    def images_per_step(self) -> int:
        """Images that a step looks at."""
        return self.batch

    def fit(self, train: Split, *, monitor: Split, seeds: Sequence[int], run: TrainingContext) -> list[CodeSampler]:
        """Train one for each seed on `train`, all of them in one program, and let each encode all of it."""
        shape = Shape.of(train)
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
            images, _ = (distributed.shard(each) for each in real.draw(self.batch, rng))
            with mixed:
                loss = squared_error(network(images), images)
            optimizer.zero_grad()
            loss.sum().backward()
            distributed.average_gradients(network)
            optimizer.step()
            average.update(network)

            if step.recorded:
                images, _ = watched.draw(self.batch, watching)
                with evaluation_mode(network), mixed:
                    watched_loss = squared_error(network(images), images)
                run.record(
                    {
                        "step": step.number,
                        "reconstruction": loss,
                        "reconstruction_validation": watched_loss,
                    }
                )
            if step.shown:
                run.show(step.number, *self._samplers(average.network, *real.first(SHOWN)))
        return self._samplers(average.network, *real.first())

    def _network(self, shape: Shape, seed: int) -> Autoencoding:
        torch.manual_seed(derive(seed, "weights"))  # layers draw their first weights from the global stream
        return Autoencoding(shape, self.latent, self.encoder_width, self.decoder_width)

    @torch.no_grad()
    def _samplers(self, networks: ReplicateNetworks[Autoencoding], images: Tensor, labels: Tensor) -> list[CodeSampler]:
        samplers = []
        for network in networks.networks():
            network.to(images.device).eval()
            parts = (from_uint8(part) for part in images.split(ENCODED_AT_ONCE))
            codes = torch.cat([network.encode(part) for part in parts]).cpu()
            samplers.append(CodeSampler(network.decoder, codes, labels.cpu(), self.draw, self.neighbours))
        return samplers

    @staticmethod
    def load(folder: Path) -> CodeSampler:
        """Read back what `CodeSampler.save` wrote."""
        plan, codes = read_json(folder / PLAN), load_file(folder / CODES)
        return CodeSampler(Decoder.load(folder), codes["codes"], codes["labels"], plan["draw"], plan["neighbours"])


def squared_error(drawn: Tensor, images: Tensor) -> Tensor:
    """Mean squared error of the pixels of images [replicates, n, c, h, w], for each replicate."""
    return mse_loss(drawn.float(), images, reduction="none").flatten(1).mean(1)


class Autoencoding(nn.Module):
    """Image to code [n, latent] and back; the label plays no part."""

    def __init__(self, shape: Shape, latent: int, encoder_width: int, decoder_width: int) -> None:
        super().__init__()
        self.encoder = Encoder(shape, encoder_width)
        self.code = nn.Linear(self.encoder.channels * self.encoder.side**2, latent)
        self.decoder = Decoder(shape, latent, decoder_width, "nothing")

    def forward(self, images: Tensor) -> Tensor:
        """Images [n, c, h, w] to images."""
        codes = self.encode(images)
        drawn: Tensor = self.decoder(codes)
        return drawn

    def encode(self, images: Tensor) -> Tensor:
        """Images [n, c, h, w] to codes, float32 [n, latent]."""
        codes: Tensor = self.code(self.encoder(images).flatten(1))
        return codes.float()


class CodeSampler:
    """A trained decoder with the codes of the training images, which draws from new codes among these.

    `neighbours` draws on the line between a code and one of its nearest in the class; a class of one image gives
    only that one. `gaussian` draws from a Gaussian fitted to the codes of a class.
    """

    def __init__(self, decoder: Decoder, codes: Tensor, labels: Tensor, draw: Draw, neighbours: int) -> None:
        self.decoder = decoder
        self.codes, self.labels, self.draw, self.neighbours = codes, labels, draw, neighbours

    def sample(self, labels: Tensor, *, rng: torch.Generator) -> Tensor:
        """One image for each label (int64 [n]), float [n, c, h, w] in [-1, 1]; `rng` is on the CPU."""
        codes = DRAWS[self.draw](self, labels, rng)
        return self.decoder.draw(codes, conditions(labels, self.decoder.classes))

    def between_neighbours(self, labels: Tensor, rng: torch.Generator) -> Tensor:
        """Codes on the line between two neighbours (Dablain et al. 2023, algorithm 1)."""
        drawn = torch.zeros(len(labels), self.codes.shape[1])
        for label in labels.unique():
            own, wanted = self.codes[self.labels == label], labels == label
            if not len(own):
                continue
            near = NearestNeighbors(n_neighbors=min(self.neighbours, len(own) - 1) + 1).fit(own.numpy())
            nearest = torch.from_numpy(near.kneighbors(own.numpy(), return_distance=False))
            n = int(wanted.sum())
            start = torch.randint(len(own), (n,), generator=rng)
            # The nearest of all is the code itself.
            which = torch.randint(min(1, len(own) - 1), nearest.shape[1], (n,), generator=rng)
            drawn[wanted] = torch.lerp(own[start], own[nearest[start, which]], torch.rand((n, 1), generator=rng))
        return drawn

    def from_gaussians(self, labels: Tensor, rng: torch.Generator) -> Tensor:
        """Codes from a Gaussian of each class."""
        fitted = class_gaussians(self.codes.numpy(), self.labels.numpy(), self.decoder.classes)
        return draw_gaussians(fitted, labels, rng)

    def save(self, folder: Path) -> None:
        """Write the decoder, the codes, and how to draw among them."""
        self.decoder.save(folder)
        save_file({"codes": self.codes, "labels": self.labels}, folder / CODES)
        write_json(folder / PLAN, {"draw": self.draw, "neighbours": self.neighbours})


DRAWS = {"neighbours": CodeSampler.between_neighbours, "gaussian": CodeSampler.from_gaussians}
