"""Near-copies and membership inference, on images for which the answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from makeweight.quality.memorisation import find_copies, membership_auc, nearest_of_class
from tests.support.assessing import copies, noise, real

TRAIN, HELD_OUT = real(0), real(1)


def test_real_images_of_the_same_kind_are_no_copies_and_reveal_nothing() -> None:
    other = real(2)
    found = find_copies(other, TRAIN, HELD_OUT, 0.3)
    assert not found.near.any()
    assert np.median(found.distances / found.typical[other.labels]) == pytest.approx(1, abs=0.1)
    membership = membership_auc(TRAIN, HELD_OUT, other)
    assert membership.low < 0.5 < membership.high


def test_copies_are_all_found_beside_their_originals_and_reveal_who_was_there() -> None:
    found = find_copies(copies(TRAIN), TRAIN, HELD_OUT, 0.3)
    assert found.near.all()
    assert np.array_equal(found.rows, np.arange(len(TRAIN)))
    assert (found.near_held_out == 0).all()
    membership = membership_auc(TRAIN, HELD_OUT, copies(TRAIN))
    assert membership.value == 1
    assert 0.9 < membership.low < 1


def test_copies_of_one_class_are_counted_there_only() -> None:
    own = copies(TRAIN)
    mixed = own.images.copy()
    mixed[TRAIN.labels != 1] = real(3).images[TRAIN.labels != 1]
    found = find_copies(type(TRAIN)(mixed, TRAIN.labels, TRAIN.classes), TRAIN, HELD_OUT, 0.3)
    assert [found.near[TRAIN.labels == label].mean() for label in range(3)] == [0, 1, 0]


def test_noise_is_farther_away_than_held_out_images_and_no_copy() -> None:
    found = find_copies(noise(4), TRAIN, HELD_OUT, 0.3)
    assert not found.near.any()
    assert np.median(found.distances / found.typical[noise(4).labels]) > 2


def test_a_class_without_training_or_held_out_images_has_no_copies_of_its_own() -> None:
    train, held_out = real(0, (9, 0, 9)), real(1, (9, 9, 0))
    found = find_copies(real(2), train, held_out, 0.3)
    without = real(2).labels == 1
    assert (found.rows[without] == -1).all()
    assert not found.near[without].any()
    assert np.isnan(found.near_held_out[[1, 2]]).all()
    assert np.isfinite(found.typical).all()  # class 2: that of all held-out images
    assert membership_auc(train, held_out, real(2)).value == pytest.approx(0.5, abs=0.4)


def test_the_nearest_image_is_of_the_same_class() -> None:
    train = real(0)
    query = train.take(np.array([0, 50, 100]))
    rows, distances = nearest_of_class(query, type(train)(train.images[::-1], train.labels[::-1], train.classes))
    assert rows.tolist() == [119, 69, 19]
    assert distances.tolist() == [0, 0, 0]
