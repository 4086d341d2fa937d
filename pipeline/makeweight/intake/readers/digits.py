"""The default data set: the handwritten digits of scikit-learn."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from sklearn.datasets import load_digits

from makeweight.core.errors import BadInput
from makeweight.core.parameters import DataSettings
from makeweight.intake.decoding.sources import Arrays
from makeweight.intake.interface import UNASSIGNED, DatasetListing

SIDE = 8
IMBALANCE = 20.0  # the digits are balanced, but the default study is about a long tail


class Digits:
    """1,797 handwritten digits of 8×8 grey pixels (Alpaydin & Kaynak 1998), without a predefined test set."""

    uses: ClassVar[frozenset[str]] = frozenset()

    def read(self, settings: DataSettings) -> DatasetListing:
        """List all digits; BadInput if the settings ask for another size or RGB."""
        if settings.image_size not in (None, SIDE) or settings.channels not in (None, 1):
            raise BadInput("data.image_size and data.channels must be null for the digits: they have 8×8 grey pixels")
        digits = load_digits()
        images = np.round(digits.images * (255 / 16)).astype(np.uint8)[..., None]
        origins = [f"load_digits()[{index}]" for index in range(len(images))]
        classes = tuple(str(name) for name in digits.target_names)
        return DatasetListing(
            Arrays(images), digits.target.astype(np.int64), classes, origins, np.full(len(images), UNASSIGNED, np.int8),
            imbalance=IMBALANCE,
        )  # fmt: skip
