"""What a transform is; transforms by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from makeweight.core.data import Images
from makeweight.core.plugins import configured


class Transform(Protocol):
    """What is done to each image as it is served: a frozen settings model with one verb."""

    def apply(self, images: Images, seed: int) -> Images:
        """Change a batch, uint8 [n, h, w, c], into another of the same shape; the same seed gives the same bytes."""
        ...

    def model_dump(self) -> Any:
        """The settings as plain values, as every pydantic model does."""
        ...


def find_transform(name: str, recipes: Mapping[str, Any]) -> Transform:
    """The registered transform `name` with its recipe. BadInput if there is none, or it is not allowed."""
    transform: Transform = configured("transforms", name, "recipes", recipes)
    return transform
