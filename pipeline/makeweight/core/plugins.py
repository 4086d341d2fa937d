"""Finds families, readers, transforms, classifiers and controls by name, the built-in ones like a stranger's."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Any

from makeweight.core.errors import BadInput
from makeweight.core.validation import validate

# "-" separates source and transform in the name of an arm, "." the parts of a parameter's name.
NAME = re.compile(r"[a-z][a-z0-9_]*")


KEYS = {
    "families": "generators",
    "readers": "data.reader",
    "transforms": "transforms",
    "classifiers": "classifier.name",
    "controls": "controls",
}


def names(group: str) -> list[str]:
    """Registered names of `group`: "families", "readers", "transforms", "classifiers" or "controls"."""
    return sorted({point.name for point in entry_points(group=f"makeweight.{group}")})


def find(group: str, name: str) -> Any:
    """What is registered as `name` under the entry points `makeweight.<group>`.

    Raises:
        BadInput: nothing is, two packages claim the name, or it cannot be part of a path.
    """
    if not NAME.fullmatch(name):
        raise BadInput(f"{name!r} cannot be a name in {group}: small letters, digits and _ only, a letter first")
    found = {point.value: point for point in entry_points(group=f"makeweight.{group}", name=name)}
    if not found:
        raise BadInput(
            f"{KEYS.get(group, group)}: {name!r} is not among the registered {group}: {', '.join(names(group))}; take "
            "one of these, or install the package that registers it"
        )
    if len(found) > 1:
        raise BadInput(f"{name!r} is registered twice among the {group}: {' and '.join(sorted(found))}")
    return next(iter(found.values())).load()


def configured(group: str, name: str, section: str, settings: Mapping[str, Any]) -> Any:
    """What is registered as `name` in `group`, a settings model, with the values that `settings` holds for it.

    Raises:
        BadInput: nothing is registered, `settings` (the `section` of the parameters) lacks it, or a value is wrong.
    """
    model = find(group, name)
    if name not in settings:
        raise BadInput(f"{section}.{name} is missing: {name} stands among the {group}, but has no settings")
    return validate(model, settings[name], key=f"{section}.{name}")
