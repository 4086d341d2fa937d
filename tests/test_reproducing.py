"""The whole pipeline through `dvc repro` on real digits, made small. The tests share a project and run in order.

Each stage takes seconds to start: only the first run has all arms.
"""

from __future__ import annotations

import json
import shutil
import sys
from typing import Any

import pytest
import torch
from ruamel.yaml import YAML
from torchvision.models import resnet18

from tests.conftest import Project, stages_run

OUTPUTS = ("data", "models", "runs", "results")
NOTHING = "Data and pipelines are up to date."
ONE_WORKER: dict[str, Any] = {"compute": {"workers": 1}}
FEW_ARMS: dict[str, Any] = {**ONE_WORKER, "controls": ["oversample"], "transforms": ["plain"]}


def digests(project: Project) -> dict[str, str]:
    return project.digests(*OUTPUTS)


def digests_of_results(project: Project) -> dict[str, str]:
    """All but the data report, which describes the last attempt, even one that failed."""
    return {name: digest for name, digest in digests(project).items() if "data_report" not in name}


def test_one_command_runs_the_whole_pipeline(project: Project) -> None:
    output = project.dvc("repro")
    assert stages_run(output) == {
        "check", "prepare", "train_generator@cgan", "generate@cgan", "choose",
        "train_baseline@none-plain", "train_baseline@none-classical",
        "train_baseline@oversample-plain", "train_baseline@oversample-classical",
        "train_augmented@cgan-plain", "train_augmented@cgan-classical", "compare", "report",
    }  # fmt: skip
    assert "(oversample-classical, the control)" in output
    metrics = json.loads((project.folder / "results/metrics.json").read_text())
    assert len(metrics["arms"]) == 6
    assert len(metrics["contrasts"]) == 2


def test_a_second_time_runs_nothing(project: Project) -> None:
    assert NOTHING in project.dvc("repro")


def test_metrics_and_plots_show_something(project: Project) -> None:
    assert "balanced_accuracy" in project.dvc("metrics", "show", "--md")
    project.dvc("plots", "show", "-o", "shown")
    page = (project.folder / "shown" / "index.html").read_text()
    for words in ("history.png", "test images of replicate 0", "arms.png", "cgan.png"):
        assert words in page


def test_a_forced_run_without_caches_writes_the_same_bytes_with_another_number_of_workers(project: Project) -> None:
    before = digests(project)
    assert project.run(f"{sys.prefix}/bin/makeweight", "clean").returncode == 0
    for outputs in ("models/cgan", "runs/oversample-plain", "runs/cgan-classical"):  # else they would be adopted
        shutil.rmtree(project.folder / outputs)
    project.params(ONE_WORKER)
    stages = [
        "check", "prepare", "train_generator@cgan", "generate@cgan", "choose", "train_baseline@oversample-plain",
        "train_augmented@cgan-classical", "compare", "report",
    ]  # fmt: skip
    output = project.dvc("repro", "--force", "--no-run-cache", "--single-item", *stages)
    assert stages_run(output) == set(stages)
    assert digests(project) == before
    assert (project.folder / "logs/train-generator-cgan.json").exists()  # it was trained


@pytest.fixture(scope="module")
def intact(project: Project) -> dict[str, str]:
    """The outputs before the errors."""
    return digests(project)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"families": {"cgan": {"stepz": 1}}}, "families.cgan.stepz is not a parameter"),
        ({"data": {"reader": "folder", "path": "nowhere"}}, "data.path: nowhere does not exist"),
        ({"data": {"imbalance": None, "counts": [500] * 10}}, "data.counts asks for 500 training images"),
        ({"generators": ["cgam"]}, "'cgam' is not among the registered families"),
        ({"transforms": []}, "transforms is []"),
    ],
)
def test_an_error_is_one_line_and_loses_nothing(
    change: dict[str, Any], message: str, project: Project, intact: dict[str, str]
) -> None:
    results_before = digests_of_results(project)
    project.params(change)
    done = project.run(f"{sys.prefix}/bin/dvc", "repro")
    assert done.returncode != 0
    lines = [line for line in (done.stdout + done.stderr).splitlines() if message in line]
    assert len(lines) == 1
    assert digests_of_results(project) == results_before


def test_without_the_errors_the_outputs_are_those_of_before(project: Project, intact: dict[str, str]) -> None:
    project.params(ONE_WORKER)
    project.dvc("repro")
    assert digests(project) == intact


def test_an_experiment_reruns_only_what_depends_on_the_change(project: Project) -> None:
    project.params(FEW_ARMS)
    project.dvc("repro")
    project.commit("results")
    output = project.dvc("exp", "run", "-S", "families.cgan.steps=13")
    assert stages_run(output) == {
        "check", "train_generator@cgan", "generate@cgan", "choose", "train_augmented@cgan-plain", "compare", "report",
    }  # fmt: skip
    assert "cgan" in project.dvc("metrics", "diff", "HEAD")
    gain = "contrasts.cgan-plain_vs_oversample-plain.balanced_accuracy.gain"
    assert gain in project.dvc("exp", "show", "--csv")


def test_more_replicates_train_only_the_new_ones(project: Project) -> None:
    before = project.files("runs/cgan-plain", "models")
    finished = set((project.folder / ".makeweight/cache").iterdir())
    changed = {"families": {"cgan": {"steps": 13}}}  # by the experiment, whose outputs are there
    project.params(FEW_ARMS, changed, {"replicates": 3})
    project.dvc("repro")
    assert (
        len(set((project.folder / ".makeweight/cache").iterdir()) - finished) == 1 + 1 + 2
    )  # a generator, its images, two arms
    after = project.files("runs/cgan-plain", "models")
    finished_names = [name for name in before if "replicate_" in name]
    assert finished_names
    assert all(after[name] == before[name] for name in finished_names)


def test_several_families_run_beside_each_other_each_in_its_own_arm(project: Project) -> None:
    project.params(FEW_ARMS, {"generators": ["cgan", "cvae", "gaussian"]})
    ran = stages_run(project.dvc("repro"))
    assert {f"{stage}@{family}" for stage in ("train_generator", "generate") for family in ("cvae", "gaussian")} <= ran
    metrics = json.loads((project.folder / "results/metrics.json").read_text())
    assert set(metrics["arms"]) == {"oversample-plain", "cgan-plain", "cvae-plain", "gaussian-plain"}


def test_edited_weights_of_the_assessment_are_a_change(project: Project) -> None:
    weights = resnet18(num_classes=2).state_dict()
    torch.save(weights, project.folder / "own.pt")
    project.params(ONE_WORKER, {"assess": {"families": ["cgan"], "weights": "own.pt"}})
    project.dvc("repro", "check")
    assert "weights" not in project.dvc("status", "check")
    torch.save({name: value + 1 for name, value in weights.items()}, project.folder / "own.pt")
    assert ".makeweight/weights" in project.dvc("status", "check")
    assert "check" in stages_run(project.dvc("repro", "check"))
    assert "weights" not in project.dvc("status", "check")
    stages = YAML(typ="safe").load(project.folder / "dvc.yaml")["stages"]
    assert ".makeweight/weights" in stages["assess"]["deps"]
