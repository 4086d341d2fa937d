"""Unions of the synthetic images of several families."""

from __future__ import annotations

import numpy as np
import pytest

from makeweight.classification.unions import equal_parts
from makeweight.core.data import Split

PER_CLASS, CLASSES = 7, ("a", "b", "c")


def drawn(mark: int) -> Split:
    """Images that show `mark` and their rank within the class."""
    labels = np.repeat(np.arange(len(CLASSES)), PER_CLASS)
    images = np.zeros((len(labels), 8, 8, 1), np.uint8)
    images[:, 0, 0, 0] = mark
    images[:, 0, 1, 0] = np.tile(np.arange(PER_CLASS), len(CLASSES))
    return Split(images, labels, CLASSES)


@pytest.mark.parametrize(("families", "parts"), [(2, [4, 3]), (3, [3, 2, 2])])
def test_a_union_has_as_many_images_of_each_class_as_one_family_in_equal_parts(families: int, parts: list[int]) -> None:
    union = equal_parts([drawn(mark) for mark in range(families)])
    assert union.counts.tolist() == [PER_CLASS] * len(CLASSES)
    for label in range(len(CLASSES)):
        of_class = union.images[union.labels == label]
        assert np.bincount(of_class[:, 0, 0, 0]).tolist() == parts
        assert sorted(of_class[:, 0, 1, 0].tolist()) == list(range(PER_CLASS))  # no rank is drawn twice


def test_the_images_of_one_family_stay_as_they_are() -> None:
    alone = drawn(1)
    assert equal_parts([alone]) is alone


def test_a_union_of_no_images_has_none() -> None:
    """Under `generate.strategy: balance` no image is drawn where no class lacks any."""
    nothing = drawn(0).take(np.arange(0))
    assert len(equal_parts([nothing, nothing])) == 0
