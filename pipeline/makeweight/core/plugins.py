"""Look-up of families, readers, transforms, classifiers and controls by name, built-in and third-party alike."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from makeweight.core.errors import BadInput
from makeweight.core.text import nearest
from makeweight.core.validation import validate

# "-" separates source and transform in the name of an arm, "." the parts of a parameter's name.
NAME = re.compile(r"[a-z][a-z0-9_]*")
FORMER_PACKAGE = "pipeline"  # the name of this package, and of its entry-point groups, in earlier versions

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


def require_valid_name(group: str, name: str) -> None:
    """Check the form of a name in `group`.

    Raises:
        BadInput: it is not a valid name.
    """
    if not NAME.fullmatch(name):
        raise BadInput(f"{name!r} is not a valid name in {group}: lower-case letters, digits and _, a letter first")


def find(group: str, name: str) -> Any:
    """The plug-in that is registered as `name` in the entry-point group `makeweight.<group>`.

    Raises:
        BadInput: the name is not registered, or by two packages; it is not a valid name; or the plug-in was written
            for an earlier version, or fails when it is imported.
    """
    require_valid_name(group, name)
    found = {point.value: point for point in entry_points(group=f"makeweight.{group}", name=name)}
    if not found:
        for point in entry_points(group=f"{FORMER_PACKAGE}.{group}", name=name):
            raise BadInput(
                f"{_distribution(point)} registers {name!r} in the entry-point group {FORMER_PACKAGE}.{group}, which "
                f"is now makeweight.{group}: install a newer version of it, or rename the group in its pyproject.toml"
            )
        raise BadInput(
            f"{KEYS.get(group, group)}: {name!r} is not among the registered {group}: {', '.join(names(group))}"
            f"{nearest(name, names(group))}; use one of these, or install the package that registers it"
        )
    if len(found) > 1:
        raise BadInput(f"{name!r} is registered twice among the {group}: {' and '.join(sorted(found))}")
    (point,) = found.values()
    try:
        return point.load()
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] == FORMER_PACKAGE:
            raise BadInput(
                f"{_distribution(point)} (module {point.module}) imports {error.name}, but the package "
                f"{FORMER_PACKAGE} is now makeweight: install a newer version of it, or change its imports"
            ) from error
        raise BadInput(
            f"{KEYS.get(group, group)}: {name!r} of {_distribution(point)} ({point.value}) cannot be loaded: "
            f"{type(error).__name__}: {' '.join(str(error).split())}: repair or reinstall that package, or choose "
            f"another of {', '.join(names(group))} (--debug shows the traceback)"
        ) from error


def _distribution(point: EntryPoint) -> str:
    return point.dist.name if point.dist else point.value


def configured(group: str, name: str, section: str, settings: Mapping[str, Any]) -> Any:
    """The settings model that is registered as `name` in `group`, filled with the values in `settings`.

    Args:
        group: of the plug-in.
        name: of the plug-in, and of its values in `settings`.
        section: the name of `settings` in the parameters.
        settings: values by plug-in.

    Raises:
        BadInput: the name is not registered, `settings` lacks it, or a value is wrong.
    """
    model = find(group, name)
    if name not in settings:
        raise BadInput(f"{section}.{name} is missing: {name} is among the {group}, but has no settings")
    return validate(model, settings[name], key=f"{section}.{name}")


def keeps_training_images(name: str) -> bool:
    """Whether samplers of the family `name` hold training images, to which draws are near; False if not registered."""
    return name in names("families") and getattr(find("families", name), "keeps_training_images", False) is True
