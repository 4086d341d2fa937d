"""Registration of pairs of images: the smooth deformation that makes one resemble the other."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from makeweight.generators.families.warp.flows import deform, displacements

BLURS = (5, 3, 1)  # sides of the box blurs in pixels: coarse to fine


@dataclass(frozen=True, slots=True)
class Registration:
    """How pairs are registered.

    Attributes:
        grid: nodes along a side of the velocity field.
        iterations: of Adam, in equal parts for each blur.
        learning_rate: of Adam, in units of half the side of the image.
        smoothness: weight of the squared differences between neighbouring nodes.
    """

    grid: int
    iterations: int
    learning_rate: float
    smoothness: float

    def register(self, moving: Tensor, fixed: Tensor) -> Tensor:
        """Velocity fields, float [n, 2, grid, grid], that deform `moving` into `fixed`, float [n, c, size, size].

        Each pair has its own sum of squared errors and penalty, so pairs do not influence each other.
        """
        velocities = torch.zeros(len(moving), 2, self.grid, self.grid, device=moving.device, requires_grad=True)
        optimizer = torch.optim.Adam([velocities], self.learning_rate)
        for level, blur in enumerate(BLURS):
            start, target = blurred(moving, blur), blurred(fixed, blur)
            for _ in range(self._iterations(level)):
                deformed = deform(start, displacements(velocities, start.shape[-1]))
                loss = squared_distances(deformed, target) + self.smoothness * roughness(velocities)
                optimizer.zero_grad()
                loss.sum().backward()
                optimizer.step()
        return velocities.detach()

    def _iterations(self, level: int) -> int:
        return self.iterations * (level + 1) // len(BLURS) - self.iterations * level // len(BLURS)


def blurred(images: Tensor, side: int) -> Tensor:
    """Images [n, c, h, w] after a box blur of `side` pixels, which at the border averages the pixels that there are."""
    return avg_pool2d(images, side, stride=1, padding=side // 2, count_include_pad=False)


def squared_distances(images: Tensor, others: Tensor) -> Tensor:
    """Mean squared difference of the pixels of each pair, float [n]."""
    return (images - others).square().flatten(1).mean(1)


def roughness(velocities: Tensor) -> Tensor:
    """Mean squared difference between neighbouring nodes of each field, float [n]."""
    down, right = velocities.diff(dim=-2), velocities.diff(dim=-1)
    return down.square().flatten(1).mean(1) + right.square().flatten(1).mean(1)
