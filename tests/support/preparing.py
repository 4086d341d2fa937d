"""Image folders, and `prepare` run on them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from makeweight.intake.interface import Reader
from makeweight.intake.prepare import prepare
from makeweight.intake.readers.arrays import ArrayFiles
from makeweight.intake.readers.digits import Digits
from makeweight.intake.readers.folder import Folder
from makeweight.intake.readers.tables import CSV
from makeweight.intake.report import Report
from tests.support.data_settings import settings

READERS: dict[str, type[Reader]] = {"folder": Folder, "csv": CSV, "digits": Digits, "arrays": ArrayFiles}
RNG = np.random.default_rng(0)


def noise_image(side: int = 8, channels: int = 3) -> Image.Image:
    """Random noise, different in each call."""
    return Image.fromarray(RNG.integers(0, 256, (side, side, channels), dtype=np.uint8).squeeze())


def photos(
    folder: Path, classes: tuple[str, ...] = ("cat", "dog"), count: int = 6, side: int = 8, channels: int = 3
) -> Path:
    for name in classes:
        (folder / name).mkdir(parents=True, exist_ok=True)
        for index in range(count):
            noise_image(side, channels).save(folder / name / f"{index}.png")
    return folder


def run(folder: Path, reader: str = "folder", path: Path | None = None, **changes: Any) -> tuple[Report, str]:
    """The report of `prepare` on `folder`, and its errors; the outputs lie beside the folder."""
    chosen = settings(reader=reader, path=None if reader == "digits" else str(path or folder), **changes)
    report, refused = prepare(
        READERS[reader](), chosen, 0, workers=1, out=folder.parent / "data", report=folder.parent / "results"
    )
    return report, str(refused or "")
