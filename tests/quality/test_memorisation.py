"""Near-copies and membership inference, on images for which the answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import fisher_exact

from makeweight.quality.memorisation import chance_of_copies, find_copies, membership_auc, nearest_of_class
from tests.support.assessing import copies, noise, real

TRAIN, HELD_OUT = real(0), real(1)


def test_real_images_of_the_same_kind_are_no_copies_and_reveal_nothing() -> None:
    other = real(2)
    found = find_copies(other, TRAIN, HELD_OUT, 0.3)
    assert not found.near.any()
    assert np.median(found.distances / found.typical[other.labels]) == pytest.approx(1, abs=0.1)
    membership = membership_auc(TRAIN, HELD_OUT, other, np.arange(240))
    assert membership.low < 0.5 < membership.high


def test_copies_are_all_found_beside_their_originals_and_reveal_who_was_there() -> None:
    found = find_copies(copies(TRAIN), TRAIN, HELD_OUT, 0.3)
    assert found.near.all()
    assert np.array_equal(found.rows, np.arange(len(TRAIN)))
    assert (found.near_held_out == 0).all()
    membership = membership_auc(TRAIN, HELD_OUT, copies(TRAIN), np.arange(240))
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
    assert membership_auc(train, held_out, real(2), np.arange(36)).value == pytest.approx(0.5, abs=0.4)


def test_the_nearest_image_is_of_the_same_class() -> None:
    train = real(0)
    query = train.take(np.array([0, 50, 100]))
    rows, distances = nearest_of_class(query, type(train)(train.images[::-1], train.labels[::-1], train.classes))
    assert rows.tolist() == [119, 69, 19]
    assert distances.tolist() == [0, 0, 0]


def chance(*columns: list[int]) -> tuple[list[float], float]:
    of_classes, together = chance_of_copies(*(np.array(column) for column in columns))
    return of_classes.tolist(), together


def test_near_copies_of_a_class_are_compared_with_held_out_images_by_fishers_test() -> None:
    near, drawn, near_held_out, held_out = [1, 10, 30, 0], [10, 10, 100, 50], [0, 0, 2, 0], [36, 5, 40, 40]
    found, _ = chance(near, drawn, near_held_out, held_out)
    for p, a, n, b, m in zip(found, near, drawn, near_held_out, held_out, strict=True):
        assert p == pytest.approx(fisher_exact([[a, n - a], [b, m - b]], alternative="greater").pvalue)
    assert found[0] == pytest.approx(10 / 46)  # one near-copy, which is one of the ten generated images
    assert found[1] == pytest.approx(1 / 3003)  # ten of ten, none of five
    assert found[3] == 1


def test_copies_too_few_for_a_test_of_each_class_are_beyond_chance_together() -> None:
    of_classes, together = chance([10] * 10, [200] * 10, [0] * 10, [36] * 10)
    assert of_classes == pytest.approx([fisher_exact([[10, 190], [0, 36]], alternative="greater").pvalue] * 10)
    assert min(of_classes) > 0.1
    assert together == pytest.approx((200 / 236) ** 100)


def test_a_class_without_held_out_images_is_compared_with_all_held_out_images() -> None:
    assert chance([9, 0], [9, 9], [0, 1], [0, 40])[0] == pytest.approx(
        [fisher_exact([[9, 0], [1, 39]], alternative="greater").pvalue, 1]
    )


def test_the_test_of_all_classes_keeps_its_level_where_classes_differ() -> None:
    rng = np.random.default_rng(0)
    drawn, held_out, rates = np.array([10, 50, 100, 100]), np.array([40, 20, 5, 30]), np.array([0.0, 0.02, 0.1, 0.01])
    found = [
        chance_of_copies(rng.binomial(drawn, rates), drawn, rng.binomial(held_out, rates), held_out)[1]
        for _ in range(2000)
    ]
    assert np.mean(np.array(found) < 0.05) <= 0.05
