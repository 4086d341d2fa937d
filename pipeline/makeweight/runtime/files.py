"""Reading and writing of files: byte-stable, atomic, without pickles."""

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

from makeweight.core.data import FileState
from makeweight.core.errors import BadInput
from makeweight.core.text import as_cell, printable
from makeweight.runtime.artifacts import REPLICATE
from makeweight.runtime.processes import locked

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TEMPORARY = Path(".makeweight/tmp")  # files that are being written; those of killed processes are removed
IN_USE = Path(".makeweight/lock")  # shared by all that write there, exclusive for the removal of leftovers
PREPARATION = "preparation.json"  # in each split: identifies the run of `prepare` that wrote it
FLOAT_FORMAT = "%.6g"
BLOCK = 1 << 24  # bytes to copy at a time


@contextmanager
def in_use() -> Iterator[None]:
    """Keep `makeweight clean` and the removal of leftovers out of `.makeweight` while the block lasts."""
    with locked(IN_USE, "makeweight clean", shared=True):
        yield


@contextmanager
def atomic_directory(folder: Path, *, durable: bool = False) -> Iterator[Path]:
    """A temporary folder that replaces `folder` if the block ends without an error, and is removed otherwise.

    Args:
        folder: to be replaced; may be missing.
        durable: whether to flush everything to the disk first, so that a power failure leaves no empty files.
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
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _temporary(parent: Path, name: str) -> Iterator[Path]:
    """A new folder that can be renamed into `parent`; it is removed when the block ends.

    It is in `.makeweight/tmp`, where a killed process leaves nothing that DVC would hash; or in `parent`, if that is
    outside the current folder or on another file system.
    """
    if not parent.resolve().is_relative_to(Path.cwd()):
        with _new_folder(parent, name) as temporary:
            yield temporary
        return
    _remove_leftovers()
    with in_use():
        TEMPORARY.mkdir(parents=True, exist_ok=True)
        with _new_folder(TEMPORARY, name) as temporary:
            if _can_be_renamed_into(temporary, parent):
                yield temporary
                return
        with _new_folder(parent, name) as temporary:
            yield temporary


@contextmanager
def _new_folder(parent: Path, name: str) -> Iterator[Path]:
    temporary = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=parent))
    temporary.chmod(0o755)  # mkdtemp gives 0o700
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _can_be_renamed_into(folder: Path, parent: Path) -> bool:
    """Whether the empty `folder` can be renamed into `parent`. Tried, since two mounts of one device look the same."""
    try:
        folder.rename(parent / folder.name).rename(folder)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        return False
    return True


def _remove_leftovers() -> None:
    """Remove the files of killed processes in `.makeweight/tmp`, unless another process is writing there."""
    with suppress(BadInput), locked(IN_USE, "", timeout=0):
        for leftover in TEMPORARY.glob("*"):
            shutil.rmtree(leftover, ignore_errors=True)


@contextmanager
def new_directory(folder: Path) -> Iterator[Path]:
    """A temporary folder that becomes `folder` if the block ends without an error, and is removed otherwise.

    For exports, which may be anywhere: it leaves no `.makeweight` in the current folder.

    Raises:
        BadInput: `folder` is a file, or is not empty.
    """
    if os.path.lexists(folder) and not folder.is_dir():
        raise BadInput(f"{printable(folder)} is a file: name a new folder, or an empty one")
    if folder.is_dir() and next(folder.iterdir(), None):
        raise BadInput(f"{printable(folder)} is not empty: name a new folder, or an empty one")
    folder = folder.absolute()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _new_folder(folder.parent, folder.name) as temporary:
        yield temporary
        os.replace(temporary, folder)


@contextmanager
def atomic_directories(parent: Path, names: Sequence[str], scratch: str) -> Iterator[Path]:
    """A temporary folder in `parent`, whose subfolders `names` replace those in `parent` together.

    After an error in the block nothing is replaced. A process that is killed between the first and the last of six
    renames leaves old and new subfolders; at any other moment, only files that the next call removes.

    Args:
        parent: created if necessary.
        names: of the subfolders; all of them must exist when the block ends.
        scratch: prefix of the temporary folder's name, for which nothing else in `parent` may use it.

    Raises:
        BadInput: another process is writing to `parent`.
    """
    parent.mkdir(parents=True, exist_ok=True)
    with locked(parent / f"{scratch}.lock", f"writing to {parent}"):
        for leftover in parent.glob(f"{scratch}-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        temporary = Path(tempfile.mkdtemp(prefix=f"{scratch}-", dir=parent))
        try:
            yield temporary
            _exchange(temporary, parent, names)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _exchange(temporary: Path, parent: Path, names: Sequence[str]) -> None:
    """Replace the old folders by the new ones; undo it after an interruption."""
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
    """A temporary folder whose files are moved into `folder`, beside its others, if the block ends without an error."""
    folder.mkdir(parents=True, exist_ok=True)
    with _temporary(folder, "new") as temporary:
        yield temporary
        for path in sorted(temporary.iterdir()):
            os.replace(path, folder / path.name)


def file_state(path: Path) -> FileState | None:
    """The state of the file `path`; None if there is none."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return FileState(path.absolute(), status.st_size, status.st_ino, status.st_mtime_ns, status.st_ctime_ns)


def new_array(path: Path, shape: tuple[int, ...], dtype: type[np.generic]) -> None:
    """Create a `.npy` file of zeros, to be filled by memory map.

    Its space is allocated at once: writing to a memory map on a full disk kills the process without a message.
    """
    header = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False, "shape": shape}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        if size := math.prod(shape) * np.dtype(dtype).itemsize:
            reserve(file, size)


def reserve(file: IO[bytes], size: int) -> None:
    """Allocate `size` bytes on the disk from the position of `file`; OSError if the disk is full."""
    start = file.tell()
    file.flush()
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), start, size)
        return
    for _ in range(size // BLOCK):  # macOS
        file.write(bytes(BLOCK))
    file.write(bytes(size % BLOCK))


class UnixLines:
    """File for a CSV writer that replaces its line ends by line feeds.

    The writer quotes a carriage return in a cell only if its own lines end with one.
    """

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def write(self, line: str) -> int:
        """Write one line with a line feed at its end."""
        return self._file.write(line.removesuffix("\r\n") + "\n")


def write_text(path: Path, text: str) -> None:
    """Write `text` in UTF-8 with Unix line ends."""
    path.write_text(text, encoding="utf-8", newline="\n")


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Write `table` with six significant digits, Unix line ends, and texts escaped by `as_cell`."""
    texts = table.select_dtypes(["object", "string"]).map(lambda cell: as_cell(cell) if isinstance(cell, str) else cell)
    table = table.assign(**texts).rename(columns=as_cell)
    with path.open("w", encoding="utf-8", newline="") as file:
        lines: Any = UnixLines(file)  # pandas declares more methods of a file than it uses
        table.to_csv(lines, index=False, float_format=FLOAT_FORMAT, lineterminator="\r\n")


def joined(tables: Iterable[Path]) -> pd.DataFrame:
    """Concatenate the tables of the replicates, in order, with a first column `replicate`."""
    frames = [pd.read_csv(path) for path in tables]
    return pd.concat(frames, keys=range(len(frames)), names=[REPLICATE]).reset_index(level=0)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON in UTF-8."""
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read what `write_json` wrote."""
    return json.loads(path.read_text(encoding="utf-8"))


def save_picture(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, without the version of Matplotlib in its metadata."""
    figure.savefig(path, dpi=150, metadata={"Software": None})


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write `arrays` as an uncompressed `.npz`; NumPy gives all members the same date, so the bytes are stable."""
    with path.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Read what `write_arrays` wrote."""
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)
