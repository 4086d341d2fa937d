"""Figures of generated images."""

from __future__ import annotations

import numpy as np
from PIL import Image

from makeweight.core.data import Split
from makeweight.generators.previews import contents, grid, strip
from makeweight.runtime.pictures import MAX_ROWS
from makeweight.training.loop import SHOWN_EACH


def test_the_preview_has_a_row_for_each_class_and_white_where_images_lack() -> None:
    drawn = Split(np.zeros((3, 8, 8, 3), np.uint8), np.array([0, 0, 1]), ("a", "b"))
    picture = grid(drawn)
    zoom = picture.height // 19  # two rows of eight pixels, three lines of margin
    images = picture.crop((picture.width - 109 * zoom, 0, picture.width, picture.height))
    small = np.asarray(images.resize((109, 19), Image.Resampling.NEAREST))
    black = (small == 0).all(2)
    assert black[1:9].sum() == 2 * 64
    assert black[10:18].sum() == 64


def test_the_preview_has_a_limited_number_of_rows() -> None:
    names = tuple(str(label) for label in range(1000))
    drawn = Split(np.zeros((1000, 8, 8, 1), np.uint8), np.arange(1000), names)
    first = Split(drawn.images[:MAX_ROWS], drawn.labels[:MAX_ROWS], names[:MAX_ROWS])
    assert np.array_equal(np.asarray(grid(drawn)), np.asarray(grid(first)))
    assert contents(1000) == "some of the first 50 of 1000 classes"
    assert contents(50) == "some"


def test_images_during_training_stand_beside_the_names_of_their_classes() -> None:
    frames = {str(step): np.zeros((2 * SHOWN_EACH, 8, 8, 1), np.uint8) for step in (10, 20)}
    figure = strip(frames, "cgan", ["$cat", "dog"])
    left, right = figure.axes
    assert [text.get_text() for text in left.get_yticklabels()] == ["$cat", "dog"]
    assert left.get_yticks().tolist() == [4, 13]  # the middles of two rows of nine pixels
    assert not len(right.get_yticks())
