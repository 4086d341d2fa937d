"""Blocks and networks that several families share."""

from __future__ import annotations

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
WEIGHTS, PLAN = "decoder.safetensors", "decoder.json"
WIDEST = 3  # doublings of the width, however many halvings there are

LabelInput = Literal["norms", "input", "nothing"]  # where a decoder hears its labels


@dataclass(frozen=True, slots=True)
class Shape:
    """What a network must know about the images: side in pixels, channels, number of classes."""

    size: int
    channels: int
    classes: int

    @classmethod
    def of(cls, split: Split) -> Shape:
        """The shape of a split's images."""
        return cls(split.size, split.channels, len(split.classes))


def conditions(labels: Tensor, classes: int, influence: float = 1.0) -> Tensor:
    """Labels (int64 […, n]) as networks take them: float […, n, classes], `influence` at the label, 0 elsewhere.

    All that a network does with them is linear, so that an influence of 0 makes it unconditional, and one that
    grows fades the labels in (Shahbazi et al. 2022).
    """
    return influence * one_hot(labels, classes).float()


class Decoder(nn.Module):
    """A code and a condition to an image: a linear map to a small map of features, doubled until it covers the image.

    Args:
        shape: of the images.
        latent: length of the code.
        width: channels at the highest resolution; doubled with each halving, up to 8 times.
        hearing: where labels come in: scaling norms, as inputs beside the code (Mirza & Osindero 2014), or nowhere.
        normed: whether the convolutions are under spectral norm (Miyato et al. 2018).
        attention: the map whose side is nearest to it gets a self-attention block; None: no map.
    """

    def __init__(
        self,
        shape: Shape,
        latent: int,
        width: int,
        hearing: LabelInput = "norms",
        *,
        normed: bool = False,
        attention: int | None = None,
    ) -> None:
        super().__init__()
        self.plan: dict[str, Any] = {
            "shape": asdict(shape), "latent": latent, "width": width, "hearing": hearing, "normed": normed,
            "attention": attention,
        }  # fmt: skip
        self.latent, self.size, self.classes = latent, shape.size, shape.classes
        doublings = halvings(shape.size)
        side = -(-shape.size // 2**doublings)  # rounded up; what is too much is cut off at the end
        self.sides = [side * 2**level for level in range(doublings)]
        widths = [width * 2 ** min(level, WIDEST) for level in reversed(range(doublings))]
        self.beside = hearing == "input"
        self.first = nn.Linear(latent + shape.classes * self.beside, widths[0] * side**2)
        self.norms = nn.ModuleList(
            ConditionalBatchNorm(channels, shape.classes) if hearing == "norms" else PlainBatchNorm(channels)
            for channels in widths
        )
        self.attentions = _attentions(self.sides, widths, attention, normed)
        # The last one draws the image itself: feature maps of its full size would cost more than all others together.
        self.doubles = nn.ModuleList(
            spectrally_normed(layer, normed)
            for layer in (
                *(nn.ConvTranspose2d(before, after, 4, stride=2, padding=1) for before, after in pairwise(widths)),
                ToImage(widths[-1], shape.channels),
            )
        )

    @classmethod
    def planned(cls, plan: dict[str, Any]) -> Decoder:
        """A decoder with random weights, built as another one's `plan` says."""
        return cls(**{**plan, "shape": Shape(**plan["shape"])})

    def forward(self, codes: Tensor, wanted: Tensor | None = None) -> Tensor:
        """Codes [n, latent] and conditions [n, classes], if it hears them, to images [n, c, size, size] in [-1, 1]."""
        features = self.first(torch.cat([codes, wanted], 1) if self.beside and wanted is not None else codes)
        features = features.unflatten(1, (-1, self.sides[0], self.sides[0]))
        # Channels last, by a way that `vmap` can go too.
        features = features.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
        for norm, attend, double in zip(self.norms, self.attentions, self.doubles, strict=True):
            features = double(attend(relu_(norm(features, wanted))))
        images = torch.tanh(features.float())
        margin = (images.shape[-1] - self.size) // 2
        return images[:, :, margin : margin + self.size, margin : margin + self.size]

    @torch.no_grad()
    def draw(self, codes: Tensor, wanted: Tensor) -> Tensor:
        """As many images as there are codes, part by part; on the CPU, with the statistics of training."""
        self.cpu().eval()
        parts = zip(codes.split(SAMPLING_BATCH), wanted.split(SAMPLING_BATCH), strict=True)
        return torch.cat([self(*part) for part in parts])

    def save(self, folder: Path) -> None:
        """Write weights and plan."""
        save_file({name: value.contiguous() for name, value in self.state_dict().items()}, folder / WEIGHTS)
        write_json(folder / PLAN, self.plan)

    @classmethod
    def load(cls, folder: Path) -> Decoder:
        """Read back what `save` wrote."""
        decoder = cls.planned(read_json(folder / PLAN))
        decoder.load_state_dict(load_file(folder / WEIGHTS))
        return decoder


class Encoder(nn.Module):
    """An image to a small map of features: halved while it is large, then one more convolution.

    Args:
        shape: of the images.
        width: channels after the first halving; doubled with each further one, up to 8 times.
        normed: whether the convolutions are under spectral norm (Miyato et al. 2018).
        attention: the map whose side is nearest to it gets a self-attention block; None: no map.
    """

    def __init__(self, shape: Shape, width: int, *, normed: bool = False, attention: int | None = None) -> None:
        super().__init__()
        times = halvings(shape.size)
        widths = [width * 2 ** min(level, WIDEST) for level in range(times)]
        sides = [shape.size // 2 ** (level + 1) for level in range(times)]
        self.halves = nn.ModuleList(
            spectrally_normed(layer, normed)
            for layer in (
                FromImage(shape.channels, width),
                *(nn.Conv2d(before, after, 4, stride=2, padding=1) for before, after in pairwise(widths)),
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


def _attentions(sides: list[int], widths: list[int], wanted: int | None, normed: bool) -> nn.ModuleList:
    # Sides of odd images are rounded up on the way to an image, and down on the way from it.
    chosen = None if wanted is None else min(sides, key=lambda side: abs(side - wanted))
    return nn.ModuleList(
        SelfAttention(width, normed=normed) if side == chosen else nn.Identity()
        for side, width in zip(sides, widths, strict=True)
    )
