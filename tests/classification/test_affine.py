"""Affine transforms of a batch: the bytes of Albumentations."""

from __future__ import annotations

import random
from typing import Any

import albumentations
import cv2
import numpy as np
import pytest

from makeweight.classification import affine
from makeweight.classification.transforms import Recipe
from makeweight.core.data import Images
from makeweight.core.validation import validate

RECIPES: list[list[dict[str, Any]]] = [
    [{"rotate": [-12, 12], "scale": [0.9, 1.1], "translate_percent": [-0.08, 0.08], "p": 1.0}],
    [
        {"rotate": [-45, 45], "shear": [-10, 10], "fill": 255, "p": 0.5},
        {
            "scale": {"x": [0.5, 1.5], "y": [0.8, 1.2]}, "translate_px": {"x": [-3, 3], "y": [-1, 1]}, "fill": 7.5,
            "interpolation": cv2.INTER_CUBIC, "border_mode": cv2.BORDER_REFLECT_101, "p": 0.7,
        },
    ],
    [{"scale": [0.8, 1.2], "balanced_scale": True, "keep_ratio": True, "rotate": 0, "fill": 3.0, "p": 0.9}],
    [{"p": 0.5}],
]  # fmt: skip


def noise(channels: int, height: int, width: int) -> Images:
    return np.random.default_rng(0).integers(0, 256, (40, height, width, channels), dtype=np.uint8)


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize(("channels", "height", "width"), [(1, 8, 8), (3, 33, 20)])
def test_a_batch_is_augmented_to_the_bytes_of_albumentations(
    recipe: list[dict[str, Any]], channels: int, height: int, width: int
) -> None:
    images = noise(channels, height, width)
    compose = albumentations.Compose([albumentations.Affine(**arguments) for arguments in recipe])
    for seed in range(5):
        compose.set_random_state(np.random.default_rng(seed), random.Random(seed))
        expected = np.stack([compose(image=image)["image"] for image in images])
        compose.set_random_state(np.random.default_rng(seed), random.Random(seed))
        assert np.array_equal(affine.augmented(compose, images), expected)


@pytest.mark.parametrize(
    ("recipe", "batched"),
    [
        ([{"Affine": {"p": 1.0}}, {"Affine": {"shear": [-5, 5], "p": 0.5}}], True),
        ([{"Affine": {"p": 1.0}}, {"HorizontalFlip": {"p": 0.5}}], False),
        ([{"Affine": {"fit_output": True, "p": 1.0}}], False),
        ([{"Affine": {"fill": [1.0, 2.0, 3.0], "p": 1.0}}], False),
        ([{"SafeRotate": {"p": 1.0}}], False),
    ],
)
def test_only_recipes_of_simple_affine_transforms_are_computed_for_a_batch(
    recipe: list[Any], batched: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(affine, "augmented", lambda compose, images: np.zeros_like(images))
    augmented = validate(Recipe, recipe, key="recipes.classical").apply(noise(3, 8, 8), seed=0)
    assert (augmented.max() == 0) is np.bool_(batched)
