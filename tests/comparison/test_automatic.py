"""Automatic arms in the comparison: what was chosen is said, and no synthetic images are no equivalence."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from makeweight.comparison.compare import compare, write_comparison
from makeweight.comparison.console import show
from makeweight.core.choices import AutomaticChoice, Candidate, Choices
from makeweight.core.parameters import read_parameters
from makeweight.core.study import Arm
from makeweight.runtime.files import read_json
from tests.conftest import write_params
from tests.support.study import SMALL_CHANGES, Study, finished

ARM, NONE = Arm("auto", "plain"), Candidate("oversample", 0.0, ())
CGAN = Candidate("cgan", 0.5, ("agreement",))
AUTOMATIC: dict[str, Any] = {"automatic": ["auto"], "choice": {"replicates": 2}}


def shown(folder: Path, chosen: Candidate, equals: str, capsys: pytest.CaptureFixture[str]) -> str:
    """What the terminal shows of a study whose automatic arm equals another one; figures are written."""
    _, places = finished(folder, Study(changes={"one_generator": []}))
    shutil.copytree(places.runs / equals, places.runs / "auto-plain")
    path = write_params(folder / "params.yaml", SMALL_CHANGES, {"one_generator": [], **AUTOMATIC})
    parameters = read_parameters(path)
    scores = {NONE: {12: (0.5, 0.6)}, CGAN: {12: (0.6, 0.8)}}
    choices = Choices(automatic={ARM: AutomaticChoice(chosen, 12, scores, {}, {})})
    comparison = compare(parameters, places.runs, places.models, choices)
    write_comparison(comparison, places.results)
    show(comparison)
    return " ".join(capsys.readouterr().out.split())


def test_an_arm_without_synthetic_images_says_so_instead_of_being_equivalent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = shown(tmp_path, NONE, "oversample-plain", capsys)
    assert "Other tested arms auto-plain: chose no synthetic images." in text
    assert "Auto-plain chose no synthetic images." in text
    assert (
        "No candidate was better on validation images than none, beyond chance: auto-plain is trained as "
        "oversample-plain, the control, and predicts the same." in text
    )
    assert (
        "auto-plain trains on what was chosen among 2 candidates on validation images, by 2 trainings of each option "
        "that are never scored on test images: no synthetic images (oversample)." in text
    )
    assert "25% fewer real images with them. There are none in the batches of auto-plain." in text


def test_where_no_synthetic_images_were_chosen_there_are_no_estimates_and_no_tests(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown(tmp_path, NONE, "oversample-plain", capsys)
    results = tmp_path / "results"
    figures = read_json(results / "metrics.json")["contrasts"]["auto-plain_vs_oversample-plain"]
    assert figures == {"balanced_accuracy": {"verdict": "none chosen"}}
    table = pd.read_csv(results / "contrasts.csv").set_index("arm").query("tested")
    own = table.loc["auto-plain"]
    assert own[["gain", "low", "high", "p", "p_adjusted", "standard_error", "power", "superiority"]].isna().all()
    assert (own["verdict"], own["reference"], own["tests"]) == ("none chosen", "oversample-plain", 1)
    assert table.loc["cgan-plain", ["gain", "p", "power"]].notna().all()
    assert table["gain"].dtype == float
    assert set(pd.read_csv(results / "classes.csv")["arm"]) == {"cgan-plain"}
    stored = [row for row in read_json(results / "comparison.json")["contrasts"] if row["tested"]]
    assert {row["arm"]: (row["gain"] is None, row["mcnemar_p"] is None) for row in stored} == {
        "cgan-plain": (False, False), "auto-plain": (True, True),
    }  # fmt: skip


def test_an_arm_is_not_compared_with_the_control_arm_that_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown(tmp_path, Candidate("none", 0.0, ()), "none-plain", capsys)
    references = pd.read_csv(tmp_path / "results/contrasts.csv").query("arm == 'auto-plain'")["reference"]
    assert set(references) == {"oversample-plain", "cgan-plain"}


def test_an_arm_with_synthetic_images_is_tested_like_any_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = shown(tmp_path, CGAN, "cgan-plain", capsys)
    assert "never scored on test images: cgan, 50% synthetic, filtered by agreement." in text
    results = read_json(tmp_path / "results/metrics.json")["contrasts"]
    own, of_family = (
        results[f"{source}-plain_vs_oversample-plain"]["balanced_accuracy"] for source in ("auto", "cgan")
    )
    assert own["gain"] == of_family["gain"]
    assert own["verdict"] in {"helps", "hurts", "equivalent", "inconclusive"}
    assert "utomatically chosen GAN images" in text
    assert "In auto-plain they make up 50%." in text
