"""`make` in a folder that was moved, copied or unpacked; nothing is installed, since make only prints its commands."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import PROJECT

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="needs make")


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    # `make test` runs this: an inner make would report the folders that it enters.
    outer = {"MAKEFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "MFLAGS"}
    environment = {name: value for name, value in os.environ.items() if name not in outer}
    return subprocess.run(
        ["make", *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture
def original(tmp_path: Path) -> Path:
    """A folder with the Makefile, a Git folder, and an environment as it would be there."""
    folder = tmp_path / "original"
    (folder / ".venv/bin").mkdir(parents=True)
    (folder / ".git").mkdir()
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(PROJECT / name, folder / name)
    (folder / ".venv/bin/makeweight").write_text(f"#!{folder}/.venv/bin/python\n")
    (folder / ".venv/.ready").touch()
    return folder


def test_an_environment_is_built_again_only_where_it_was_not_made(original: Path) -> None:
    assert "-m venv" not in make(original, "-n", "repro").stdout
    copy = shutil.copytree(original, original.with_name("copy"), symlinks=True)
    shutil.copystat(original, copy)
    commands = make(copy, "-n", "repro").stdout
    assert commands.index("rm -rf .venv") < commands.index("-m venv") < commands.index("dvc repro")


def test_without_a_git_repository_the_first_line_says_git_init(original: Path) -> None:
    (original / ".git").rmdir()
    done = make(original, "repro")
    assert done.returncode == 2
    assert done.stdout == "this folder is no Git repository, which DVC needs: run git init, then make again\n"
