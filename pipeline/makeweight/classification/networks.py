"""Classifiers by name: functions of channels, image size and number of classes that return an untrained network.

A network takes float images [n, c, size, size] in [-1, 1] and returns logits [n, classes].
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from makeweight.core.images import halvings

WIDTHS = (32, 64, 128, 128, 128)  # channels after each halving
RANDOM_BITS = 16  # of an element of a dropout mask


def small_cnn(channels: int, size: int, classes: int) -> nn.Module:
    """Convolution, batch norm, pooling and ReLU down to 3 to 7 pixels a side, then dropout and one linear layer.

    Pooling is before ReLU: the same function as after it, for a quarter of the elements.
    """
    layers: list[nn.Module] = []
    for width in WIDTHS[: halvings(size)]:
        layers += [*_convolution(channels, width), nn.MaxPool2d(2), nn.ReLU(inplace=True)]
        channels = width
    layers += [*_convolution(channels, 2 * channels), nn.ReLU(inplace=True)]
    side = size // 2 ** halvings(size)
    return nn.Sequential(*layers, DropoutLinear(2 * channels, side, classes, dropout=0.3))


def _convolution(in_channels: int, out_channels: int) -> list[nn.Module]:
    return [nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False), nn.BatchNorm2d(out_channels)]


class DropoutLinear(nn.Linear):
    """Dropout (Srivastava et al. 2014) of feature maps, and a linear layer over all their elements.

    The same function as `nn.Flatten`, `nn.Dropout` and `nn.Linear` with the same parameters, except that the
    probability of dropout is rounded to a multiple of 2⁻¹⁶. It is faster in three ways: the elements are flattened in
    their order in memory, channels last, for which the weight is permuted instead; each element of the mask takes 16
    random bits of the global stream instead of a whole number; and the weight is scaled instead of the elements.
    """

    def __init__(self, channels: int, side: int, classes: int, *, dropout: float) -> None:
        super().__init__(channels * side**2, classes)
        self.maps = channels, side, side
        self.kept = round((1 - dropout) * 2**RANDOM_BITS)  # of the 2^16 values of an element's random bits

    def forward(self, maps: Tensor) -> Tensor:
        """Maps [n, channels, side, side] to logits [n, classes]."""
        elements = maps.permute(0, 2, 3, 1).flatten(1)
        weight = self.weight.unflatten(1, self.maps).permute(0, 2, 3, 1).flatten(1)
        if self.training:
            elements = elements * _bernoulli(elements, self.kept)
            weight = weight * (2**RANDOM_BITS / self.kept)
        return linear(elements, weight, self.bias)


def _bernoulli(like: Tensor, kept: int) -> Tensor:
    """Zeros and ones of the shape and type of `like`, ones with probability `kept` / 2^16."""
    numbers = torch.empty(-(-like.numel() // 4), dtype=torch.int64, device=like.device)
    bits = numbers.random_(-(2**63), None).view(torch.int16)[: like.numel()]  # four elements from 64 random bits
    return bits.le_(kept - 1 - 2 ** (RANDOM_BITS - 1)).view(like.shape).to(like.dtype)


def resnet18(channels: int, size: int, classes: int) -> nn.Module:
    """Torchvision's ResNet-18, not pretrained.

    Up to 64 pixels a side with the stem of He et al. (2016, section 4.2) for small images: a 3×3 convolution of
    stride 1 and no pooling, since the usual stem would shrink 32 pixels to 8 before the first block.
    """
    from torchvision import models  # takes three seconds, which the other classifiers do not need

    network: nn.Module = models.resnet18(num_classes=classes)
    if size <= 64:
        network.conv1 = nn.Conv2d(channels, 64, kernel_size=3, padding=1, bias=False)
        network.maxpool = nn.Identity()
    else:
        network.conv1 = nn.Conv2d(channels, 64, kernel_size=7, stride=2, padding=3, bias=False)
    return network
