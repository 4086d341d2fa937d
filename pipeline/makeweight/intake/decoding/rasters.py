"""Images as files store them (rasters of any type), and their conversion to 8 bits per channel."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from makeweight.core.data import Images
from makeweight.core.errors import ImageError
from makeweight.intake.interface import Depth

DECLARE_RANGE = "set data.value_range to the numbers that are black and white"
BLOCK = 1 << 20  # numbers converted at a time, since they are 64-bit floats during the conversion
BYTE = Depth(8, "unsigned", 255.0)
PARTIAL_OPACITY = "opacity that is mostly neither full nor zero"  # near-infrared declared as alpha looks like this


@dataclass(frozen=True, slots=True)
class Raster:
    """The bands of an image as stored numbers, and what the file declares about them.

    Attributes:
        values: [height, width, bands], numbers or booleans.
        depth: the type of these numbers, as the file declares it.
        colours: the first band is grey (1), or the first three are red, green and blue (3); 0: not declared.
        alpha: the index of the band declared as opacity, or None.
        premultiplied: whether the colours are multiplied by the opacity.
        negative: whether 0 is white.
    """

    values: NDArray[Any]
    depth: Depth
    colours: int
    alpha: int | None = None
    premultiplied: bool = False
    negative: bool = False

    @property
    def bands(self) -> int:
        """The number of bands."""
        return int(self.values.shape[2])


def depth_of(dtype: np.dtype[Any]) -> Depth:
    """The depth of an array, from its dtype alone."""
    kinds = {"b": "unsigned", "u": "unsigned", "i": "signed", "f": "float"}
    if dtype.kind not in kinds:
        raise ImageError(f"holds {dtype} values, which are not supported as an image")
    bits = 1 if dtype.kind == "b" else 8 * dtype.itemsize
    white = float(2**bits - 1) if dtype.kind in "bu" and bits <= 16 else None
    return Depth(bits, kinds[dtype.kind], white)  # type: ignore[arg-type]


def select_bands(raster: Raster, bands: tuple[int, ...] | None, conversions: list[str]) -> Raster:
    """The raster with the selected bands: grey or RGB, possibly with opacity last.

    Args:
        raster: as read.
        bands: `data.bands`, counted from 1: one for grey, three for RGB, a fourth for opacity; None: as declared.
        conversions: a description of what is left out is appended.

    Raises:
        ImageError: `bands` names a missing band, or is None and the file does not declare which bands are colours.
    """
    if bands is None:
        if not raster.colours:
            raise ImageError(
                f"has {raster.bands} bands, and does not say which of them are colours: choose one or three with "
                f"data.bands, for instance {[3, 2, 1] if raster.bands > 2 else [1]}"
            )
        kept = [*range(raster.colours), *([] if raster.alpha is None else [raster.alpha])]
        if raster.alpha is not None and _is_partially_opaque(raster.values[..., raster.alpha], raster.depth):
            conversions.append(PARTIAL_OPACITY)
        why = "of no declared meaning left out"
    else:
        if max(bands) > raster.bands:
            raise ImageError(f"has {raster.bands} bands, fewer than the {max(bands)} that data.bands asks for")
        kept = [band - 1 for band in bands]
        why = "left out, as data.bands says"
    if dropped := raster.bands - len(set(kept)):
        conversions.append(f"{dropped} of {raster.bands} bands {why}")
    alpha = len(kept) - 1 if len(kept) in {2, 4} else None
    return replace(
        raster,
        values=raster.values if kept == list(range(raster.bands)) else raster.values[..., kept],
        colours=len(kept) - (alpha is not None),
        alpha=alpha,
        premultiplied=raster.premultiplied and alpha is not None and kept[-1] == raster.alpha,
    )


def _is_partially_opaque(opacity: NDArray[Any], depth: Depth) -> bool:
    full = depth.white or opacity.max()
    return bool(((opacity > 0) & (opacity < full)).mean() > 0.5)


def span(raster: Raster) -> tuple[float, float]:
    """The lowest and highest number of the colours of a raster with selected bands; ImageError if NaN or infinite."""
    values = raster.values[..., : raster.colours]
    low, high = float(values.min()), float(values.max())
    if not np.isfinite([low, high]).all():
        raise ImageError("holds NaN or infinite values")
    return low, high


def render(raster: Raster, value_range: tuple[float, float] | None, conversions: list[str]) -> Image.Image:
    """Convert a raster with selected bands to an image of mode L, RGB or RGBA.

    Args:
        raster: with one or three colours, and possibly opacity.
        value_range: the values that become black and white in rasters of more than 8 bits; None: those of the type.
        conversions: descriptions of what was done are appended.
    """
    if raster.depth != BYTE:
        conversions.append(f"{described(raster)} scaled to 8 bits" if raster.depth.bits > 1 else "1 bit to 8")
    pixels = to_uint8(raster.values[..., : raster.colours], value_range, raster.depth)
    if raster.negative:
        np.subtract(255, pixels, out=pixels)
        conversions.append("white is zero: inverted")
    if raster.alpha is None:
        return Image.fromarray(pixels[..., 0] if raster.colours == 1 else pixels)
    # Declared opacity uses the full range of its type; in a plain array it may share the range of the colours.
    opacity = to_uint8(raster.values[..., -1:], value_range if raster.depth.white is None else None, raster.depth)
    layers = np.concatenate([pixels.repeat(3, axis=2) if raster.colours == 1 else pixels, opacity], axis=2)
    if raster.premultiplied:
        size = (layers.shape[1], layers.shape[0])
        return Image.frombytes("RGBa", size, np.minimum(layers, opacity).tobytes()).convert("RGBA")
    return Image.fromarray(layers)


def described(raster: Raster) -> str:
    """The depth in words: `16-bit grey`, `12-bit colour`, `32-bit float`."""
    if raster.depth.kind == "float":
        return f"{raster.depth.bits}-bit float"
    signed = "signed " if raster.depth.kind == "signed" else ""
    return f"{raster.depth.bits}-bit {signed}{'grey' if raster.colours == 1 and raster.alpha is None else 'colour'}"


def to_uint8(values: NDArray[Any], value_range: tuple[float, float] | None, depth: Depth | None = None) -> Images:
    """Scale numbers of any type to uint8, from black (start of the range) to white (end).

    Args:
        values: of any shape.
        value_range: for numbers of more than 8 bits; others use the range of their type.
        depth: of the numbers; None: that of the array.

    Raises:
        ImageError: numbers are outside the range or not finite, or there is no range.
    """
    depth = depth or depth_of(values.dtype)
    if depth == BYTE and values.dtype == np.uint8:
        return np.array(values)
    low, high = float(values.min()), float(values.max())
    if not np.isfinite([low, high]).all():
        raise ImageError("holds NaN or infinite values")
    declared = None if depth.is_plain else value_range
    if declared is None and depth.white is None:
        raise ImageError(needs_range(depth, low, high))
    black, white = declared or (0.0, depth.white or 0.0)
    if low < black or high > white:
        where = "data.value_range" if declared else "the range of its type"
        raise ImageError(f"holds values from {low:g} to {high:g}, outside {where} ({black:g} to {white:g})")
    pixels = np.empty(values.shape, np.uint8)
    rows = max(1, BLOCK // max(1, values[0].size))
    for start in range(0, len(values), rows):
        block = values[start : start + rows].astype(np.float64)
        pixels[start : start + rows] = np.round((block - black) * (255 / (white - black)))
    return pixels


def needs_range(depth: Depth, low: float, high: float) -> str:
    """Why numbers from `low` to `high` cannot be converted without `data.value_range`."""
    return f"holds {depth.bits}-bit {depth.kind} from {low:g} to {high:g}: {DECLARE_RANGE}"
