"""Learned deformations: real images, deformed as images of one class differ from each other (Hauberg et al. 2016)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from makeweight.core.data import Split
from makeweight.core.errors import BadInput
from makeweight.core.parameters import Count, NotNegative, Positive
from makeweight.core.validation import Settings
from makeweight.generators.families.warp.flows import deform, displacements
from makeweight.generators.families.warp.pairs import draw_pairs, registered_side
from makeweight.generators.families.warp.registration import Registration, squared_distances
from makeweight.generators.families.warp.sampler import Components, WarpSampler
from makeweight.training.loop import TrainingContext

BLOCK = 200  # pairs that are registered together, in one step
TINY = 1e-12  # squared distance of images that are taken for equal
SMALLEST_GRID, LARGEST_GRID = 4, 8  # nodes along a side, if they follow from the size of the images


class LearnedDeformations(Settings):
    """Settings of the family `warp`, explained in `params.yaml`."""

    keeps_training_images: ClassVar[bool] = True

    pairs: Count
    neighbours: Count
    grid: Annotated[int, Field(ge=2)] | None
    iterations: Count
    learning_rate: Positive
    smoothness: NotNegative
    components: Count
    amplitude: Positive

    @property
    def total_steps(self) -> int:
        """Blocks of pairs."""
        return -(-self.pairs // BLOCK)

    @property
    def images_per_step(self) -> int:
        """Real images that are deformed in a step."""
        return min(self.pairs, BLOCK)

    def fit(self, train: Split, *, monitor: Split, seeds: Sequence[int], run: TrainingContext) -> list[WarpSampler]:
        """Register pairs of images, and find the principal components of the deformations.

        Raises:
            BadInput: the grid has more nodes along a side than the registered images have pixels.
        """
        return [self._fit(train, seed, run) for seed in seeds]

    def _fit(self, train: Split, seed: int, run: TrainingContext) -> WarpSampler:
        registration = Registration(self._grid(train.size), self.iterations, self.learning_rate, self.smoothness)
        moving, fixed = draw_pairs(train, self.pairs, self.neighbours, seed)
        results = Results()

        for step in run.steps(self.total_steps, {"results": results}):
            block = slice((step.number - 1) * BLOCK, step.number * BLOCK)
            start, target = moving[block].to(run.device), fixed[block].to(run.device)
            velocities = registration.register(start, target)
            deformed = deform(start, displacements(velocities, start.shape[-1]))
            results.add(velocities, squared_distances(deformed, target) / squared_distances(start, target).clamp(TINY))
            if step.recorded:
                run.record({"step": step.number, "pairs": len(results.fields), "residual": results.residual})

        return WarpSampler(Components.of(results.fields, self.components), train.images, train.labels, self.amplitude)

    def _grid(self, size: int) -> int:
        """Nodes along a side: one for each four pixels, from `SMALLEST_GRID` to `LARGEST_GRID`, if not given."""
        if self.grid is None:
            return min(LARGEST_GRID, max(SMALLEST_GRID, size // 4))
        side = registered_side(size)
        if self.grid > side:
            raise BadInput(
                f"families.warp.grid is {self.grid}, but images are registered at only {side} pixels a side: choose at "
                f"most {side}, or null for a grid by their size"
            )
        return self.grid

    @staticmethod
    def load(folder: Path) -> WarpSampler:
        """Load a sampler that `WarpSampler.save` wrote."""
        return WarpSampler.load(folder)


class Results:
    """The registrations so far, block by block: what a killed training resumes from."""

    def __init__(self) -> None:
        self.velocities: list[Tensor] = []
        self.residuals: list[Tensor] = []

    def add(self, velocities: Tensor, residuals: Tensor) -> None:
        """Append a block: velocity fields, and the fraction of each pair's squared distance that they leave."""
        self.velocities.append(velocities.cpu())
        self.residuals.append(residuals.cpu())

    @property
    def fields(self) -> Tensor:
        """All velocity fields, float [pairs, 2, grid, grid]."""
        return torch.cat(self.velocities)

    @property
    def residual(self) -> float:
        """The median fraction of a pair's squared distance that is left after registration; 1 without pairs."""
        return float(torch.cat(self.residuals).median()) if len(self.fields) else 1.0

    def state_dict(self) -> dict[str, list[Tensor]]:
        """All registrations."""
        return {"velocities": self.velocities, "residuals": self.residuals}

    def load_state_dict(self, state_dict: dict[str, list[Tensor]]) -> None:
        """Restore what `state_dict` returned."""
        self.velocities, self.residuals = state_dict["velocities"], state_dict["residuals"]
