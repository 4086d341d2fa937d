"""Data sets that torchvision knows, with their official test sets."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from PIL import Image
from torchvision import datasets

from pipeline.core import BadInput, Images, Reading, Split
from pipeline.params import DataSettings
from pipeline.readers.resizing import fitted


class _Downloaded:
    """A data set of torchvision below the folder `data.path`, fetched there if `data.download` says so."""

    uses: ClassVar[frozenset[str]] = frozenset({"path", "download"})
    dataset: ClassVar[type[Any]]

    def read(self, settings: DataSettings) -> Reading:
        """Training and test images. BadInput where they are not and may not be fetched."""
        parts = [self._part(settings, train) for train in (True, False)]
        images = np.concatenate([images for images, _ in parts])
        labels = np.concatenate([labels for _, labels in parts])
        official_test = np.repeat([False, True], [len(labels) for _, labels in parts])
        names = zip(("train", "test"), parts, strict=True)
        origins = tuple(f"{name}[{index}]" for name, (own, _) in names for index in range(len(own)))
        return Reading(Split(images, labels, self._classes), origins, official_test)

    def _part(self, settings: DataSettings, train: bool) -> tuple[Images, np.ndarray[Any, np.dtype[np.int64]]]:
        root = Path(settings.path or "")
        try:
            part = self.dataset(root, train=train, download=bool(settings.download))
        except RuntimeError as error:
            name = self.dataset.__name__
            raise BadInput(f"data.path: no {name} in {root}; name its folder, or set data.download to true") from error
        except OSError as error:
            raise BadInput(
                f"data.download: {self.dataset.__name__} could not be fetched into {root} ({error})"
            ) from error
        self._classes = tuple(str(name) for name in part.classes)
        pixels = np.asarray(part.data)
        pixels = pixels[..., None] if pixels.ndim == 3 else pixels
        side, channels = settings.image_size or pixels.shape[1], settings.channels or pixels.shape[3]
        if (side, channels) != pixels.shape[2:]:
            pictures = (Image.fromarray(image.squeeze()) for image in pixels)
            pixels = np.stack([fitted(picture, side, settings.fit, channels) for picture in pictures])
        return pixels, np.asarray(part.targets, dtype=np.int64)


class MNIST(_Downloaded):
    """60,000 and 10,000 handwritten digits, 28×28, grey (LeCun et al. 1998)."""

    dataset = datasets.MNIST


class FashionMNIST(_Downloaded):
    """60,000 and 10,000 pieces of clothing, 28×28, grey (Xiao et al. 2017)."""

    dataset = datasets.FashionMNIST


class CIFAR10(_Downloaded):
    """50,000 and 10,000 photographs, 32×32, RGB (Krizhevsky 2009)."""

    dataset = datasets.CIFAR10
