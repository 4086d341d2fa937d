"""Training of an arm with one generator for all replicates."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest

from makeweight.runtime.splits import write_split
from tests.conftest import Invoke, write_params
from tests.support.study import small_study, split

ARM = ("--family", "cgan", "--transform", "plain")


def test_every_replicate_has_the_images_of_the_first_and_that_one_is_not_trained_twice(
    workspace: Path, invoke: Invoke
) -> None:
    write_params(workspace / "params.yaml", {"replicates": 3, "compute": {"workers": 1}})
    for number, name in enumerate(
        ("train", "validation", "test", *(f"synthetic/cgan/replicate_{k}" for k in range(3)))
    ):
        images = split(number, (20, 20), ("a", "b"))
        write_split(workspace / "data" / name, images, {"group": range(len(images))})
    assert invoke("train-augmented", *ARM)[0] == 0
    for k in (1, 2):
        shutil.rmtree(workspace / f"data/synthetic/cgan/replicate_{k}")
    code, output = invoke("train-one-generator", *ARM)
    assert code == 0, output
    assert "wrote 3 replicates of cgan-plain to runs/one_generator/cgan-plain" in output
    assert len(list((workspace / ".makeweight/cache").iterdir())) == 3 + 2
    own, fixed = (pd.read_csv(f"runs/{arm}/scores.csv") for arm in ("cgan-plain", "one_generator/cgan-plain"))
    assert own[own["replicate"] == 0].equals(fixed[fixed["replicate"] == 0])
    assert not own[own["replicate"] == 1].equals(fixed[fixed["replicate"] == 1])


def test_a_control_has_no_generator(workspace: Path, invoke: Invoke) -> None:
    code, output = invoke("train-one-generator", "--family", "none", "--transform", "plain")
    assert (code, output) == (2, "'none' is a control, which has no generator: name a family\n")


def test_compare_removes_what_the_parameters_no_longer_name_from_the_folders_that_it_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, invoke: Invoke
) -> None:
    small_study(tmp_path)
    monkeypatch.chdir(tmp_path)
    kept = Path("runs/one_generator/cgan-plain")
    shutil.copytree(kept, kept.with_name("cvae-plain"))
    shutil.copytree("models/cgan", "models/cvae")
    code, output = invoke("compare")
    assert code == 0, output
    assert "runs/one_generator: removed cvae-plain, which the parameters do not name" in output
    assert "models: removed cvae, which the parameters do not name" in output
    assert kept.exists()
    assert "Variance over runs that is due to the generator" in output
    write_params(Path("params.yaml"), {"replicates": 3, "transforms": ["plain"]})
    code, output = invoke("compare")
    assert code == 0, output
    assert not kept.exists()
    assert "left" not in output
    assert "due to the generator" not in output
