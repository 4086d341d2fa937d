"""Pictures of rows of images, each row with the name of its class."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from makeweight.core.data import Images
from makeweight.core.text import shown, valid_unicode

MAX_ROWS, WIDTH = 50, 480  # classes in a picture; approximate width of the images in pixels
LONGEST_NAME, FONT_SIZE, MARGIN = 24, 13, 6  # characters; pixels
BETWEEN_GROUPS = 3  # pixels of images between two groups, instead of 1


def caption(name: str, label: int) -> str:
    """The name of a class as a picture can show it: shortened; "class 7" where the font lacks one of its characters."""
    text = shown(valid_unicode(name))
    if not all(ord(char) in _characters() for char in text):
        return f"class {label}"
    return text if len(text) <= LONGEST_NAME else f"{text[: LONGEST_NAME - 1]}…"


def labelled_rows(rows: Sequence[tuple[str, Images]], columns: int, group: int = 0) -> Image.Image:
    """Images in rows, enlarged by a whole number where they are small, with a caption before each row.

    Args:
        rows: of each row, its caption and at most `columns` images, uint8 [n, side, side, c] of one shape; white where
            there are fewer.
        columns: of images.
        group: number of images after which a wider gap follows; 0: none does.
    """
    side, channels = rows[0][1].shape[1], rows[0][1].shape[3]
    lefts = [1 + column * (side + 1) + (column // group if group else 0) * BETWEEN_GROUPS for column in range(columns)]
    cell, width = side + 1, lefts[-1] + side + 1
    canvas = np.full((len(rows) * cell + 1, width, channels), 255, dtype=np.uint8)
    for row, (_, images) in enumerate(rows):
        for left, image in zip(lefts, images, strict=False):
            canvas[row * cell + 1 : (row + 1) * cell, left : left + side] = image
    zoom = max(1, round(WIDTH / width))
    tiled = Image.fromarray(canvas.squeeze(2) if channels == 1 else canvas)
    tiled = tiled.resize((width * zoom, tiled.height * zoom), Image.Resampling.NEAREST)
    before = 2 * MARGIN + max(round(_font().getlength(text)) for text, _ in rows)
    picture = Image.new(tiled.mode, (before + tiled.width, tiled.height), "white")
    picture.paste(tiled, (before, 0))
    draw = ImageDraw.Draw(picture)
    for row, (text, _) in enumerate(rows):
        draw.text((MARGIN, (row + 0.5) * cell * zoom), text, "black", _font(), anchor="lm")
    return picture


@cache
def _font_file() -> Path:
    import matplotlib as mpl

    return Path(mpl.get_data_path(), "fonts/ttf/DejaVuSans.ttf")  # the same on every machine


@cache
def _font() -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(_font_file(), FONT_SIZE, layout_engine=ImageFont.Layout.BASIC)


@cache
def _characters() -> frozenset[int]:
    from matplotlib.ft2font import FT2Font

    return frozenset(FT2Font(str(_font_file())).get_charmap())
