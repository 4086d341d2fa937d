"""Contrasts, tables and verdicts from hand-made scores."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from pipeline.comparing import Comparison, arms, compare, contrasts, picture, write_comparison
from pipeline.core import BadInput
from pipeline.params import Parameters, read_parameters
from tests.conftest import write_params

CONTROLS = {"none-plain": 0.80, "none-classical": 0.85, "oversample-plain": 0.84, "oversample-classical": 0.90}
STEPS = np.array([-0.01, 0.0, 0.01])


def parameters(folder: Path, **changes: object) -> Parameters:
    return read_parameters(write_params(folder / "params.yaml", {"replicates": 3, **changes}))


def write_scores(runs: Path, values: dict[str, np.ndarray]) -> None:
    for arm, each in values.items():
        (runs / arm).mkdir(parents=True)
        rows = [
            {"replicate": k, "split": split, "metric": metric, "value": value + (split == "validation") * 0.001}
            for k, value in enumerate(each)
            for split in ("validation", "test")
            for metric in ("accuracy", "balanced_accuracy", "macro_f1", "recall_nan", "recall_7")
        ]
        pd.DataFrame(rows).to_csv(runs / arm / "scores.csv", index=False)


def study(folder: Path, plain: float, classical: np.ndarray) -> Path:
    values = {arm: mean + STEPS for arm, mean in CONTROLS.items()}
    write_scores(folder / "runs", {**values, "cgan-plain": plain + STEPS, "cgan-classical": classical})
    return folder / "runs"


def contrast(comparison: Comparison, arm: str, control: str) -> dict[str, Any]:
    (row,) = (r for r in comparison.contrasts.to_dict("records") if (r["arm"], r["control"]) == (arm, control))
    return {str(key): value for key, value in row.items()}


def test_contrasts_follow_from_the_parameters_alone(tmp_path: Path) -> None:
    assert [str(each) for each in contrasts(parameters(tmp_path))] == [
        "cgan-plain_vs_none-plain",
        "cgan-plain_vs_oversample-plain",
        "cgan-plain_vs_oversample-classical",
        "cgan-classical_vs_none-classical",
        "cgan-classical_vs_oversample-classical",
    ]


def test_contrasts_name_only_arms_that_exist(tmp_path: Path) -> None:
    few = parameters(tmp_path, controls=["none"], transforms=["plain"])
    assert [str(arm) for arm in arms(few)] == ["none-plain", "cgan-plain"]
    assert [str(each) for each in contrasts(few)] == ["cgan-plain_vs_none-plain"]


def test_gains_intervals_and_p_values_are_those_of_a_paired_t_test(tmp_path: Path) -> None:
    runs = study(tmp_path, 0.84, np.array([0.90, 0.93, 0.92]))
    row = contrast(compare(parameters(tmp_path), runs), "cgan-classical", "oversample-classical")
    expected = stats.ttest_rel([0.90, 0.93, 0.92], 0.90 + STEPS)
    low, high = expected.confidence_interval(0.95)
    assert (row["gain"], row["low"], row["high"], row["p"]) == pytest.approx(
        (np.mean([0.01, 0.03, 0.01]), low, high, expected.pvalue)
    )
    assert row["p_adjusted"] == pytest.approx(min(1, 5 * expected.pvalue))


def test_verdicts_and_sentences_agree_with_their_figures(tmp_path: Path) -> None:
    comparison = compare(parameters(tmp_path), study(tmp_path, 0.84, np.array([0.90, 0.93, 0.92])))
    for arm, control, verdict in (
        ("cgan-plain", "none-plain", "helps"),
        ("cgan-plain", "oversample-plain", "equivalent"),
        ("cgan-plain", "oversample-classical", "hurts"),
        ("cgan-classical", "oversample-classical", "inconclusive"),
    ):
        assert contrast(comparison, arm, control)["verdict"] == verdict
    for row in comparison.contrasts.to_dict("records"):
        figures = [float(text) for text in re.findall(r"[+-]\d+\.\d+", row["sentence"])]
        assert figures == pytest.approx([100 * row[key] for key in ("gain", "low", "high")], abs=0.00501)
        assert row["sentence"].startswith(f"{row['arm']} against {row['control']} ")


def test_the_verdict_is_of_test_images_and_of_the_chosen_metric(tmp_path: Path) -> None:
    runs = study(tmp_path, 0.84, 0.9 + STEPS)
    path = runs / "cgan-plain" / "scores.csv"
    table = pd.read_csv(path, keep_default_na=False)
    table.loc[(table["split"] == "validation") | (table["metric"] != "balanced_accuracy"), "value"] = 0.0
    table.to_csv(path, index=False)
    comparison = compare(parameters(tmp_path), runs)
    assert contrast(comparison, "cgan-plain", "none-plain")["gain"] == pytest.approx(0.04)


def test_arms_are_summed_up_over_replicates_with_the_recall_of_each_class(tmp_path: Path) -> None:
    table = compare(parameters(tmp_path), study(tmp_path, 0.84, 0.9 + STEPS)).arms
    row = table[(table["arm"] == "none-plain") & (table["split"] == "test") & (table["metric"] == "accuracy")]
    assert row[["mean", "sd", "replicates"]].to_numpy().tolist() == [pytest.approx([0.80, 0.01, 3])]
    recalls = table[(table["arm"] == "none-plain") & (table["metric"] == "recall")]
    assert set(recalls["class"]) == {"nan", "7"}


def test_metrics_are_rounded_and_hold_arms_and_contrasts(tmp_path: Path) -> None:
    write_comparison(compare(parameters(tmp_path), study(tmp_path, 0.84, 0.9 + STEPS)), tmp_path / "results")
    found = json.loads((tmp_path / "results" / "metrics.json").read_text())
    assert found["arms"]["none-plain"]["balanced_accuracy"] == {"mean": 0.8, "sd": 0.01}
    assert found["validation"]["none-plain"]["balanced_accuracy"]["mean"] == 0.801
    figures = found["contrasts"]["cgan-plain_vs_none-plain"]["balanced_accuracy"]
    assert figures == {"gain": 0.04, "low": 0.04, "high": 0.04, "p_adjusted": 0.0, "verdict": "helps"}


def test_writing_leaves_what_else_stands_in_results_and_gives_the_same_bytes(tmp_path: Path) -> None:
    comparison = compare(parameters(tmp_path), study(tmp_path, 0.84, 0.9 + STEPS))
    out = tmp_path / "results"
    (out / "samples").mkdir(parents=True)
    write_comparison(comparison, out)
    first = {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}
    write_comparison(comparison, out)
    assert first == {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}
    assert {path.name for path in out.iterdir()} == {
        "samples", "metrics.json", "arms.csv", "contrasts.csv", "arms.png"
    }  # fmt: skip


def test_the_picture_has_a_dot_for_every_replicate_of_every_arm(tmp_path: Path) -> None:
    axes = picture(compare(parameters(tmp_path), study(tmp_path, 0.84, 0.9 + STEPS))).axes[0]
    assert [np.shape(dots.get_offsets())[0] for dots in axes.collections] == [3] * 6


def test_a_missing_arm_and_a_missing_replicate_are_named(tmp_path: Path) -> None:
    runs = study(tmp_path, 0.84, 0.9 + STEPS)
    with pytest.raises(BadInput, match=r"none-plain.scores\.csv holds 3 replicates, not 4"):
        compare(parameters(tmp_path, replicates=4), runs)
    (runs / "cgan-plain" / "scores.csv").unlink()
    with pytest.raises(BadInput, match=r"cgan-plain.scores\.csv is missing"):
        compare(parameters(tmp_path), runs)


def test_an_arm_that_nobody_asks_for_any_more_is_left_out(tmp_path: Path) -> None:
    runs = study(tmp_path, 0.84, 0.9 + STEPS)
    found = compare(parameters(tmp_path, transforms=["plain"]), runs)
    assert set(found.arms["arm"]) == {"none-plain", "oversample-plain", "cgan-plain"}
