"""Data sets of torchvision, with their predefined test sets."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from torchvision import datasets

from makeweight.core.data import SPLITS
from makeweight.core.errors import BadInput
from makeweight.core.parameters import DataSettings
from makeweight.intake.decoding.sources import Arrays
from makeweight.intake.interface import UNASSIGNED, DatasetListing


class _Downloaded:
    """A data set of torchvision below the folder `data.path`, downloaded if `data.download` is true."""

    uses: ClassVar[frozenset[str]] = frozenset({"path", "download"})
    dataset: ClassVar[type[Any]]

    def read(self, settings: DataSettings) -> DatasetListing:
        """List training and test images; BadInput if they are missing and may not be downloaded."""
        parts = {name: self._part(settings, train=name == "train") for name in ("train", "test")}
        pixels = np.concatenate([np.asarray(part.data) for part in parts.values()])
        labels = np.concatenate([np.asarray(part.targets, dtype=np.int64) for part in parts.values()])
        origins = [f"{name}[{index}]" for name, part in parts.items() for index in range(len(part.data))]
        predefined = np.repeat([UNASSIGNED, SPLITS.index("test")], [len(part.data) for part in parts.values()])
        classes = tuple(str(name) for name in parts["train"].classes)
        return DatasetListing(Arrays(pixels), labels, classes, origins, predefined.astype(np.int8))

    def _part(self, settings: DataSettings, *, train: bool) -> Any:
        name, root = self.dataset.__name__, Path(settings.path or "")
        try:
            return self.dataset(root, train=train, download=bool(settings.download))
        except RuntimeError as error:
            raise BadInput(f"data.path: no {name} in {root}; name its folder, or set data.download to true") from error
        except OSError as error:
            raise BadInput(f"data.download: {name} could not be downloaded into {root} ({error})") from error


class MNIST(_Downloaded):
    """60,000 and 10,000 handwritten digits, 28×28, grey (LeCun et al. 1998)."""

    dataset = datasets.MNIST


class FashionMNIST(_Downloaded):
    """60,000 and 10,000 pieces of clothing, 28×28, grey (Xiao et al. 2017)."""

    dataset = datasets.FashionMNIST


class CIFAR10(_Downloaded):
    """50,000 and 10,000 photographs, 32×32, RGB (Krizhevsky 2009)."""

    dataset = datasets.CIFAR10
