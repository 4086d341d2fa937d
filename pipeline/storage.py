"""Reading and writing what passes from stage to stage: same values, same bytes; never half a folder; no pickles."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.core import BadInput, Split

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CACHE = Path(".makeweight/cache")  # finished replicates
CHECKPOINTS = Path(".makeweight/checkpoints")  # what killed trainings go on from
LOGS = Path("logs")  # times and rates
FLOAT_FORMAT = "%.6g"


@contextmanager
def replaced_folder(folder: Path) -> Iterator[Path]:
    """A temporary folder that takes the place of `folder` if the block ends without an error, and vanishes if not."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    temporary.chmod(0o755)  # mkdtemp gives 0o700
    try:
        yield temporary
        if folder.exists():
            shutil.rmtree(folder)
        os.replace(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def replaced_files(folder: Path) -> Iterator[Path]:
    """A temporary folder whose files move into `folder`, beside what is there, if the block ends without an error."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".new-", dir=folder) as temporary:
        yield Path(temporary)
        for path in sorted(Path(temporary).iterdir()):
            os.replace(path, folder / path.name)


def write_split(folder: Path, split: Split, rows: Mapping[str, Sequence[object]]) -> None:
    """Write `split` into `folder` (made if need be): `images.npy`, `labels.npy`, `classes.json`, `metadata.csv`.

    Args:
        folder: where to.
        split: what to write.
        rows: further columns of `metadata.csv`, one value an image: where each image came from.
    """
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "images.npy", split.images, allow_pickle=False)
    np.save(folder / "labels.npy", split.labels, allow_pickle=False)
    write_json(folder / "classes.json", list(split.classes))
    names = [split.classes[label] for label in split.labels]
    write_csv(folder / "metadata.csv", pd.DataFrame({"index": range(len(split)), "class": names, **rows}))


def read_split(folder: Path) -> Split:
    """What `write_split` wrote; the images are mapped from the disk, not copied into memory.

    Raises:
        BadInput: the folder does not hold a split.
    """
    try:
        return Split(
            np.load(folder / "images.npy", mmap_mode="r", allow_pickle=False),
            np.load(folder / "labels.npy", allow_pickle=False),
            tuple(read_json(folder / "classes.json")),
        )
    except FileNotFoundError as error:
        raise BadInput(
            f"{folder} holds no images ({Path(error.filename).name} is missing): run the stage that writes it"
        ) from error


def write_text(path: Path, text: str) -> None:
    """Write `text` in UTF-8 with Unix line ends."""
    path.write_text(text, encoding="utf-8", newline="\n")


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Write `table` with six significant digits and Unix line ends."""
    table.to_csv(path, index=False, float_format=FLOAT_FORMAT, lineterminator="\n")


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
