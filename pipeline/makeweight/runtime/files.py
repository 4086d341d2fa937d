"""Reading and writing what passes from stage to stage: same values, same bytes; never half a folder; no pickles."""

from __future__ import annotations

import errno
import json
import math
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from makeweight.core.errors import BadInput
from makeweight.core.text import as_cell
from makeweight.runtime.processes import locked

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TEMPORARY = Path(".makeweight/tmp")  # what is being written; whatever nobody writes any more is removed
IN_USE = Path(".makeweight/lock")  # shared by all who write there; held alone by those who remove what others left
PREPARATION = "preparation.json"  # in each split: which run of `prepare` has written it
FLOAT_FORMAT = "%.6g"
BLOCK = 1 << 24  # bytes that are copied at a time


@contextmanager
def in_use() -> Iterator[None]:
    """Keep `makeweight clean`, and all that removes what killed processes left, out of `.makeweight`."""
    with locked(IN_USE, "makeweight clean", shared=True):
        yield


@contextmanager
def atomic_directory(folder: Path, *, durable: bool = False) -> Iterator[Path]:
    """A temporary folder that takes the place of `folder` if the block ends without an error, and vanishes if not.

    Args:
        folder: what is replaced.
        durable: whether all of it is on the disk before it is there, so that a power cut leaves no empty files.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _temporary(folder.parent, folder.name) as temporary:
        yield temporary
        if durable:
            for path in [*temporary.rglob("*"), temporary]:
                _sync(path)
        if folder.exists():
            shutil.rmtree(folder)
        os.replace(temporary, folder)


def _sync(path: Path) -> None:
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


@contextmanager
def _temporary(place: Path, name: str) -> Iterator[Path]:
    """A new folder that can be moved into `place` by a rename; it is removed when the block ends.

    It lies in `.makeweight/tmp`, where a killed process leaves nothing that DVC would hash. Beside its target it lies
    only where that is outside the current folder, or on another file system.
    """
    if not place.resolve().is_relative_to(Path.cwd()):
        with _new_folder(place, name) as temporary:
            yield temporary
        return
    _sweep()
    with in_use():
        TEMPORARY.mkdir(parents=True, exist_ok=True)
        with _new_folder(TEMPORARY, name) as temporary:
            if _moves_to(temporary, place):
                yield temporary
                return
        with _new_folder(place, name) as temporary:
            yield temporary


@contextmanager
def _new_folder(place: Path, name: str) -> Iterator[Path]:
    temporary = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=place))
    temporary.chmod(0o755)  # mkdtemp gives 0o700
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _moves_to(folder: Path, place: Path) -> bool:
    """Whether the empty `folder` can be renamed into `place`. Tried, since two mounts of one device look alike."""
    try:
        folder.rename(place / folder.name).rename(folder)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        return False
    return True


def _sweep() -> None:
    """Remove what killed processes have left in `.makeweight/tmp`, unless another one is writing there."""
    with suppress(BadInput), locked(IN_USE, "", timeout=0):
        for left_over in TEMPORARY.glob("*"):
            shutil.rmtree(left_over, ignore_errors=True)


@contextmanager
def atomic_directories(parent: Path, names: Sequence[str], scratch: str) -> Iterator[Path]:
    """A temporary folder below `parent`, whose sub-folders `names` take the places of those in `parent` all at once.

    They do if the block ends without an error; if it does not, all stays as it was. Between the first and the last of
    six renames a killed process leaves a mixture, and nothing in between: what else it leaves, the next one removes.

    Args:
        parent: made if need be.
        names: of the sub-folders; all of them must be there when the block ends.
        scratch: begins the name of the temporary folder, and is used for nothing else there.

    Raises:
        BadInput: another process is at the same work.
    """
    parent.mkdir(parents=True, exist_ok=True)
    with locked(parent / f"{scratch}.lock", f"writing to {parent}"):
        for left_over in parent.glob(f"{scratch}-*"):
            shutil.rmtree(left_over, ignore_errors=True)
        temporary = Path(tempfile.mkdtemp(prefix=f"{scratch}-", dir=parent))
        try:
            yield temporary
            _exchange(temporary, parent, names)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _exchange(temporary: Path, parent: Path, names: Sequence[str]) -> None:
    """Put the new folders in the places of the old ones; undo it if that is interrupted."""
    old = temporary / "old"
    old.mkdir()
    moves = [(parent / name, old / name) for name in names if (parent / name).exists()]
    moves += [(temporary / name, parent / name) for name in names]
    done: list[tuple[Path, Path]] = []
    try:
        for source, target in moves:
            done.append((source, target))
            os.replace(source, target)
    except BaseException:
        for source, target in reversed(done):
            if target.exists() and not source.exists():
                os.replace(target, source)
        raise


@contextmanager
def atomic_files(folder: Path) -> Iterator[Path]:
    """A temporary folder whose files move into `folder`, beside what is there, if the block ends without an error."""
    folder.mkdir(parents=True, exist_ok=True)
    with _temporary(folder, "new") as temporary:
        yield temporary
        for path in sorted(temporary.iterdir()):
            os.replace(path, folder / path.name)


def new_array(path: Path, shape: tuple[int, ...], dtype: type[np.generic]) -> None:
    """Make the file `path` a `.npy` of zeros, to be filled in by memory map.

    Its space is taken at once: a map of a file that finds the disk full ends the process without a word.
    """
    header = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False, "shape": shape}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        if size := math.prod(shape) * np.dtype(dtype).itemsize:
            reserve(file, size)


def reserve(file: IO[bytes], size: int) -> None:
    """Take `size` bytes of the disk from where `file` stands; OSError where there are not so many."""
    start = file.tell()
    file.flush()
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), start, size)
        return
    for _ in range(size // BLOCK):  # macOS
        file.write(bytes(BLOCK))
    file.write(bytes(size % BLOCK))


class UnixLines:
    """Takes the lines of a CSV writer, which quotes a carriage return in a cell only if its own lines end with one."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def write(self, line: str) -> int:
        """Write one line, with a line feed alone at its end."""
        return self._file.write(line.removesuffix("\r\n") + "\n")


def write_text(path: Path, text: str) -> None:
    """Write `text` in UTF-8 with Unix line ends."""
    path.write_text(text, encoding="utf-8", newline="\n")


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Write `table` with six significant digits and Unix line ends, its texts by `as_cell`."""
    texts = table.select_dtypes(["object", "string"]).map(lambda cell: as_cell(cell) if isinstance(cell, str) else cell)
    table = table.assign(**texts).rename(columns=as_cell)
    with path.open("w", encoding="utf-8", newline="") as file:
        lines: Any = UnixLines(file)  # pandas declares more of a file than it uses
        table.to_csv(lines, index=False, float_format=FLOAT_FORMAT, lineterminator="\r\n")


def joined(tables: Iterable[Path]) -> pd.DataFrame:
    """One table of the replicates' tables, in their order, with a first column `replicate`."""
    frames = [pd.read_csv(path) for path in tables]
    return pd.concat(frames, keys=range(len(frames)), names=["replicate"]).reset_index(level=0)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON in UTF-8."""
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read what `write_json` wrote."""
    return json.loads(path.read_text(encoding="utf-8"))


def save_picture(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, without the stamp of Matplotlib's version."""
    figure.savefig(path, dpi=150, metadata={"Software": None})


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write `arrays` as an uncompressed `.npz`; NumPy dates every member alike, so that the bytes are stable."""
    with path.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Read what `write_arrays` wrote."""
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)
