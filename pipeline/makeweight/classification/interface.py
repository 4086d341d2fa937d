"""Interfaces of the plug-ins of this package: transforms and controls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from makeweight.core.data import Images, Labels
from makeweight.core.plugins import configured


class Transform(Protocol):
    """The augmentation of each image as it enters a batch: a frozen settings model with one method."""

    def apply(self, images: Images, seed: int) -> Images:
        """Augment a batch, uint8 [n, h, w, c]; shape and type stay. The same seed gives the same bytes."""
        ...

    def model_dump(self) -> Any:
        """The settings as plain values, as every pydantic model returns them."""
        ...


class Control(Protocol):
    """How often the arm of a control shows each real image: a frozen object with one method."""

    @property
    def description(self) -> str:
        """How the arm is trained, for the report: a phrase that starts with "trained on"."""
        ...

    def epoch(self, labels: Labels, seed: int) -> Labels:
        """The indices of the images of one epoch, int64 [m]; their order does not matter.

        Args:
            labels: of the training images, int64 [n].
            seed: of everything random; the same seed gives the same indices.
        """
        ...


def find_transform(name: str, recipes: Mapping[str, Any]) -> Transform:
    """The registered transform `name` with its recipe.

    Raises:
        BadInput: no transform has this name, or its recipe is missing or not allowed.
    """
    transform: Transform = configured("transforms", name, "recipes", recipes)
    return transform
