"""Affine transforms of Albumentations for a whole batch: the same bytes in a sixth of the time.

Albumentations takes 60 µs an image, most of it for bookkeeping and for the product of 3×3 matrices of a single image.
Here each transform still draws its own parameters, so that the random numbers are the same, but the matrices of a batch
are multiplied together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from makeweight.core.data import Images

Matrices = NDArray[np.float64]  # [n, 3, 3]


@dataclass(frozen=True, slots=True)
class _Drawn:
    """The parameters that a transform has drawn for one image of the batch: x and y of each, and the angle."""

    image: int
    translate: dict[str, int]
    shear: dict[str, float]
    scale: dict[str, float]
    rotate: float


def augmented(compose: Any, images: Images) -> Images:
    """What `compose` makes of each of `images`, uint8 [n, h, w, 1 or 3], in order; new images of the same shape.

    Args:
        compose: an `albumentations.Compose` of `albumentations.Affine`, without `fit_output` and with one fill value.
        images: the images of a batch.
    """
    drawn: list[list[_Drawn]] = [[] for _ in compose.transforms]
    shape = images.shape[1:3]
    for image in range(len(images)):
        compose.py_random.random()  # whether to run at all
        for of_step, step in zip(drawn, compose.transforms, strict=True):
            if step.should_apply():
                of_step.append(_draw(step, image, shape))
    changed = images.copy()
    for of_step, step in zip(drawn, compose.transforms, strict=True):
        matrices = _matrices(of_step, shape)
        identical = np.asarray(np.isclose(matrices, np.eye(3)).all((1, 2)))  # within the tolerance of Albumentations
        for parameters, matrix, unchanged in zip(of_step, matrices, identical, strict=True):
            if not unchanged:
                _warp(step, changed[parameters.image], matrix)
    return changed


def _draw(step: Any, image: int, shape: tuple[int, ...]) -> _Drawn:
    """Draw in the order of Albumentations."""
    return _Drawn(
        image,
        translate=step._get_translate_params(shape),
        shear=step._get_shear_params(),
        scale=step._get_scale(step.scale, step.keep_ratio, step.balanced_scale, step.py_random),
        rotate=step.py_random.uniform(*step.rotate),
    )


def _matrices(drawn: Sequence[_Drawn], shape: tuple[int, ...]) -> Matrices:
    """Scale, rotation, shear and translation around the centre, from right to left."""
    n = len(drawn)
    centre = np.array([shape[1] / 2 - 0.5, shape[0] / 2 - 0.5])
    scale, shear, translate = (
        np.array([[pair["x"], pair["y"]] for pair in pairs], float).reshape(n, 2)
        for pairs in ([d.scale for d in drawn], [d.shear for d in drawn], [d.translate for d in drawn])
    )
    angle = np.deg2rad(np.array([d.rotate % 360 for d in drawn], float))
    tangents = np.tan(np.deg2rad(shear))
    scaling, rotation, shearing = (_identities(n) for _ in range(3))
    scaling[:, 0, 0], scaling[:, 1, 1] = scale.T
    rotation[:, 0, 0] = rotation[:, 1, 1] = np.cos(angle)
    rotation[:, 0, 1] = np.sin(angle)
    rotation[:, 1, 0] = -np.sin(angle)
    shearing[:, 0, 1], shearing[:, 1, 0] = tangents.T
    # In the order of Albumentations: another one rounds differently.
    matrices = _translations(centre, n) @ _translations(translate, n) @ shearing @ rotation @ scaling
    matrices = matrices @ _translations(-centre, n)
    matrices[:, 2] = 0, 0, 1
    return matrices


def _identities(n: int) -> Matrices:
    return np.tile(np.eye(3), (n, 1, 1))


def _translations(by: NDArray[np.float64], n: int) -> Matrices:
    matrices = _identities(n)
    matrices[:, :2, 2] = by
    return matrices


def _warp(step: Any, image: Images, matrix: Matrices) -> None:
    """Warp one image in place."""
    height, width, channels = image.shape
    warped = cv2.warpAffine(
        image,
        matrix[:2],
        (width, height),
        flags=step.interpolation,
        borderMode=step.border_mode,
        borderValue=[step.fill] * channels if isinstance(step.fill, float) else step.fill,  # as Albumentations does
    )
    image[...] = warped.reshape(image.shape)
