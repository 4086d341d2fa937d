"""Pictures of rows of images with captions."""

from __future__ import annotations

import numpy as np
import pytest

from makeweight.runtime.pictures import LONGEST_NAME, MAX_ROWS, caption, labelled_rows


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("cat", "cat"),
        ("Straße", "Straße"),
        ("猫", "class 7"),  # the font has no such characters
        ("a\x1bb", "a\\x1bb"),
        ("x" * 40, "x" * (LONGEST_NAME - 1) + "…"),
    ],
)
def test_captions_are_short_and_readable(name: str, shown: str) -> None:
    assert caption(name, 7) == shown


@pytest.mark.parametrize("side", [8, 28, 32, 64, 128])
def test_a_row_is_high_enough_for_its_caption_and_pixels_stay_square(side: int) -> None:
    rows = [(f"class {label}", np.zeros((12, side, side, 3), np.uint8)) for label in range(MAX_ROWS)]
    picture = labelled_rows(rows, 12)
    assert picture.height / MAX_ROWS >= 20
    assert picture.width < 2200
    text = np.asarray(picture)[:, : picture.width - 13 - 12 * side]
    for row in range(MAX_ROWS):  # each caption is inside its own row
        first, last = (round(at * picture.height / MAX_ROWS) for at in (row, row + 1))
        assert (text[first + 2 : last - 2] < 128).any()


def test_missing_images_are_white_and_groups_stand_apart() -> None:
    black = np.zeros((4, 8, 8, 1), np.uint8)
    full, part = (np.asarray(labelled_rows([("", rows)], 4, group=2)) for rows in (black, black[:1]))
    assert full.shape == part.shape
    assert (part == 0).sum() * 4 == (full == 0).sum()
    columns = np.flatnonzero((full == 255).all(0))  # between images
    gaps = np.split(columns, np.flatnonzero(np.diff(columns) > 1) + 1)
    assert len(gaps[2]) > 2 * len(gaps[1])
