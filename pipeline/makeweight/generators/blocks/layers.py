"""Layers of decoders, encoders and discriminators."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, max_pool2d, normalize, pad, scaled_dot_product_attention
from torch.nn.utils.parametrize import register_parametrization

from makeweight.runtime import distributed


class BatchNorm(nn.BatchNorm2d):
    """Batch norm without weights, synchronized over the processes that share a batch."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, affine=False)

    def forward(self, features: Tensor) -> Tensor:
        """Normalise `features` [n, channels, h, w]."""
        if distributed.world_size() == 1 or not self.training:
            local: Tensor = super().forward(features)
            return local
        # nn.SyncBatchNorm runs only on GPUs.
        maps = features.float()
        mean, squared = distributed.all_reduce_mean(torch.stack([maps.mean((0, 2, 3)), maps.square().mean((0, 2, 3))]))
        variance = (squared - mean.square()).clamp(min=0)
        self._update_running_statistics(mean, variance, maps.numel() // len(mean) * distributed.world_size())
        shape = (1, -1, 1, 1)
        normed: Tensor = (maps - mean.view(shape)) * (variance.view(shape) + self.eps).rsqrt()
        return normed.to(features.dtype)

    @torch.no_grad()
    def _update_running_statistics(self, mean: Tensor, variance: Tensor, n: int) -> None:
        for running, new in ((self.running_mean, mean), (self.running_var, variance * n / (n - 1))):
            if running is not None:
                running.lerp_(new, self.momentum or 0.0)
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)


class ConditionalBatchNorm(nn.Module):
    """Batch norm with a gain and a bias for each class (de Vries et al. 2017; Miyato & Koyama 2018, section 5).

    Gains and biases are initialized randomly around 1 and 0, so that classes differ from the first step on. With equal
    initial values, a short training on scarce data ends before the generator responds to the labels; with the label
    concatenated to the noise instead, every class collapses to one image (`docs/decisions/0004-conditioning.md`).
    """

    INITIAL_STD = 0.3

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.norm = BatchNorm(channels)
        self.gain = nn.Parameter(self.INITIAL_STD * torch.randn(classes, channels))
        self.bias = nn.Parameter(self.INITIAL_STD * torch.randn(classes, channels))

    def forward(self, features: Tensor, condition: Tensor) -> Tensor:
        """Normalise `features` [n, channels, h, w]; scale each image by 1 + the gain of its condition [n, classes]."""
        gain, bias = ((condition @ table).to(features.dtype)[:, :, None, None] for table in (self.gain, self.bias))
        return torch.addcmul(bias, self.norm(features), 1 + gain)


class PlainBatchNorm(nn.Module):
    """Batch norm with one gain and one bias for each channel, unconditional."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = BatchNorm(channels)
        self.gain = nn.Parameter(torch.zeros(channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, features: Tensor, condition: Tensor | None) -> Tensor:
        """Normalise `features` [n, channels, h, w]."""
        return torch.addcmul(self.bias.to(features.dtype), self.norm(features), 1 + self.gain.to(features.dtype))


def space_to_depth(maps: Tensor) -> Tensor:
    """Move 2×2 blocks of pixels into channels: [n, c, 2h, 2w] to [n, 4c, h, w], channels last."""
    n, channels, height, width = maps.shape
    rows = maps.permute(0, 2, 3, 1).reshape(n, height // 2, 2, width // 2, 2 * channels)
    return rows.transpose(2, 3).reshape(n, height // 2, width // 2, 4 * channels).permute(0, 3, 1, 2)


def depth_to_space(maps: Tensor) -> Tensor:
    """Move channels into 2×2 blocks of pixels: [n, 4c, h, w] to [n, c, 2h, 2w]."""
    n, channels, height, width = maps.shape
    rows = maps.permute(0, 2, 3, 1).reshape(n, height, width, 2, channels // 2).transpose(2, 3)
    return rows.reshape(n, 2 * height, 2 * width, channels // 4).permute(0, 3, 1, 2)


class FromImage(nn.Conv2d):
    """A 4×4 convolution of stride 2, computed as a 2×2 convolution of stride 1 after space-to-depth: the same sums.

    Convolutions of few channels are slow, their gradient with respect to the image most of all.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__(channels, width, kernel_size=4, stride=2, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        """Images [n, channels, h, w] to maps [n, width, h // 2, w // 2]."""
        height, width = images.shape[2:]
        padded = pad(images, (1, 1 - width % 2, 1, 1 - height % 2))
        return conv2d(space_to_depth(padded), space_to_depth(self.weight), self.bias)


class ToImage(nn.ConvTranspose2d):
    """A transposed 4×4 convolution of stride 2, computed as a 2×2 convolution and depth-to-space: the same sums."""

    def __init__(self, width: int, channels: int) -> None:
        super().__init__(width, channels, kernel_size=4, stride=2, padding=1)

    def forward(self, maps: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Maps [n, width, h, w] to images [n, channels, 2h, 2w]."""
        weight = space_to_depth(self.weight).flip(2, 3).transpose(0, 1)
        bias = None if self.bias is None else self.bias.repeat(4)
        return depth_to_space(conv2d(maps, weight, bias, padding=1))[:, :, 1:-1, 1:-1]


class SelfAttention(nn.Module):
    """Self-attention over positions (Zhang et al. 2019, section 3, with the pooled keys and values of their code).

    A residual block whose weight starts at 0.
    """

    def __init__(self, channels: int, *, normed: bool = False) -> None:
        super().__init__()
        narrow, half = max(1, channels // 8), max(1, channels // 2)
        self.query, self.key, self.value, self.out = (
            spectrally_normed(nn.Conv2d(in_channels, out_channels, kernel_size=1), normed)
            for in_channels, out_channels in (
                (channels, narrow),
                (channels, narrow),
                (channels, half),
                (half, channels),
            )
        )
        self.weight = nn.Parameter(torch.zeros(()))

    def forward(self, features: Tensor) -> Tensor:
        """Add the attention's output to `features` [n, channels, h, w]."""
        query = self.query(features)
        key, value = max_pool2d(self.key(features), 2), max_pool2d(self.value(features), 2)
        query, key, value = (maps.flatten(2).transpose(1, 2) for maps in (query, key, value))
        attended = scaled_dot_product_attention(query, key, value, scale=1.0)
        residual: Tensor = self.weight * self.out(attended.transpose(1, 2).unflatten(2, features.shape[2:]))
        return features + residual


class SpectralNorm(nn.Module):
    """Divide a weight by its largest singular value (Miyato et al. 2018, algorithm 1: one power iteration a step).

    The same as torch's own, which `torch.func.vmap` cannot run because it writes in place (`out=`).
    """

    FIRST_ITERATIONS = 15
    u: Tensor
    v: Tensor

    def __init__(self, weight: Tensor, outputs: int) -> None:
        super().__init__()
        self.outputs = outputs  # dimension of the output channels
        matrix = self._matrix(weight.detach())
        for name, length in zip("uv", matrix.shape, strict=True):
            self.register_buffer(name, normalize(torch.randn(length), dim=0, eps=1e-12))
        for _ in range(self.FIRST_ITERATIONS):
            self._iterate(matrix)

    def forward(self, weight: Tensor) -> Tensor:
        """The normalized weight; each pass in training mode improves the estimate of the singular value."""
        matrix = self._matrix(weight)
        if self.training:
            self._iterate(matrix)
        u, v = self.u.clone(), self.v.clone()  # a later pass changes them before this one's backward pass
        return weight / torch.dot(u, torch.mv(matrix, v))

    @torch.no_grad()
    def _iterate(self, matrix: Tensor) -> None:
        self.u.copy_(normalize(torch.mv(matrix, self.v), dim=0, eps=1e-12))
        self.v.copy_(normalize(torch.mv(matrix.mT, self.u), dim=0, eps=1e-12))

    def _matrix(self, weight: Tensor) -> Tensor:
        return weight.movedim(self.outputs, 0).flatten(1)


def spectrally_normed(layer: nn.Conv2d | nn.ConvTranspose2d, enabled: bool) -> nn.Module:
    """The layer, with its weight under spectral norm if `enabled`."""
    if enabled:
        outputs = 1 if isinstance(layer, nn.ConvTranspose2d) else 0
        register_parametrization(layer, "weight", SpectralNorm(layer.weight, outputs))
    return layer
