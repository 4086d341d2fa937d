"""Loading of trained classifiers from folders, without the project that trained them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_model
from torch import nn

from makeweight.core.data import Images
from makeweight.core.errors import BadInput
from makeweight.core.images import from_uint8
from makeweight.core.plugins import find
from makeweight.core.text import printable
from makeweight.runtime.artifacts import CLASSIFIER, WEIGHTS
from makeweight.runtime.files import read_json

BATCH = 1000  # images


@dataclass(frozen=True, slots=True)
class SavedClassifier:
    """A trained classifier.

    Attributes:
        network: float [n, c, size, size] in [-1, 1] to logits [n, classes]; in evaluation mode, on the CPU.
        classes: class names, in the order of the logits.
        size: side of the images in pixels.
        channels: 1 or 3.
    """

    network: nn.Module
    classes: tuple[str, ...]
    size: int
    channels: int

    @torch.no_grad()
    def predict_proba(self, images: Images) -> NDArray[np.float32]:
        """Class probabilities, float32 [n, classes].

        Args:
            images: uint8 [n, size, size, channels], as in `images.npy` of a split.

        Raises:
            BadInput: the images have another shape or type.
        """
        shape = (self.size, self.size, self.channels)
        if images.dtype != np.uint8 or images.shape[1:] != shape:
            raise BadInput(
                f"images are {images.dtype} {images.shape}, but should be uint8 (n, {', '.join(map(str, shape))})"
            )
        parts = [np.empty((0, len(self.classes)), np.float32)]
        for start in range(0, len(images), BATCH):
            pixels = torch.tensor(images[start : start + BATCH]).permute(0, 3, 1, 2)
            parts.append(self.network(from_uint8(pixels)).softmax(1).numpy())
        return np.concatenate(parts)

    def predict(self, images: Images) -> list[str]:
        """The most probable class of each image, by name; arguments and errors are those of `predict_proba`."""
        return [self.classes[label] for label in self.predict_proba(images).argmax(1)]


def load_classifier(folder: str | Path) -> SavedClassifier:
    """Load a classifier that `export-classifier` wrote, or that is in the folder of a replicate below `runs/`.

    Raises:
        BadInput: the folder holds no classifier, or damaged files.
    """
    path = Path(folder)
    if missing := [name for name in (CLASSIFIER, WEIGHTS) if not (path / name).is_file()]:
        raise BadInput(
            f"{printable(path)} holds no classifier ({missing[0]} is missing): name a folder of export-classifier"
        )
    try:
        facts = read_json(path / CLASSIFIER)
        name, size, channels = str(facts["classifier"]), int(facts["size"]), int(facts["channels"])
        classes = tuple(map(str, facts["classes"]))
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{printable(path / CLASSIFIER)} is damaged: copy or pull it again") from error
    network: nn.Module = find("classifiers", name)(channels, size, len(classes))
    try:
        load_model(network, str(path / WEIGHTS))
    except Exception as error:  # of several types: the file is damaged, or of another network
        reason = " ".join(str(error).split())
        raise BadInput(f"{printable(path / WEIGHTS)} cannot be loaded: {type(error).__name__}: {reason}") from error
    return SavedClassifier(network.eval(), classes, size, channels)
