"""Renamed parameters and their new names."""

from __future__ import annotations

from collections.abc import Iterable

RENAMED = {
    "watch": "monitor",
    "compare.variance": "one_generator",
    "generate.fill": "generate.strategy",
    "generate.share": "generate.synthetic_fraction",
    "generate.level_to": "generate.balance_to",
    "generate.max_per_real": "generate.max_synthetic_ratio",
    "data.largest_group": "data.max_group_fraction",
    "compute.together": "compute.replicates_per_program",
}
RENAMED_OF_FAMILIES = {"mismatch": "matching_aware_weight", "average_decay": "ema_decay"}
DETAILS = {
    "compare.variance": "a list of families at the top level: true is that of `generators`, false is []",
    "watch": "on_trouble is on_divergence, step_back is rollback, least_error is min_discriminator_error, "
    "least_diversity is min_diversity_ratio",
    "generate.fill": "even is uniform, level is balance",
}


def new_name(key: str) -> str | None:
    """The new name of the parameter `key` (such as `generate.fill`); None if it was not renamed."""
    group, _, name = key.rpartition(".")
    if group.startswith("families.") and name in RENAMED_OF_FAMILIES:
        return f"{group}.{RENAMED_OF_FAMILIES[name]}"
    return RENAMED.get(key)


def message(key: str) -> str:
    """The error for a renamed parameter."""
    details = f" ({DETAILS[key]})" if key in DETAILS else ""
    return f"{key} is now {new_name(key)}: rename it{details}"


def replaced(keys: Iterable[str]) -> set[str]:
    """The new names of those of `keys` that were renamed."""
    return {name for key in keys if (name := new_name(key))}
