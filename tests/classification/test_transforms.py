"""Albumentations recipes: strict, seeded, and of one shape."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ruamel.yaml import YAML

from makeweight.classification.interface import find_transform
from makeweight.classification.transforms import Plain, Recipe
from makeweight.core.errors import BadInput
from makeweight.core.validation import validate
from tests.conftest import PROJECT

SHIFT = [{"Affine": {"translate_percent": [-0.2, 0.2], "rotate": [-10, 10], "p": 1.0}}]


def classical(recipe: Any) -> Recipe:
    return validate(Recipe, recipe, key="recipes.classical")


def images(channels: int = 1) -> Any:
    return np.random.default_rng(0).integers(0, 256, (4, 16, 16, channels), dtype=np.uint8)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_recipe_changes_images_and_keeps_their_shape(channels: int) -> None:
    before = images(channels)
    after = classical(SHIFT).apply(before, seed=1)
    assert after.shape == before.shape
    assert after.dtype == np.uint8
    assert all(not np.array_equal(a, b) for a, b in zip(before, after, strict=True))


def test_the_seed_alone_decides_whatever_came_before() -> None:
    transform = classical(SHIFT)
    first = transform.apply(images(), seed=1)
    other = transform.apply(images(), seed=2)
    assert np.array_equal(transform.apply(images(), seed=1), first)
    assert np.array_equal(classical(SHIFT).apply(images(), seed=1), first)
    assert not np.array_equal(other, first)


def test_each_image_of_a_batch_is_changed_differently() -> None:
    same = np.repeat(images()[:1], 4, axis=0)
    after = classical(SHIFT).apply(same, seed=0)
    assert len({image.tobytes() for image in after}) == 4


def test_the_steps_of_a_recipe_are_drawn_independently() -> None:
    image = np.zeros((1, 8, 8, 1), np.uint8)
    image[:, 0, 0] = 1
    recipe = [{"HorizontalFlip": {"p": 0.5}}, {"VerticalFlip": {"p": 0.5}}]
    after = classical(recipe).apply(np.repeat(image, 400, axis=0), seed=0)
    corners = after[:, [0, 0, 7, 7], [0, 7, 0, 7], 0].sum(0, dtype=int)
    assert corners.sum() == 400
    assert np.abs(corners - 100).max() < 44  # five standard errors


def test_a_horizontal_flip_is_what_albumentations_makes_of_it() -> None:
    flipped = classical([{"HorizontalFlip": {"p": 1.0}}]).apply(images(), seed=0)
    assert np.array_equal(flipped, images()[:, :, ::-1])


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ([{"Affine": {"rotat": 5}}], "Affine: .*rotat"),
        ([{"Affine": {"rotate": "a lot"}}], "Affine: .*rotate"),
        ([{"Afine": {}}], r"no transform named 'Afine' \(did you mean Affine"),
        ([{"elastictransform": {}}], r"no transform named 'elastictransform' \(did you mean ElasticTransform"),
        ([{"Compose": {}}], "no transform named 'Compose'"),
        ([{"Affine": {}, "Rotate": {}}], "a step is one transform"),
        ([{"OneOf": {}}], "OneOf needs `transforms`, a list of transforms"),
        ([{"OneOf": {"transforms": []}}], "OneOf needs `transforms`"),
        ([{"OneOf": {"transforms": [{"Blur": None}]}}], "Blur: its arguments are None"),
        ([{"Sequential": {"transforms": [{"Afine": {}}]}}], "no transform named 'Afine'"),
        ([{"SomeOf": {"transforms": [{"Blur": {}}], "m": 2}}], "SomeOf: .*'m'"),
        ([{"Affine": None}], r"recipes\.classical"),
        ("Affine", r"recipes\.classical is 'Affine'"),
    ],
)
def test_an_error_in_a_recipe_is_one_line(recipe: Any, message: str) -> None:
    with pytest.raises(BadInput, match=message) as caught:
        classical(recipe)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("step", [{"RandomCrop": {"height": 8, "width": 8}}, {"ToFloat": {}}])
def test_a_recipe_that_changes_what_an_image_is_is_refused(step: Any) -> None:
    with pytest.raises(BadInput, match="keep size, channels and type"):
        classical([step]).apply(images(), seed=0)


FLIPS = [{"HorizontalFlip": {"p": 1.0}}, {"VerticalFlip": {"p": 1.0}}]


@pytest.mark.parametrize(
    ("composition", "flipped"),
    [
        ({"OneOf": {"transforms": FLIPS, "p": 1.0}}, {"h", "v"}),
        ({"SomeOf": {"transforms": FLIPS, "n": 1, "p": 1.0}}, {"h", "v"}),
        ({"Sequential": {"transforms": FLIPS, "p": 0.5}}, {"hv", "no"}),
        ({"OneOf": {"transforms": [{"Sequential": {"transforms": FLIPS, "p": 1.0}}], "p": 0.5}}, {"hv", "no"}),
    ],
)
def test_compositions_apply_their_transforms_by_the_seed_alone(composition: Any, flipped: set[str]) -> None:
    same = np.repeat(images()[:1], 50, axis=0)
    results = {"no": same[0], "h": same[0][:, ::-1], "v": same[0][::-1], "hv": same[0][::-1, ::-1]}
    transform = classical([composition])
    after = transform.apply(same, seed=1)
    assert {
        name for name, result in results.items() if any(np.array_equal(image, result) for image in after)
    } == flipped
    assert np.array_equal(classical([composition]).apply(same, seed=1), after)
    assert not np.array_equal(transform.apply(same, seed=2), after)


def test_any_key_of_recipes_is_an_albumentations_recipe() -> None:
    light = find_transform("light", {"light": [{"HorizontalFlip": {"p": 1.0}}]})
    assert np.array_equal(light.apply(images(), seed=0), images()[:, :, ::-1])
    with pytest.raises(BadInput, match=r"recipes\.light turns uint8 images"):
        find_transform("light", {"light": [{"ToFloat": {}}]}).apply(images(), seed=0)
    with pytest.raises(BadInput, match=r"recipes\.light: .*no transform named 'Blurr' \(did you mean .*Blur"):
        find_transform("light", {"light": [{"Blurr": {}}]})


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "trivial_augment",
            r"neither a key of recipes nor registered \(light, my-recipe, aug_mix, .*\(did you mean trivial_augment_w",
        ),
        ("ligth", r"'ligth' is neither .*did you mean light\?"),
        ("rand_augment", r"recipes\.rand_augment is missing"),
        ("my-recipe", "'my-recipe' is not a valid name in transforms"),
    ],
)
def test_a_transform_that_does_not_exist_is_one_line_with_the_nearest_names(name: str, message: str) -> None:
    with pytest.raises(BadInput, match=message) as caught:
        find_transform(name, {"light": [], "my-recipe": []})
    assert len(caught.value.errors) == 1


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", ["plain", "classical", "elastic", "flip"])
def test_the_presets_suit_grey_and_colour_images(name: str, channels: int) -> None:
    recipes = YAML(typ="safe").load(PROJECT / "params.yaml")["recipes"]
    before = images(channels)
    after = find_transform(name, recipes).apply(before, seed=0)
    assert after.shape == before.shape
    assert np.array_equal(after, before) is (name == "plain")


def test_plain_changes_nothing_and_has_no_parameters() -> None:
    plain = validate(Plain, [], key="recipes.plain")
    assert np.array_equal(plain.apply(images(), seed=0), images())
    with pytest.raises(BadInput, match=r"recipes\.plain"):
        validate(Plain, SHIFT, key="recipes.plain")
