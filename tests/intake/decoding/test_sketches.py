"""Hashes of pixels."""

from __future__ import annotations

from makeweight.intake.decoding.sketches import pixel_hash
from tests.support.images import smooth


def test_only_equal_pixels_share_a_hash() -> None:
    image = smooth(1)[0]
    other = image.copy()
    other[3, 4, 1] ^= 1
    assert pixel_hash(image) == pixel_hash(image.copy()) != pixel_hash(other)
