"""The scorer: a small classifier of training images, which measures whether generated images are recognisable."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, pad

from makeweight.core.data import Images, Labels, Split
from makeweight.core.images import from_uint8, halvings
from makeweight.training.ema import evaluation_mode

BATCH, LEARNING_RATE = 64, 0.003  # of AdamW under a one-cycle schedule
WIDTH, MAX_WIDTH = 16, 64  # channels after the first halving, and at most
SCORED_VALUES = 2**20  # values of images that are scored at a time; the first feature maps are 5 to 16 times as large


def train_scorer(train: Split, steps: int, seed: int, device: torch.device) -> nn.Sequential:
    """Train a classifier on class-balanced batches of `train`, shifted at random.

    Args:
        train: the training images, of which no other may be used: generators are judged by the result.
        steps: optimizer steps.
        seed: of the initial weights and the batches.
        device: where to compute.

    Returns:
        A network: images [n, c, h, w] in [-1, 1] to logits [n, classes]; its last layer is linear.
    """
    torch.manual_seed(seed)  # layers draw their weights from the global stream
    network = _network(train).to(device)
    optimizer = torch.optim.AdamW(network.parameters(), LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps)
    rng = np.random.default_rng(seed)
    of_class = [np.flatnonzero(train.labels == label) for label in np.flatnonzero(train.counts)]
    for _ in range(steps):
        rows = np.array([rng.choice(of_class[k]) for k in rng.integers(len(of_class), size=BATCH)])
        images = _shifted(_as_input(train.images[rows], device), rng)
        loss = cross_entropy(network(images), torch.from_numpy(train.labels[rows]).to(device))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return network


def recognised(scorer: nn.Module, images: Images, labels: Labels, classes: int) -> NDArray[np.float64]:
    """The fraction of the images (uint8 [n, h, w, c]) of each label that the scorer recognises; NaN without images."""
    correct = is_recognised(scorer, images, labels)
    return np.array(
        [correct[labels == label].mean() if (labels == label).any() else np.nan for label in range(classes)]
    )


def is_recognised(scorer: nn.Module, images: Images, labels: Labels) -> NDArray[np.bool_]:
    """Whether the scorer assigns each of the images (uint8 [n, h, w, c]) to its label (int64 [n])."""
    return outputs(scorer, images).argmax(1).numpy() == labels if len(images) else np.empty(0, dtype=bool)


def probabilities(scorer: nn.Sequential, images: Images) -> NDArray[np.float32]:
    """The probability of each class for images (uint8 [n, h, w, c], at least one), float32 [n, classes]."""
    return outputs(scorer, images).softmax(1).numpy()


def features(scorer: nn.Sequential, images: Images) -> NDArray[np.float32]:
    """The inputs of the scorer's last layer for images (uint8 [n, h, w, c], at least one), float32 [n, features]."""
    return outputs(scorer[:-1], images).numpy()


def outputs(network: nn.Module, images: Images, at_once: int | None = None) -> Tensor:
    """The outputs of a network, on the CPU.

    Args:
        network: of inputs [n, c, h, w] in [-1, 1].
        images: uint8 [n, h, w, c], at least one.
        at_once: number of images in a block; None: as many as `SCORED_VALUES` allows for a scorer.
    """
    device = next(network.parameters()).device
    size = at_once or max(1, SCORED_VALUES // images[:1].size)
    parts = [images[start : start + size] for start in range(0, len(images), size)]
    with evaluation_mode(network):
        return torch.cat([network(_as_input(part, device)).cpu() for part in parts])


def _network(train: Split) -> nn.Sequential:
    layers: list[nn.Module] = []
    channels, size = train.channels, train.size
    for level in range(halvings(size)):
        width = min(WIDTH * 2**level, MAX_WIDTH)
        layers += [nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
        layers.append(nn.MaxPool2d(2))
        channels, size = width, size // 2
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * size**2, len(train.classes)))


def _shifted(images: Tensor, rng: np.random.Generator) -> Tensor:
    """The batch, shifted by up to an eighth of the side; pixels at the edge are repeated."""
    side = images.shape[-1]
    margin = max(1, side // 8)
    top, left = rng.integers(0, 2 * margin + 1, size=2)
    padded = pad(images, (margin,) * 4, mode="replicate")
    return padded[:, :, top : top + side, left : left + side]


def _as_input(images: Images, device: torch.device) -> Tensor:
    return from_uint8(torch.tensor(images).to(device).permute(0, 3, 1, 2))
