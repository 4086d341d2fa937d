"""Images and image specifications for tests."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from makeweight.core.data import Images
from makeweight.intake.interface import ImageSpec

RNG = np.random.default_rng(0)


def smooth(n: int, side: int = 32, channels: int = 3) -> Images:
    """Random images with large structures, all different."""
    small = RNG.integers(0, 256, (n, 6, 6, channels), dtype=np.uint8)
    large = [Image.fromarray(pixels.squeeze()).resize((side, side), Image.Resampling.BICUBIC) for pixels in small]
    return np.stack([np.asarray(pixels).reshape(side, side, channels) for pixels in large])


def spec(**changes: Any) -> ImageSpec:
    values = {
        "side": 8, "channels": 3, "fit": "pad", "background": (0, 0, 0), "value_range": None, "first_frame": False
    }  # fmt: skip
    return ImageSpec(**{**values, **changes})
