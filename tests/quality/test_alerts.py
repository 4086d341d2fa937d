"""Alerts about generated images, of given figures."""

from __future__ import annotations

from typing import Any

from makeweight.quality.alerts import alerts
from tests.support.assessing import assess_settings
from tests.support.monitoring import monitor_settings


def test_a_class_of_few_images_that_are_told_from_real_ones_by_chance_is_no_alert() -> None:
    good = {"generated": [1.0, 1.0], "real": [1.0, 1.0]}
    classes: dict[str, Any] = dict.fromkeys(("label_agreement", "spread", "distance_ratio"), good)
    classes["separability"] = {"generated": [1.0, 1.0], "low": [0.44, 0.8], "high": [1.0, 1.0]}
    names = ("precision", "density", "recall", "coverage", "training_accuracy")
    result = {
        "family": "warp",
        "classes": ["few", "many"],
        "keeps_training_images": True,
        "measures": [{"name": name, "title": name, "generated": 1.0, "real": 1.0} for name in names],
        "discriminator": None,
        "replicates": [{"classes": classes}],
    }
    (alert,) = alerts(result, assess_settings(), monitor_settings())
    assert "a small classifier tells generated images of 1 class from real ones (AUC): “many” (1.00)" in alert
