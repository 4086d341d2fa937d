"""PNG files of synthetic images, each of which says in its own metadata what it is."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from makeweight.core.data import Images

NOT_IN_FILE_NAMES = re.compile(r'[\x00-\x1f\x7f%/\\:*?"<>|]|^[. ]|[. ]$')


def file_name(name: str) -> str:
    """A class name as the name of a file or folder on any system; different names stay different."""
    return NOT_IN_FILE_NAMES.sub(lambda found: f"%{ord(found[0]):02X}", name) or "%"


def as_picture(image: Images) -> Image.Image:
    """Uint8 [h, w, 1 or 3] as a picture of Pillow."""
    return Image.fromarray(image.squeeze(2) if image.shape[2] == 1 else image)


def marks(facts: Mapping[str, object]) -> PngInfo:
    """The text chunks of a synthetic image: that it is one, and `facts`."""
    info = PngInfo()
    description = "Synthetic: drawn by a generative model, not recorded"
    for key, value in {"Software": "makeweight", "Description": description, "synthetic": "true", **facts}.items():
        info.add_itxt(key, str(value))
    return info


def tiled(rows: list[Images], columns: int) -> Image.Image:
    """All images of each of `rows` (uint8 [n, side, side, c]); each row of images starts a new line."""
    lines = [row[start : start + columns] for row in rows for start in range(0, len(row), columns)]
    cell = rows[0].shape[1] + 1
    canvas = np.full((len(lines) * cell + 1, columns * cell + 1, rows[0].shape[3]), 255, np.uint8)
    for top, line in enumerate(lines):
        for left, image in enumerate(line):
            canvas[top * cell + 1 : (top + 1) * cell, left * cell + 1 : (left + 1) * cell] = image
    return as_picture(canvas)
