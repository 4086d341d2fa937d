"""Looking at, and decoding, all pictures of a reading: on every core, into one file, holding few in memory."""

from __future__ import annotations

import fcntl
import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
from makeweight.intake.decoding.rasters import PARTIAL_OPACITY, SAY, needs_range
from makeweight.intake.decoding.sketches import SMALLEST_SIDE, SUMS, Sketches, pixel_hash, sketches
from makeweight.intake.grouping.duplicates import SEARCH_SIDE
from makeweight.intake.interface import Depth, ImageHeader, ImageSource, ImageSpec
from makeweight.runtime.files import new_array
from makeweight.runtime.processes import end_with_parent
from makeweight.runtime.progress import ProgressReporter

CHUNK = 256  # pictures handed to a worker at a time
SERIAL_LIMIT = 4 * CHUNK  # up to so many, starting workers takes longer than it saves
DARK_LEVEL = 64  # levels; images that all stay below it are probably no bytes from black to white
LARGE = 1 << 25  # pixels: larger pictures are decoded one at a time, however many workers there are
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class ImageHeaders:
    """The headers of all pictures.

    Attributes:
        sizes: int64 [n, 2], width and height; 0 where a picture is bad.
        grey: bool [n], whether it can only be grey.
        deep: which pictures have numbers of more than 8 bits, signed or float, by their type.
        bad: reasons, by index.
    """

    sizes: NDArray[np.int64]
    grey: NDArray[np.bool_]
    deep: dict[Depth, list[int]] = field(default_factory=dict)
    bad: dict[int, str] = field(default_factory=dict)

    @property
    def good(self) -> NDArray[np.bool_]:
        """Which pictures are not bad."""
        good = np.ones(len(self.grey), dtype=bool)
        good[list(self.bad)] = False
        return good


@dataclass(slots=True)
class Decoded:
    """All pictures as images, in a file.

    Attributes:
        images: a `.npy` of uint8 [n, side, side, channels]; zeros where a picture is bad.
        compared: the same at the side at which near-duplicates are sought; may be the same file.
        searchable: bool [n], whether a picture is large enough for that.
        hashes: uint8 [n, 16], of the pixels.
        grey_hashes: likewise, of the first channel alone, where all channels agree; else zeros.
        colourless: bool [n], whether all channels agree.
        sketches: float32 [n, 65], of `compared`; zeros where a picture is not searchable.
        bad: reasons, by index.
        conversions: what was done, to how many pictures.
        examples: for each of these, the index of the first such picture.
        brightest: the highest pixel of all images.
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
        """The index of the first picture whose opacity looks like another band, if that is so of most that have any."""
        doubtful = self.conversions[PARTIAL_OPACITY]
        return self.examples[PARTIAL_OPACITY] if 2 * doubtful > self.conversions[COMPOSITED] else None

    @property
    def darkness_warning(self) -> str | None:
        """A warning if all images together are nearly black, as counts or labels stored as bytes are."""
        if not 0 < self.brightest < DARK_LEVEL:
            return None
        return (
            f"no pixel of any image is above {self.brightest} of 255, so all are nearly black: if {self.brightest} "
            f"is meant to be white, multiply the numbers by {255 / self.brightest:.4g} before they are saved"
        )


def read_headers(source: ImageSource, workers: int) -> ImageHeaders:
    """Read every header."""
    headers = ImageHeaders(np.zeros((len(source), 2), np.int64), np.zeros(len(source), bool))
    for start, chunk in _in_chunks("looking at images", source, lambda start: _read_header_chunk, workers):
        for index, found in enumerate(chunk, start):
            if isinstance(found, str):
                headers.bad[index] = found
            else:
                headers.sizes[index], headers.grey[index] = found.size, found.grey
                if not found.depth.is_plain:
                    headers.deep.setdefault(found.depth, []).append(index)
    return headers


def _read_header_chunk(source: ImageSource) -> list[ImageHeader | str]:
    """Each picture's header, or why it has none."""

    def attempt(index: int) -> ImageHeader | str:
        try:
            return source.read_header(index)
        except ImageError as bad:
            return str(bad)

    return [attempt(index) for index in range(len(source))]


def spec_of(headers: ImageHeaders, settings: DataSettings) -> ImageSpec:
    """What to bring the pictures to: what the parameters say, and else what suits those that are not bad.

    Raises:
        BadInput: all are bad.
    """
    good = headers.good
    if not good.any():
        common = Counter(headers.bad.values()).most_common(1)
        reason = f"; most of them: {common[0][0]}" if common else ""
        raise BadInput(
            f"data.path: not one picture there can be used; the report lists them with their reasons{reason}"
        )
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


def with_value_range(
    source: ImageSource, headers: ImageHeaders, spec: ImageSpec, settings: DataSettings, lock: Path, workers: int
) -> tuple[ImageSpec, list[str]]:
    """The form with the range of values that suits all pictures of more than 8 bits, before any is converted.

    Pictures that no range suits join `looks.bad`: one reason for all of a type, whose remedy fits them all.

    Args:
        source: all of them.
        headers: their headers.
        spec: what to bring them to.
        settings: whether the range is declared, found in the data, or that of each type.
        lock: as for `decoded`.
        workers: processes that read.

    Returns:
        The form, and remarks for the report.
    """
    if not headers.deep or isinstance(settings.value_range, tuple):
        return spec, []
    spans = _spans(source, headers, spec, lock, workers)
    found = {}
    for depth, members in headers.deep.items():
        own = spans[[index for index in members if index not in headers.bad]]
        if len(own):
            found[depth] = (float(own[:, 0].min()), float(own[:, 1].max()), len(own))
    if settings.value_range == "data" and found:
        low, high = min(span[0] for span in found.values()), max(span[1] for span in found.values())
        n = sum(span[2] for span in found.values())
        if low == high:
            raise BadInput(f"data.value_range: data: all numbers in the {n} images of more than 8 bits are {low:g}")
        remark = (
            f"data.value_range: data: {low:g} is black and {high:g} white, the joint range of {counted(n, 'image')}"
        )
        return replace(spec, value_range=(low, high)), [remark]
    for depth, (low, high, n) in found.items():
        if reason := range_problem(depth, low, high, n):
            headers.bad.update({index: reason for index in headers.deep[depth] if index not in headers.bad})
    if not headers.good.any():
        spec_of(headers, settings)
    return spec, []


def range_problem(depth: Depth, low: float, high: float, n: int) -> str | None:
    """Why `n` pictures of one type, with numbers from `low` to `high`, need a declared range; None if they do not.

    They do where the type does not say what is white, or the numbers fill less than half of it.
    """
    together = "" if n == 1 else f" (and {n - 1} others: the range is that of all)"
    if depth.white is None:
        return f"{needs_range(depth, low, high)}, for instance [{low:g}, {high:g}], or data for just that{together}"
    if high == 0 or 2 * (high - low) >= depth.white:
        return None
    dark, fate = (True, "turn black") if 2 * high < depth.white else (False, "lose its contrast")
    proposal = f"[0, {2 ** int(high).bit_length() - 1}]" if dark else f"[{low:g}, {high:g}]"
    return (
        f"has {depth.bits} bits, of which it uses {low:g} to {high:g} of {depth.white:g} and would {fate}: {SAY}, "
        f"for instance {proposal}, or data for [{low:g}, {high:g}], or [0, {depth.white:g}] to take it as it is"
        f"{together}"
    )


def _spans(
    source: ImageSource, headers: ImageHeaders, spec: ImageSpec, lock: Path, workers: int
) -> NDArray[np.float64]:
    """The lowest and the highest number of each deep picture, float64 [n, 2]; those that cannot be read become bad."""
    n = len(source)
    deep = {index for members in headers.deep.values() for index in members}
    large = _large(headers)
    spans = np.zeros((n, 2))

    def work(start: int) -> Callable[[ImageSource], dict[int, tuple[float, float] | str]]:
        rows = range(start, min(start + CHUNK, n))
        return partial(
            _measure_chunk,
            spec=spec, members=tuple(index - start for index in rows if index in deep), lock=lock,
            large=frozenset(index - start for index in rows if index in large),
        )  # fmt: skip

    for start, chunk in _in_chunks("measuring values", source, work, workers):
        for index, found in chunk.items():
            if isinstance(found, str):
                headers.bad[start + index] = found
            else:
                spans[start + index] = found
    return spans


def _measure_chunk(
    source: ImageSource, *, spec: ImageSpec, members: tuple[int, ...], lock: Path, large: frozenset[int]
) -> dict[int, tuple[float, float] | str]:
    found: dict[int, tuple[float, float] | str] = {}
    for index in members:
        try:
            with _one_at_a_time(lock, index in large):
                found[index] = source.span(index, spec)
        except ImageError as bad:
            found[index] = str(bad)
    return found


def _large(headers: ImageHeaders) -> set[int]:
    return set(np.flatnonzero(headers.sizes.prod(axis=1) > LARGE).tolist())


@contextmanager
def _one_at_a_time(lock: Path, wanted: bool) -> Iterator[None]:
    """Hold the file `lock` if that is wanted, so that no two processes decode a large picture at once."""
    if not wanted:
        yield
        return
    with lock.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # until the file is closed
        yield


def searched(headers: ImageHeaders, spec: ImageSpec, settings: DataSettings) -> tuple[int, NDArray[np.bool_]]:
    """The side at which near-duplicates are sought, and which pictures are large enough, bool [n].

    That of the networks if it is large enough, else up to `SEARCH_SIDE` as the pictures themselves have it.
    """
    own = headers.sizes.min(axis=1)
    side = spec.side
    if settings.near_duplicates is not None:
        side = max(side, min(SEARCH_SIDE, int(own[headers.good].max(initial=0))))
    return side, (own if spec.side < SMALLEST_SIDE else np.full_like(own, spec.side)) >= SMALLEST_SIDE


def decoded(
    source: ImageSource,
    headers: ImageHeaders,
    spec: ImageSpec,
    settings: DataSettings,
    folder: Path,
    lock: Path,
    workers: int,
) -> Decoded:
    """Decode all pictures but those that are bad already into new files in `folder`, and hash them.

    Args:
        source: all of them.
        headers: their headers.
        spec: what to bring them to.
        settings: whether near-duplicates are sought.
        folder: for the files.
        lock: a file that processes lock while they decode a large picture.
        workers: processes that decode.
    """
    n = len(source)
    folder = folder.absolute()  # workers may stand in another folder
    search_side, searchable = searched(headers, spec, settings)
    images, compared = folder / "pixels.npy", folder / "compared.npy"
    new_array(images, (n, spec.side, spec.side, spec.channels), np.uint8)
    if search_side == spec.side:
        compared = images
    else:
        new_array(compared, (n, search_side, search_side, spec.channels), np.uint8)
    result = Decoded(
        images, compared, searchable, np.zeros((n, 16), np.uint8), np.zeros((n, 16), np.uint8), np.zeros(n, bool),
        _no_sketches(n), dict(headers.bad), Counter(), {},
    )  # fmt: skip
    large = _large(headers)

    def work(start: int) -> Callable[[ImageSource], _Chunk]:
        rows = range(start, min(start + CHUNK, n))
        return partial(
            _decode_chunk,
            start=start, files=(images, compared), spec=spec, lock=lock,
            skipped=frozenset(index - start for index in rows if index in headers.bad),
            large=frozenset(index - start for index in rows if index in large),
            searchable=searchable[start : start + CHUNK],
        )  # fmt: skip

    for start, chunk in _in_chunks("decoding", source, work, workers):
        rows = slice(start, start + len(chunk.hashes))
        result.hashes[rows], result.grey_hashes[rows] = chunk.hashes, chunk.grey_hashes
        result.colourless[rows], result.sketches[rows] = chunk.colourless, chunk.sketches
        result.bad.update(chunk.bad)
        result.conversions.update(chunk.conversions)
        result.brightest = max(result.brightest, chunk.brightest)
        result.examples.update({word: index for word, index in chunk.examples.items() if word not in result.examples})
    return result


@dataclass(slots=True)
class _Chunk:
    """What a worker sends back of a chunk; the images themselves it has written."""

    hashes: NDArray[np.uint8]
    grey_hashes: NDArray[np.uint8]
    colourless: NDArray[np.bool_]
    sketches: Sketches
    bad: dict[int, str] = field(default_factory=dict)
    conversions: Counter[str] = field(default_factory=Counter)
    examples: dict[str, int] = field(default_factory=dict)
    brightest: int = 0


def _decode_chunk(
    source: ImageSource, *, start: int, files: tuple[Path, Path], spec: ImageSpec, lock: Path, skipped: frozenset[int],
    large: frozenset[int], searchable: NDArray[np.bool_],
) -> _Chunk:  # fmt: skip
    n = len(source)
    chunk = _Chunk(np.zeros((n, 16), np.uint8), np.zeros((n, 16), np.uint8), np.zeros(n, bool), _no_sketches(n))
    # Mapped for this chunk alone, since pages of a map count as memory of the process until it goes.
    targets = [np.load(file, mmap_mode="r+")[start : start + n] for file in dict.fromkeys(files)]
    sides = [target.shape[1] for target in targets]
    for index in sorted(set(range(n)) - skipped):
        try:
            with _one_at_a_time(lock, index in large):
                squares, conversions = source.squares(index, spec, sides)
        except ImageError as bad:
            chunk.bad[start + index] = str(bad)
            continue
        for target, square in zip(targets, squares, strict=True):
            target[index] = square
        chunk.hashes[index] = np.frombuffer(pixel_hash(squares[0]), np.uint8)
        chunk.brightest = max(chunk.brightest, int(squares[0].max()))
        chunk.conversions.update(conversions)
        for word in conversions:
            chunk.examples.setdefault(word, start + index)
    _look_for_colour(targets[0], chunk)
    if searchable.any():
        chunk.sketches[searchable] = sketches(targets[-1][searchable])
    return chunk


def _no_sketches(n: int) -> Sketches:
    return np.zeros((n, SUMS + 1), np.float32)


def _look_for_colour(rows: Images, chunk: _Chunk) -> None:
    chunk.colourless[:] = (rows == rows[..., :1]).all(axis=(1, 2, 3))
    for index in np.flatnonzero(chunk.colourless):
        chunk.grey_hashes[index] = np.frombuffer(pixel_hash(rows[index, ..., :1]), np.uint8)


def _in_chunks(
    title: str, source: ImageSource, work: Callable[[int], Callable[[ImageSource], Result]], workers: int
) -> Iterator[tuple[int, Result]]:
    """`work(start)` of every `CHUNK` pictures, in their order however many work at it, with `start`."""
    n = len(source)
    starts = range(0, n, CHUNK)
    workers = 1 if n <= SERIAL_LIMIT else min(workers, len(starts))
    board = np.zeros((1, 2), np.int64)
    with ProgressReporter(title, board, n, images_per_step=1, unit="images"):
        # One thread each: otherwise each would start as many as there are cores.
        with joblib.parallel_config(backend="loky", inner_max_num_threads=1):
            results = joblib.Parallel(n_jobs=workers, return_as="generator")(
                joblib.delayed(_in_worker)(work(start), source.part(start, min(start + CHUNK, n)), os.getpid())
                for start in starts
            )
        for start, result in zip(starts, results, strict=True):
            board[0, 0] = min(start + CHUNK, n)
            yield start, result


def _in_worker(work: Callable[[ImageSource], Result], source: ImageSource, owner: int) -> Result:
    if os.getpid() != owner:
        end_with_parent(owner)
    return work(source)
