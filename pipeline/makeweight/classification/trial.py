"""Trial of a transform on images before anything is trained."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from makeweight.classification.interface import Transform
from makeweight.classification.transforms import Recipe
from makeweight.core.data import Images
from makeweight.core.errors import BadInput
from makeweight.core.parameters import DataSettings

TRIALS = 64  # images: enough to see a combination of steps with a probability of 0.1
TRIALS_OF_STEP = 16  # images for each step that is always applied
SIDES = range(128, 7, -1)  # the sides in pixels that images may have, the largest first


def try_on(transform: Transform, images: Images) -> None:
    """Apply `transform` to up to `TRIALS` of `images`, uint8 [n, h, w, c], repeated if there are fewer.

    Each step of an Albumentations recipe is also tried with p = 1, so that a rare one is seen too.

    Raises:
        BadInput: the transform cannot be applied to these images.
    """
    images = images[np.arange(TRIALS) % min(len(images), TRIALS)]
    if isinstance(transform, Recipe):
        for variant in transform.with_each_step_applied():
            variant.apply(images[:TRIALS_OF_STEP], 0)
    transform.apply(images, 0)


def try_on_noise(transform: Transform, data: DataSettings) -> None:
    """Apply `transform` to greyscale and RGB noise, of each size that the images may have by `data`.

    Raises:
        BadInput: the transform can be applied to no images that `data` allows.
    """
    channels = (1, 3) if data.channels is None else (data.channels,)
    sides: Sequence[int] = SIDES if data.image_size is None else (data.image_size,)
    rng = np.random.default_rng(0)
    errors = []
    for side in sides:
        for depth in channels:
            try:
                return try_on(transform, rng.integers(0, 256, (TRIALS, side, side, depth), dtype=np.uint8))
            except BadInput as error:
                errors.append(error)
    raise errors[0]
