"""Rendering of dvc.yaml and params.yaml for projects with an installed Makeweight, from the files of this one."""

from __future__ import annotations

import re
import textwrap
from importlib.resources import files

from makeweight.project.yaml_text import scalar

DVC_YAML, PARAMS, GITIGNORE = "dvc.yaml", "params.yaml", ".gitignore"
WIDTH = 120  # of the lines of dvc.yaml

SCRIPT = re.compile(r'"\\\$\{MAKEWEIGHT_PYTHON:-\.venv/bin/python\}" -P stages/(\w+)\.py')
CODE = ("pipeline/", "stages/")  # dependencies of this repository's own dvc.yaml
FLOW_DEPS = re.compile(r"^    deps: \[([^\]]*)\]$", re.MULTILINE)
IMAGES_PLACE = "      # - photos\n"  # in `prepare`, a comment
CHECK_PLACE = "      - params.yaml\n"  # in `check`


def template(name: str) -> str:
    """The text of a template; those of dvc.yaml and params.yaml are the repository's own files."""
    return files("makeweight.project").joinpath("templates", name).read_text(encoding="utf-8")


def render_pipeline(text: str, images: str | None) -> str:
    """The repository's own dvc.yaml for a project that uses an installed Makeweight.

    Commands are those of the package instead of scripts, and code is no dependency. Nothing else differs.

    Args:
        text: of the repository's dvc.yaml.
        images: path of the images, relative to the project, on which `check` and `prepare` depend; None: on none.
    """
    text = SCRIPT.sub(lambda script: rf'"\${{MAKEWEIGHT_PYTHON:-python}}" -m makeweight {_command(script[1])}', text)
    text = re.sub(rf"^ +- (?:{'|'.join(CODE)})\S+\n", "", text, flags=re.MULTILINE)
    text = FLOW_DEPS.sub(lambda deps: _flow_deps(deps[1]), text)
    if images is not None:
        line = f"      - {scalar(images.replace('${', chr(92) + '${'))}\n"  # else DVC would interpolate it
        text = text.replace(IMAGES_PLACE, line, 1).replace(CHECK_PLACE, CHECK_PLACE + line, 1)
    return text


def _command(script: str) -> str:
    return script.replace("_", "-")


def _flow_deps(items: str) -> str:
    kept = [item for item in (part.strip() for part in items.split(",")) if item and not item.startswith(CODE)]
    line = f"    deps: [{', '.join(kept)}]"
    if len(line) <= WIDTH:
        return line
    body = textwrap.fill(
        f"{', '.join(kept)},", WIDTH, initial_indent=" " * 6, subsequent_indent=" " * 6, break_on_hyphens=False
    )
    return f"    deps: [\n{body}\n    ]"
