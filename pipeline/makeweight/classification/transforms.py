"""Transforms by name: augmentation of each image as it enters a batch."""

from __future__ import annotations

import os
import random
import warnings
from collections.abc import Iterator, Sequence
from functools import cache, cached_property
from typing import Any

import numpy as np
from pydantic import ConfigDict, PrivateAttr, RootModel, ValidationInfo, model_validator

from makeweight.classification import affine
from makeweight.core.data import Images
from makeweight.core.errors import BadInput
from makeweight.core.text import nearest

Step = dict[str, dict[str, Any]]
COMPOSITIONS = {"OneOf", "OneOrOther", "RandomOrder", "Sequential", "SomeOf"}  # their `transforms` are steps


@cache
def _albumentations() -> Any:
    """The package, which takes half a second to import and which `plain` does not need."""
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"  # else importing it asks the network for a newer release
    import albumentations

    return albumentations


class Plain(RootModel[tuple[()]]):
    """Images as they are, without parameters."""

    model_config = ConfigDict(frozen=True, strict=True)

    def apply(self, images: Images, seed: int) -> Images:
        """The same images."""
        return images


class Recipe(RootModel[tuple[Step, ...]]):
    """An Albumentations recipe: a list of transforms, each `{Name: {argument: value}}`, applied in order.

    A composition such as `OneOf` takes a list of the same form as its argument `transforms`.
    """

    model_config = ConfigDict(frozen=True, strict=True)

    _key: str = PrivateAttr(default="the recipe")  # its name in messages

    @model_validator(mode="after")
    def _can_be_built(self, info: ValidationInfo) -> Recipe:
        _ = self._compose
        self._key = (info.context or {}).get("key", self._key)
        return self

    @cached_property
    def _compose(self) -> Any:
        return _albumentations().Compose([_build(step) for step in self.root])

    def apply(self, images: Images, seed: int) -> Images:
        """Augment each image on its own; the same seed gives the same bytes.

        Albumentations draws equally many random numbers for all images of one shape. So the random numbers of a place
        of the batch depend on the seed alone, and arms that show the same image there augment it in the same way.

        Raises:
            BadInput: a transform fails, or the recipe changes the size, the channels or the type of an image.
        """
        # One pair of generators for all steps. Albumentations' own `set_random_seed` gives each step generators with
        # the same seed, so that two steps with `p: 0.5` are either both applied or both skipped.
        self._compose.set_random_state(np.random.default_rng(seed), random.Random(seed))
        if all(map(_is_simple_affine, self._compose.transforms)):
            return affine.augmented(self._compose, images)
        changed = [self._augmented(image) for image in images]
        for image in changed:
            if image.size != images[0].size or image.shape[:2] != images.shape[1:3] or image.dtype != np.uint8:
                raise BadInput(
                    f"{self._key} turns uint8 images of shape {images.shape[1:]} into {image.dtype} of shape "
                    f"{image.shape}: use transforms that keep size, channels and type"
                )
        return np.stack(changed).reshape(images.shape)

    def with_each_step_applied(self) -> Iterator[Recipe]:
        """The recipe once for each of its steps, also of those in compositions, with p = 1 for that step."""
        for steps in _with_each_applied(self.root):
            variant = Recipe(tuple(steps))
            variant._key = self._key
            yield variant

    def _augmented(self, image: Images) -> Any:
        try:
            return self._compose(image=np.ascontiguousarray(image))["image"]
        except Exception as error:
            colour = "greyscale" if image.shape[2] == 1 else "RGB"
            raise BadInput(
                f"{self._key} fails on {colour} images of {image.shape[1]}×{image.shape[0]} pixels: "
                f"{type(error).__name__}: {' '.join(str(error).split()).rstrip('.')}: use transforms that suit "
                "such images and need nothing else, no mask for instance"
            ) from error


def _known() -> set[str]:
    """The names of the transforms of Albumentations that a step may have."""
    albumentations = _albumentations()
    kinds = {name: getattr(albumentations, name) for name in dir(albumentations)}
    transforms = {
        name
        for name, kind in kinds.items()
        if isinstance(kind, type) and issubclass(kind, albumentations.BasicTransform)
    }
    return transforms | COMPOSITIONS


def _is_simple_affine(step: Any) -> bool:
    return type(step) is _albumentations().Affine and not step.fit_output and np.isscalar(step.fill)


def _with_each_applied(steps: Sequence[Step]) -> Iterator[list[Step]]:
    for position, step in enumerate(steps):
        ((name, arguments),) = step.items()
        if arguments.get("p") == 0:
            continue
        certain = {**arguments, "p": 0.5 if name == "OneOrOther" else 1.0}  # of OneOrOther p chooses between its two
        if name in COMPOSITIONS:
            variants = [{**certain, "transforms": inner} for inner in _with_each_applied(arguments["transforms"])]
        else:
            variants = [certain]
        for variant in variants:
            yield [*steps[:position], {name: variant}, *steps[position + 1 :]]


def _build(step: Step) -> Any:
    if len(step) != 1:
        raise ValueError(f"a step is one transform, {{Name: {{argument: value}}}}, not {step}")
    ((name, arguments),) = step.items()
    kind: Any = getattr(_albumentations(), name, None)
    if not isinstance(arguments, dict):  # of a step in a composition
        raise ValueError(f"{name}: its arguments are {arguments!r}, but should be keys with values")
    if name in COMPOSITIONS:
        steps = arguments.get("transforms")
        if not steps or not isinstance(steps, list) or not all(isinstance(inner, dict) for inner in steps):
            raise ValueError(f"{name} needs `transforms`, a list of transforms")
        arguments = {**arguments, "transforms": [_build(inner) for inner in steps]}
    elif not (isinstance(kind, type) and issubclass(kind, _albumentations().BasicTransform)):
        raise ValueError(f"Albumentations has no transform named {name!r}{nearest(name, _known())}")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # an argument that it does not know is only a warning to Albumentations
        try:
            return kind(**arguments)
        except Exception as error:
            raise ValueError(f"{name}: {' '.join(str(error).split())}") from error
