"""Names of classes and splits as they stand in users' files."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterable

from makeweight.core.data import SPLITS
from makeweight.core.text import as_read

ALSO_CALLED = {"val": "validation", "valid": "validation", "dev": "validation", "training": "train", "testing": "test"}
ALSO_CALLED |= {f"{each}_set": ALSO_CALLED.get(each, each) for each in (*SPLITS, *ALSO_CALLED)}


def clashes(names: Iterable[str]) -> list[list[str]]:
    """Names that a person, or another file system, takes for the same: `Dog` and `dog`, `cat` and `cat `, 1 and 1.0."""
    alike: dict[str, list[str]] = defaultdict(list)
    for name in sorted(set(names)):
        alike[as_read(name)].append(name)
    return [each for each in alike.values() if len(each) > 1]


def clash_error(where: str, names: list[str]) -> str:
    """The line that names them, so that they can be told apart."""
    told = " and ".join(f"{name!r} ({_codes(name)})" if _looks_alike(name, names) else f"{name!r}" for name in names)
    return (
        f"{where}: the classes {told} differ only in case or in white space, Unicode form or way to write a number: "
        "rename or join them"
    )


def _looks_alike(name: str, names: list[str]) -> bool:
    normal = unicodedata.normalize("NFC", name)
    return sum(unicodedata.normalize("NFC", each) == normal for each in names) > 1


def _codes(name: str) -> str:
    return " ".join(f"U+{ord(each):04X}" for each in name if not each.isascii()) or "plain"


def split_called(name: str) -> str | None:
    """The split that `name` means ("val", "Test", …), or None."""
    plain = name.strip().casefold()
    plain = ALSO_CALLED.get(plain, plain)
    return plain if plain in SPLITS else None
