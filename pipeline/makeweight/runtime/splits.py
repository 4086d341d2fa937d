"""Reading and writing of splits."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from makeweight.core.data import Labels, Split
from makeweight.core.errors import BadInput
from makeweight.core.text import as_cell
from makeweight.runtime.artifacts import CLASSES, GROUP, IMAGE_LABELS, IMAGES, METADATA
from makeweight.runtime.files import BLOCK, PREPARATION, UnixLines, file_state, new_array, read_json, write_json


def copy_rows(source: Path, rows: Labels, target: Path, *, channels: int) -> None:
    """Copy the images `rows` of the `.npy` file `source` into a new one, in blocks.

    Args:
        source: uint8 [n, side, side, c].
        rows: int64 [m].
        target: the new file.
        channels: number of channels to keep, from the first.
    """
    shape = np.load(source, mmap_mode="r").shape
    new_array(target, (len(rows), *shape[1:3], channels), np.uint8)
    block = max(1, BLOCK // math.prod(shape[1:]))
    for start in range(0, len(rows), block):
        # Mapped anew for each block, since the pages of a map count as memory of the process until it is closed.
        images = np.load(source, mmap_mode="r")[rows[start : start + block]]
        np.load(target, mmap_mode="r+")[start : start + block] = images[..., :channels]


def write_split(folder: Path, split: Split, rows: Mapping[str, Sequence[object]]) -> None:
    """Write `split` into `folder` (created if necessary): `images.npy`, `labels.npy`, `classes.json`, `metadata.csv`.

    Args:
        folder: of the split.
        split: to be written.
        rows: further columns of `metadata.csv`, one value for each image, such as its origin.
    """
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / IMAGES, split.images, allow_pickle=False)
    write_labels(folder, split.labels, split.classes, rows)


def write_labels(folder: Path, labels: Labels, classes: Sequence[str], rows: Mapping[str, Sequence[object]]) -> None:
    """Write a split without `images.npy`; the arguments are those of `write_split`."""
    np.save(folder / IMAGE_LABELS, labels, allow_pickle=False)
    write_json(folder / CLASSES, list(classes))
    # Row by row: a table of a million images would take a gigabyte.
    with (folder / METADATA).open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(UnixLines(file))
        writer.writerow(["index", "class", *rows])
        for row in zip(range(len(labels)), (classes[label] for label in labels), *rows.values(), strict=True):
            writer.writerow([as_cell(cell) if isinstance(cell, str) else cell for cell in row])


def read_split(folder: Path | str) -> Split:
    """Read what `write_split` wrote; the images are memory-mapped.

    Raises:
        BadInput: the folder does not hold a split, or a damaged one.
    """
    folder = Path(folder)
    try:
        state = file_state(folder / IMAGES)
        images = np.load(folder / IMAGES, mmap_mode="r", allow_pickle=False)
        if file_state(folder / IMAGES) != state:
            state = None  # replaced meanwhile
        return Split(
            images, np.load(folder / IMAGE_LABELS, allow_pickle=False), tuple(read_json(folder / CLASSES)), state
        )
    except FileNotFoundError as error:
        raise BadInput(
            f"{folder} holds no images ({Path(error.filename).name} is missing): run dvc repro, or the "
            "command that writes it (prepare, generate)"
        ) from error
    except (ValueError, EOFError) as error:
        raise BadInput(
            f"{folder} holds damaged files ({' '.join(str(error).split())}): run the command again that writes them "
            "(prepare, generate), or dvc checkout"
        ) from error


def read_groups(folder: Path) -> Labels:
    """The group of each image of a split that `prepare` wrote, from the column `group` of its `metadata.csv`.

    Returns:
        int64 [images]: equal numbers for images of one group, in order of first appearance. An image with an empty
        cell is a group by itself.

    Raises:
        BadInput: the table or its column is missing, or the number of rows is not that of the images.
    """
    path = folder / METADATA
    try:
        names = pd.read_csv(path, usecols=[GROUP], dtype=str, keep_default_na=False)[GROUP]
    except (FileNotFoundError, ValueError) as error:
        raise BadInput(f"{path} has no column {GROUP!r} for related images: run prepare again") from error
    if len(names) != (images := len(np.load(folder / IMAGE_LABELS, mmap_mode="r", allow_pickle=False))):
        raise BadInput(f"{path} has {len(names)} rows for {images} images: run prepare again")
    numbers, _ = pd.factorize(np.array([name or index for index, name in enumerate(names)], dtype=object))
    return numbers.astype(np.int64)


def read_splits(*folders: Path) -> list[Split]:
    """Several splits of one data set, each as `read_split` reads it.

    Raises:
        BadInput: a folder does not hold a split, or the splits come from different runs of `prepare`.
    """
    splits = [read_split(folder) for folder in folders]
    runs = [read_json(path) if (path := folder / PREPARATION).exists() else None for folder in folders]
    for folder, run in zip(folders, runs, strict=True):
        if run != runs[0]:
            raise BadInput(f"{folders[0]} and {folder} come from different runs of prepare: run prepare again")
    return splits
