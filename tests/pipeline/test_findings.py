"""Figures and sentences of a contrast: they agree with each other, and say what the verdict says."""

from __future__ import annotations

import re

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.core import Arm
from pipeline.design import Contrast
from pipeline.findings import Finding, points
from pipeline.metrics import contributions
from pipeline.params import CompareSettings

CONTRAST = Contrast(Arm("cgan", "classical"), Arm("oversample", "classical"))
SETTINGS = CompareSettings(metric="balanced_accuracy", primary=None, margin=0.01, variance=False)
NUMBER = r"[+-]?\d[\d,]*\.?\d*(?:e-?\d+)?"


def finding(gain: float, *, tests: int = 1, replicates: int = 5, images: int = 400, seed: int = 0) -> Finding:
    """Made predictions in two classes: the control is right on 80%, the arm on `gain` more, each with chance errors."""
    rng = np.random.default_rng(seed)
    labels = np.arange(images) % 2
    luck = rng.random((replicates, images))

    def predicted(rate: float, luck: NDArray[np.float64]) -> NDArray[np.int64]:
        return np.where(luck < rate, labels, 1 - labels)

    arm = contributions("balanced_accuracy", labels, predicted(0.8 + gain, luck))
    other = np.where(rng.random(luck.shape) < 0.1, rng.random(luck.shape), luck)  # the arms agree, but not always
    control = contributions("balanced_accuracy", labels, predicted(0.8, other))
    return Finding.of(CONTRAST, SETTINGS, arm, control, primary=tests == 1, tests=tests)


CASES = {
    "helps": finding(0.08),
    "hurts": finding(-0.08),
    "equivalent": finding(0.0, replicates=30, images=10_000),
    "inconclusive": finding(0.01),
}


@pytest.mark.parametrize("called", CASES)
def test_a_sentence_says_what_the_figures_say(called: str) -> None:
    found = CASES[called]
    figures, sentence = found.figures(), found.sentence()
    assert found.verdict == figures["verdict"] == called
    told = re.fullmatch(
        rf"cgan-classical against oversample-classical (.*?): ({NUMBER}) points of balanced accuracy "
        rf"\(({NUMBER})% interval ({NUMBER}) to ({NUMBER}); (\d+) replicates, ([\d,]+) test images\)\.(.*)",
        sentence,
    )
    assert told
    ends = ("inner_low", "inner_high") if called == "equivalent" else ("low", "high")
    expected = [100 * figures[key] for key in ("gain", *ends)]
    assert [float(told[k]) for k in (2, 4, 5)] == pytest.approx(expected, abs=0.00501)
    assert float(told[3]) == (90 if called == "equivalent" else 95)
    assert (int(told[6]), int(told[7].replace(",", ""))) == (figures["replicates"], figures["images"])
    low, high = float(told[4]), float(told[5])
    assert {
        "helps": low > 0, "hurts": high < 0, "equivalent": -1 < low <= high < 1, "inconclusive": low <= 0 <= high
    }[called]  # fmt: skip
    assert ("meaningfully" in told[1]) == (called == "helps" and low > 1)


def test_an_inconclusive_one_says_what_it_could_have_seen_and_what_it_would_take() -> None:
    found = CASES["inconclusive"]
    figures, sentence = found.figures(), found.sentence()
    seen = re.search(rf"A true gain of about ({NUMBER}) points \(({NUMBER}) to ({NUMBER})\) would have shown", sentence)
    assert seen
    expected = [100 * figures[key] for key in ("detectable", "detectable_low", "detectable_high")]
    assert [float(each) for each in seen.groups()] == pytest.approx(expected, rel=0.05)
    for name in ("replicates", "images"):
        taken = re.search(rf"about ({NUMBER}) {'test ' * (name == 'images')}{name} \(", sentence)
        needed = found.sight.replicates_needed.value if name == "replicates" else found.sight.images_needed.value
        assert (taken is None) == (needed is None)
        if taken and needed:
            assert float(taken[1].replace(",", "")) == pytest.approx(needed, rel=0.05)


def test_one_of_many_is_told_at_a_stricter_level_so_that_interval_p_and_verdict_agree() -> None:
    alone, one_of_four = finding(0.035), finding(0.035, tests=4)
    assert one_of_four.interval.level == pytest.approx(0.9875)
    assert one_of_four.figures()["p_adjusted"] == pytest.approx(min(1, 4 * alone.figures()["p"]))
    assert "98.75% interval" in one_of_four.sentence()
    for found in (alone, one_of_four, *(finding(gain, tests=4) for gain in (0.0, 0.02, 0.05))):
        figures = found.figures()
        assert (figures["p_adjusted"] < 0.05) == (figures["low"] > 0 or figures["high"] < 0)
        assert (figures["p_adjusted"] < 0.05) == (figures["verdict"] in {"helps", "hurts"})


def test_the_exact_test_is_left_out_where_it_cannot_reach_the_level() -> None:
    assert finding(0.05, replicates=5).sign_flip_p is None  # 2^-4 > 0.05
    assert finding(0.05, replicates=6).sign_flip_p == pytest.approx(2**-5)
    assert finding(0.05, replicates=6, tests=4).sign_flip_p is None


def test_a_word_is_said_where_the_exact_test_disagrees() -> None:
    # Every replicate gains, but always by the same two of 60 images: other images might tell otherwise.
    labels = np.arange(60) % 2
    control = np.tile(np.where(np.arange(60) < 10, 1 - labels, labels), (12, 1))
    arm = control.copy()
    arm[:, :2] = labels[:2]
    each = (contributions("accuracy", labels, predicted) for predicted in (arm, control))
    found = Finding.of(CONTRAST, SETTINGS, *each, primary=True, tests=1)
    assert found.verdict == "inconclusive"
    assert found.sign_flip_p is not None
    assert found.sign_flip_p < 0.05
    assert (
        "The exact sign-flip test over replicates, which covers no other test images, disagrees (p = "
        in found.sentence()
    )
    assert "sign-flip" not in CASES["helps"].sentence()


def test_shares_and_parts_add_up() -> None:
    figures = CASES["inconclusive"].figures()
    assert figures["worse"] + figures["equal"] + figures["better"] == pytest.approx(1)
    parts = figures["from_replicates"] + figures["from_images"] + figures["from_rest"]
    assert parts == pytest.approx(figures["standard_error"] ** 2)


@pytest.mark.parametrize("replicates", [2, 3, 4, 5, 12])
@pytest.mark.parametrize("seed", range(4))
def test_what_would_have_shown_lies_beyond_the_reach_of_the_interval(replicates: int, seed: int) -> None:
    found = finding(0.01, replicates=replicates, seed=seed)
    figures = found.figures()
    assert figures["detectable"] > (figures["high"] - figures["low"]) / 2


@pytest.mark.parametrize(
    ("fraction", "text"), [(0.0123, "+1.23"), (-0.5, "-50.00"), (0.00001, "+0.001"), (0.0, "+0.00"), (3e-17, "+0.00")]
)
def test_points_never_round_a_difference_to_none(fraction: float, text: str) -> None:
    assert points(fraction) == text
