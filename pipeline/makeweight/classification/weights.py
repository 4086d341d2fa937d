"""A trained classifier as files: weights, and what a program needs to use them."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

from safetensors.torch import save_model
from torch import nn

from makeweight.core.data import Split
from makeweight.runtime.artifacts import CLASSIFIER, WEIGHTS
from makeweight.runtime.files import write_json

NORMALISATION = {
    "mean": 127.5,
    "standard_deviation": 127.5,
}  # of pixel values from 0 to 255, by `core.images.from_uint8`


def save_classifier(network: nn.Module, name: str, train: Split, folder: Path) -> None:
    """Write the weights and the description of a classifier.

    Args:
        network: the trained classifier.
        name: of its kind among the registered classifiers.
        train: gives class names, size and channels.
        folder: gets both files.
    """
    save_model(network, str(folder / WEIGHTS))
    description = {
        "makeweight": version("makeweight"),
        "classifier": name,
        "classes": list(train.classes),
        "size": train.size,
        "channels": train.channels,
        "normalisation": NORMALISATION,
    }
    write_json(folder / CLASSIFIER, description)
