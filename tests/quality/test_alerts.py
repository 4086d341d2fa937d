"""Alerts about generated images, of given figures."""

from __future__ import annotations

from typing import Any

import pytest

from makeweight.quality.alerts import alerts
from tests.support.assessing import assess_settings
from tests.support.monitoring import monitor_settings

GOOD = {"generated": [1.0, 1.0], "real": [1.0, 1.0]}


def result(classes: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """The figures of one replicate, good ones but for `classes`."""
    names = ("precision", "density", "recall", "coverage", "training_accuracy")
    good = dict.fromkeys(("label_agreement", "spread", "distance_ratio"), GOOD)
    good["separability"] = {"generated": [0.5, 0.5], "low": [0.4, 0.4], "high": [0.6, 0.6]}
    membership = {"name": "membership", "generated": 0.5, "low": 0.4, "high": 0.6}
    return {
        "family": "warp",
        "classes": ["few", "many"],
        "keeps_training_images": True,
        "measures": [{"name": name, "title": name, "generated": 1.0, "real": 1.0} for name in names] + [membership],
        "discriminator": None,
        "replicates": [{"classes": good | classes}],
    } | changes


def test_a_class_of_few_images_that_are_told_from_real_ones_by_chance_is_no_alert() -> None:
    separability = {"generated": [1.0, 1.0], "low": [0.44, 0.8], "high": [1.0, 1.0]}
    (alert,) = alerts(result({"separability": separability}), assess_settings(), monitor_settings())
    assert "a small classifier tells generated images of 1 class from real ones (AUC): “many” (1.00)" in alert


def of_copies(drawn: list[int], near: list[int], validation: list[int], near_real: list[int], **bounds: Any) -> str:
    """The alerts about near-copies among the images of two replicates, of which only the second has any."""

    def replicate(near: list[int]) -> dict[str, Any]:
        copies = {
            "generated": [a / n if n else None for a, n in zip(near, drawn, strict=True)],
            "real": [b / m if m else None for b, m in zip(near_real, validation, strict=True)],
        }
        known = {kind: [value for value in values if value is not None] for kind, values in copies.items()}
        overall = {kind: sum(values) / len(values) if values else None for kind, values in known.items()}
        return {**result({"near_copies": copies})["replicates"][0], "overall": {"near_copies": overall}}

    images = {"generated": [drawn] * 2, "validation": validation}
    figures = result({}, images=images, keeps_training_images=False, replicates=[replicate([0, 0]), replicate(near)])
    return "\n".join(alerts(figures, assess_settings(**bounds), monitor_settings()))


@pytest.mark.parametrize(
    ("drawn", "near", "validation", "near_real"),
    [
        ([10, 10], [1, 0], [30, 30], [0, 0]),  # one near-copy
        ([100, 100], [4, 3], [5, 5], [0, 0]),  # few validation images
        ([1000, 1000], [30, 500], [200, 200], [6, 100]),  # near-duplicates in the data
        ([1000, 1000], [9, 0], [900, 900], [0, 0]),  # beyond chance, but below the bound
        ([10, 0], [0, 0], [5, 0], [0, 0]),
    ],
)
def test_near_copies_by_chance_are_no_alert(
    drawn: list[int], near: list[int], validation: list[int], near_real: list[int]
) -> None:
    assert of_copies(drawn, near, validation, near_real) == ""


def test_near_copies_beyond_chance_are_an_alert_that_names_their_class() -> None:
    found = of_copies([10, 10], [10, 0], [5, 30], [0, 0])
    assert "warp: generated images of 1 class are near-copies of training images (fraction of the class)" in found
    assert "“few” (1.00). Try" in found
    assert of_copies([10, 10], [10, 0], [5, 30], [0, 0], alarm_copies=1.0) == ""
    assert "“few” (1.00)" in of_copies([10, 10], [10, 0], [0, 30], [0, 0])  # without validation images of its own


def test_near_copies_of_many_classes_are_an_alert_where_no_single_class_proves_any() -> None:
    found = of_copies([200, 200], [16, 16], [36, 36], [0, 0])
    assert "8.0% of generated images are near-copies of training images (of validation images 0.0%)" in found
    assert "class" not in found
