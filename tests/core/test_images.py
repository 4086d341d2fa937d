"""Sizes of images."""

from __future__ import annotations

import pytest

from makeweight.core.images import halvings


@pytest.mark.parametrize(
    ("size", "expected"), [(8, 1), (15, 1), (16, 2), (28, 2), (32, 3), (64, 4), (100, 4), (128, 5)]
)
def test_sides_are_halved_down_to_four_to_seven_pixels(size: int, expected: int) -> None:
    assert halvings(size) == expected
    assert 4 <= size // 2**expected < 8
