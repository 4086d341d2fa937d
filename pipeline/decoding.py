"""Looking at, and decoding, all pictures of a reading: on every core, into one file, holding few in memory."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

import joblib
import numpy as np
from numpy.typing import NDArray

from pipeline.core import BadInput, BadPicture, Form, Images, Look, Pictures
from pipeline.duplicates import SMALLEST_SIDE, SUMS, Sketches, pixel_hash, sketches
from pipeline.params import DataSettings
from pipeline.pictures import side_of
from pipeline.processes import end_with_parent
from pipeline.progress import Shown
from pipeline.storage import new_array

CHUNK = 256  # pictures handed to a worker at a time
ALONE = 4 * CHUNK  # up to so many, starting workers takes longer than it saves
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Looks:
    """The headers of all pictures.

    Attributes:
        sizes: int64 [n, 2], width and height; 0 where a picture is bad.
        grey: bool [n], whether it can only be grey.
        bad: reasons, by index.
    """

    sizes: NDArray[np.int64]
    grey: NDArray[np.bool_]
    bad: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Decoded:
    """All pictures as images, in a file.

    Attributes:
        images: a `.npy` of uint8 [n, side, side, channels]; zeros where a picture is bad.
        hashes: uint8 [n, 16], of the pixels.
        grey_hashes: likewise, of the first channel alone, where all channels agree; else zeros.
        colourless: bool [n], whether all channels agree.
        sketches: float32 [n, 65]; zeros below `duplicates.SMALLEST_SIDE`.
        bad: reasons, by index.
        said: what was done, to how many pictures.
        examples: for each of these, the index of the first such picture.
    """

    images: Path
    hashes: NDArray[np.uint8]
    grey_hashes: NDArray[np.uint8]
    colourless: NDArray[np.bool_]
    sketches: Sketches
    bad: dict[int, str]
    said: Counter[str]
    examples: dict[str, int]


def looked_at(pictures: Pictures, workers: int) -> Looks:
    """Read every header."""
    looks = Looks(np.zeros((len(pictures), 2), np.int64), np.zeros(len(pictures), bool))
    for start, chunk in _in_chunks("looking at images", pictures, lambda start: _look_at_chunk, workers):
        for index, found in enumerate(chunk, start):
            if isinstance(found, str):
                looks.bad[index] = found
            else:
                looks.sizes[index], looks.grey[index] = found.size, found.grey
    return looks


def _look_at_chunk(pictures: Pictures) -> list[Look | str]:
    """Each picture's header, or why it has none."""

    def attempt(index: int) -> Look | str:
        try:
            return pictures.look(index)
        except BadPicture as bad:
            return str(bad)

    return [attempt(index) for index in range(len(pictures))]


def form_of(looks: Looks, settings: DataSettings) -> Form:
    """What to bring the pictures to: what the parameters say, and else what suits those that are not bad.

    Raises:
        BadInput: all are bad.
    """
    good = np.ones(len(looks.grey), dtype=bool)
    good[list(looks.bad)] = False
    if not good.any():
        raise BadInput("data.path: not one picture there can be used; the report lists them all with their reasons")
    red, green, blue = settings.background
    return Form(
        side=settings.image_size or side_of(looks.sizes[good]),
        channels=settings.channels or (1 if looks.grey[good].all() else 3),
        fit=settings.fit,
        background=(red, green, blue),
        value_range=(settings.value_range[0], settings.value_range[1]) if settings.value_range else None,
        first_frame=settings.first_frame,
    )


def decoded(pictures: Pictures, bad: dict[int, str], form: Form, images: Path, workers: int) -> Decoded:
    """Decode all pictures but those that are `bad` already into the new file `images`, and hash them."""
    n = len(pictures)
    images = images.absolute()  # workers may stand in another folder
    new_array(images, (n, form.side, form.side, form.channels), np.uint8)
    result = Decoded(
        images, np.zeros((n, 16), np.uint8), np.zeros((n, 16), np.uint8), np.zeros(n, bool),
        _no_sketches(n), dict(bad), Counter(), {},
    )  # fmt: skip

    def work(start: int) -> Callable[[Pictures], _Chunk]:
        skipped = frozenset(index - start for index in range(start, min(start + CHUNK, n)) if index in bad)
        return partial(_decode_chunk, start=start, images=images, form=form, skipped=skipped)

    for start, chunk in _in_chunks("decoding", pictures, work, workers):
        rows = slice(start, start + len(chunk.hashes))
        result.hashes[rows], result.grey_hashes[rows] = chunk.hashes, chunk.grey_hashes
        result.colourless[rows], result.sketches[rows] = chunk.colourless, chunk.sketches
        result.bad.update(chunk.bad)
        result.said.update(chunk.said)
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
    said: Counter[str] = field(default_factory=Counter)
    examples: dict[str, int] = field(default_factory=dict)


def _decode_chunk(pictures: Pictures, *, start: int, images: Path, form: Form, skipped: frozenset[int]) -> _Chunk:
    n = len(pictures)
    chunk = _Chunk(np.zeros((n, 16), np.uint8), np.zeros((n, 16), np.uint8), np.zeros(n, bool), _no_sketches(n))
    # Mapped for this chunk alone, since pages of a map count as memory of the process until it goes.
    rows = np.load(images, mmap_mode="r+")[start : start + n]
    for index in sorted(set(range(n)) - skipped):
        try:
            rows[index], said = pictures.decode(index, form)
        except BadPicture as bad:
            chunk.bad[start + index] = str(bad)
            continue
        chunk.hashes[index] = np.frombuffer(pixel_hash(rows[index]), np.uint8)
        chunk.said.update(said)
        for word in said:
            chunk.examples.setdefault(word, start + index)
    _look_for_colour(rows, chunk)
    if form.side >= SMALLEST_SIDE:
        chunk.sketches[:] = sketches(rows)
    return chunk


def _no_sketches(n: int) -> Sketches:
    return np.zeros((n, SUMS + 1), np.float32)


def _look_for_colour(rows: Images, chunk: _Chunk) -> None:
    chunk.colourless[:] = (rows == rows[..., :1]).all(axis=(1, 2, 3))
    for index in np.flatnonzero(chunk.colourless):
        chunk.grey_hashes[index] = np.frombuffer(pixel_hash(rows[index, ..., :1]), np.uint8)


def _in_chunks(
    title: str, pictures: Pictures, work: Callable[[int], Callable[[Pictures], Result]], workers: int
) -> Iterator[tuple[int, Result]]:
    """`work(start)` of every `CHUNK` pictures, in their order however many work at it, with `start`."""
    n = len(pictures)
    starts = range(0, n, CHUNK)
    workers = 1 if n <= ALONE else min(workers, len(starts))
    board = np.zeros((1, 2), np.int64)
    with Shown(title, board, n, images_per_step=1, unit="images"):
        # One thread each: otherwise each would start as many as there are cores.
        with joblib.parallel_config(backend="loky", inner_max_num_threads=1):
            results = joblib.Parallel(n_jobs=workers, return_as="generator")(
                joblib.delayed(_in_worker)(work(start), pictures.part(start, min(start + CHUNK, n)), os.getpid())
                for start in starts
            )
        for start, result in zip(starts, results, strict=True):
            board[0, 0] = min(start + CHUNK, n)
            yield start, result


def _in_worker(work: Callable[[Pictures], Result], pictures: Pictures, owner: int) -> Result:
    if os.getpid() != owner:
        end_with_parent(owner)
    return work(pictures)
