"""The examples, run in copies as a reader would."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.conftest import PROJECT

EXAMPLES = PROJECT / "examples"


def run(*command: str, cwd: Path, path: Path | None = None) -> str:
    """Run a command that must succeed; what it printed."""
    bin_folder = f"{sys.prefix}/bin{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": bin_folder, "PYTHONPATH": str(path or "")}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_own_training(tmp_path: Path) -> None:
    shutil.copy(EXAMPLES / "own_training.py", tmp_path)
    output = run("python", "own_training.py", cwd=tmp_path)
    assert "Balanced accuracy is" in output
    assert "Based on 5 pairs of trainings" in output
    assert len(list((tmp_path / "predictions").glob("*.npz"))) == 10


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    """A copy of the plug-in, laid out as pip would install it."""
    folder = tmp_path / "plugin"
    shutil.copytree(EXAMPLES / "plugin", folder)
    code = "import setuptools.build_meta as build; build.prepare_metadata_for_build_wheel('.')"
    run("python", "-c", code, cwd=folder)
    return folder


def test_the_plugin_passes_its_own_test_and_is_found(plugin: Path) -> None:
    run("python", "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests", cwd=plugin, path=plugin)
    listed = run("makeweight", "plugins", cwd=plugin, path=plugin)
    assert any("averages" in line and "makeweight-averages" in line for line in listed.splitlines())


def test_the_dvc_project_runs_the_study_between_its_own_stages(tmp_path: Path) -> None:
    project = tmp_path / "my project"
    shutil.copytree(EXAMPLES / "dvc_project", project)
    run("git", "init", "-q", cwd=project)
    run("dvc", "init", "-q", cwd=project)
    run("dvc", "repro", "-q", "photos", cwd=project)
    run("makeweight", "init", "augment", "--preset", "folder", "--data", "photos", cwd=project)
    assert YAML(typ="safe").load(project / "augment" / "params.yaml")["data"]["path"] == "../photos"
    graph = run("dvc", "dag", "--full", "--dot", cwd=project)
    edges = [line.strip().rstrip(";").replace('"', "").split(" -> ") for line in graph.splitlines() if " -> " in line]
    assert ["photos", "augment/dvc.yaml:prepare"] in edges or ["photos.dvc", "augment/dvc.yaml:prepare"] in edges
    assert ["augment/dvc.yaml:compare", "decide"] in edges


def test_the_decision_reads_the_metrics(tmp_path: Path) -> None:
    results = tmp_path / "augment" / "results"
    results.mkdir(parents=True)
    shutil.copy(PROJECT / "results" / "metrics.json", results)
    shutil.copy(EXAMPLES / "dvc_project" / "decide.py", tmp_path)
    run("python", "decide.py", cwd=tmp_path)
    lines = (tmp_path / "decision.txt").read_text().splitlines()
    assert lines
    assert all(line.rsplit(": ")[1] in {"helps", "hurts", "equivalent", "inconclusive"} for line in lines)
