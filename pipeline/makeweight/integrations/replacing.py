"""An Albumentations transform that replaces an image by a synthetic one of its class."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import field_validator

from makeweight.core.data import Labels, Split
from makeweight.runtime.splits import read_split

os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"  # otherwise importing it looks for a newer release on the network
from albumentations.core.transforms_interface import BasicTransform, ImageOnlyTransform


class ReplaceWithSynthetic(ImageOnlyTransform):  # type: ignore[misc]  # the package has no types
    """With probability `p`, replace an image by a random synthetic image of its class.

    The label is passed with the image: `transform(image=image, label=label)`. All classes are replaced with the same
    probability, so being synthetic carries no information about the class.

    Args:
        folder: synthetic images that the pipeline generated, such as `data/synthetic/cgan/replicate_0`.
        label_key: name of the argument that is the label: a class name, or its index in `classes.json`.
        p: probability of a replacement.

    Raises:
        BadInput: at the first use, if the folder holds no images.
        ValueError: the label is not a class of the synthetic images, or shapes differ.

    Targets:
        image, uint8 [h, w, c] (or [h, w] if grey) or float32 in [0, 1]
    """

    class InitSchema(BasicTransform.InitSchema):  # type: ignore[misc]
        """Validation of the arguments, as Albumentations does it."""

        folder: str
        label_key: str

        @field_validator("folder", mode="before")
        @classmethod
        def _as_text(cls, folder: Any) -> Any:
            return str(folder) if isinstance(folder, Path) else folder

    def __init__(self, folder: str | Path, label_key: str = "label", p: float = 0.5) -> None:
        super().__init__(p=p)
        self.folder, self.label_key = str(folder), label_key

    @property
    def targets_as_params(self) -> list[str]:
        """The image and its label decide on the replacement."""
        return ["image", self.label_key]

    @cached_property
    def _synthetic(self) -> tuple[Split, dict[int, Labels]]:
        """The images, and the indices of those of each class."""
        split = read_split(Path(self.folder))
        return split, {label: np.flatnonzero(split.labels == label) for label in np.unique(split.labels).tolist()}

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "_synthetic"}  # each process opens its own

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        """Draw the replacement."""
        split, of_class = self._synthetic
        value = data[self.label_key]
        label = split.classes.index(value) if value in split.classes else value
        if isinstance(label, str) or int(label) not in of_class:
            raise ValueError(
                f"{self.folder} holds no synthetic images of {self.label_key} {value!r}: its classes are "
                + ", ".join(split.classes)
            )
        indices = of_class[int(label)]
        return {"replacement": split.images[indices[self.py_random.randrange(len(indices))]]}

    def apply(self, img: NDArray[Any], replacement: NDArray[np.uint8], **params: Any) -> NDArray[Any]:
        """The replacement in the shape and type of `img`."""
        pixels = replacement.squeeze(2) if img.ndim == 2 and replacement.shape[2] == 1 else replacement
        if pixels.shape != img.shape:
            raise ValueError(f"the image has the shape {list(img.shape)}, the synthetic images {list(pixels.shape)}")
        if img.dtype not in (np.uint8, np.float32):
            raise ValueError(f"the image is {img.dtype}: it must be uint8, or float32 in [0, 1]")
        return np.array(pixels) if img.dtype == np.uint8 else pixels.astype(np.float32) / 255
