"""Layers that several networks share."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, max_pool2d, normalize, pad, scaled_dot_product_attention
from torch.nn.utils.parametrize import register_parametrization

from makeweight.runtime import distributed


class BatchNorm(nn.BatchNorm2d):
    """Batch norm without weights, over the whole batch also where that is spread over several processes."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, affine=False)

    def forward(self, features: Tensor) -> Tensor:
        """Normalise `features` [n, channels, h, w]."""
        if distributed.world_size() == 1 or not self.training:
            alone: Tensor = super().forward(features)
            return alone
        # nn.SyncBatchNorm does not run on a CPU.
        maps = features.float()
        mean, squared = distributed.all_reduce_mean(torch.stack([maps.mean((0, 2, 3)), maps.square().mean((0, 2, 3))]))
        variance = (squared - mean.square()).clamp(min=0)
        self._remember(mean, variance, maps.numel() // len(mean) * distributed.world_size())
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
