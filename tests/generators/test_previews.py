"""Figures of generated images."""

from __future__ import annotations

import numpy as np
from PIL import Image

from makeweight.core.data import Split
from makeweight.generators.previews import PREVIEW_ROWS, contents, grid


def test_the_preview_has_a_row_for_each_class_and_white_where_images_lack() -> None:
    drawn = Split(np.zeros((3, 8, 8, 3), np.uint8), np.array([0, 0, 1]), ("a", "b"))
    picture = grid(drawn)
    zoom = picture.height // 19  # two rows of eight pixels, three lines of margin
    small = np.asarray(picture.resize((picture.width // zoom, picture.height // zoom), Image.Resampling.NEAREST))
    black = (small == 0).all(2)
    assert black[1:9].sum() == 2 * 64
    assert black[10:18].sum() == 64
    assert small.shape == (19, 109, 3)


def test_the_preview_has_a_limited_number_of_rows() -> None:
    names = tuple(str(label) for label in range(1000))
    drawn = Split(np.zeros((1000, 8, 8, 1), np.uint8), np.arange(1000), names)
    first = Split(drawn.images[:PREVIEW_ROWS], drawn.labels[:PREVIEW_ROWS], names[:PREVIEW_ROWS])
    assert np.array_equal(np.asarray(grid(drawn)), np.asarray(grid(first)))
    assert contents(1000) == "some of the first 50 of 1000 classes"
    assert contents(50) == "some"
