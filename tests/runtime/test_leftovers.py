"""Removal of outputs of earlier parameters, and of none of the user's files."""

from __future__ import annotations

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from makeweight.runtime.leftovers import ASSESSMENTS, MODELS, RUNS, SYNTHETIC, remove_others
from tests.conftest import PROJECT


def files(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_outputs_that_are_not_in_the_parameters_are_removed_and_logged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files(tmp_path / "runs", "none-plain/scores.csv", "smote-plain/scores.csv", "smote-plain/replicates/replicate_0/a")
    files(tmp_path / "models", "cgan/README.md", "smote/README.md", "smote/samplers/replicate_0/a")
    files(tmp_path / "synthetic", "cgan/README.md", "smote/replicate_0/images.npy", "smote/replicate_11/images.npy")
    remove_others(tmp_path / "runs", {"none-plain"}, RUNS)
    remove_others(tmp_path / "models", ["cgan"], MODELS)
    remove_others(tmp_path / "synthetic", ["cgan"], SYNTHETIC)
    remove_others(tmp_path / "nowhere", ["cgan"], SYNTHETIC)
    left = {path.relative_to(tmp_path).as_posix() for path in tmp_path.glob("*/*")}
    assert left == {"runs/none-plain", "models/cgan", "synthetic/cgan"}
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert lines[0] == f"{tmp_path / 'runs'}: removed smote-plain, which the parameters do not name"


def test_what_is_no_output_is_kept_and_logged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outside = tmp_path / "outside"
    files(outside, "scores.csv")
    runs = tmp_path / "runs"
    files(runs, "notes.txt", "mine-plain/scores.csv", "mine-plain/thesis.tex", "Old Runs/scores.csv", ".gitignore")
    (runs / "linked-plain").symlink_to(outside)
    before = sorted(tmp_path.rglob("*"))
    remove_others(runs, {"none-plain"}, RUNS)
    assert sorted(tmp_path.rglob("*")) == before
    (line,) = capsys.readouterr().err.splitlines()
    assert "kept Old Runs, linked-plain, mine-plain, notes.txt, which DVC hashes" in line


@pytest.mark.parametrize(
    ("stage", "outputs"), [("train_generator", MODELS), ("train_union", RUNS), ("assess", ASSESSMENTS)]
)
def test_everything_that_a_stage_writes_is_an_output(stage: str, outputs: set[str]) -> None:
    described = YAML(typ="safe").load(PROJECT / "dvc.yaml")["stages"][stage]
    entries = described["outs"] + described["plots"] + described.get("metrics", [])
    paths = [next(iter(entry)) for entry in entries]
    assert {Path(path).name for path in paths} <= outputs
