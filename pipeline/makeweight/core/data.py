"""Splits: images with labels and class names."""

from __future__ import annotations

from dataclasses import dataclass
from mmap import mmap
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.uint8]
Labels = NDArray[np.int64]

SMALLEST_SIDE, LARGEST_SIDE = 8, 128  # pixels
SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, slots=True)
class FileState:
    """A file and the state that it was in: an edit changes at least one of the attributes.

    Attributes:
        path: absolute.
        size: in bytes.
        inode: number of the file in its file system.
        modified: time of the last change of the content, in ns.
        changed: time of the last change of content or inode, in ns; no program can set it back.
    """

    path: Path
    size: int
    inode: int
    modified: int
    changed: int


@dataclass(frozen=True, slots=True)
class Split:
    """Images with labels and class names.

    Attributes:
        images: uint8, shape [n, height, width, channels], 1 or 3 channels.
        labels: int64, shape [n], indices into `classes`.
        classes: class names in the order of their labels.
        file: the file whose whole content `images` maps; None for images in memory.

    Raises:
        ValueError: a shape or type differs from the above, or a label has no class.
    """

    images: Images
    labels: Labels
    classes: tuple[str, ...]
    file: FileState | None = None

    def __post_init__(self) -> None:
        if self.images.dtype != np.uint8 or self.images.ndim != 4:
            raise ValueError(f"images are {self.images.dtype} {self.images.shape}, not uint8 [n, h, w, c]")
        if self.labels.dtype != np.int64 or self.labels.shape != self.images.shape[:1]:
            raise ValueError(f"labels are {self.labels.dtype} {self.labels.shape}, not int64 [n]")
        if len(self.labels) and not 0 <= self.labels.min() <= self.labels.max() < len(self.classes):
            raise ValueError(f"labels reach beyond the {len(self.classes)} classes")

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle a whole memory-mapped file by its path, so that each worker maps it instead of getting a copy."""
        images = self.images
        if isinstance(images, np.memmap) and isinstance(images.base, mmap) and images.flags.c_contiguous:
            place = Path(str(images.filename)).absolute(), images.offset, images.shape
            return _mapped, (*place, self.labels, self.classes)
        return Split, (images, self.labels, self.classes)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def counts(self) -> Labels:
        """Number of images of each class, int64, shape [classes]."""
        return np.bincount(self.labels, minlength=len(self.classes)).astype(np.int64)

    @property
    def size(self) -> int:
        """Side of the (square) images in pixels."""
        return int(self.images.shape[1])

    @property
    def channels(self) -> int:
        """1 for grey images, 3 for RGB."""
        return int(self.images.shape[3])

    def take(self, indices: Labels) -> Split:
        """The images at `indices`, in that order."""
        return Split(self.images[indices], self.labels[indices], self.classes)


def _mapped(path: Path, offset: int, shape: tuple[int, ...], labels: Labels, classes: tuple[str, ...]) -> Split:
    return Split(np.memmap(path, np.uint8, "r", offset, shape), labels, classes)
