"""The interface of readers, what they return, and their look-up by name."""

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

UNASSIGNED = -1  # in `DatasetListing.predefined`: an image that the data itself assigns to no split

OPTIONAL_READER_KEYS = ("path", "download")


@dataclass(frozen=True, slots=True)
class ImageSpec:
    """The image specification: what all images are converted to.

    Attributes:
        side: of the square, in pixels.
        channels: 1 for grey, 3 for RGB.
        fit: how an image that is not square becomes square: "pad", "crop" or "stretch".
        background: red, green and blue (0 to 255) behind transparent pixels and in padding.
        value_range: the values that become black and white in images of more than 8 bits; None: the range of their
            type.
        first_frame: whether the first frame of an animated image is used; otherwise the image is bad.
        bands: which bands are grey or red, green, blue (and opacity), counted from 1; None: as the file declares.
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
    """The type of the numbers that an image is stored as.

    Attributes:
        bits: bits per number.
        kind: kind of number.
        white: the number that the type defines as white; None if it defines none (signed, float, 32 bits).
    """

    bits: int
    kind: Literal["unsigned", "signed", "float"]
    white: float | None

    @property
    def is_plain(self) -> bool:
        """Whether black and white need no declaration: unsigned numbers of at most 8 bits."""
        return self.kind == "unsigned" and self.bits <= 8


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """The header of an image: width and height in pixels, whether it can only be grey, and its depth."""

    size: tuple[int, int]
    grey: bool
    depth: Depth = Depth(8, "unsigned", 255.0)


class ImageSource(Protocol):
    """Images that are decoded one by one when they are needed, and not kept in memory. Must be picklable."""

    def __len__(self) -> int: ...

    def part(self, start: int, stop: int) -> ImageSource:
        """The images from `start` up to but not including `stop`, to send to another process."""
        ...

    def read_header(self, index: int) -> ImageHeader:
        """Read the header without decoding; ImageError if the header, or the image's size, rules the image out."""
        ...

    def span(self, index: int, spec: ImageSpec) -> tuple[float, float]:
        """The lowest and highest stored number of an image whose depth is not plain; ImageError as for `squares`."""
        ...

    def squares(self, index: int, spec: ImageSpec, sides: Sequence[int]) -> tuple[list[Images], tuple[str, ...]]:
        """Decode one image at each of the sides, uint8 [side, side, channels], and name the conversions of the first.

        Raises:
            ImageError: it cannot be decoded, or only by guessing.
        """
        ...


@dataclass(frozen=True, slots=True)
class FileIssue:
    """An issue with one file: its path, and the reason."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class DatasetListing:
    """What a reader finds, before any image is decoded.

    Attributes:
        source: the images of all splits.
        labels: int64, shape [n], indices into `classes`.
        classes: class names in the order of their labels.
        origins: for each image a text that says where it comes from; valid Unicode.
        predefined: int8, shape [n]: the index into `SPLITS` of the split that the data itself defines, or `UNASSIGNED`.
        groups: for each image the name of its group, whose images stay in one split; "" for no group. Empty: no groups.
        bad: files and table rows that cannot be used, as far as names and tables show it.
        ignored: files that are no images and were not expected to be.
        remarks: sentences for the report.
        errors: reasons why the whole data set cannot be used, a line each: what, where, what to do.
        imbalance: the long tail to which the training split is subsampled if the parameters name neither counts nor
            imbalance; None: no subsampling.
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
    """Finds the images of a data set. `uses` names the optional keys of `data` that it reads; others must be null."""

    uses: ClassVar[frozenset[str]]

    def read(self, settings: DataSettings) -> DatasetListing:
        """Find all images without decoding any; BadInput if the data set cannot be read at all."""
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
