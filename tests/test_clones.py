"""A fresh clone of a project whose results were pushed. The tests share one project and run in order."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.conftest import Project, stages_run

OUTPUTS = ("data/train", "data/validation", "data/test", "data/synthetic", "models", "runs", "results")
TINY = {"controls": ["none"], "transforms": ["plain"], "compute": {"workers": 1}}


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("storage")


def pulled(project: Project, folder: Path, storage: Path) -> Project:
    clone = project.clone(folder)
    clone.dvc("remote", "add", "--local", "--default", "storage", str(storage))
    clone.dvc("pull")
    return clone


def test_what_an_earlier_choice_of_generators_left_is_no_part_of_the_results(
    project: Project, storage: Path, tmp_path: Path
) -> None:
    project.params(TINY, {"generators": ["gaussian", "smote"], "assess": {"families": ["gaussian", "smote"]}})
    ran = stages_run(project.dvc("repro"))
    assert {"train_augmented@smote-plain", "assess@gaussian", "assess@smote"} <= ran
    assert "## Assessment of generated images" in (project.folder / "results/report.md").read_text()
    metrics = project.dvc("metrics", "show")
    assert "results/assessment/gaussian/metrics.json" in metrics
    project.params(TINY, {"generators": ["gaussian"], "assess": {"families": ["gaussian"]}})
    output = project.dvc("repro")
    assert "runs: removed smote-plain, which the parameters do not name" in output
    assert "models: removed smote, which" in output
    assert "data/synthetic: removed smote, which" in output
    assert "results/assessment: removed smote, which" in output
    project.commit("results")
    project.dvc("remote", "add", "--local", "--default", "storage", str(storage))
    project.dvc("push")
    clone = pulled(project, tmp_path / "clone", storage)
    changed = clone.dvc("status")
    assert not any(folder in changed for folder in ("runs", "models", "data/synthetic")), changed
    assert stages_run(clone.dvc("repro")) == {"check"}  # whose marker no cache holds


def test_an_experiment_in_a_folder_of_its_own_finds_the_interpreter_and_its_path_reaches_no_lock(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAKEWEIGHT_PYTHON", sys.executable)
    assert "Ran experiment(s)" in project.dvc("exp", "run", "--temp", "-S", "families.gaussian.variance=0.8")
    commands = [line for line in (project.folder / "dvc.lock").read_text().splitlines() if "cmd: " in line]
    assert commands
    assert all("""cmd: '"${MAKEWEIGHT_PYTHON:-.venv/bin/python}" -P stages/""" in line for line in commands)


def test_a_clone_trains_nothing_when_a_message_is_reworded(project: Project, storage: Path, tmp_path: Path) -> None:
    clone = pulled(project, tmp_path / "clone", storage)
    for command_name in ("train_generator", "train_classifier"):
        command = clone.folder / f"pipeline/makeweight/commands/{command_name}.py"
        assert 'f"wrote ' in command.read_text()
        command.write_text(command.read_text().replace('f"wrote ', 'f"finished '))
    output = clone.dvc("repro")
    assert {"train_generator@gaussian", "train_baseline@none-plain", "train_augmented@gaussian-plain"} <= stages_run(
        output
    )
    assert output.count(": 2 finished replicates taken from ") == 3
    assert not (clone.folder / "logs").exists()  # where every training leaves its time
    pushed = {name: digest for name, digest in project.digests(*OUTPUTS).items() if name != "results/samples/smote.png"}
    assert clone.digests(*OUTPUTS) == pushed
