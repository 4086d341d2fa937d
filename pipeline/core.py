"""The nouns that every room shares: splits, arms, families, samplers, readers and a user's mistake."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

    from pipeline.params import DataSettings
    from pipeline.training import Run

Images = NDArray[np.uint8]
Labels = NDArray[np.int64]

SMALLEST_SIDE, LARGEST_SIDE = 8, 128  # pixels
CONTROLS = ("none", "oversample")


class BadInput(Exception):
    """A user's mistake. The message is one line that says what, where and what to do."""


@dataclass(frozen=True, slots=True)
class Split:
    """Images with their labels and class names.

    Attributes:
        images: uint8, shape [n, height, width, channels], 1 or 3 channels.
        labels: int64, shape [n], each an index into `classes`.
        classes: class names in the order of their labels.

    Raises:
        ValueError: shapes or types differ from the above, or a label has no class.
    """

    images: Images
    labels: Labels
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.images.dtype != np.uint8 or self.images.ndim != 4:
            raise ValueError(f"images are {self.images.dtype} {self.images.shape}, not uint8 [n, h, w, c]")
        if self.labels.dtype != np.int64 or self.labels.shape != self.images.shape[:1]:
            raise ValueError(f"labels are {self.labels.dtype} {self.labels.shape}, not int64 [n]")
        if len(self.labels) and not 0 <= self.labels.min() <= self.labels.max() < len(self.classes):
            raise ValueError(f"labels reach beyond the {len(self.classes)} classes")

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def counts(self) -> Labels:
        """Number of images of each class, shape [classes]."""
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


@dataclass(frozen=True, slots=True)
class Reading:
    """What a reader has taken in.

    Attributes:
        images: all images, of every split.
        origins: where each image came from, one text an image.
        official_test: bool, shape [n]: True where the data set itself says that an image is for testing.
    """

    images: Split
    origins: tuple[str, ...]
    official_test: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Arm:
    """A source of training images and a transform of them: one way to train the classifier."""

    source: str
    transform: str

    def __str__(self) -> str:
        return f"{self.source}-{self.transform}"


class Sampler(Protocol):
    """A fitted family."""

    def sample(self, labels: torch.Tensor, *, rng: torch.Generator) -> torch.Tensor:
        """Draw one image for each label (int64 [n]): float [n, c, h, w] in [-1, 1], on the CPU."""
        ...

    def save(self, folder: Path) -> None:
        """Write what `Family.load` needs into `folder`, which exists."""
        ...


class Family(Protocol):
    """A kind of generative model: a frozen settings model with one verb."""

    @property
    def total_steps(self) -> int:
        """How many steps one fit takes, for the progress bar."""
        ...

    @property
    def images_per_step(self) -> int:
        """How many real images a step looks at, to tell images a second."""
        ...

    def fit(self, train: Split, *, monitor: Split, seeds: Sequence[int], run: Run) -> Sequence[Sampler]:
        """Fit one sampler for each seed to `train`; `monitor` is only logged, never fitted."""
        ...

    @staticmethod
    def load(folder: Path) -> Sampler:
        """Read back what `Sampler.save` wrote."""
        ...

    def model_dump(self) -> dict[str, Any]:
        """The settings as plain values, as every pydantic model does."""
        ...


class Reader(Protocol):
    """What takes images in. `uses` names the optional keys of `data` that it reads; others must be null."""

    uses: ClassVar[frozenset[str]]

    def read(self, settings: DataSettings) -> Reading:
        """Take in all images at once; BadInput where they cannot be had."""
        ...


class Transform(Protocol):
    """What is done to each image as it is served: a frozen settings model with one verb."""

    def apply(self, images: Images, seed: int) -> Images:
        """Change a batch, uint8 [n, h, w, c], into another of the same shape; the same seed gives the same bytes."""
        ...

    def model_dump(self) -> Any:
        """The settings as plain values, as every pydantic model does."""
        ...
