"""Finds families, readers, transforms and classifiers by name, the built-in ones like a stranger's."""

import re
from importlib.metadata import entry_points
from typing import Any

from pipeline.core import BadInput

# "-" separates source and transform in the name of an arm, "." the parts of a parameter's name.
NAME = re.compile(r"[a-z][a-z0-9_]*")


KEYS = {
    "families": "generators",
    "readers": "data.reader",
    "transforms": "transforms",
    "classifiers": "classifier.name",
}


def names(group: str) -> list[str]:
    """Registered names of `group`: "families", "readers", "transforms" or "classifiers"."""
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
