"""Decoders and encoders of all families, and the encoding of labels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.functional import one_hot, relu_

from makeweight.core.data import Split
from makeweight.core.images import halvings
from makeweight.generators.blocks.layers import (
    ConditionalBatchNorm,
    FromImage,
    PlainBatchNorm,
    SelfAttention,
    ToImage,
    spectrally_normed,
)
from makeweight.runtime.files import read_json, write_json

SAMPLING_BATCH = 500  # images
WEIGHTS, CONFIG = "decoder.safetensors", "decoder.json"
MAX_DOUBLINGS = 3  # of the width, however many halvings there are

LabelInput = Literal[
    "norms", "input", "nothing"
]  # where a decoder takes the labels: conditional norms, concatenated to the code, unconditional


@dataclass(frozen=True, slots=True)
class Shape:
    """Side of the images in pixels, channels, number of classes."""

    size: int
    channels: int
    classes: int

    @classmethod
    def of(cls, split: Split) -> Shape:
        """The shape of a split's images."""
        return cls(split.size, split.channels, len(split.classes))


def conditions(labels: Tensor, classes: int, scale: float = 1.0) -> Tensor:
    """One-hot encoding of labels (int64 […, n]) times `scale`: float […, n, classes].

    Networks use conditions only linearly: a scale of 0 makes a network unconditional, and a growing scale fades the
    labels in (Shahbazi et al. 2022).
    """
    return scale * one_hot(labels, classes).float()


class Decoder(nn.Module):
    """Code and condition to an image: a linear layer to a small feature map, upsampled by transposed convolutions.

    Args:
        shape: of the images.
        latent: length of the code.
        width: channels at the highest resolution; doubled with each halving, up to 8 times.
        label_input: where labels enter: conditional norms, the code (Mirza & Osindero 2014), or nowhere.
        normed: whether the convolutions are under spectral norm (Miyato et al. 2018).
        attention: side of the feature map (the nearest one) that gets a self-attention block; None: no attention.
    """

    def __init__(
        self,
        shape: Shape,
        latent: int,
        width: int,
        label_input: LabelInput = "norms",
        *,
        normed: bool = False,
        attention: int | None = None,
    ) -> None:
        super().__init__()
        self.config: dict[str, Any] = {
            "shape": asdict(shape), "latent": latent, "width": width, "label_input": label_input, "normed": normed,
            "attention": attention,
        }  # fmt: skip
        self.latent, self.size, self.classes = latent, shape.size, shape.classes
        doublings = halvings(shape.size)
        side = -(-shape.size // 2**doublings)  # rounded up; the excess is cropped at the end
        self.sides = [side * 2**level for level in range(doublings)]
        widths = [width * 2 ** min(level, MAX_DOUBLINGS) for level in reversed(range(doublings))]
        self.concatenates_labels = label_input == "input"
        self.first = nn.Linear(latent + shape.classes * self.concatenates_labels, widths[0] * side**2)
        self.norms = nn.ModuleList(
            ConditionalBatchNorm(channels, shape.classes) if label_input == "norms" else PlainBatchNorm(channels)
            for channels in widths
        )
        self.attentions = _attentions(self.sides, widths, attention, normed)
        # The last one outputs the image: feature maps at full resolution would cost more than all others together.
        self.doubles = nn.ModuleList(
            spectrally_normed(layer, normed)
            for layer in (
                *(nn.ConvTranspose2d(*channels, 4, stride=2, padding=1) for channels in pairwise(widths)),
                ToImage(widths[-1], shape.channels),
            )
        )

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Decoder:
        """A decoder with random weights and the `config` of another one."""
        return cls(**{**config, "shape": Shape(**config["shape"])})

    def forward(self, codes: Tensor, condition: Tensor | None = None) -> Tensor:
        """Codes [n, latent] and conditions [n, classes] to images [n, c, size, size] in [-1, 1]."""
        if self.concatenates_labels and condition is not None:
            codes = torch.cat([codes, condition], 1)
        features = self.first(codes)
        features = features.unflatten(1, (-1, self.sides[0], self.sides[0]))
        # Channels last, in a form that `vmap` supports.
        features = features.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
        for norm, attend, double in zip(self.norms, self.attentions, self.doubles, strict=True):
            features = double(attend(relu_(norm(features, condition))))
        images = torch.tanh(features.float())
        margin = (images.shape[-1] - self.size) // 2
        return images[:, :, margin : margin + self.size, margin : margin + self.size]

    @torch.no_grad()
    def draw(self, codes: Tensor, labels: Tensor) -> Iterator[Tensor]:
        """One image for each code [n, latent] and label (int64 [n]), in batches, in evaluation mode.

        Codes, labels and images are on the CPU; they are computed on the device of the weights.
        """
        self.eval()
        device = self.first.weight.device
        for batch, batch_labels in zip(codes.split(SAMPLING_BATCH), labels.split(SAMPLING_BATCH), strict=True):
            yield self(batch.to(device), conditions(batch_labels.to(device), self.classes)).cpu()

    def save(self, folder: Path) -> None:
        """Write weights and configuration."""
        save_file({name: value.contiguous() for name, value in self.state_dict().items()}, folder / WEIGHTS)
        write_json(folder / CONFIG, self.config)

    @classmethod
    def load(cls, folder: Path) -> Decoder:
        """Load a decoder that `save` wrote."""
        decoder = cls.from_config(_renamed(read_json(folder / CONFIG)))
        decoder.load_state_dict(load_file(folder / WEIGHTS))
        return decoder


class Encoder(nn.Module):
    """Image to a small feature map: strided convolutions down to its size, then one more convolution.

    Args:
        shape: of the images.
        width: channels after the first halving; doubled with each further one, up to 8 times.
        normed: whether the convolutions are under spectral norm (Miyato et al. 2018).
        attention: side of the feature map (the nearest one) that gets a self-attention block; None: no attention.
    """

    def __init__(self, shape: Shape, width: int, *, normed: bool = False, attention: int | None = None) -> None:
        super().__init__()
        n_halvings = halvings(shape.size)
        widths = [width * 2 ** min(level, MAX_DOUBLINGS) for level in range(n_halvings)]
        sides = [shape.size // 2 ** (level + 1) for level in range(n_halvings)]
        self.halves = nn.ModuleList(
            spectrally_normed(layer, normed)
            for layer in (
                FromImage(shape.channels, width),
                *(nn.Conv2d(*channels, 4, stride=2, padding=1) for channels in pairwise(widths)),
            )
        )
        self.attentions = _attentions(sides, widths, attention, normed)
        self.last = spectrally_normed(nn.Conv2d(widths[-1], widths[-1], kernel_size=3, padding=1), normed)
        self.channels, self.side = widths[-1], sides[-1]

    def forward(self, images: Tensor) -> Tensor:
        """Images [n, c, size, size] to features [n, channels, side, side]."""
        features = images
        for half, attend in zip(self.halves, self.attentions, strict=True):
            features = attend(relu_(half(features)))
        return relu_(self.last(features))


def _renamed(config: dict[str, Any]) -> dict[str, Any]:
    """The configuration with the key `label_input`, which earlier versions wrote as `hearing`."""
    return {"label_input" if key == "hearing" else key: value for key, value in config.items()}


def _attentions(sides: list[int], widths: list[int], attention: int | None, normed: bool) -> nn.ModuleList:
    # Decoders round the sides of odd images up, encoders round them down.
    chosen = None if attention is None else min(sides, key=lambda side: abs(side - attention))
    return nn.ModuleList(
        SelfAttention(width, normed=normed) if side == chosen else nn.Identity()
        for side, width in zip(sides, widths, strict=True)
    )
