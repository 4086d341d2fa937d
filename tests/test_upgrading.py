"""A project whose results were made by version 0.1: its dvc.lock, outputs and cache only make stages stale."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.conftest import Invoke, Project, stages_run

LOCK_OF_0_1 = """\
schema: '2.0'
stages:
  check:
    cmd: .venv/bin/python -m stages.check
    deps:
    - path: params.yaml
      hash: md5
      md5: 15a085ccdd7bf89ccb8d5eabcdd58ad6
      size: 7097
    - path: pipeline/checking.py
      hash: md5
      md5: 6ec4e905dd9729c3d4956be3c8e7218c
      size: 1166
    outs:
    - path: .makeweight/checked
      hash: md5
      md5: d41d8cd98f00b204e9800998ecf8427e
      size: 0
  train_generator@cgan:
    cmd: .venv/bin/python -m stages.train_generator --family cgan
    deps:
    - path: pipeline/families
      hash: md5
      md5: cfe42a7a1b6f7968395570270a85b7e1.dir
      size: 12478
      nfiles: 2
    params:
      params.yaml:
        families.cgan:
          average_decay: 0.999
        watch:
          on_trouble: step_back
    outs:
    - path: models/cgan/samplers
      hash: md5
      md5: 0e1a7a3c9f6b4d2e8c5b7f9d1a3c5e70.dir
      size: 100
      nfiles: 1
  train_augmented@cgan-plain:
    cmd: .venv/bin/python -m stages.train_classifier --source cgan --transform plain
    deps:
    - path: pipeline/classifying.py
      hash: md5
      md5: 7f7e035a64f0a5c7472d183ab4c3744a
      size: 3295
    params:
      params.yaml:
        compare.variance: true
        generate.share: 0.25
    outs:
    - path: runs/cgan-plain/scores.csv
      hash: md5
      md5: 1a2b3c4d5e6f70819a2b3c4d5e6f7081
      size: 4
    - path: runs/cgan-plain/variance.csv
      hash: md5
      md5: 2b3c4d5e6f70819a2b3c4d5e6f70811a
      size: 4
  classify@none-plain:
    cmd: .venv/bin/python -m stages.classify --arm none-plain
    outs:
    - path: results/none-plain
      hash: md5
      md5: 3c4d5e6f70819a2b3c4d5e6f70811a2b.dir
      size: 4
      nfiles: 1
"""
OUTPUTS_OF_0_1 = (
    "models/cgan/samplers/replicate_0/weights.safetensors",
    "runs/cgan-plain/scores.csv",
    "runs/cgan-plain/variance.csv",
    "results/none-plain/scores.csv",
    "results/data_report.json",
    "results/comparison.json",
    "results/arms.csv",
    "data/train/images.npy",
    "data/validation/images.npy",
    "data/test/images.npy",
    "data/synthetic/cgan/replicate_0/images.npy",
    ".makeweight/cache/0123456789abcdef/scores.csv",
)


@pytest.fixture(scope="module")
def upgraded(project: Project) -> Project:
    """The present code with what version 0.1 left."""
    (project.folder / "dvc.lock").write_text(LOCK_OF_0_1, encoding="utf-8")
    for name in OUTPUTS_OF_0_1:
        (project.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (project.folder / name).write_text("of 0.1", encoding="utf-8")
    (project.folder / ".makeweight/checked").write_text("of 0.1", encoding="utf-8")
    return project


def outputs(project: Project) -> dict[str, bytes]:
    return project.files("data", "models", "runs", "results", ".makeweight/cache")


def test_everything_is_stale_and_nothing_is_deleted(upgraded: Project) -> None:
    before = outputs(upgraded)
    assert set(OUTPUTS_OF_0_1) <= set(before)
    status = upgraded.dvc("status")
    for stage in ("check", "train_generator@cgan", "train_augmented@cgan-plain", "compare", "report"):
        assert f"{stage}:\n\tchanged" in status
    # A dry run ends at the first stage that needs a file which does not exist yet: the choices are new.
    dry = upgraded.dvc("repro", "--dry", "generate@cgan", "choose")
    assert stages_run(dry) == {"check", "prepare", "train_generator@cgan", "generate@cgan", "choose"}
    assert outputs(upgraded) == before


def test_check_reports_no_error_for_the_former_lock_and_cache(
    upgraded: Project, monkeypatch: pytest.MonkeyPatch, invoke: Invoke
) -> None:
    before = outputs(upgraded)
    monkeypatch.chdir(upgraded.folder)
    code, output = invoke("check")
    assert code == 0
    assert output.splitlines()[-1] == "params.yaml is valid; wrote .makeweight/checked"
    assert "warning" not in output
    added = {name for name in outputs(upgraded) if name not in before}
    assert added == {"results/assessment/README.md"}
    assert {name: content for name, content in outputs(upgraded).items() if name not in added} == before


def test_former_parameters_are_named_with_their_new_names(
    upgraded: Project, monkeypatch: pytest.MonkeyPatch, invoke: Invoke
) -> None:
    params = Path(upgraded.folder, "params.yaml")
    text = params.read_text(encoding="utf-8")
    params.write_text(
        text.replace("one_generator: []\n", "").replace("synthetic_fraction:", "share:"), encoding="utf-8"
    )
    monkeypatch.chdir(upgraded.folder)
    code, output = invoke("check")
    assert code == 2
    assert set(output.splitlines()) == {
        "one_generator is missing", "generate.share is now generate.synthetic_fraction: rename it"
    }  # fmt: skip
    # DVC reads the lists of its matrix before any stage runs, and names the one that is missing.
    refused = upgraded.run(f"{sys.prefix}/bin/dvc", "repro", "--dry")
    assert refused.returncode != 0
    assert "one_generator" in refused.stderr
