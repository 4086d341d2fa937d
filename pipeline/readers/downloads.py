"""Data sets that torchvision knows, with their official test sets."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from PIL import Image
from torchvision import datasets

from pipeline.core import BadInput, Reading, Split
from pipeline.params import DataSettings
from pipeline.readers.resizing import fitted


class _Downloaded:
    """A data set of torchvision below the folder `data.path`, fetched there if `data.download` says so."""

    uses: ClassVar[frozenset[str]] = frozenset({"path", "download"})
    dataset: ClassVar[type[Any]]

    def read(self, settings: DataSettings) -> Reading:
        """Training and test images. BadInput where they are not and may not be fetched."""
        train, test = (self._part(settings, train=train) for train in (True, False))
        images = np.concatenate([train.images, test.images])
        labels = np.concatenate([train.labels, test.labels])
        origins = [
            f"{name}[{index}]" for name, part in (("train", train), ("test", test)) for index in range(len(part))
        ]
        official_test = np.repeat([False, True], [len(train), len(test)])
        return Reading(Split(images, labels, train.classes), tuple(origins), official_test)

    def _part(self, settings: DataSettings, *, train: bool) -> Split:
        name, root = self.dataset.__name__, Path(settings.path or "")
        try:
            part = self.dataset(root, train=train, download=bool(settings.download))
        except RuntimeError as error:
            raise BadInput(f"data.path: no {name} in {root}; name its folder, or set data.download to true") from error
        except OSError as error:
            raise BadInput(f"data.download: {name} could not be fetched into {root} ({error})") from error
        pixels = np.asarray(part.data)
        pixels = pixels[..., None] if pixels.ndim == 3 else pixels
        side, channels = settings.image_size or pixels.shape[1], settings.channels or pixels.shape[3]
        if (side, channels) != pixels.shape[2:]:
            pictures = (Image.fromarray(image.squeeze()) for image in pixels)
            pixels = np.stack([fitted(picture, side, settings.fit, channels) for picture in pictures])
        return Split(pixels, np.asarray(part.targets, dtype=np.int64), tuple(str(each) for each in part.classes))


class MNIST(_Downloaded):
    """60,000 and 10,000 handwritten digits, 28×28, grey (LeCun et al. 1998)."""

    dataset = datasets.MNIST


class FashionMNIST(_Downloaded):
    """60,000 and 10,000 pieces of clothing, 28×28, grey (Xiao et al. 2017)."""

    dataset = datasets.FashionMNIST


class CIFAR10(_Downloaded):
    """50,000 and 10,000 photographs, 32×32, RGB (Krizhevsky 2009)."""

    dataset = datasets.CIFAR10
