"""A small configuration of the real thing, and a copy of the project to run it in."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

PROJECT = Path(__file__).parent.parent

SMALL: dict[str, Any] = {
    "replicates": 2,
    "controls": ["none", "oversample"],
    "generators": ["cgan"],
    "transforms": ["plain", "classical"],
    "families": {
        "cgan": {"steps": 12, "batch": 16, "generator_width": 8, "discriminator_width": 8},
        "cvae": {"steps": 12, "batch": 16, "encoder_width": 8, "decoder_width": 8},
        "autoencoder": {"steps": 12, "batch": 16, "encoder_width": 8, "decoder_width": 8},
        "warp": {"pairs": 12, "iterations": 6},
    },
    "unions": [],
    "monitor": {"scorer_steps": 4},
    "generate": {"per_class": 12, "synthetic_fraction": 0.25},
    "classifier": {"steps": 12, "batch": 16},
    "choice": {"replicates": 1},
}


SLOWEST = ("test_reproducing", "test_clones", "test_resuming", "test_package", "test_third_party", "test_distributed")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the slowest modules first: a process that begins one of them last would keep the others waiting."""
    items.sort(key=lambda item: SLOWEST.index(item.path.stem) if item.path.stem in SLOWEST else len(SLOWEST))


@pytest.fixture(autouse=True, scope="session")
def _as_a_terminal_starts_it() -> None:
    """Tests that run under nohup would hand it on to the processes that they start, which then outlive them."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(autouse=True, scope="session")
def _dvc_without_network() -> None:
    """Whatever a test's `.dvc/config` says, `dvc` shall start no daemon and ask no network."""
    os.environ.update({"DVC_NO_ANALYTICS": "1", "CI": "true"})


@pytest.fixture(autouse=True)
def _without_modules_of_other_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests write packages of equal names into folders of their own."""
    yield
    folder = str(tmp_path_factory.getbasetemp())
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__dict__", {}).get("__file__")).startswith(folder):
            del sys.modules[name]
    if fingerprints := sys.modules.get("makeweight.runtime.fingerprints"):
        fingerprints._source.cache_clear()  # remembers where a module's file is


def merge(values: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """`values` with `changes` laid over, group by group."""
    merged = dict(values)
    for key, change in changes.items():
        group = isinstance(change, dict) and isinstance(merged.get(key), dict)
        merged[key] = merge(merged[key], change) if group else change
    return merged


def write_params(path: Path, *changes: dict[str, Any]) -> Path:
    """The project's own params.yaml, made small, with further changes."""
    values = YAML(typ="safe").load(PROJECT / "params.yaml")
    for change in (SMALL, *changes):
        values = merge(values, change)
    named = any("control" in change.get("compare", {}) for change in changes)
    if not named and values["controls"] and values["transforms"]:
        values["compare"]["control"] = f"{values['controls'][-1]}-{values['transforms'][-1]}"  # which exists
    YAML(typ="safe").dump(values, path)
    return path


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder with a small params.yaml, as the current one."""
    write_params(tmp_path / "params.yaml")
    monkeypatch.chdir(tmp_path)
    return tmp_path


class Project:
    """A copy of the project under Git and DVC, as a clone would be, with a small configuration."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def copied_to(cls, folder: Path) -> Project:
        """A fresh copy of the project in `folder`, as its first commit."""
        project = cls(folder)
        tracked = subprocess.run(
            ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
            cwd=PROJECT, capture_output=True, text=True, check=True,
        )  # fmt: skip
        for name in tracked.stdout.splitlines():
            if (PROJECT / name).is_file() and not name.startswith(("tests/", "docs/")) and name != "dvc.lock":
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(PROJECT / name, folder / name)
        (folder / ".venv").symlink_to(sys.prefix)
        write_params(folder / "params.yaml")
        project.run("git", "init", "-q")
        project.commit("start")
        return project

    def clone(self, folder: Path) -> Project:
        """A clone in `folder`: what Git keeps, and the same environment."""
        done = self.run("git", "clone", "-q", ".", str(folder))
        assert done.returncode == 0, done.stderr
        (folder / ".venv").symlink_to(sys.prefix)
        return Project(folder)

    def commit(self, message: str) -> None:
        """Commit all that is there."""
        self.run("git", "add", "-A")
        self.run("git", "-c", "user.name=Test", "-c", "user.email=test@example.org", "commit", "-qm", message)

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the copy; it may fail."""
        return subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False)

    def dvc(self, *arguments: str) -> str:
        """Run dvc, which must succeed; what it printed."""
        done = self.run(f"{sys.prefix}/bin/dvc", *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def params(self, *changes: dict[str, Any]) -> None:
        """Write params.yaml: small, with `changes`."""
        write_params(self.folder / "params.yaml", *changes)

    def files(self, *folders: str) -> dict[str, bytes]:
        """Names and bytes of all files below `folders`."""
        paths = (path for name in folders for path in sorted((self.folder / name).rglob("*")))
        return {str(path.relative_to(self.folder)): path.read_bytes() for path in paths if path.is_file()}

    def digests(self, *folders: str) -> dict[str, str]:
        """Names and hashes of all files below `folders`: pytest would take hours to say in what bytes differ."""
        return {name: hashlib.sha256(content).hexdigest() for name, content in self.files(*folders).items()}


def stages_run(output: str) -> set[str]:
    """The stages that `dvc repro` says it has run."""
    lines = [line for line in output.splitlines() if line.startswith("Running stage ")]
    return {line.split("'")[1] for line in lines}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """One copy for the tests of a module, which walk it in their order."""
    return Project.copied_to(tmp_path_factory.mktemp("project"))


Invoke = Callable[..., tuple[int, str]]


@pytest.fixture
def invoke(monkeypatch: pytest.MonkeyPatch) -> Invoke:
    """Run `makeweight` with arguments; exit code and what it printed. `prepare` times no steps, which takes seconds."""
    from typer.testing import CliRunner

    from makeweight.commands.__main__ import makeweight
    from makeweight.project.timing import StepTime

    monkeypatch.setattr(
        "makeweight.project.plan.step_times", lambda jobs, *_: {job.name: StepTime(None) for job in jobs}
    )

    def call(*arguments: object) -> tuple[int, str]:
        result = CliRunner().invoke(makeweight, [str(argument) for argument in arguments])
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.exit_code, result.output

    return call
