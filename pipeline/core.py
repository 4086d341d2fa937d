"""The nouns that every room shares: splits, arms, families, samplers, readers and a user's mistake."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

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
SPLITS = ("train", "validation", "test")
FREE = -1  # in `Reading.official`: an image that no one has put into a split


class BadInput(Exception):
    """A user's mistake. The message is one line that says what, where and what to do."""


class BadPicture(Exception):
    """A picture that cannot be used. The message is the reason; whoever catches it knows the path."""


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
class Form:
    """What all pictures are brought to.

    Attributes:
        side: of the square, in pixels.
        channels: 1 for grey, 3 for RGB.
        fit: what is done to a picture that is not square: "pad", "crop" or "stretch".
        background: red, green and blue (0 to 255) below what is transparent, and beside what is padded.
        value_range: the values that become black and white, where pictures have more than 8 bits; None: those of their
            types.
        first_frame: whether an animated picture is taken for its first frame, or is bad.
        bands: which bands are grey or red, green, blue (and opacity), counted from 1; None: what files declare.
    """

    side: int
    channels: int
    fit: Literal["pad", "crop", "stretch"]
    background: tuple[int, int, int]
    value_range: tuple[float, float] | None
    first_frame: bool
    bands: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class Depth:
    """The type of the numbers that a picture is stored as.

    Attributes:
        bits: of each number.
        kind: of number.
        white: the number that is white by the type alone; None where the type does not say (signed, float, 32 bits).
    """

    bits: int
    kind: Literal["unsigned", "signed", "float"]
    white: float | None

    @property
    def is_plain(self) -> bool:
        """Whether nobody need say what is black and white: at most 8 bits, none of them a sign."""
        return self.kind == "unsigned" and self.bits <= 8


@dataclass(frozen=True, slots=True)
class Look:
    """What a picture's header says: width and height in pixels, whether it can only be grey, and its type."""

    size: tuple[int, int]
    grey: bool
    depth: Depth = Depth(8, "unsigned", 255.0)


class Pictures(Protocol):
    """Pictures that are decoded one by one, where and when they are needed: none is held. Must be picklable."""

    def __len__(self) -> int: ...

    def part(self, start: int, stop: int) -> Pictures:
        """Those from `start` to before `stop`, to hand to another process."""
        ...

    def look(self, index: int) -> Look:
        """Read the header alone; BadPicture where that, or the picture's size, rules it out."""
        ...

    def span(self, index: int, form: Form) -> tuple[float, float]:
        """The lowest and highest stored number of a picture whose depth is not plain; BadPicture as for `squares`."""
        ...

    def squares(self, index: int, form: Form, sides: Sequence[int]) -> tuple[list[Images], tuple[str, ...]]:
        """One picture at each of the sides, uint8 [side, side, channels], and what was done to it for the first.

        Raises:
            BadPicture: it cannot be decoded, or only by guessing.
        """
        ...


@dataclass(frozen=True, slots=True)
class Note:
    """Something about one file: where it is, and what about it."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Reading:
    """What a reader has found, before any picture is decoded.

    Attributes:
        pictures: of every split.
        labels: int64, shape [n], each an index into `classes`.
        classes: class names in the order of their labels.
        origins: where each picture comes from, one text a picture: valid Unicode.
        official: int8, shape [n]: the index into `SPLITS` of the split that the data itself names, or `FREE`.
        groups: what belongs together and stays in one split, a text a picture; "" belongs to nothing. Empty: no groups.
        bad: what cannot be taken in, as far as names and tables show it.
        ignored: files that are no pictures and were not expected to be.
        remarks: sentences for the report.
        mistakes: what makes the whole unusable, a line each: what, where, what to do.
        imbalance: the long tail that the training split is thinned to if the parameters name neither counts nor
            imbalance; None: nothing is thinned.
    """

    pictures: Pictures
    labels: Labels
    classes: tuple[str, ...]
    origins: Sequence[str]
    official: NDArray[np.int8]
    groups: Sequence[str] = ()
    bad: tuple[Note, ...] = ()
    ignored: tuple[Note, ...] = ()
    remarks: tuple[str, ...] = ()
    mistakes: tuple[str, ...] = ()
    imbalance: float | None = None


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
    """A kind of generative model: a frozen settings model with one verb.

    One whose class says `fits_together = True` is given several seeds at once, to be trained in one program; others
    get one seed at a time.
    """

    @property
    def total_steps(self) -> int:
        """How many steps one fit takes, for the progress bar."""
        ...

    @property
    def images_per_step(self) -> int:
        """How many real images a step looks at, to tell images a second."""
        ...

    def fit(self, train: Split, *, monitor: Split, seeds: Sequence[int], run: Run) -> Sequence[Sampler]:
        """Fit one sampler for each seed to `train`; `monitor` is only logged.

        Figures of it are recorded under names that end with `_validation`: nothing that steers a training reads these.
        """
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
        """Find all images, and decode none; BadInput where there is nothing to go on with."""
        ...


class Transform(Protocol):
    """What is done to each image as it is served: a frozen settings model with one verb."""

    def apply(self, images: Images, seed: int) -> Images:
        """Change a batch, uint8 [n, h, w, c], into another of the same shape; the same seed gives the same bytes."""
        ...

    def model_dump(self) -> Any:
        """The settings as plain values, as every pydantic model does."""
        ...
