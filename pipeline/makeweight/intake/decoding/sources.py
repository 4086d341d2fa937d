"""Image sources: files and arrays, decoded one by one."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from makeweight.core.data import Images
from makeweight.intake.decoding.images import _fitted_to, look, span_of, squares
from makeweight.intake.decoding.rasters import Raster, chosen, depth_of, rendered, span
from makeweight.intake.interface import ImageHeader, ImageSpec


@dataclass(frozen=True, slots=True)
class Files:
    """Pictures in files. The paths are relative to `root`, which is absolute: workers may stand in another folder."""

    root: str
    paths: Sequence[str]

    def __len__(self) -> int:
        return len(self.paths)

    def part(self, start: int, stop: int) -> Files:
        """Those from `start` to before `stop`."""
        return Files(self.root, self.paths[start:stop])

    def look(self, index: int) -> ImageHeader:
        """What the header tells."""
        return look(os.path.join(self.root, self.paths[index]))  # noqa: PTH118 - a million of them

    def span(self, index: int, form: ImageSpec) -> tuple[float, float]:
        """The lowest and the highest number that is stored."""
        return span_of(os.path.join(self.root, self.paths[index]), form)  # noqa: PTH118

    def squares(self, index: int, form: ImageSpec, sides: Sequence[int]) -> tuple[list[Images], tuple[str, ...]]:
        """One picture as a square of each side, and what was done to it."""
        return squares(os.path.join(self.root, self.paths[index]), form, sides)  # noqa: PTH118


@dataclass(frozen=True, slots=True)
class Arrays:
    """Pictures in one array: [n, h, w], or [n, h, w, c]: grey, RGB, RGB and alpha, or bands to choose from."""

    values: NDArray[Any]

    def __len__(self) -> int:
        return len(self.values)

    def part(self, start: int, stop: int) -> Arrays:
        """Those from `start` to before `stop`."""
        return Arrays(self.values[start:stop])

    def look(self, index: int) -> ImageHeader:
        """The size and the type, which all share."""
        height, width = self.values.shape[1:3]
        grey = self.values.ndim == 3 or self.values.shape[3] == 1
        return ImageHeader((width, height), grey, depth_of(self.values.dtype))

    def span(self, index: int, form: ImageSpec) -> tuple[float, float]:
        """The lowest and the highest number of one picture."""
        return span(chosen(self._raster(index), form.bands, []))

    def squares(self, index: int, form: ImageSpec, sides: Sequence[int]) -> tuple[list[Images], tuple[str, ...]]:
        """One picture as a square of each side, and what was done to it."""
        said: list[str] = []
        raster = chosen(self._raster(index), form.bands, said)
        return _fitted_to(sides, rendered(raster, form.value_range, said), 1, form, said), tuple(said)

    def _raster(self, index: int) -> Raster:
        values = np.asarray(self.values[index])
        values = values.reshape(*values.shape[:2], -1)
        meaning = {1: (1, None), 3: (3, None), 4: (3, 3)}.get(values.shape[2], (0, None))
        return Raster(values, depth_of(values.dtype), *meaning)
