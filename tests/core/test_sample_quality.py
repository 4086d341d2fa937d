"""Warnings that follow from the figures of generated images."""

from __future__ import annotations

import numpy as np

from makeweight.core.sample_quality import SampleQuality, as_values
from tests.support.monitoring import monitor_settings


def quality(
    diversity: list[list[float | None]], recognised: list[list[float | None]], real: float = 1.0
) -> SampleQuality:
    rows = [
        {"diversity": first, "recognised": second, "recognised_validation": [real] * len(first)}
        for first, second in zip(diversity, recognised, strict=True)
    ]
    return SampleQuality.of("cgan", ("a", "b", "[c]"), rows)


def test_good_images_are_not_warned_of() -> None:
    assert quality([[1.0, 0.5, None]], [[1.0, 0.5, None]]).warnings(monitor_settings()) == []


def test_a_class_that_failed_in_one_replicate_is_named_with_its_lowest_figure_and_what_to_try() -> None:
    found = quality([[1.0, 0.49, 0.9], [1.0, 0.2, 0.4]], [[1.0] * 3] * 2).warnings(monitor_settings())
    assert found == [
        "cgan: generated images of 2 classes vary much less than training images (diversity ratio below 0.5): "
        "“b” (0.20), “[c]” (0.40). Try another family, or for cgan a larger mode_seeking or more augment."
    ]


def test_recognition_counts_relative_to_real_images() -> None:
    shares: list[list[float | None]] = [[0.4, 0.5, 0.1]]
    diverse: list[list[float | None]] = [[1.0] * 3]
    (found,) = quality(diverse, shares).warnings(monitor_settings())
    assert "of 2 classes are hard to recognise" in found
    (found,) = quality(diverse, shares, real=0.5).warnings(monitor_settings())
    assert "of 1 class are hard to recognise (less than 0.5 times as often as real ones): “[c]” (0.20)" in found
    assert quality(diverse, shares, real=0.0).warnings(monitor_settings()) == []


def test_thresholds_of_0_warn_of_nothing_and_advice_does_not_contradict_itself() -> None:
    bad = quality([[0.0] * 3], [[0.0] * 3])
    assert bad.warnings(monitor_settings(alarm_diversity_ratio=0.0, alarm_recognised_ratio=0.0)) == []
    both = " ".join(bad.warnings(monitor_settings()))
    for setting in ("steps", "mode_seeking", "temperature", "augment"):
        assert not {f"more {setting}", f"larger {setting}", f"higher {setting}"} <= {both}
        assert sum(f"{word} {setting}" in both for word in ("more", "larger", "fewer", "lower", "smaller")) == 1


def test_values_are_what_json_holds() -> None:
    assert as_values(np.array([0.123456, np.nan])) == [0.1235, None]
