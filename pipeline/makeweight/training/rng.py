"""Random numbers for several replicates at once, each from a stream of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor


class ReplicateGenerators:
    """One generator of random numbers for each replicate.

    What is drawn has the replicates one after another along its first dimension, so that each of them gets the
    numbers that it would get alone.

    Args:
        seeds: one a replicate.
        device: where the numbers are drawn.
    """

    def __init__(self, seeds: Iterable[int], device: torch.device) -> None:
        self.device = device
        self.generators = [torch.Generator(device).manual_seed(seed) for seed in seeds]

    def __len__(self) -> int:
        return len(self.generators)

    def rand(self, n: int, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        """Uniform in [0, 1), shape [n, *shape], `n` over all replicates."""
        return self._drawn(torch.rand, n, *shape, dtype=dtype)

    def randn(self, n: int, *shape: int) -> Tensor:
        """Of the standard normal distribution, shape [n, *shape]."""
        return self._drawn(torch.randn, n, *shape)

    def randint(self, low: int, high: int, n: int, *shape: int) -> Tensor:
        """Int64 in [low, high), shape [n, *shape]."""
        return self._drawn(lambda size, **options: torch.randint(low, high, size, **options), n, *shape)

    def state(self, name: str) -> dict[str, torch.Generator]:
        """The generators, as a loop hands them to `TrainingContext.steps`."""
        return {f"{name} {k}": generator for k, generator in enumerate(self.generators)}

    def _drawn(self, draw: Callable[..., Tensor], n: int, *shape: int, **options: Any) -> Tensor:
        size = (n // len(self.generators), *shape)
        return torch.cat(
            [draw(size, generator=generator, device=self.device, **options) for generator in self.generators]
        )
