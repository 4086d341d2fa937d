"""A plain autoencoder, and sampling in its latent space (DeepSMOTE: Dablain et al. 2023)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal

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
from makeweight.generators.blocks.densities import class_gaussians, draw_gaussians
from makeweight.generators.blocks.networks import Decoder, Encoder, Shape
from makeweight.generators.blocks.training_data import TrainingData
from makeweight.generators.interface import BlockSampler, TrainedInSteps
from makeweight.runtime import distributed
from makeweight.runtime.files import read_json, write_json
from makeweight.training.checkpoints import State
from makeweight.training.ema import EMA, evaluation_mode
from makeweight.training.loop import TrainingContext
from makeweight.training.stacking import ReplicateNetworks, stack

ENCODING_BATCH = 500  # images
PREVIEW_SAMPLE = 50  # images of a class that are encoded for a preview
CODES, CONFIG = "codes.safetensors", "sampler.json"
Draw = Literal["neighbours", "gaussian"]


class Autoencoder(TrainedInSteps, Settings):
    """Settings of the family `autoencoder`, explained in `params.yaml`."""

    steps: Count
    batch: Annotated[int, Field(ge=2)]
    latent: Count
    encoder_width: Count
    decoder_width: Count
    learning_rate: Positive
    ema_decay: Annotated[float, Field(ge=0, lt=1)]
    draw: Draw
    neighbours: Count

    def fit(self, train: Split, *, monitor: Split, seeds: Sequence[int], run: TrainingContext) -> list[CodeSampler]:
        """Train one for each seed on `train`, all of them in one program, and let each encode all of it."""
        shape, data = Shape.of(train), TrainingData.of(train, monitor, seeds, run)
        network = stack([self._network(shape, seed) for seed in seeds], run.device)
        ema = EMA(network, self.ema_decay)
        optimizer = torch.optim.Adam(network.parameters(), self.learning_rate, fused=True)
        state: State = {"network": network, "ema": ema, "optimizer": optimizer, **data.state()}

        for step in run.steps(self.steps, state, len(seeds)):
            images, _ = (distributed.shard(part) for part in data.train.draw(self.batch, data.rng))
            with data.autocast:
                loss = squared_error(network(images), images)
            optimizer.zero_grad()
            loss.sum().backward()
            distributed.average_gradients(network)
            optimizer.step()
            ema.update(network)

            if step.recorded:
                images, _ = data.validation.draw(self.batch, data.monitor_rng)
                with evaluation_mode(network), data.autocast:
                    validation_loss = squared_error(network(images), images)
                run.record(
                    {
                        "step": step.number,
                        "reconstruction": loss,
                        "reconstruction_validation": validation_loss,
                    }
                )
            if step.shown:
                run.show(step.number, *self._samplers(ema.network, *data.train.first(PREVIEW_SAMPLE)))
        return self._samplers(ema.network, *data.train.first())

    def _network(self, shape: Shape, seed: int) -> Autoencoding:
        torch.manual_seed(derive(seed, "weights"))  # layers initialize their weights from the global generator
        return Autoencoding(shape, self.latent, self.encoder_width, self.decoder_width)

    @torch.no_grad()
    def _samplers(self, networks: ReplicateNetworks[Autoencoding], images: Tensor, labels: Tensor) -> list[CodeSampler]:
        samplers = []
        for network in networks.networks():
            network.to(images.device).eval()
            batches = (from_uint8(batch) for batch in images.split(ENCODING_BATCH))
            codes = torch.cat([network.encode(batch) for batch in batches]).cpu()
            samplers.append(CodeSampler(network.decoder, codes, labels.cpu(), self.draw, self.neighbours))
        return samplers

    @staticmethod
    def load(folder: Path) -> CodeSampler:
        """Load a sampler that `CodeSampler.save` wrote."""
        config, codes = read_json(folder / CONFIG), load_file(folder / CODES)
        return CodeSampler(Decoder.load(folder), codes["codes"], codes["labels"], config["draw"], config["neighbours"])


def squared_error(reconstructed: Tensor, images: Tensor) -> Tensor:
    """Mean squared error of the pixels of images [replicates, n, c, h, w], for each replicate."""
    return mse_loss(reconstructed.float(), images, reduction="none").flatten(1).mean(1)


class Autoencoding(nn.Module):
    """Image to code [n, latent] and back, without the label."""

    def __init__(self, shape: Shape, latent: int, encoder_width: int, decoder_width: int) -> None:
        super().__init__()
        self.encoder = Encoder(shape, encoder_width)
        self.code = nn.Linear(self.encoder.channels * self.encoder.side**2, latent)
        self.decoder = Decoder(shape, latent, decoder_width, "nothing")

    def forward(self, images: Tensor) -> Tensor:
        """Images [n, c, h, w] to their reconstructions."""
        reconstructed: Tensor = self.decoder(self.encode(images))
        return reconstructed

    def encode(self, images: Tensor) -> Tensor:
        """Images [n, c, h, w] to codes, float32 [n, latent]."""
        codes: Tensor = self.code(self.encoder(images).flatten(1))
        return codes.float()


class CodeSampler(BlockSampler):
    """A trained decoder with the codes of the training images, from which it samples new codes.

    `neighbours` interpolates between a code and one of its nearest neighbours in the class; a class of one image always
    gives that image. `gaussian` samples from a Gaussian fitted to the codes of a class.
    """

    def __init__(self, decoder: Decoder, codes: Tensor, labels: Tensor, draw: Draw, neighbours: int) -> None:
        self.decoder = decoder
        self.codes, self.labels, self.draw, self.neighbours = codes, labels, draw, neighbours

    def sample(self, labels: Tensor, *, rng: torch.Generator) -> Tensor:
        """Draw one image for each label (int64 [n]): float [n, c, h, w] in [-1, 1]; `rng` is on the CPU."""
        return torch.cat(list(self.sample_blocks(labels, rng=rng)))

    def sample_blocks(self, labels: Tensor, *, rng: torch.Generator) -> Iterator[Tensor]:
        """The images of `sample`, in batches."""
        codes = DRAWS[self.draw](self, labels, rng)
        return self.decoder.draw(codes, labels)

    def between_neighbours(self, labels: Tensor, rng: torch.Generator) -> Tensor:
        """Codes interpolated between two neighbours (Dablain et al. 2023, algorithm 1)."""
        codes = torch.zeros(len(labels), self.codes.shape[1])
        for label in labels.unique():
            known, positions = self.codes[self.labels == label], labels == label
            if not len(known):
                continue
            neighbours = NearestNeighbors(n_neighbors=min(self.neighbours, len(known) - 1) + 1).fit(known.numpy())
            nearest = torch.from_numpy(neighbours.kneighbors(known.numpy(), return_distance=False))
            n = int(positions.sum())
            start = torch.randint(len(known), (n,), generator=rng)
            # The first neighbour is the code itself.
            neighbour = torch.randint(min(1, len(known) - 1), nearest.shape[1], (n,), generator=rng)
            end = nearest[start, neighbour]
            codes[positions] = torch.lerp(known[start], known[end], torch.rand((n, 1), generator=rng))
        return codes

    def from_gaussians(self, labels: Tensor, rng: torch.Generator) -> Tensor:
        """Codes sampled from a Gaussian of each class."""
        fitted = class_gaussians(self.codes.numpy(), self.labels.numpy(), self.decoder.classes)
        return draw_gaussians(fitted, labels, rng)

    def to(self, device: torch.device) -> None:
        """Move the decoder to the device that is to draw."""
        self.decoder.to(device)

    def save(self, folder: Path) -> None:
        """Write the decoder, the codes and the sampling settings."""
        self.decoder.save(folder)
        save_file({"codes": self.codes, "labels": self.labels}, folder / CODES)
        write_json(folder / CONFIG, {"draw": self.draw, "neighbours": self.neighbours})


DRAWS = {"neighbours": CodeSampler.between_neighbours, "gaussian": CodeSampler.from_gaussians}
