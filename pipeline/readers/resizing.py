"""Pictures of any shape and mode to squares of one size."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal

import numpy as np
from PIL import Image, ImageOps

from pipeline.core import LARGEST_SIDE, SMALLEST_SIDE, Images

Fit = Literal["pad", "crop", "stretch"]
FITS: dict[Fit, Callable[..., Image.Image]] = {"pad": ImageOps.pad, "crop": ImageOps.fit, "stretch": Image.Image.resize}
GREY_MODES = {"1", "L", "LA", "I;16"}
LARGEST_UNASKED = 64  # pixels: a GAN of larger images takes hours on a processor, which nobody should meet by accident


def fitted(picture: Image.Image, side: int, fit: Fit, channels: int) -> Images:
    """`picture` as a square, uint8 [side, side, channels], with antialiasing.

    Args:
        picture: in any mode; what is transparent is laid over black.
        side: in pixels.
        fit: for non-square pictures: `pad` with black, `crop` the middle, or `stretch`.
        channels: 1 for grey, 3 for RGB.
    """
    flat = _flattened(picture, "L" if channels == 1 else "RGB")
    if flat.size != (side, side):
        flat = FITS[fit](flat, (side, side), Image.Resampling.LANCZOS)
    return np.asarray(flat, dtype=np.uint8).reshape(side, side, channels)


def _flattened(picture: Image.Image, mode: str) -> Image.Image:
    if picture.mode == "I;16":  # Pillow would cut off what is above 255
        return Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8)).convert(mode)
    if "A" in picture.getbands() or "transparency" in picture.info:
        layered = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", layered.size, "black"), layered)
    return picture.convert(mode)


def side_of(sizes: Iterable[tuple[int, int]]) -> int:
    """The side to use where none is asked for, in pixels.

    The pictures' own if they are all squares of one size that is allowed; else the median of their shorter sides,
    at most `LARGEST_UNASKED`.
    """
    different = list(sizes)
    width, height = different[0]
    if len(set(different)) == 1 and width == height and SMALLEST_SIDE <= width <= LARGEST_SIDE:
        return width
    shorter = int(np.median([min(size) for size in different]))
    return min(max(shorter, SMALLEST_SIDE), LARGEST_UNASKED)
