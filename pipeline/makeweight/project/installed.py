"""`makeweight plugins`: what is registered in the entry-point groups, by which package, and whether it loads."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import entry_points

from makeweight.core.errors import BadInput
from makeweight.core.plugins import KEYS, find


@dataclass(frozen=True, slots=True)
class Installed:
    """A registered plug-in.

    Attributes:
        name: by which the parameters name it.
        package: the distribution that registers it, with its version.
        value: module and object.
        error: why it cannot be used, in one line; None: it can.
    """

    name: str
    package: str
    value: str
    error: str | None


def installed() -> dict[str, list[Installed]]:
    """All plug-ins by group, sorted by name. A broken one does not affect the others."""
    return {group: _of_group(group) for group in KEYS}


def _of_group(group: str) -> list[Installed]:
    points = sorted({(point.name, point.value): point for point in entry_points(group=f"makeweight.{group}")}.items())
    return [
        Installed(name, f"{point.dist.name} {point.dist.version}" if point.dist else "–", value, _error(group, name))
        for (name, value), point in points
    ]


def _error(group: str, name: str) -> str | None:
    try:
        find(group, name)
    except BadInput as error:
        return " ".join(str(error).split())
    return None
