"""Settings of the monitor."""

from __future__ import annotations

from typing import Any

from makeweight.core.parameters import MonitorSettings

SETTINGS: dict[str, Any] = {
    "on_divergence": "stop", "min_discriminator_error": 0.02, "min_diversity_ratio": 0.1,
    "alarm_diversity_ratio": 0.5, "alarm_recognised_ratio": 0.5, "scorer_steps": 4,
}  # fmt: skip


def monitor_settings(**changes: Any) -> MonitorSettings:
    return MonitorSettings(**{**SETTINGS, **changes})
