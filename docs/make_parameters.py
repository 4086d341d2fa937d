"""Write docs/parameters.md: every parameter with its type, its range and its comment in params.yaml.

Types and ranges come from the models, so that the page cannot disagree with what `makeweight check` accepts.
`make docs` runs it, and a test compares its result with the page.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from makeweight.core.parameters import Parameters
from makeweight.core.plugins import find, names

PROJECT = Path(__file__).parent.parent
PAGE = PROJECT / "docs" / "parameters.md"
HEAD = """# Parameters

Every setting of [`params.yaml`](../params.yaml), made from the models by `docs/make_parameters.py`: do not edit this
page. Values are those of the default study. `makeweight check` validates the file; no setting has a default in code.
"""
SECTION = re.compile(r"# ── (.*?) ─*$")
# A key, its value, and its comment; comments go on in lines that hold nothing else.
LINE = re.compile(r"(?P<indent> *)(?P<key>\w+):(?P<value>[^#]*?)(?:#(?P<comment>.*))?$")
CONTINUED = re.compile(r" {8,}# ?(.*)$")
WORDS = {
    "integer": "integer", "number": "number", "string": "text", "boolean": "`true`, `false`", "null": "`null`",
    "object": "mapping",
}  # fmt: skip
FREE = ("recipes",)  # groups whose keys are the user's own


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")


def page() -> str:
    """The page's text."""
    parts = [HEAD]
    for title, rows in _sections():
        parts += [f"\n## {title}\n", "| parameter | value | type | meaning |", "|---|---|---|---|"]
        parts += [f"| `{key}` | {_code(value)} | {kind} | {_cell(comment)} |" for key, value, kind, comment in rows]
    return "\n".join(parts) + "\n"


def _sections() -> Iterator[tuple[str, list[tuple[str, str, str, str]]]]:
    """Each section's title, and the key, value, type and comment of each of its parameters."""
    types = dict(_types("", TypeAdapter(Parameters).json_schema()))
    for name in names("families"):
        types |= dict(_types(f"families.{name}", TypeAdapter(find("families", name)).json_schema()))
    title, rows = "", list[tuple[str, str, str, str]]()
    for heading, key, value, comment in _lines():
        if heading != title:
            if rows:
                yield title, rows
            title, rows = heading, []
        if value or comment:  # otherwise only the head of a group
            rows.append((key, value, types.get(key, ""), comment))
    yield title, rows


def _lines() -> Iterator[tuple[str, str, str, str]]:
    """Title of the section, full key, value and comment of each parameter, in the order of the file."""
    entries: list[list[Any]] = []
    title, path = "General", list[str]()
    for line in (PROJECT / "params.yaml").read_text(encoding="utf-8").splitlines():
        if heading := SECTION.match(line):
            title = heading[1].partition(":")[0]
        elif (more := CONTINUED.match(line)) and entries:
            entries[-1][3] += " " + more[1].strip()
        elif found := LINE.match(line):
            path = [*path[: len(found["indent"]) // 2], found["key"]]
            if path[0] not in FREE or len(path) <= 2:
                entries.append([title, ".".join(path), found["value"].strip(), (found["comment"] or "").strip()])
    yield from ((title, key, value, comment) for title, key, value, comment in entries)


def _types(prefix: str, schema: Mapping[str, Any], root: Mapping[str, Any] | None = None) -> Iterator[tuple[str, str]]:
    """Full key and type of each field of a model, and of the models within."""
    root = schema if root is None else root
    for name, field in schema.get("properties", {}).items():
        key = f"{prefix}.{name}" if prefix else name
        resolved = _resolved(field, root)
        if "properties" in resolved:
            yield from _types(key, resolved, root)
        else:
            yield key, _kind(resolved, root)


def _resolved(field: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any]:
    if "$ref" in field:
        resolved: Mapping[str, Any] = root["$defs"][field["$ref"].rpartition("/")[2]]
        return resolved
    return field


def _kind(field: Mapping[str, Any], root: Mapping[str, Any]) -> str:
    """A type and its range in words."""
    field = _resolved(field, root)
    if "anyOf" in field:
        return " or ".join(dict.fromkeys(_kind(option, root) for option in field["anyOf"]))
    if "const" in field or "enum" in field:
        return ", ".join(f"`{value}`" for value in field.get("enum", [field.get("const")]))
    name = field.get("type")
    if name == "array":
        items = field.get("items") or next(iter(field.get("prefixItems", [])), None)
        return f"list of {_plural(_kind(items, root))}" if items else "list"
    return WORDS.get(name, "any") + _range(field)


def _plural(kind: str) -> str:
    return {"text": "names"}.get(kind, kind.replace("integer", "integers", 1).replace("number", "numbers", 1))


def _range(field: Mapping[str, Any]) -> str:
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    limits = [f"{sign} {field[name]:g}" for name, sign in signs.items() if name in field]
    return f" {', '.join(limits)}" if limits else ""


def _code(value: str) -> str:
    return f"`{value}`".replace("|", "\\|") if value else ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


if __name__ == "__main__":
    main()
