"""Decode all images of a dataset listing in parallel, into one file, with few of them in memory."""

from __future__ import annotations

import fcntl
import os
from collections import Counter
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import joblib
import numpy as np
from numpy.typing import NDArray

from makeweight.core.data import Images
from makeweight.core.errors import BadInput, ImageError
from makeweight.core.parameters import DataSettings
from makeweight.core.text import counted
from makeweight.intake.decoding.images import COMPOSITED, side_of
from makeweight.intake.decoding.rasters import DECLARE_RANGE, PARTIAL_OPACITY, needs_range
from makeweight.intake.decoding.sketches import SMALLEST_SIDE, SUMS, Sketches, pixel_hash, sketches
from makeweight.intake.grouping.duplicates import SEARCH_SIDE
from makeweight.intake.interface import Depth, ImageHeader, ImageSource, ImageSpec
from makeweight.runtime.files import new_array
from makeweight.runtime.processes import end_with_parent
from makeweight.runtime.progress import ProgressReporter

CHUNK = 256  # images handed to a worker at a time
SERIAL_LIMIT = 4 * CHUNK  # images; up to so many, starting workers takes longer than it saves
DARK_LEVEL = 64  # if no pixel of any image reaches this level, the numbers are probably not bytes from black to white
LARGE = 1 << 25  # pixels; larger images are decoded one at a time, however many workers there are
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class ImageHeaders:
    """The headers of all images.

    Attributes:
        sizes: int64 [n, 2], width and height; 0 for bad images.
        grey: bool [n], whether an image can only be grey.
        deep: the images whose numbers have more than 8 bits, are signed or are floats, by their depth.
        bad: reasons why images cannot be used, by index.
    """

    sizes: NDArray[np.int64]
    grey: NDArray[np.bool_]
    deep: dict[Depth, list[int]] = field(default_factory=dict)
    bad: dict[int, str] = field(default_factory=dict)

    @property
    def good(self) -> NDArray[np.bool_]:
        """Which images are not bad."""
        good = np.ones(len(self.grey), dtype=bool)
        good[list(self.bad)] = False
        return good

    @property
    def large(self) -> set[int]:
        """Images that are decoded one at a time, since several at once could exhaust the memory."""
        return set(np.flatnonzero(self.sizes.prod(axis=1) > LARGE).tolist())


@dataclass(frozen=True, slots=True)
class Decoding:
    """All images to decode, and the means to do so.

    Attributes:
        source: the images.
        headers: their headers.
        folder: for the files of pixels; absolute, since workers may run in another folder.
        workers: processes that decode.
    """

    source: ImageSource
    headers: ImageHeaders
    folder: Path
    workers: int

    @property
    def lock(self) -> Path:
        """A file that processes lock while they decode a large image."""
        return self.folder / "large.lock"


@dataclass(slots=True)
class Decoded:
    """All images at one size, in a file.

    Attributes:
        images: a `.npy` file of uint8 [n, side, side, channels]; zeros for bad images.
        compared: the same at the side used to search for near-duplicates; may be the same file.
        searchable: bool [n], whether an image is large enough for that search.
        hashes: uint8 [n, 16], of the pixels.
        grey_hashes: uint8 [n, 16], of the first channel if all channels are equal; else zeros.
        colourless: bool [n], whether all channels are equal.
        sketches: float32 [n, 65], of `compared`; zeros for images that are not searchable.
        bad: reasons why images cannot be used, by index.
        conversions: what was done, and to how many images.
        examples: for each conversion, the index of the first image.
        brightest: the highest pixel value of all images.
    """

    images: Path
    compared: Path
    searchable: NDArray[np.bool_]
    hashes: NDArray[np.uint8]
    grey_hashes: NDArray[np.uint8]
    colourless: NDArray[np.bool_]
    sketches: Sketches
    bad: dict[int, str]
    conversions: Counter[str]
    examples: dict[str, int]
    brightest: int = 0

    @property
    def doubtful_opacity(self) -> int | None:
        """The first image whose opacity looks like another band, if this is true of most images with opacity."""
        doubtful = self.conversions[PARTIAL_OPACITY]
        return self.examples[PARTIAL_OPACITY] if 2 * doubtful > self.conversions[COMPOSITED] else None

    @property
    def darkness_warning(self) -> list[str]:
        """A warning if all images are nearly black, as counts or labels stored as bytes are."""
        if not 0 < self.brightest < DARK_LEVEL:
            return []
        return [
            f"no pixel of any image is above {self.brightest} of 255, so all are nearly black: if {self.brightest} "
            f"is meant to be white, multiply the numbers by {255 / self.brightest:.4g} before they are saved"
        ]


def read_headers(source: ImageSource, workers: int) -> ImageHeaders:
    """Read the header of every image."""
    headers = ImageHeaders(np.zeros((len(source), 2), np.int64), np.zeros(len(source), bool))
    for start, chunk in _in_chunks("reading image headers", source, lambda start: _read_header_chunk, workers):
        for index, header in enumerate(chunk, start):
            if isinstance(header, str):
                headers.bad[index] = header
            else:
                headers.sizes[index], headers.grey[index] = header.size, header.grey
                if not header.depth.is_plain:
                    headers.deep.setdefault(header.depth, []).append(index)
    return headers


def _read_header_chunk(source: ImageSource) -> list[ImageHeader | str]:
    """For each image its header, or the reason why it cannot be used."""

    def attempt(index: int) -> ImageHeader | str:
        try:
            return source.read_header(index)
        except ImageError as error:
            return str(error)

    return [attempt(index) for index in range(len(source))]


def spec_of(headers: ImageHeaders, settings: DataSettings) -> ImageSpec:
    """The image specification: what the parameters say, and else what suits the images that are not bad.

    Raises:
        BadInput: all images are bad.
    """
    _check_any_good(headers)
    good = headers.good
    red, green, blue = settings.background
    declared = settings.value_range
    only_grey = headers.grey[good].all() if settings.bands is None else len(settings.bands) == 1
    return ImageSpec(
        side=settings.image_size or side_of(headers.sizes[good]),
        channels=settings.channels or (1 if only_grey else 3),
        fit=settings.fit,
        background=(red, green, blue),
        value_range=(declared[0], declared[1]) if isinstance(declared, tuple) else None,
        first_frame=settings.first_frame,
        bands=settings.bands,
    )


def _check_any_good(headers: ImageHeaders) -> None:
    if headers.good.any():
        return
    common = Counter(headers.bad.values()).most_common(1)
    reason = f"; most of them: {common[0][0]}" if common else ""
    raise BadInput(f"data.path: none of the images there can be used; the report lists them with their reasons{reason}")


def with_value_range(work: Decoding, spec: ImageSpec, settings: DataSettings) -> tuple[ImageSpec, list[str]]:
    """The specification with the value range for all images of more than 8 bits, before any of them is converted.

    If no range suits the images of a type, they are added to `work.headers.bad`, all with the same reason.

    Args:
        work: the images.
        spec: their specification so far.
        settings: whether the range is declared, taken from the data, or that of each type.

    Returns:
        The specification, and remarks for the report.

    Raises:
        BadInput: no image is left, or all numbers are equal and the range is to be taken from them.
    """
    headers = work.headers
    if not headers.deep or isinstance(settings.value_range, tuple):
        return spec, []
    spans = _spans(work, spec)
    ranges = {}
    for depth, members in headers.deep.items():
        own = spans[[index for index in members if index not in headers.bad]]
        if len(own):
            ranges[depth] = (float(own[:, 0].min()), float(own[:, 1].max()), len(own))
    if settings.value_range == "data" and ranges:
        low, high = min(low for low, _, _ in ranges.values()), max(high for _, high, _ in ranges.values())
        n = sum(n for _, _, n in ranges.values())
        if low == high:
            raise BadInput(f"data.value_range: data: all numbers in the {n} images of more than 8 bits are {low:g}")
        remark = (
            f"data.value_range: data: {low:g} is black and {high:g} white, the joint range of {counted(n, 'image')}"
        )
        return replace(spec, value_range=(low, high)), [remark]
    for depth, (low, high, n) in ranges.items():
        if reason := range_problem(depth, low, high, n):
            headers.bad.update({index: reason for index in headers.deep[depth] if index not in headers.bad})
    _check_any_good(headers)
    return spec, []


def range_problem(depth: Depth, low: float, high: float, n: int) -> str | None:
    """Why `n` images of one type, with numbers from `low` to `high`, need a declared range; None if they do not.

    They need one if the type does not define white, or if the numbers fill less than half of its range.
    """
    others = "" if n == 1 else f" (and {n - 1} others: the range is that of all)"
    if depth.white is None:
        proposal = f"[{low:g}, {high:g}], or data for exactly that range"
        return f"{needs_range(depth, low, high)}, for instance {proposal}{others}"
    if high == 0 or 2 * (high - low) >= depth.white:
        return None
    dark, effect = (True, "turn black") if 2 * high < depth.white else (False, "lose its contrast")
    proposal = f"[0, {2 ** int(high).bit_length() - 1}]" if dark else f"[{low:g}, {high:g}]"
    return (
        f"has {depth.bits} bits, of which it uses {low:g} to {high:g} of {depth.white:g} and would {effect}: "
        f"{DECLARE_RANGE}, "
        f"for instance {proposal}, or data for [{low:g}, {high:g}], or [0, {depth.white:g}] to take it as it is"
        f"{others}"
    )


def _spans(work: Decoding, spec: ImageSpec) -> NDArray[np.float64]:
    """The lowest and highest number of each deep image, float64 [n, 2]; images that cannot be read become bad."""
    deep = {index for members in work.headers.deep.values() for index in members}
    large = work.headers.large
    spans = np.zeros((len(work.source), 2))

    def task(start: int) -> Callable[[ImageSource], dict[int, tuple[float, float] | str]]:
        return partial(
            _measure_chunk,
            spec=spec,
            indices=sorted(_within_chunk(deep, start)),
            lock=work.lock,
            large=_within_chunk(large, start),
        )

    for start, chunk in _in_chunks("measuring values", work.source, task, work.workers):
        for index, found in chunk.items():
            if isinstance(found, str):
                work.headers.bad[start + index] = found
            else:
                spans[start + index] = found
    return spans


def _within_chunk(indices: Container[int], start: int) -> frozenset[int]:
    """Those of `indices` that are in the chunk from `start`, counted from there."""
    return frozenset(index - start for index in range(start, start + CHUNK) if index in indices)


def _measure_chunk(
    source: ImageSource, *, spec: ImageSpec, indices: Sequence[int], lock: Path, large: frozenset[int]
) -> dict[int, tuple[float, float] | str]:
    """The lowest and highest number of the images at `indices`, or the reasons why they cannot be used."""
    found: dict[int, tuple[float, float] | str] = {}
    for index in indices:
        try:
            with _locked(lock) if index in large else nullcontext():
                found[index] = source.span(index, spec)
        except ImageError as error:
            found[index] = str(error)
    return found


@contextmanager
def _locked(lock: Path) -> Iterator[None]:
    """Hold a lock on the file `lock`, so that no two processes decode a large image at once."""
    with lock.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # until the file is closed
        yield


def _search_side(headers: ImageHeaders, spec: ImageSpec, settings: DataSettings) -> tuple[int, NDArray[np.bool_]]:
    """The side at which near-duplicates are searched, and which images are large enough for the search, bool [n].

    The side is that of the specification, or up to `SEARCH_SIDE` if the images themselves are larger than it.
    """
    own = headers.sizes.min(axis=1)
    side = spec.side
    if settings.near_duplicates is not None:
        side = max(side, min(SEARCH_SIDE, int(own[headers.good].max(initial=0))))
    return side, (own if spec.side < SMALLEST_SIDE else np.full_like(own, spec.side)) >= SMALLEST_SIDE


def decode_all(work: Decoding, spec: ImageSpec, settings: DataSettings) -> Decoded:
    """Decode all images that are not bad into new files in `work.folder`, and hash them."""
    n = len(work.source)
    search_side, searchable = _search_side(work.headers, spec, settings)
    images, compared = work.folder / "pixels.npy", work.folder / "compared.npy"
    new_array(images, (n, spec.side, spec.side, spec.channels), np.uint8)
    if search_side == spec.side:
        compared = images
    else:
        new_array(compared, (n, search_side, search_side, spec.channels), np.uint8)
    result = Decoded(
        images, compared, searchable, np.zeros((n, 16), np.uint8), np.zeros((n, 16), np.uint8), np.zeros(n, bool),
        _no_sketches(n), dict(work.headers.bad), Counter(), {},
    )  # fmt: skip
    large = work.headers.large

    def task(start: int) -> Callable[[ImageSource], _DecodedChunk]:
        return _DecodingTask(
            start=start,
            files=(images, compared),
            spec=spec,
            lock=work.lock,
            bad=_within_chunk(work.headers.bad, start),
            large=_within_chunk(large, start),
            searchable=searchable[start : start + CHUNK],
        )

    for start, chunk in _in_chunks("decoding", work.source, task, work.workers):
        rows = slice(start, start + len(chunk.hashes))
        result.hashes[rows], result.grey_hashes[rows] = chunk.hashes, chunk.grey_hashes
        result.colourless[rows], result.sketches[rows] = chunk.colourless, chunk.sketches
        result.bad.update(chunk.bad)
        result.conversions.update(chunk.conversions)
        result.brightest = max(result.brightest, chunk.brightest)
        for conversion, index in chunk.examples.items():
            result.examples.setdefault(conversion, index)
    return result


@dataclass(slots=True)
class _DecodedChunk:
    """What a worker returns for a chunk of images; it has written the images themselves."""

    hashes: NDArray[np.uint8]
    grey_hashes: NDArray[np.uint8]
    colourless: NDArray[np.bool_]
    sketches: Sketches
    bad: dict[int, str] = field(default_factory=dict)
    conversions: Counter[str] = field(default_factory=Counter)
    examples: dict[str, int] = field(default_factory=dict)
    brightest: int = 0


@dataclass(frozen=True, slots=True)
class _DecodingTask:
    """Decode a chunk of images.

    Attributes:
        start: index of the first image of the chunk.
        files: the arrays to write into, `Decoded.images` and `Decoded.compared`.
        spec: what to convert the images to.
        lock: file to lock while a large image is decoded.
        bad: images to skip, counted from `start`.
        large: images to decode one at a time, counted from `start`.
        searchable: bool [n], for the images of the chunk.
    """

    start: int
    files: tuple[Path, Path]
    spec: ImageSpec
    lock: Path
    bad: frozenset[int]
    large: frozenset[int]
    searchable: NDArray[np.bool_]

    def __call__(self, source: ImageSource) -> _DecodedChunk:
        """Decode the images of `source`, write them, and return the rest."""
        n, start = len(source), self.start
        chunk = _DecodedChunk(
            np.zeros((n, 16), np.uint8), np.zeros((n, 16), np.uint8), np.zeros(n, bool), _no_sketches(n)
        )
        # Opened for each chunk, since the pages of a memory map count as memory of the process until it is closed.
        targets = [np.load(file, mmap_mode="r+")[start : start + n] for file in dict.fromkeys(self.files)]
        sides = [target.shape[1] for target in targets]
        for index in sorted(set(range(n)) - self.bad):
            try:
                with _locked(self.lock) if index in self.large else nullcontext():
                    squares, conversions = source.squares(index, self.spec, sides)
            except ImageError as error:
                chunk.bad[start + index] = str(error)
                continue
            for target, square in zip(targets, squares, strict=True):
                target[index] = square
            chunk.hashes[index] = np.frombuffer(pixel_hash(squares[0]), np.uint8)
            chunk.brightest = max(chunk.brightest, int(squares[0].max()))
            chunk.conversions.update(conversions)
            for conversion in conversions:
                chunk.examples.setdefault(conversion, start + index)
        _hash_colourless(targets[0], chunk)
        if self.searchable.any():
            chunk.sketches[self.searchable] = sketches(targets[-1][self.searchable])
        return chunk


def _no_sketches(n: int) -> Sketches:
    return np.zeros((n, SUMS + 1), np.float32)


def _hash_colourless(images: Images, chunk: _DecodedChunk) -> None:
    """Find the images whose channels are all equal, and hash their first channel."""
    chunk.colourless[:] = (images == images[..., :1]).all(axis=(1, 2, 3))
    for index in np.flatnonzero(chunk.colourless):
        chunk.grey_hashes[index] = np.frombuffer(pixel_hash(images[index, ..., :1]), np.uint8)


def _in_chunks(
    title: str, source: ImageSource, task: Callable[[int], Callable[[ImageSource], Result]], workers: int
) -> Iterator[tuple[int, Result]]:
    """Run `task(start)` on every chunk of `CHUNK` images, and yield `start` and the result, in the order of images."""
    n = len(source)
    starts = range(0, n, CHUNK)
    workers = 1 if n <= SERIAL_LIMIT else min(workers, len(starts))
    counters = np.zeros((1, 2), np.int64)
    with ProgressReporter(title, counters, n, images_per_step=1, unit="images"):
        # One thread for each process: otherwise each would start as many threads as there are cores.
        with joblib.parallel_config(backend="loky", inner_max_num_threads=1):
            results = joblib.Parallel(n_jobs=workers, return_as="generator")(
                joblib.delayed(_in_worker)(task(start), source.part(start, min(start + CHUNK, n)), os.getpid())
                for start in starts
            )
        for start, result in zip(starts, results, strict=True):
            counters[0, 0] = min(start + CHUNK, n)
            yield start, result


def _in_worker(task: Callable[[ImageSource], Result], source: ImageSource, owner: int) -> Result:
    if os.getpid() != owner:
        end_with_parent(owner)
    return task(source)
