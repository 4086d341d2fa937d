"""Per-replicate random generators, and PyTorch's global stream."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor


@contextmanager
def seeded_global_stream(seed: int) -> Iterator[None]:
    """Within this context the CPU's global stream starts from `seed`; afterwards it continues as if unused."""
    state = torch.get_rng_state()
    torch.default_generator.manual_seed(seed)  # `torch.manual_seed` would seed a GPU's too
    try:
        yield
    finally:
        torch.set_rng_state(state)


class ReplicateGenerators:
    """A random generator for each replicate.

    Samples of the replicates are concatenated along the first dimension, so that each replicate gets the same numbers
    as it would by itself.

    Args:
        seeds: one for each replicate.
        device: of the generators and the samples.
    """

    def __init__(self, seeds: Iterable[int], device: torch.device) -> None:
        self.device = device
        self.generators = [torch.Generator(device).manual_seed(seed) for seed in seeds]

    def __len__(self) -> int:
        return len(self.generators)

    def rand(self, n: int, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        """Uniform in [0, 1), shape [n, *shape], where `n` counts all replicates."""
        return self._sample(torch.rand, n, *shape, dtype=dtype)

    def randn(self, n: int, *shape: int) -> Tensor:
        """Standard normal, shape [n, *shape]."""
        return self._sample(torch.randn, n, *shape)

    def randint(self, low: int, high: int, n: int, *shape: int) -> Tensor:
        """Int64 in [low, high), shape [n, *shape]."""
        return self._sample(lambda size, **options: torch.randint(low, high, size, **options), n, *shape)

    def state(self, name: str) -> dict[str, torch.Generator]:
        """The generators by name, as a part of the `state` of `TrainingContext.steps`."""
        return {f"{name} {k}": generator for k, generator in enumerate(self.generators)}

    def _sample(self, draw: Callable[..., Tensor], n: int, *shape: int, **options: Any) -> Tensor:
        size = (n // len(self.generators), *shape)
        return torch.cat(
            [draw(size, generator=generator, device=self.device, **options) for generator in self.generators]
        )
