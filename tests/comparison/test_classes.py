"""Simultaneous intervals of the differences in recall, against the verdict's machinery and made predictions."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from makeweight.comparison.classes import ClassGain, class_gains
from makeweight.comparison.inference import for_equivalence
from makeweight.comparison.influence import Contributions
from makeweight.comparison.variance_components import variance_components

Array = NDArray[np.int64]
LABELS = np.repeat([0, 1, 3], [40, 25, 6])  # class 2 has no test images
EACH_ITS_OWN = np.arange(len(LABELS))


def right_in(rng: np.random.Generator, recalls: dict[int, float], replicates: int = 4) -> Array:
    """Predictions, int64 [replicates, images]: right with the probability of their class, and class 2 otherwise."""
    chances = np.array([recalls[label] for label in LABELS.tolist()])
    return np.where(rng.random((replicates, len(LABELS))) < chances, LABELS, 2)


@pytest.fixture(scope="module")
def both() -> tuple[Array, Array]:
    rng = np.random.default_rng(0)
    return right_in(rng, {0: 0.9, 1: 0.8, 3: 0.7}), right_in(rng, {0: 0.8, 1: 0.9, 3: 0.3})


def by_label(found: list[ClassGain]) -> dict[int, ClassGain]:
    return {row.label: row for row in found}


def test_recalls_and_gains_are_those_of_the_images_of_each_class(both: tuple[Array, Array]) -> None:
    arm, reference = both
    found = by_label(class_gains(LABELS, EACH_ITS_OWN, arm, reference))
    assert set(found) == {0, 1, 3}  # no row for a class without test images
    for label, row in found.items():
        of_class = np.equal(LABELS, label)
        assert row.images == row.groups == of_class.sum()
        assert row.recall == pytest.approx((arm[:, of_class] == label).mean())
        assert row.reference_recall == pytest.approx((reference[:, of_class] == label).mean())
        assert row.gain == pytest.approx(row.recall - row.reference_recall)
        assert row.interval.low <= row.gain <= row.interval.high


def test_an_interval_is_that_of_a_test_set_of_one_class_at_the_level_shared_by_the_classes(
    both: tuple[Array, Array],
) -> None:
    arm, reference = both
    groups = EACH_ITS_OWN // 2
    found = by_label(class_gains(LABELS, groups, arm, reference))
    of_class = LABELS == 1
    differences = (arm[:, of_class] == 1).astype(float) - (reference[:, of_class] == 1)
    n = int(of_class.sum())
    components = variance_components(
        Contributions(differences.mean(1), differences / n, np.zeros(n, dtype=np.int64)), groups[of_class]
    )
    expected = for_equivalence(float(differences.mean()), components).interval(0.05 / 3)
    assert (found[1].interval.low, found[1].interval.high) == pytest.approx((expected.low, expected.high))
    assert found[1].interval.level == pytest.approx(1 - 0.05 / 3)
    assert found[1].groups == len(np.unique(groups[of_class]))


def test_a_class_on_which_both_arms_agree_in_all_images_still_has_a_wide_interval() -> None:
    same = np.tile(LABELS, (4, 1))
    found = by_label(class_gains(LABELS, EACH_ITS_OWN, same, same))
    for label, n in ((0, 40), (3, 6)):
        # As if two images were discordant, and two pseudo-images: 2/n² + 2/(n + 2)².
        half = stats.t.isf(0.05 / 6, n - 1) * np.sqrt(2 / n**2 + 2 / (n + 2) ** 2)
        assert found[label].gain == 0
        assert found[label].interval.high == pytest.approx(min(1.0, half))
        assert found[label].interval.low == -found[label].interval.high


def test_a_single_image_says_nothing() -> None:
    labels = np.array([0] * 20 + [1])
    arm, reference = np.tile(labels, (3, 1)), np.zeros((3, 21), dtype=np.int64)
    interval = by_label(class_gains(labels, np.arange(21), arm, reference))[1].interval
    assert (interval.low, interval.high) == (-1, 1)


def test_images_of_one_group_count_as_one(both: tuple[Array, Array]) -> None:
    arm, reference = (np.tile(np.repeat(predicted[0, :40:4], 4), (4, 1)) for predicted in both)
    labels = np.zeros(40, dtype=np.int64)
    alone = class_gains(labels, np.arange(40), arm, reference)[0]
    grouped = class_gains(labels, np.arange(40) // 4, arm, reference)[0]
    assert (grouped.images, grouped.groups) == (40, 10)
    assert grouped.gain == alone.gain
    assert grouped.interval.high - grouped.interval.low > 1.5 * (alone.interval.high - alone.interval.low)
