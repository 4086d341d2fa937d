"""Edits of YAML text in block style that keep comments, order and all other bytes."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

KEY = re.compile(r"( *)([A-Za-z_]\w*):(?= |$)")


@dataclass(frozen=True, slots=True)
class Entry:
    """The lines of one key of a mapping, with its value and the comments that continue its own.

    Attributes:
        start: index of its first line.
        end: index after its last line.
        indent: spaces before the key.
    """

    start: int
    end: int
    indent: int


def entries(lines: list[str]) -> dict[tuple[str, ...], Entry]:
    """All keys of block mappings, each as a path such as `("data", "reader")`, in order."""
    found: dict[tuple[str, ...], Entry] = {}
    parents: list[tuple[int, str]] = []
    for number, line in enumerate(lines):
        if not (match := KEY.match(line)):
            continue
        indent = len(match[1])
        while parents and parents[-1][0] >= indent:
            parents.pop()
        parents.append((indent, match[2]))
        found[tuple(name for _, name in parents)] = Entry(number, _end(lines, number, indent), indent)
    return found


def _end(lines: list[str], start: int, indent: int) -> int:
    """The line after the entry at `start`: a blank line or a comment that is not further in belongs to what follows."""
    end = start + 1
    for number, line in enumerate(lines[start + 1 :], start=start + 1):
        content = line.strip()
        if not content:
            continue
        if len(line) - len(line.lstrip()) <= indent:
            break
        end = number + 1
    return end


def with_value(text: str, key: tuple[str, ...], value: object) -> str:
    """`text` with another scalar at `key`; a comment behind it stays where it is, if there is space for the value.

    Raises:
        KeyError: `text` has no such key in block style.
    """
    lines = text.split("\n")
    entry = entries(lines)[key]
    match = re.fullmatch(r"( *\w+:)(?: ([^#]*?))?( +#.*)?", lines[entry.start])
    assert match, lines[entry.start]
    changed = f"{match[1]} {scalar(value)}"
    if comment := (match[3] or "").strip():
        column = lines[entry.start].index("#", len(match[1]))
        changed = f"{changed:<{column - 1}} {comment}"
    lines[entry.start] = changed
    return "\n".join(lines)


def scalar(value: object) -> str:
    """A string, number, boolean or None as a YAML scalar, which is quoted only if it has to be."""
    if not isinstance(value, str):
        return json.dumps(value)
    try:
        plain = YAML(typ="safe", pure=True).load(f"key: {value}") == {"key": value}
    except YAMLError:
        plain = False
    return value if plain else json.dumps(value, ensure_ascii=False)


def with_missing(text: str, template: str, missing: list[tuple[str, ...]]) -> str:
    """`text` with the entries `missing` of `template`, each behind the one that it follows there.

    Args:
        text: to be completed.
        template: holds them, with comments.
        missing: paths of keys, in the order of `template`; the mapping that a key belongs to is in `text`, in block
            style.

    Raises:
        KeyError: the mapping is not in block style; its path is the argument.
    """
    source = template.split("\n")
    known = entries(source)
    lines = text.split("\n")
    for key in missing:
        position = _position(lines, list(known), key)
        entry = known[key]
        lines[position:position] = source[entry.start : entry.end]
    return "\n".join(lines)


def _position(lines: list[str], order: list[tuple[str, ...]], key: tuple[str, ...]) -> int:
    """The line at which `key` belongs: behind its nearest predecessor among its siblings, else first of them."""
    present = entries(lines)
    siblings = [other for other in order if other[:-1] == key[:-1]]
    for other in reversed(siblings[: siblings.index(key)]):
        if other in present:
            return present[other].end
    if len(key) > 1:
        start = present[key[:-1]].start
        if not re.fullmatch(r" *\w+:( *#.*)? *", lines[start]):
            raise KeyError(key[:-1])
        return start + 1
    return min((entry.start for entry in present.values()), default=0)
