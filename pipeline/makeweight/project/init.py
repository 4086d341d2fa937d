"""`makeweight init`: write the pipeline into a folder of a user's DVC repository."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from makeweight.core.errors import BadInput
from makeweight.core.parameters import VERSION_KEY
from makeweight.core.text import printable
from makeweight.project.rendering import DVC_YAML, GITIGNORE, PARAMS, render_pipeline, template
from makeweight.project.yaml_text import with_value
from makeweight.runtime.artifacts import IMAGES, JSON_METADATA, METADATA

Preset = Literal["digits", "mnist", "cifar10", "folder"]
# CIFAR-10 and MNIST are balanced: made long-tailed with the usual ratio (Cao et al. 2019, "CIFAR-10-LT").
DOWNLOADED: Mapping[str, object] = {"path": "downloads", "download": True, "imbalance": 100.0}


def init(folder: Path, preset: Preset | None, data: Path | None, *, git: bool) -> list[str]:
    """Write dvc.yaml, params.yaml and .gitignore into `folder`; return what was written and what to do next, as lines.

    Args:
        folder: of the new project; may be missing. A .gitignore that is there stays as it is.
        preset: values for a data set; None: `digits`, or with `data` what fits it.
        data: images: a folder or file, which may be missing as long as another stage has not made it.
        git: whether to make a Git and DVC repository where there is none.

    Raises:
        BadInput: `folder` holds such a file or is ignored by Git, is in no repository, or the options contradict
            each other. Nothing has been written then.
    """
    settings = _data_settings(folder, preset, data)
    if present := [name for name in (DVC_YAML, PARAMS) if os.path.lexists(folder / name)]:
        raise BadInput(
            f"{printable(folder)} holds {' and '.join(present)}: nothing was written; name another folder, or run "
            "`makeweight init --upgrade` there if it is a project of Makeweight"
        )
    if folder.exists() and not folder.is_dir():
        raise BadInput(f"{printable(folder)} is a file: name a folder")
    if _dvc_root(folder) is None:
        if not git:
            raise BadInput(
                f"{printable(folder)} is not in a DVC repository: add --git to create one here (git init, dvc init), "
                "or run `dvc init` in your repository first"
            )
        _make_repository()
        if _dvc_root(folder) is None:
            raise BadInput(f"{printable(folder)} is outside the repository created in {printable(Path.cwd())}")
    _refuse_ignored(folder)
    params = with_value(template(PARAMS), (VERSION_KEY,), version("makeweight"))
    for key, value in settings.items():
        params = with_value(params, ("data", key), value)
    images = settings.get("path") if not settings.get("download") else None
    if data is not None and images is not None and _absolute(folder).is_relative_to(_absolute(data)):
        raise BadInput(
            f"{printable(data)} holds {printable(folder)}, and DVC refuses a stage whose results lie in its "
            "dependency: move the images into a folder of their own"
        )
    texts = {DVC_YAML: render_pipeline(template(DVC_YAML), None if images is None else str(images)), PARAMS: params}
    if not os.path.lexists(folder / GITIGNORE):
        texts[GITIGNORE] = template("gitignore")
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        with (folder / name).open("x", encoding="utf-8", newline="\n") as file:  # "x": never over a file
            file.write(text)
    return [f"wrote {', '.join(texts)} to {printable(folder)}", *_notes(folder, data), *_next(folder)]


def _data_settings(folder: Path, preset: Preset | None, data: Path | None) -> dict[str, object]:
    """The values under `data` that differ from the template's."""
    if preset == "digits" and data is not None:
        raise BadInput("--preset digits has images of its own: leave out --data, or use --preset folder")
    if preset == "folder" and data is None:
        raise BadInput("--preset folder needs the images: add --data PATH")
    path = None if data is None else _relative(data, folder)
    if preset in ("mnist", "cifar10"):
        return {"reader": preset, **DOWNLOADED, **({} if path is None else {"path": path})}
    if data is None:
        return {}
    return {"reader": "folder" if preset == "folder" else _reader_of(data), "path": path}


def _relative(data: Path, folder: Path) -> str:
    """`data` as seen from `folder`; an absolute path outside the repository stays absolute."""
    root = _dvc_root(folder) or Path.cwd()
    if data.is_absolute() and not _absolute(data).is_relative_to(root):
        return str(data)
    return os.path.relpath(data, folder)


def _absolute(path: Path) -> Path:
    """Without `..`, and without following links."""
    return Path(os.path.normpath(path.absolute()))


def _reader_of(data: Path) -> str:
    """The reader that fits the files at `data`."""
    if data.suffix.lower() in (".csv", ".npz"):
        return {".csv": "csv", ".npz": "arrays"}[data.suffix.lower()]
    for name, reader in ((IMAGES, "arrays"), (METADATA, "huggingface"), (JSON_METADATA, "huggingface")):
        if (data / name).exists() or next(data.glob(f"*/{name}"), None):
            return reader
    return "folder"


def _dvc_root(folder: Path) -> Path | None:
    """The DVC repository that holds `folder`; Git is not looked for, since `dvc init --no-scm` does without."""
    absolute = _absolute(folder)
    return next((above for above in (absolute, *absolute.parents) if (above / ".dvc").is_dir()), None)


def _git(*arguments: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise BadInput("git is not installed, or not on the PATH: install it first") from error


def _make_repository() -> None:
    """Initialize DVC in the Git repository of the current folder, which is made if there is none."""
    top = _git("rev-parse", "--show-toplevel")
    if top.returncode:
        _git("init", "-q")
    root = Path(top.stdout.strip()) if not top.returncode else Path.cwd()
    command = [sys.executable, "-m", "dvc", "init", "-q"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BadInput(f"dvc init failed in {printable(root)}: {' '.join((done.stderr or done.stdout).split())}")


def _refuse_ignored(folder: Path) -> None:
    """DVC reads no dvc.yaml that Git ignores."""
    absolute = _absolute(folder)
    above = next(path for path in (absolute, *absolute.parents) if path.is_dir())
    if shutil.which("git") and _git("check-ignore", "-q", str(absolute / DVC_YAML), folder=above).returncode == 0:
        raise BadInput(f"Git ignores {printable(folder / DVC_YAML)}, so DVC refuses it: change .gitignore first")


def _notes(folder: Path, data: Path | None) -> Iterator[str]:
    if data is not None and not data.exists():
        yield f"warning: {printable(data)} does not exist yet: the stage that writes it must list it under outs"
    rules = folder / GITIGNORE
    if not rules.is_file() or rules.read_text(encoding="utf-8", errors="replace") != template("gitignore"):
        yield f"{printable(folder / GITIGNORE)} exists and was not changed: add /.makeweight/ and /logs/ to it"


def _next(folder: Path) -> Iterator[str]:
    name = shlex.quote(str(folder))
    yield "next:"
    yield f"    cd {name} && makeweight check && cd -    # validates the parameters and prints the number of trainings"
    report = f"{printable(folder)}/results/report.html"
    yield f"    dvc repro {shlex.quote(str(folder / DVC_YAML))}    # runs it; writes {report}"
    yield (
        "The stages run with the `python` on the PATH. To use another one, for instance in DVC's queue or one with a "
        "PyTorch for your GPU:"
    )
    yield f"    export MAKEWEIGHT_PYTHON={shlex.quote(sys.executable)}"
