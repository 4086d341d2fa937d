"""Image sources: files and arrays, decoded one by one."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from makeweight.core.data import Images
from makeweight.intake.decoding.images import fit_squares, read_header, span_of, squares
from makeweight.intake.decoding.rasters import Raster, depth_of, render, select_bands, span
from makeweight.intake.interface import ImageHeader, ImageSpec


@dataclass(frozen=True, slots=True)
class Files:
    """Images in files. Paths are relative to `root`, which is absolute, since workers may run in another folder."""

    root: str
    paths: Sequence[str]

    def __len__(self) -> int:
        return len(self.paths)

    def part(self, start: int, stop: int) -> Files:
        """The images from `start` up to but not including `stop`."""
        return Files(self.root, self.paths[start:stop])

    def read_header(self, index: int) -> ImageHeader:
        """Read the header of a file."""
        return read_header(os.path.join(self.root, self.paths[index]))

    def span(self, index: int, spec: ImageSpec) -> tuple[float, float]:
        """The lowest and highest stored number of a file."""
        return span_of(os.path.join(self.root, self.paths[index]), spec)

    def squares(self, index: int, spec: ImageSpec, sides: Sequence[int]) -> tuple[list[Images], tuple[str, ...]]:
        """Decode one image as a square of each side, and name its conversions."""
        return squares(os.path.join(self.root, self.paths[index]), spec, sides)


@dataclass(frozen=True, slots=True)
class Arrays:
    """Images in one array: [n, h, w], or [n, h, w, c] with grey, RGB, RGBA, or other bands to select from."""

    values: NDArray[Any]

    def __len__(self) -> int:
        return len(self.values)

    def part(self, start: int, stop: int) -> Arrays:
        """The images from `start` up to but not including `stop`."""
        return Arrays(self.values[start:stop])

    def read_header(self, index: int) -> ImageHeader:
        """The size and depth, which all images share."""
        height, width = self.values.shape[1:3]
        grey = self.values.ndim == 3 or self.values.shape[3] == 1
        return ImageHeader((width, height), grey, depth_of(self.values.dtype))

    def span(self, index: int, spec: ImageSpec) -> tuple[float, float]:
        """The lowest and highest number of one image."""
        return span(select_bands(self._raster(index), spec.bands, []))

    def squares(self, index: int, spec: ImageSpec, sides: Sequence[int]) -> tuple[list[Images], tuple[str, ...]]:
        """Decode one image as a square of each side, and name its conversions."""
        conversions: list[str] = []
        raster = select_bands(self._raster(index), spec.bands, conversions)
        return fit_squares(sides, render(raster, spec.value_range, conversions), 1, spec, conversions), tuple(
            conversions
        )

    def _raster(self, index: int) -> Raster:
        values = np.asarray(self.values[index])
        values = values.reshape(*values.shape[:2], -1)
        colours, alpha = {1: (1, None), 3: (3, None), 4: (3, 3)}.get(values.shape[2], (0, None))
        return Raster(values, depth_of(values.dtype), colours, alpha)
