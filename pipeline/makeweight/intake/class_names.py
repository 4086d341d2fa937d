"""Names of classes and splits in users' files."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterable

from makeweight.core.data import SPLITS
from makeweight.core.text import as_read

SYNONYMS = {"val": "validation", "valid": "validation", "dev": "validation", "training": "train", "testing": "test"}
SYNONYMS |= {f"{name}_set": SYNONYMS.get(name, name) for name in (*SPLITS, *SYNONYMS)}


def clashes(names: Iterable[str]) -> list[list[str]]:
    """Groups of names that people or other file systems may confuse: `Dog` and `dog`, `cat` and `cat `, 1 and 1.0."""
    groups: dict[str, list[str]] = defaultdict(list)
    for name in sorted(set(names)):
        groups[as_read(name)].append(name)
    return [group for group in groups.values() if len(group) > 1]


def clash_error(where: str, names: list[str]) -> str:
    """The error for a group of names that clash; names that look the same are given with their code points."""
    described = " and ".join(f"{name!r} ({_codes(name)})" if _has_twin(name, names) else f"{name!r}" for name in names)
    return (
        f"{where}: the classes {described} differ only in case or in white space, Unicode form or way to write a "
        "number: rename or join them"
    )


def _has_twin(name: str, names: list[str]) -> bool:
    """Whether another name has the same Unicode normal form."""
    normal = unicodedata.normalize("NFC", name)
    return sum(unicodedata.normalize("NFC", other) == normal for other in names) > 1


def _codes(name: str) -> str:
    return " ".join(f"U+{ord(letter):04X}" for letter in name if not letter.isascii()) or "plain"


def split_called(name: str) -> str | None:
    """The split that `name` means ("val", "Test", …), or None."""
    plain = name.strip().casefold()
    plain = SYNONYMS.get(plain, plain)
    return plain if plain in SPLITS else None
