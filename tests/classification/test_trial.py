"""Recipes that cannot be applied, found before anything is trained."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from makeweight.classification.transforms import Recipe
from makeweight.classification.trial import try_on, try_on_noise
from makeweight.core.errors import BadInput
from makeweight.core.validation import validate
from tests.support.data_settings import settings as data

NEEDS_COLOUR = {"RandomRain": {"p": 1.0}}


def recipe(step: Any) -> Recipe:
    return validate(Recipe, [step], key="recipes.classical")


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ({"Normalize": {}}, "into float32 .*: use transforms that keep size, channels and type"),
        ({"ToTensorV2": {}}, "into torch.uint8 "),
        ({"ToFloat": {"p": 0.1}}, "into float32 "),
        ({"MaskDropout": {"p": 1.0}}, "requires .'mask'.*need nothing else, no mask"),
        ({"OneOf": {"transforms": [{"Normalize": {}}, {"HorizontalFlip": {}}], "p": 0.5}}, "into float32 "),
        ({"RandomCrop": {"height": 200, "width": 200}}, "CropSizeError"),
    ],
)
def test_a_recipe_that_suits_no_images_is_one_line(step: Any, message: str) -> None:
    with pytest.raises(BadInput, match=message) as caught:
        try_on_noise(recipe(step), data())
    assert "\n" not in str(caught.value)


def test_what_suits_images_that_the_settings_allow_is_accepted() -> None:
    try_on_noise(recipe(NEEDS_COLOUR), data())
    try_on_noise(recipe({"RandomCrop": {"height": 28, "width": 28}}), data())
    try_on_noise(recipe({"RandomCrop": {"height": 28, "width": 28}}), data(image_size=28))


def test_size_and_channels_of_the_settings_count() -> None:
    with pytest.raises(BadInput, match="keep size"):
        try_on_noise(recipe({"RandomCrop": {"height": 28, "width": 28}}), data(image_size=32))
    with pytest.raises(BadInput, match="fails on greyscale images of 32×32 pixels"):
        try_on_noise(recipe(NEEDS_COLOUR), data(image_size=32, channels=1))


def test_a_rare_step_is_found_in_one_real_image() -> None:
    image = np.zeros((1, 16, 16, 1), np.uint8)
    with pytest.raises(BadInput, match=r"shape \(8, 8, 1\)"):
        try_on(recipe({"RandomCrop": {"height": 8, "width": 8, "p": 0.1}}), image)


@pytest.mark.parametrize(
    "steps",
    [
        [{"HorizontalFlip": {}}, {"Normalize": {"p": 1e-6}}],
        [{"Sequential": {"transforms": [{"Normalize": {"p": 0.5}}], "p": 1e-6}}],
        [{"OneOf": {"transforms": [{"HorizontalFlip": {"p": 1.0}}, {"Normalize": {"p": 1e-6}}], "p": 0.5}}],
        [{"SomeOf": {"transforms": [{"HorizontalFlip": {}}, {"Normalize": {"p": 1e-6}}], "n": 1}}],
        [{"OneOrOther": {"transforms": [{"HorizontalFlip": {}}, {"Normalize": {}}], "p": 1 - 1e-6}}],
    ],
)
def test_a_step_of_any_probability_is_tried(steps: list[Any]) -> None:
    with pytest.raises(BadInput, match="into float32"):
        try_on_noise(validate(Recipe, steps, key="recipes.classical"), data())


def test_only_outcomes_that_the_recipe_can_have_are_tried() -> None:
    crop = {"RandomCrop": {"height": 8, "width": 8, "p": 0.01}}
    pad = {"PadIfNeeded": {"min_height": 16, "min_width": 16, "p": 1.0}}
    never = {"Normalize": {"p": 0.0}}
    try_on_noise(validate(Recipe, [crop, pad, never], key="recipes.classical"), data(image_size=16))
    with pytest.raises(BadInput, match="keep size"):
        try_on_noise(validate(Recipe, [crop, never], key="recipes.classical"), data(image_size=16))
