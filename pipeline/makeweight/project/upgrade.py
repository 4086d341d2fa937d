"""`makeweight init --upgrade`: upgrade a project that `init` wrote to the installed version."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from makeweight.core.errors import BadInput
from makeweight.core.parameters import CHECKOUT, VERSION_KEY, Parameters, load_values
from makeweight.core.plugins import find
from makeweight.core.text import listed, printable
from makeweight.project.additions import with_additions
from makeweight.project.rendering import DVC_YAML, PARAMS, render_pipeline, template
from makeweight.project.yaml_text import with_missing, with_value
from makeweight.runtime.files import write_text


def upgrade(folder: Path) -> list[str]:
    """Upgrade a project that `init` wrote to the installed version; return what was done, as lines.

    dvc.yaml is rewritten, with the stages, sections and dependencies that the user has added; the previous file is
    kept as dvc.yaml.bak if it differs. params.yaml keeps its values, comments and order, and new keys are added. Line
    ends are kept.

    Raises:
        BadInput: `folder` is no such project, or a key cannot be added; nothing has been changed then.
    """
    path = folder / PARAMS
    values = load_values(path)
    if values.get(VERSION_KEY, "") is CHECKOUT or _runs_scripts(folder / DVC_YAML):
        raise BadInput(f"{printable(path)} belongs to a checkout of Makeweight: upgrade it with `git pull`")
    former, current = values.get(VERSION_KEY), version("makeweight")
    text, original = path.read_text(encoding="utf-8"), template(PARAMS)
    new = list(_new_keys(values, YAML(typ="safe", pure=True).load(original)))
    try:
        text = with_value(with_missing(text, original, new), (VERSION_KEY,), current)
    except KeyError as error:
        raise BadInput(
            f"{printable(path)} is not in block style at {'.'.join(error.args[0])}: add its new keys by hand"
        ) from error
    data = load_values_of(text).get("data") or {}
    images = data.get("path") if not data.get("download") else None
    about_pipeline = _upgrade_pipeline(folder / DVC_YAML, render_pipeline(template(DVC_YAML), images))
    _replace(path, text)
    return [
        f"new in {printable(path)}: {listed(['.'.join(key) for key in new], most=50) or 'nothing'}",
        *about_pipeline,
        f"from {former or 'a version without this key'} to {current}: dvc repro runs every stage again",
    ]


def _upgrade_pipeline(path: Path, current: str) -> list[str]:
    """Replace the dvc.yaml at `path` by `current` with the user's additions; what was done, as lines."""
    if not path.exists():
        write_text(path, current)
        return [f"{printable(path)} was written"]
    former = path.read_text(encoding="utf-8")
    try:
        text, kept = with_additions(former, current)
    except YAMLError as error:
        raise BadInput(f"{printable(path)} is not valid YAML: correct it, or move it away") from error
    except KeyError as error:
        raise BadInput(
            f"{printable(path)} has stages in flow style: write them in block style, one key per line"
        ) from error
    if text == former:
        return [f"{printable(path)} is unchanged"]
    backup = path.with_name(f"{path.name}.bak")
    shutil.copyfile(path, backup)
    _replace(path, text)
    return [
        *([f"kept in {printable(path)}: {'; '.join(kept)}"] if kept else []),
        f"{printable(path)} was rewritten; the previous file, with any other edits of yours, is kept as {backup.name}",
    ]


def _runs_scripts(pipeline: Path) -> bool:
    """Whether a dvc.yaml is that of a checkout, which runs the code beside it."""
    return pipeline.is_file() and " -P stages/" in pipeline.read_text(encoding="utf-8")


def _replace(path: Path, text: str) -> None:
    """Replace the content of a file, whose line ends stay as they are."""
    line_end = "\r\n" if b"\r\n" in path.read_bytes() else "\n"
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_text(text, encoding="utf-8", newline=line_end)
    os.replace(temporary, path)


def load_values_of(text: str) -> dict[str, Any]:
    """The values of YAML text that holds a mapping."""
    values: dict[str, Any] = YAML(typ="safe", pure=True).load(text)
    return values


def _new_keys(values: Mapping[str, Any], original: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """Keys that this version requires and `values` lacks, in the order of `original`.

    Other keys of `original` are not added: a user may have deleted settings that a preset of a family supplies.
    """
    required = {*_missing(Parameters, values)}
    for key in original:
        if (key,) in required:
            yield (key,)
            continue
        for name in original[key] if isinstance(original[key], dict) and isinstance(values.get(key), dict) else ():
            if name not in values[key]:
                if key in ("families", "recipes") or (key, name) in required:
                    yield key, name
            elif key == "families":
                of_family = _missing(find("families", name), values[key][name])
                yield from ((key, name, *inner) for inner in of_family)


def _missing(model: type[BaseModel], values: Any) -> list[tuple[str, ...]]:
    """Paths of the keys that `model` requires and `values` lacks."""
    try:
        model.model_validate(values)
    except ValidationError as error:
        return [tuple(map(str, found["loc"])) for found in error.errors() if found["type"] == "missing"]
    return []
