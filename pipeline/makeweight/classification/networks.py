"""Classifiers by name: functions of channels, image size and number of classes that return an untrained network.

A network takes float images [n, c, size, size] in [-1, 1] and returns logits [n, classes].
"""

from __future__ import annotations

from torch import nn

from makeweight.core.images import halvings

WIDTHS = (32, 64, 128, 128, 128)  # channels after each halving


def small_cnn(channels: int, size: int, classes: int) -> nn.Module:
    """Convolution, batch norm, ReLU and pooling down to 3 to 7 pixels a side, then dropout and one linear layer."""
    layers: list[nn.Module] = []
    for width in WIDTHS[: halvings(size)]:
        layers += [*_convolution(channels, width), nn.MaxPool2d(2)]
        channels = width
    layers += _convolution(channels, 2 * channels)
    side = size // 2 ** halvings(size)
    return nn.Sequential(*layers, nn.Flatten(), nn.Dropout(0.3), nn.Linear(2 * channels * side**2, classes))


def _convolution(in_channels: int, out_channels: int) -> list[nn.Module]:
    return [nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False), nn.BatchNorm2d(out_channels), nn.ReLU()]


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
