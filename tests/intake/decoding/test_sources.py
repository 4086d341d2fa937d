"""Images from arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from makeweight.core.errors import ImageError
from makeweight.intake.decoding.sources import Arrays
from tests.support.images import spec


@pytest.mark.parametrize(
    ("values", "declared", "expected"),
    [
        (np.array([[0, 255]], np.uint8), None, [0, 255]),
        (np.array([[False, True]]), None, [0, 255]),
        (np.array([[0, 65535]], np.uint16), None, [0, 255]),
        (np.array([[0.0, 0.5, 1.0]]), (0.0, 1.0), [0, 128, 255]),
        (np.array([[-5, 5]], np.int32), (-5.0, 5.0), [0, 255]),
    ],
)
def test_numbers_in_arrays_follow_the_same_rules(values: Any, declared: Any, expected: list[int]) -> None:
    big = np.kron(values, np.ones((8, 8), values.dtype))[None]
    side = 8 * len(expected)
    chosen = spec(channels=1, fit="stretch", value_range=declared)
    (pixels,), _ = Arrays(big).squares(0, chosen, (side,))
    assert pixels[0, 3::8, 0].tolist() == expected
    with pytest.raises(ImageError, match=r"set data\.value_range"):
        Arrays(np.ones((1, 8, 8), np.float32)).squares(0, spec(), (8,))
