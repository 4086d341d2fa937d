"""What a reader is and what it returns; readers by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from makeweight.core.data import Images, Labels
from makeweight.core.errors import BadInput
from makeweight.core.parameters import DataSettings
from makeweight.core.plugins import find

UNASSIGNED = -1  # in `DatasetListing.predefined`: an image that no one has put into a split

OPTIONAL_READER_KEYS = ("path", "download")


@dataclass(frozen=True, slots=True)
class ImageSpec:
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
class ImageHeader:
    """What a picture's header says: width and height in pixels, whether it can only be grey, and its type."""

    size: tuple[int, int]
    grey: bool
    depth: Depth = Depth(8, "unsigned", 255.0)


class ImageSource(Protocol):
    """Pictures that are decoded one by one, where and when they are needed: none is held. Must be picklable."""

    def __len__(self) -> int: ...

    def part(self, start: int, stop: int) -> ImageSource:
        """Those from `start` to before `stop`, to hand to another process."""
        ...

    def read_header(self, index: int) -> ImageHeader:
        """Read the header alone; BadPicture where that, or the picture's size, rules it out."""
        ...

    def span(self, index: int, spec: ImageSpec) -> tuple[float, float]:
        """The lowest and highest stored number of a picture whose depth is not plain; BadPicture as for `squares`."""
        ...

    def squares(self, index: int, spec: ImageSpec, sides: Sequence[int]) -> tuple[list[Images], tuple[str, ...]]:
        """One picture at each of the sides, uint8 [side, side, channels], and what was done to it for the first.

        Raises:
            BadPicture: it cannot be decoded, or only by guessing.
        """
        ...


@dataclass(frozen=True, slots=True)
class FileIssue:
    """Something about one file: where it is, and what about it."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class DatasetListing:
    """What a reader has found, before any picture is decoded.

    Attributes:
        source: of every split.
        labels: int64, shape [n], each an index into `classes`.
        classes: class names in the order of their labels.
        origins: where each picture comes from, one text a picture: valid Unicode.
        official: int8, shape [n]: the index into `SPLITS` of the split that the data itself names, or `UNASSIGNED`.
        groups: what belongs together and stays in one split, a text a picture; "" belongs to nothing. Empty: no groups.
        bad: what cannot be taken in, as far as names and tables show it.
        ignored: files that are no pictures and were not expected to be.
        remarks: sentences for the report.
        mistakes: what makes the whole unusable, a line each: what, where, what to do.
        imbalance: the long tail that the training split is thinned to if the parameters name neither counts nor
            imbalance; None: nothing is thinned.
    """

    source: ImageSource
    labels: Labels
    classes: tuple[str, ...]
    origins: Sequence[str]
    predefined: NDArray[np.int8]
    groups: Sequence[str] = ()
    bad: tuple[FileIssue, ...] = ()
    ignored: tuple[FileIssue, ...] = ()
    remarks: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()
    imbalance: float | None = None


class Reader(Protocol):
    """What takes images in. `uses` names the optional keys of `data` that it reads; others must be null."""

    uses: ClassVar[frozenset[str]]

    def read(self, settings: DataSettings) -> DatasetListing:
        """Find all images, and decode none; BadInput where there is nothing to go on with."""
        ...


def find_reader(settings: DataSettings) -> Reader:
    """The registered reader `data.reader`. BadInput if there is none, or a key that it does not use is set."""
    reader: Reader = find("readers", settings.reader)()
    for key in OPTIONAL_READER_KEYS:
        if key in reader.uses and getattr(settings, key) is None:
            raise BadInput(f"data.{key} is null, but the reader {settings.reader} needs it")
        if key not in reader.uses and getattr(settings, key) is not None:
            raise BadInput(f"data.{key} must be null: the reader {settings.reader} does not use it")
    return reader
