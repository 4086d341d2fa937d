"""Results of a contrast: figures, tests and verdict agree with each other."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from makeweight.comparison.influence import contributions
from makeweight.comparison.result import ContrastResult
from makeweight.core.parameters import CompareSettings
from makeweight.core.study import Arm, Contrast

CONTRAST = Contrast(Arm("cgan", "classical"), Arm("oversample", "classical"))
SETTINGS = CompareSettings(metric="balanced_accuracy", control="oversample-classical", primary=None, margin=0.01)


def result(
    labels: NDArray[np.int64],
    arm: NDArray[np.bool_],
    control: NDArray[np.bool_],
    *,
    tests: int = 1,
    groups: NDArray[np.int64] | None = None,
) -> ContrastResult:
    """From which images each arm is right on, bool [replicates, images]."""
    wrong = (labels + 1) % (labels.max() + 1)
    contributed = {
        CONTRAST.arm: contributions("balanced_accuracy", labels, np.where(arm, labels, wrong)),
        CONTRAST.reference: contributions("balanced_accuracy", labels, np.where(control, labels, wrong)),
    }
    groups = np.arange(len(labels)) if groups is None else groups
    return ContrastResult.of(CONTRAST, SETTINGS, contributed, groups, tests=tests, primary=tests == 1)


def made(gain: float, *, tests: int = 1, replicates: int = 5, images: int = 400, seed: int = 0) -> ContrastResult:
    """Two classes: the control is right on 80%, the arm on `gain` more, each with chance errors."""
    rng = np.random.default_rng(seed)
    luck = rng.random((replicates, images))
    other = np.where(rng.random(luck.shape) < 0.1, rng.random(luck.shape), luck)  # the arms agree, but not always
    return result(np.arange(images) % 2, luck < 0.8 + gain, other < 0.8, tests=tests)


CASES = {
    "helps": made(0.08),
    "hurts": made(-0.08),
    "equivalent": made(0.0, replicates=30, images=10_000),
    "inconclusive": made(0.01),
}


@pytest.mark.parametrize("called", CASES)
def test_the_verdict_is_what_the_intervals_say(called: str) -> None:
    figures = CASES[called].figures()
    assert figures["verdict"] == called
    low, high = figures["low"], figures["high"]
    assert {
        "helps": low > 0,
        "hurts": high < 0,
        "equivalent": -0.01 < figures["equivalence_low"] < figures["equivalence_high"] < 0.01,
        "inconclusive": low <= 0 <= high,
    }[called]
    assert figures["largest_possible"] == pytest.approx(1 - CASES[called].reference_mean)


def test_one_of_many_is_tested_at_a_stricter_level_so_that_interval_p_and_verdict_agree() -> None:
    alone, one_of_four = made(0.035), made(0.035, tests=4)
    assert one_of_four.interval.level == pytest.approx(0.9875)
    assert one_of_four.figures()["p_adjusted"] == pytest.approx(min(1, 4 * alone.figures()["p"]))
    for found in (alone, one_of_four, *(made(gain, tests=4) for gain in (0.0, 0.02, 0.05))):
        figures = found.figures()
        assert (figures["p_adjusted"] < 0.05) == (figures["low"] > 0 or figures["high"] < 0)
        assert (figures["p_adjusted"] < 0.05) == (figures["verdict"] in {"helps", "hurts"})


def test_an_untested_difference_has_a_95_percent_interval_and_no_verdict() -> None:
    tested, untested = made(0.08).figures(), made(0.08, tests=0).figures()
    assert (untested["low"], untested["high"], untested["level"]) == (tested["low"], tested["high"], 0.95)
    for key in ("verdict", "p", "p_adjusted", "power", "detectable", "probability_better", "p_equivalence"):
        assert untested[key] is None
        assert tested[key] is not None


NO_DIFFERENCE = {
    # The arms agree on every image; the second class has few of them. What the first class shows says nothing about it.
    "3 of a rare class": np.repeat([0, 1], [300, 3]),
    "10 of a rare class": np.repeat([0, 1], [300, 10]),
    "a long tail": np.repeat(np.arange(10), [200, 120, 72, 43, 26, 15, 9, 6, 3, 2]),
    "100 images": np.repeat([0, 1], 50),
    "2 images": np.array([0, 1]),
}


@pytest.mark.parametrize("labels", NO_DIFFERENCE.values(), ids=NO_DIFFERENCE.keys())
@pytest.mark.parametrize("replicates", [5, 30])
def test_agreement_on_few_images_is_not_equivalence(labels: NDArray[np.int64], replicates: int) -> None:
    right = np.ones((replicates, len(labels)), dtype=bool)
    figures = result(labels, right, right).figures()
    assert figures["verdict"] == "inconclusive"
    assert figures["low"] < 0 < figures["high"]
    assert figures["p_equivalence"] > 0.05
    assert figures["power"] < 1
    assert figures["detectable"] > 0
    assert figures["fixed_low"] is None  # a variance of zero gives no interval
    assert 0 < figures["probability_equal"] < 1


def test_agreement_on_many_images_is_equivalence() -> None:
    right = np.ones((5, 10_000), dtype=bool)
    assert result(np.arange(10_000) % 10, right, right).verdict == "equivalent"


def test_two_images_all_right_against_all_wrong_prove_nothing() -> None:
    right = np.ones((5, 2), dtype=bool)
    found = result(np.array([0, 1]), right, ~right)
    assert found.verdict == "inconclusive"
    assert (found.interval.low, found.interval.high) == (-1.0, 1.0)


def test_images_of_one_group_are_not_counted_as_independent() -> None:
    # Ten images of each of 12 patients; the arm is better on all images of 7 and worse on all of 1.
    patients, labels = np.repeat(np.arange(12), 10), np.tile([0, 1], 60)
    arm, control = np.ones((5, 120), dtype=bool), np.ones((5, 120), dtype=bool)
    control[:, patients < 4] = False
    arm[:, patients == 11] = False
    single, grouped = result(labels, arm, control), result(labels, arm, control, groups=patients)
    assert (single.verdict, grouped.verdict) == ("helps", "inconclusive")
    assert (single.figures()["groups"], grouped.figures()["groups"]) == (120, 12)
    assert grouped.figures()["images_needed"] is None or grouped.figures()["images_needed"] > 12


def test_the_exact_test_is_left_out_where_it_cannot_reach_the_level() -> None:
    assert made(0.05, replicates=5).sign_flip_p is None  # 2^-4 > 0.05
    assert made(0.05, replicates=6).sign_flip_p == pytest.approx(2**-5)
    assert made(0.05, replicates=6, tests=4).sign_flip_p is None


def test_the_exact_test_can_disagree() -> None:
    # Every replicate gains, but always by the same two of 60 images: other images might tell otherwise.
    control = np.tile(np.arange(60) >= 10, (12, 1))
    arm = control.copy()
    arm[:, :2] = True
    found = result(np.arange(60) % 2, arm, control)
    assert found.verdict == "inconclusive"
    assert found.sign_flip_p is not None
    assert found.sign_flip_p < 0.05
    assert found.sign_flip_disagrees
    assert not CASES["helps"].sign_flip_disagrees


def test_probabilities_and_variances_add_up() -> None:
    figures = CASES["inconclusive"].figures()
    assert figures["probability_worse"] + figures["probability_equal"] + figures["probability_better"] == pytest.approx(
        1
    )
    parts = figures["variance_replicates"] + figures["variance_images"] + figures["variance_residual"]
    assert parts == pytest.approx(figures["standard_error"] ** 2)


@pytest.mark.parametrize("replicates", [2, 3, 4, 5, 12])
@pytest.mark.parametrize("seed", range(4))
def test_the_detectable_effect_is_larger_than_half_the_interval(replicates: int, seed: int) -> None:
    found = made(0.01, replicates=replicates, seed=seed)
    figures = found.figures()
    assert figures["detectable"] > (figures["high"] - figures["low"]) / 2
