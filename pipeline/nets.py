"""Blocks and networks that several families share."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.functional import conv2d, max_pool2d, normalize, one_hot, pad, relu_, scaled_dot_product_attention
from torch.nn.utils.parametrize import register_parametrization

from pipeline import spread
from pipeline.core import Split
from pipeline.storage import read_json, write_json

SMALLEST_MAP = 4  # pixels: the side at which networks stop halving
DRAWN_AT_ONCE = 500  # images
WEIGHTS, PLAN = "decoder.safetensors", "decoder.json"
WIDEST = 3  # doublings of the width, however many halvings there are

Hearing = Literal["norms", "input", "nothing"]  # where a decoder hears its labels


def halvings(size: int) -> int:
    """How often a side of `size` pixels is halved until the next step would go below `SMALLEST_MAP`."""
    return max(1, (size // SMALLEST_MAP).bit_length() - 1)


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


class BatchNorm(nn.BatchNorm2d):
    """Batch norm without weights, over the whole batch also where that is spread over several processes."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, affine=False)

    def forward(self, features: Tensor) -> Tensor:
        """Normalise `features` [n, channels, h, w]."""
        if spread.processes() == 1 or not self.training:
            alone: Tensor = super().forward(features)
            return alone
        # nn.SyncBatchNorm does not run on a CPU.
        maps = features.float()
        mean, squared = spread.average(torch.stack([maps.mean((0, 2, 3)), maps.square().mean((0, 2, 3))]))
        variance = (squared - mean.square()).clamp(min=0)
        self._remember(mean, variance, maps.numel() // len(mean) * spread.processes())
        shape = (1, -1, 1, 1)
        normed: Tensor = (maps - mean.view(shape)) * (variance.view(shape) + self.eps).rsqrt()
        return normed.to(features.dtype)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor, n: int) -> None:
        for held, new in ((self.running_mean, mean), (self.running_var, variance * n / (n - 1))):
            if held is not None:
                held.lerp_(new, self.momentum or 0.0)
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)


class ConditionalBatchNorm(nn.Module):
    """Batch norm with a gain and a bias for each class (de Vries et al. 2017; Miyato & Koyama 2018, section 5).

    Gains and biases start at random around 1 and 0, so that classes differ from the first step on. Where they start
    alike, a short training on scarce data ends before the labels are heard; where the label is an input beside the
    noise instead, the noise is ignored and every class shrinks to one image (`docs/decisions/0004-conditioning.md`).
    """

    SPREAD = 0.3

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.norm = BatchNorm(channels)
        self.gain = nn.Parameter(self.SPREAD * torch.randn(classes, channels))
        self.bias = nn.Parameter(self.SPREAD * torch.randn(classes, channels))

    def forward(self, features: Tensor, wanted: Tensor) -> Tensor:
        """Normalise `features` [n, channels, h, w]; scale each image by 1 + the gain of its condition [n, classes]."""
        gain, bias = ((wanted @ table).to(features.dtype)[:, :, None, None] for table in (self.gain, self.bias))
        return torch.addcmul(bias, self.norm(features), 1 + gain)


class PlainBatchNorm(nn.Module):
    """Batch norm with one gain and one bias, deaf to labels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = BatchNorm(channels)
        self.gain = nn.Parameter(torch.zeros(channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, features: Tensor, wanted: Tensor | None) -> Tensor:
        """Normalise `features` [n, channels, h, w]."""
        return torch.addcmul(self.bias.to(features.dtype), self.norm(features), 1 + self.gain.to(features.dtype))


def folded(maps: Tensor) -> Tensor:
    """Four pixels to one of four times the channels: [n, c, 2h, 2w] to [n, 4c, h, w], channels last."""
    n, channels, height, width = maps.shape
    rows = maps.permute(0, 2, 3, 1).reshape(n, height // 2, 2, width // 2, 2 * channels)
    return rows.transpose(2, 3).reshape(n, height // 2, width // 2, 4 * channels).permute(0, 3, 1, 2)


def unfolded(maps: Tensor) -> Tensor:
    """Back: [n, 4c, h, w] to [n, c, 2h, 2w]."""
    n, channels, height, width = maps.shape
    rows = maps.permute(0, 2, 3, 1).reshape(n, height, width, 2, channels // 2).transpose(2, 3)
    return rows.reshape(n, 2 * height, 2 * width, channels // 4).permute(0, 3, 1, 2)


class FromImage(nn.Conv2d):
    """A convolution of 4×4 and stride 2, as one of 2×2 and stride 1 over a folded image: the same sums.

    Processors are slow where channels are few, most of all at the slope by the image.
    """

    def __init__(self, channels: int, after: int) -> None:
        super().__init__(channels, after, kernel_size=4, stride=2, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        """Images [n, channels, h, w] to maps [n, after, h // 2, w // 2]."""
        height, width = images.shape[2:]
        framed = pad(images, (1, 1 - width % 2, 1, 1 - height % 2))
        return conv2d(folded(framed), folded(self.weight), self.bias)


class ToImage(nn.ConvTranspose2d):
    """A transposed convolution of 4×4 and stride 2, as one of 2×2 and stride 1 that is unfolded: the same sums."""

    def __init__(self, before: int, channels: int) -> None:
        super().__init__(before, channels, kernel_size=4, stride=2, padding=1)

    def forward(self, maps: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Maps [n, before, h, w] to images [n, channels, 2h, 2w]."""
        weight = folded(self.weight).flip(2, 3).transpose(0, 1)
        bias = None if self.bias is None else self.bias.repeat(4)
        return unfolded(conv2d(maps, weight, bias, padding=1))[:, :, 1:-1, 1:-1]


class SelfAttention(nn.Module):
    """Every position looks at every other (Zhang et al. 2019, section 3, with the pooled keys of their code).

    What it adds has a weight that starts at 0.
    """

    def __init__(self, channels: int, *, normed: bool = False) -> None:
        super().__init__()
        narrow, half = max(1, channels // 8), max(1, channels // 2)
        self.query, self.key, self.value, self.out = (
            spectrally_normed(nn.Conv2d(before, after, kernel_size=1), normed)
            for before, after in ((channels, narrow), (channels, narrow), (channels, half), (half, channels))
        )
        self.weight = nn.Parameter(torch.zeros(()))

    def forward(self, features: Tensor) -> Tensor:
        """`features` [n, channels, h, w] and what they attend to."""
        query = self.query(features)
        key, value = max_pool2d(self.key(features), 2), max_pool2d(self.value(features), 2)
        query, key, value = (maps.flatten(2).transpose(1, 2) for maps in (query, key, value))
        seen = scaled_dot_product_attention(query, key, value, scale=1.0)
        added: Tensor = self.weight * self.out(seen.transpose(1, 2).unflatten(2, features.shape[2:]))
        return features + added


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
        hearing: Hearing = "norms",
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
        parts = zip(codes.split(DRAWN_AT_ONCE), wanted.split(DRAWN_AT_ONCE), strict=True)
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


class SpectralNorm(nn.Module):
    """Divides a weight by its largest singular value (Miyato et al. 2018, algorithm 1: one iteration a step).

    As torch's own, which `torch.func.vmap` cannot run: it writes into what it is given (`out=`).
    """

    FIRST_ITERATIONS = 15
    u: Tensor
    v: Tensor

    def __init__(self, weight: Tensor, outputs: int) -> None:
        super().__init__()
        self.outputs = outputs  # the dimension that counts them
        matrix = self._matrix(weight.detach())
        for name, length in zip("uv", matrix.shape, strict=True):
            self.register_buffer(name, normalize(torch.randn(length), dim=0, eps=1e-12))
        for _ in range(self.FIRST_ITERATIONS):
            self._iterate(matrix)

    def forward(self, weight: Tensor) -> Tensor:
        """The weight over its largest singular value; each pass in training mode makes the estimate better."""
        matrix = self._matrix(weight)
        if self.training:
            self._iterate(matrix)
        u, v = self.u.clone(), self.v.clone()  # a later pass changes them before the slopes of this one are taken
        return weight / torch.dot(u, torch.mv(matrix, v))

    @torch.no_grad()
    def _iterate(self, matrix: Tensor) -> None:
        self.u.copy_(normalize(torch.mv(matrix, self.v), dim=0, eps=1e-12))
        self.v.copy_(normalize(torch.mv(matrix.mT, self.u), dim=0, eps=1e-12))

    def _matrix(self, weight: Tensor) -> Tensor:
        return weight.movedim(self.outputs, 0).flatten(1)


def spectrally_normed(layer: nn.Conv2d | nn.ConvTranspose2d, wanted: bool) -> nn.Module:
    """The layer, its weight under spectral norm if that is wanted."""
    if wanted:
        outputs = 1 if isinstance(layer, nn.ConvTranspose2d) else 0
        register_parametrization(layer, "weight", SpectralNorm(layer.weight, outputs))
    return layer


def _attentions(sides: list[int], widths: list[int], wanted: int | None, normed: bool) -> nn.ModuleList:
    # Sides of odd images are rounded up on the way to an image, and down on the way from it.
    chosen = None if wanted is None else min(sides, key=lambda side: abs(side - wanted))
    return nn.ModuleList(
        SelfAttention(width, normed=normed) if side == chosen else nn.Identity()
        for side, width in zip(sides, widths, strict=True)
    )


@contextmanager
def only_looking(*networks: nn.Module) -> Iterator[None]:
    """Networks as they would be used, for as long as the block lasts: it leaves no trace in them."""
    for network in networks:
        network.eval()
    with torch.no_grad():
        yield
    for network in networks:
        network.train()


Network = TypeVar("Network", bound=nn.Module)


class Average(Generic[Network]):
    """Exponential moving average of a network's weights, over a fixed part of the steps so far.

    Like the power-law average of Karras et al. (2024, section 3.1) it forgets the random start as the training goes
    on: the decay is (1 + step) / (SHORT + step), about a thirtieth of the steps, until it reaches `decay`. A longer
    average lags behind a network that still learns fast. Buffers (the statistics of batch norm) are copied.
    """

    SHORT = 30

    def __init__(self, network: Network, decay: float) -> None:
        self.network = copy.deepcopy(network).requires_grad_(False)
        self.decay = decay
        self.step = 0

    @torch.no_grad()
    def update(self, network: Network) -> None:
        """Take in the weights that `network` has now."""
        self.step += 1
        decay = min(self.decay, (1 + self.step) / (self.SHORT + self.step))
        torch._foreach_lerp_(list(self.network.parameters()), list(network.parameters()), 1 - decay)
        for mine, theirs in zip(self.network.buffers(), network.buffers(), strict=True):
            mine.copy_(theirs)

    def state_dict(self) -> dict[str, Any]:
        """The averaged weights and the number of steps."""
        return {"network": self.network.state_dict(), "step": self.step}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state_dict` stood."""
        self.network.load_state_dict(state["network"])
        self.step = state["step"]
