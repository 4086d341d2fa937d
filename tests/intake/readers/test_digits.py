"""The digits of scikit-learn."""

from __future__ import annotations

import pytest

from makeweight.core.errors import BadInput
from makeweight.intake.interface import UNASSIGNED
from makeweight.intake.readers.digits import Digits
from tests.support.data_settings import settings
from tests.support.readers import decoded


def test_digits_are_the_1797_of_scikit_learn_from_black_to_white() -> None:
    listing = Digits().read(settings())
    images = decoded(listing)
    assert images.shape == (1797, 8, 8, 1)
    assert (images.min(), images.max()) == (0, 255)
    assert listing.classes == tuple("0123456789")
    assert (listing.predefined == UNASSIGNED).all()


def test_digits_of_another_size_are_refused() -> None:
    with pytest.raises(BadInput, match=r"data\.image_size"):
        Digits().read(settings(image_size=16))
