"""Small image folders, tables and arrays, and what readers find in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from makeweight.core.data import Images
from makeweight.intake.decoding.parallel import read_headers, spec_of
from makeweight.intake.interface import DatasetListing
from makeweight.intake.readers.arrays import ArrayFiles
from makeweight.intake.readers.folder import Folder
from makeweight.intake.readers.tables import CSV
from tests.support.data_settings import settings

TRAIN, VALIDATION, TEST = range(3)


def save(path: Path, pixels: Any, mode: str | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.asarray(pixels))
    (image.convert(mode) if mode else image).save(path)
    return path


def grey(value: int, height: int = 8, width: int = 8) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.full((height, width), value, np.uint8)


def read(folder: Path, **changes: Any) -> DatasetListing:
    return Folder().read(settings(reader="folder", path=str(folder), **changes))


def decoded(listing: DatasetListing, **changes: Any) -> Images:
    spec = spec_of(read_headers(listing.source, 1), settings(**changes))
    return np.stack([listing.source.squares(i, spec, (spec.side,))[0][0] for i in range(len(listing.source))])


def labelled(listing: DatasetListing) -> dict[str, str]:
    return {path: listing.classes[label] for path, label in zip(listing.origins, listing.labels, strict=True)}


def table(path: Path, *lines: str, mark: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(mark + "\n".join(lines) + "\n", encoding="utf-8")
    return path


def read_csv(path: Path, **changes: Any) -> DatasetListing:
    return CSV().read(settings(reader="csv", path=str(path), **changes))


def read_arrays(path: Path, **changes: Any) -> DatasetListing:
    return ArrayFiles().read(settings(reader="arrays", path=str(path), **changes))


def write_arrays(folder: Path, **arrays: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, values in arrays.items():
        np.save(folder / f"{name}.npy", values)
    return folder
