"""Additions of a user to the dvc.yaml of a project: stages, dependencies of stages, and further sections."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from ruamel.yaml import YAML

from makeweight.core.text import listed

STAGES, DEPS = "stages", "deps"
OUTPUTS = ("outs", "metrics", "plots")


def with_additions(former: str, current: str) -> tuple[str, list[str]]:
    """Add to the pipeline `current` what a user has added to `former`; return its text, and what was added, in words.

    Stages and sections whose names `current` lacks are added as they are, with their comments. So is each dependency
    of a stage, unless it is params.yaml or an output of a stage: another version of the pipeline may need another one.

    Args:
        former: text of a dvc.yaml.
        current: text of the dvc.yaml of the installed version; block style, but lists may be in flow style.

    Raises:
        ruamel.yaml.error.YAMLError: `former` is not valid YAML.
        KeyError: `former` has stages that are not in block style.
    """
    before, now = YAML(pure=True).load(former) or {}, YAML(typ="safe", pure=True).load(current)
    sections = [name for name in before if name not in now]
    stages = [name for name in before.get(STAGES) or {} if name not in now[STAGES]]
    dependencies = {name: own for name in now[STAGES] if (own := _own_dependencies(name, before, now))}
    for name, paths in dependencies.items():
        current = _with_dependencies(current, name, paths)
    blocks = [textwrap.indent(block, "  ") for block in _blocks(former, before.get(STAGES) or {}, stages)]
    text = "\n".join([current, *blocks, *_blocks(former, before, sections)])
    words = [
        *([f"stages {listed(stages, 50)}"] if stages else []),
        *([f"sections {listed(sections, 50)}"] if sections else []),
        *(
            f"dependencies {listed([str(path) for path in paths], 50)} of {name}"
            for name, paths in dependencies.items()
        ),
    ]
    return text, words


def _own_dependencies(name: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> list[object]:
    """Dependencies of the stage `name` that only `before` has and no stage of the pipeline makes."""
    former = before.get(STAGES) or {}
    made = [path for known in now[STAGES] for path in _outputs(former.get(known) or {})]
    paths = (former.get(name) or {}).get(DEPS) or []
    return [
        path for path in paths
        if path not in now[STAGES][name][DEPS] and path != "params.yaml"
        and not any(_is_in(path, output) or _is_in(output, path) for output in made)
    ]  # fmt: skip


def _outputs(stage: Mapping[str, Any]) -> Iterator[str]:
    for kind in OUTPUTS:
        for output in stage.get(kind) or []:
            yield from (map(str, output) if isinstance(output, Mapping) else [str(output)])


def _is_in(path: object, folder: object) -> bool:
    return f"{path}/".startswith(f"{folder}/")


def _with_dependencies(text: str, stage: str, paths: list[object]) -> str:
    """`text` with further dependencies at the beginning of the list of a stage."""
    place = re.compile(rf"(^  {stage}:\n(?:    .*\n|\n)*?    deps:)( \[?)?(.*\n)", re.MULTILINE)
    items = [json.dumps(path, ensure_ascii=False) for path in paths]

    def added(match: re.Match[str]) -> str:
        head, bracket, rest = match.groups()
        if not bracket:
            return f"{head}{rest}" + "".join(f"      - {item}\n" for item in items)
        if rest.strip():
            return f"{head} [{', '.join(items)}, {rest}"
        return f"{head} [\n      {', '.join(items)},\n"

    return place.sub(added, text, count=1)


def _blocks(text: str, mapping: Any, keys: list[str]) -> Iterator[str]:
    """The lines of each of `keys` of a mapping that was read from `text`, with the comments above them."""
    if not keys:
        return
    if mapping.fa.flow_style():
        raise KeyError((STAGES,))
    lines = text.split("\n")
    for key in keys:
        start, column = mapping.lc.key(key)
        end = start + 1
        while end < len(lines) and (not lines[end].strip() or _indent(lines[end]) > column):
            end += 1
        while start and lines[start - 1].lstrip().startswith("#") and _indent(lines[start - 1]) == column:
            start -= 1
        yield textwrap.dedent("\n".join(lines[start:end])).strip("\n") + "\n"


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
