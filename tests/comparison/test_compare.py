"""Contrasts, tables and verdicts from simulated scores."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from makeweight.comparison import compare as comparing
from makeweight.comparison import test_sets
from makeweight.comparison.compare import Comparison, _arms_table, generator_share, on_test_images, write_comparison
from makeweight.comparison.influence import contributions
from makeweight.core.errors import BadInput
from makeweight.core.metrics import scores
from makeweight.core.parameters import Parameters, read_parameters
from makeweight.runtime.files import read_arrays, read_json, write_arrays, write_csv, write_json
from tests.conftest import write_params
from tests.support.study import sample_quality

CLASSES = ("nan", "7")
IMAGES = 100  # of each class
# Which part of the images an arm is right on: each replicate of an arm gets STEPS more.
CONTROLS = {"none-plain": 0.80, "none-classical": 0.85, "oversample-plain": 0.84, "oversample-classical": 0.90}
STEPS = np.array([-0.01, 0.0, 0.01])


def parameters(folder: Path, **changes: object) -> Parameters:
    (folder / "models/cgan").mkdir(parents=True, exist_ok=True)
    write_json(folder / "models/cgan/sample_quality.json", sample_quality("cgan", CLASSES))
    return read_parameters(write_params(folder / "params.yaml", {"replicates": 3, **changes}))


def write_runs(runs: Path, values: dict[str, np.ndarray]) -> None:
    """Arms that are right on the first images of each class, as many as their values say."""
    labels = np.repeat([0, 1], IMAGES)
    for arm, accuracies in values.items():
        right = [np.tile(np.arange(IMAGES) < round(value * IMAGES), 2) for value in accuracies]
        probabilities = [np.eye(2, dtype=np.float32)[np.where(row, labels, 1 - labels)] for row in right]
        rows = [
            {"replicate": k, "split": split, "metric": metric, "value": value}
            for k, predicted in enumerate(probabilities)
            for split in ("validation", "test")
            for metric, value in scores(labels, predicted, CLASSES).items()
        ]
        (runs / arm).mkdir(parents=True)
        write_csv(runs / arm / "scores.csv", pd.DataFrame(rows))
        predictions = {f"replicate_{k}": p.argmax(1).astype(np.uint8) for k, p in enumerate(probabilities)}
        write_arrays(
            runs / arm / "predictions.npz", {"labels": labels, "groups": np.arange(len(labels)), **predictions}
        )


def study(folder: Path, plain: float, classical: np.ndarray) -> Path:
    values = {arm: mean + STEPS for arm, mean in CONTROLS.items()}
    write_runs(folder / "runs", {**values, "cgan-plain": plain + STEPS, "cgan-classical": classical})
    return folder / "runs"


def compare(chosen: Parameters, runs: Path) -> Comparison:
    return comparing.compare(chosen, runs, runs.parent / "models")


def contrast(comparison: Comparison, arm: str, control: str) -> dict[str, Any]:
    (row,) = (r for r in comparison.contrasts.to_dict("records") if (r["arm"], r["reference"]) == (arm, control))
    return {str(key): value for key, value in row.items()}


def test_each_generator_arm_has_one_tested_contrast_and_the_primary_one_comes_first(tmp_path: Path) -> None:
    comparison = compare(parameters(tmp_path), study(tmp_path, 0.84, np.array([0.90, 0.93, 0.92])))
    assert [(str(result.contrast), result.tests) for result in comparison.results if result.tested] == [
        ("cgan-classical_vs_oversample-classical", 1),
        ("cgan-plain_vs_oversample-classical", 1),
    ]
    assert [result.primary for result in comparison.results if result.tested] == [True, False]
    assert len(comparison.results) == 6 * 5 / 2
    assert {result.verdict for result in comparison.results if not result.tested} == {None}
    without = compare(parameters(tmp_path, compare={"primary": None}), tmp_path / "runs")
    assert {result.tests for result in without.results if result.tested} == {2}


def test_gains_are_those_of_a_paired_t_test_over_replicates(tmp_path: Path) -> None:
    runs = study(tmp_path, 0.84, np.array([0.90, 0.93, 0.92]))
    row = contrast(compare(parameters(tmp_path), runs), "cgan-classical", "oversample-classical")
    expected = stats.ttest_rel([0.90, 0.93, 0.92], 0.90 + STEPS)
    low, high = expected.confidence_interval(0.95)
    assert (row["gain"], row["fixed_low"], row["fixed_high"], row["p_fixed"]) == pytest.approx(
        (np.mean([0.01, 0.03, 0.01]), low, high, expected.pvalue)
    )
    assert row["low"] < row["gain"] < row["high"]


def test_gains_are_of_test_images_and_of_the_chosen_metric(tmp_path: Path) -> None:
    runs = study(tmp_path, 0.84, 0.9 + STEPS)
    for path in runs.glob("*/scores.csv"):
        table = pd.read_csv(path, keep_default_na=False)
        table.loc[table["split"] == "validation", "value"] = 0.0
        table.to_csv(path, index=False)
    chosen = parameters(tmp_path, compare={"metric": "macro_f1"})
    found = contrast(compare(chosen, runs), "cgan-plain", "none-plain")
    labels = np.repeat([0, 1], IMAGES)
    by_arm = {arm: contributions("macro_f1", labels, predictions(runs, arm)) for arm in ("cgan-plain", "none-plain")}
    assert found["gain"] == pytest.approx(float((by_arm["cgan-plain"] - by_arm["none-plain"]).values.mean()))
    assert found["metric"] == "macro_f1"


def predictions(runs: Path, arm: str) -> np.ndarray:
    stored = read_arrays(runs / arm / "predictions.npz")
    return np.stack([stored[f"replicate_{k}"] for k in range(3)]).astype(np.int64)


def test_a_small_class_is_marked_and_its_number_of_images_is_given(tmp_path: Path) -> None:
    comparison = compare(parameters(tmp_path), study(tmp_path, 0.84, 0.9 + STEPS))
    recalls = comparison.arms[(comparison.arms["metric"] == "recall") & (comparison.arms["split"] == "test")]
    assert set(recalls["images"]) == {IMAGES}
    assert not recalls["few"].any()
    labels = np.array([0] * 40 + [1] * 29)
    few = _arms_table(comparison.scores, labels)
    marked = few[few["few"]]
    assert set(marked["class"]) == {"7"}
    assert set(marked["images"]) == {29}


def test_arms_that_were_tested_on_other_images_are_not_compared(tmp_path: Path) -> None:
    runs = study(tmp_path, 0.84, 0.9 + STEPS)
    stored = read_arrays(runs / "cgan-plain" / "predictions.npz")
    write_arrays(runs / "cgan-plain" / "predictions.npz", {**stored, "labels": stored["labels"][::-1]})
    with pytest.raises(BadInput, match=r"predictions\.npz is of other test images than .*none-plain"):
        compare(parameters(tmp_path), runs)


def test_arms_whose_test_images_are_grouped_differently_are_not_compared(tmp_path: Path) -> None:
    runs = study(tmp_path, 0.84, 0.9 + STEPS)
    path = runs / "cgan-plain" / "predictions.npz"
    stored = read_arrays(path)
    write_arrays(path, {**stored, "groups": stored["groups"] // 2})
    with pytest.raises(BadInput, match=r"predictions\.npz is of other test images than .*none-plain"):
        compare(parameters(tmp_path), runs)
    write_arrays(path, {name: array for name, array in stored.items() if name != "groups"})
    with pytest.raises(BadInput, match=r"holds no groups of test images: run train-augmented for cgan-plain again"):
        compare(parameters(tmp_path), runs)


def test_probabilities_of_an_earlier_version_are_refused(tmp_path: Path) -> None:
    runs = study(tmp_path, 0.84, 0.9 + STEPS)
    path = runs / "cgan-plain" / "predictions.npz"
    stored = read_arrays(path)
    write_arrays(path, {**stored, **{f"replicate_{k}": np.eye(2)[stored[f"replicate_{k}"]] for k in range(3)}})
    with pytest.raises(BadInput, match="probabilities instead of classes: run train-augmented for cgan-plain again"):
        compare(parameters(tmp_path), runs)


@pytest.mark.parametrize(("spread", "share"), [(0.5, 0.75), (1.0, 0.0), (2.0, 0.0), (0.0, None)])
def test_the_generators_share_is_what_goes_away_with_one_generator(spread: float, share: float, tmp_path: Path) -> None:
    runs = study(tmp_path, 0.84, 0.9 + STEPS)
    for arm in ("cgan-plain", "cgan-classical"):
        table = pd.read_csv(runs / arm / "scores.csv", keep_default_na=False)
        table["value"] = 0.9 + spread * (table["value"] - 0.9)
        (runs / "one_generator" / arm).mkdir(parents=True)
        table.to_csv(runs / "one_generator" / arm / "scores.csv", index=False)
    table = compare(parameters(tmp_path, one_generator=["cgan"]), runs).variance
    row = table[table["arm"] == "cgan-classical"].iloc[0]
    assert row["sd"] == pytest.approx(0.01)
    assert row["sd_one_generator"] == pytest.approx(0.01 * spread, abs=1e-9)
    if share is None:  # a ratio to a variance of zero is not a share
        assert row[["generator_share", "low", "high"]].isna().all()
    else:
        assert row["generator_share"] == pytest.approx(share, abs=1e-6)
        assert row["low"] <= row["generator_share"] <= row["high"]
    assert len(compare(parameters(tmp_path), runs).variance) == 0


@pytest.mark.parametrize("from_seed", [0.0, 0.5])  # part of the classifiers' variance that their seeds determine
@pytest.mark.parametrize("share", [0.0, 0.4, 0.8])
def test_the_interval_of_the_generators_share_covers_it_with_95_percent_though_replicate_0_is_shared(
    share: float, from_seed: float
) -> None:
    rng, studies, replicates = np.random.default_rng(0), 1000, 5
    generators, seeds, rest, other_rest = rng.normal(size=(4, studies, replicates))
    parts = seeds * ((1 - share) * from_seed) ** 0.5, ((1 - share) * (1 - from_seed)) ** 0.5
    own = share**0.5 * generators + parts[0] + parts[1] * rest
    fixed = share**0.5 * generators[:, :1] + parts[0] + parts[1] * other_rest
    fixed[:, 0] = own[:, 0]
    intervals = [generator_share(*both) for both in zip(own, fixed, strict=True)]
    covered = np.mean([low <= share <= high for low, _, high in intervals])
    assert covered >= 0.95 - 2 * (0.95 * 0.05 / studies) ** 0.5


def test_runs_with_one_generator_that_are_missing_are_named(tmp_path: Path) -> None:
    runs = study(tmp_path, 0.84, 0.9 + STEPS)
    with pytest.raises(BadInput) as raised:
        compare(parameters(tmp_path, one_generator=["cgan"]), runs)
    assert str(raised.value) == (
        f"{runs}/one_generator/cgan-plain/scores.csv is missing: run train-one-generator --family cgan --transform "
        "plain, or remove cgan from one_generator"
    )


def test_arms_are_summed_up_over_replicates_with_the_recall_of_each_class(tmp_path: Path) -> None:
    table = compare(parameters(tmp_path), study(tmp_path, 0.84, 0.9 + STEPS)).arms
    row = table[(table["arm"] == "none-plain") & (table["split"] == "test") & (table["metric"] == "accuracy")]
    assert row[["mean", "sd", "replicates"]].to_numpy().tolist() == [pytest.approx([0.80, 0.01, 3])]
    recalls = table[(table["arm"] == "none-plain") & (table["metric"] == "recall")]
    assert set(recalls["class"]) == {"nan", "7"}


@pytest.mark.parametrize("metric", ["balanced_accuracy", "accuracy"])
def test_each_tested_contrast_has_a_row_for_each_class_whatever_the_metric(metric: str, tmp_path: Path) -> None:
    chosen = parameters(tmp_path, compare={"metric": metric})
    comparison = compare(chosen, study(tmp_path, 0.84, np.array([0.90, 0.93, 0.92])))
    write_comparison(comparison, tmp_path / "results")
    table = pd.read_csv(tmp_path / "results/classes.csv", keep_default_na=False, dtype={"class": str})
    assert table[["arm", "reference", "class"]].to_numpy().tolist() == [
        [arm, "oversample-classical", name] for arm in ("cgan-plain", "cgan-classical") for name in CLASSES
    ]
    assert table["gain"].tolist() == pytest.approx([-0.06, -0.06, 0.0166667, 0.0166667])
    assert (table["recall"] - table["reference_recall"]).tolist() == pytest.approx(table["gain"].tolist(), abs=1e-5)
    assert set(table["images"]) == set(table["groups"]) == {IMAGES}
    assert set(table["level"]) == {0.975}
    assert ((table["low"] < table["gain"]) & (table["gain"] < table["high"])).all()


def test_metrics_are_rounded_and_hold_arms_and_contrasts(tmp_path: Path) -> None:
    write_comparison(compare(parameters(tmp_path), study(tmp_path, 0.84, 0.9 + STEPS)), tmp_path / "results")
    found = json.loads((tmp_path / "results" / "metrics.json").read_text())
    assert found["arms"]["none-plain"]["balanced_accuracy"] == {"mean": 0.8, "sd": 0.01}
    assert set(found) == {"arms", "contrasts"}
    assert all(set(figures) == {"balanced_accuracy"} for figures in found["arms"].values())
    figures = found["contrasts"]["cgan-plain_vs_oversample-classical"]["balanced_accuracy"]
    assert set(figures) == {"gain", "low", "high", "verdict"}
    assert figures["gain"] == -0.06
    assert figures["verdict"] == "hurts"


def test_writing_keeps_other_files_in_results_and_gives_the_same_bytes(tmp_path: Path) -> None:
    comparison = compare(parameters(tmp_path), study(tmp_path, 0.84, 0.9 + STEPS))
    out = tmp_path / "results"
    (out / "samples").mkdir(parents=True)
    write_comparison(comparison, out)
    first = {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}
    write_comparison(comparison, out)
    assert first == {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}
    assert {path.name for path in out.iterdir()} == {
        "samples", "metrics.json", "arms.csv", "classes.csv", "contrasts.csv", "comparison.json", "arms.png"
    }  # fmt: skip


def test_uniform_or_unrecognised_images_are_warned_of_and_missing_figures_named(tmp_path: Path) -> None:
    runs, path = study(tmp_path, 0.84, 0.9 + STEPS), tmp_path / "models/cgan/sample_quality.json"
    assert compare(parameters(tmp_path), runs).warnings == []
    chosen = parameters(tmp_path)
    write_json(path, sample_quality("cgan", CLASSES, diversity=0.3, recognised=0.2))
    comparison = compare(chosen, runs)
    assert [warning.split(" (")[0] for warning in comparison.warnings] == [
        "cgan: generated images of 2 classes vary much less than training images",
        "cgan: generated images of 2 classes are hard to recognise",
    ]
    write_comparison(comparison, tmp_path / "results")
    assert read_json(tmp_path / "results/comparison.json")["warnings"] == comparison.warnings
    path.unlink()
    with pytest.raises(BadInput, match=r"sample_quality\.json is missing: run train-generator --family cgan"):
        compare(chosen, runs)


def test_a_missing_arm_and_a_missing_replicate_are_named(tmp_path: Path) -> None:
    runs = study(tmp_path, 0.84, 0.9 + STEPS)
    with pytest.raises(BadInput, match=r"none-plain.scores\.csv holds 3 replicates, not 4"):
        compare(parameters(tmp_path, replicates=4), runs)
    (runs / "cgan-plain" / "scores.csv").unlink()
    with pytest.raises(BadInput, match=r"cgan-plain.scores\.csv is missing"):
        compare(parameters(tmp_path), runs)


def test_an_arm_that_is_not_in_the_parameters_is_left_out(tmp_path: Path) -> None:
    runs = study(tmp_path, 0.84, 0.9 + STEPS)
    found = compare(parameters(tmp_path, transforms=["plain"]), runs)
    assert set(found.arms["arm"]) == {"none-plain", "oversample-plain", "cgan-plain"}


def test_the_values_on_test_images_are_ordered_by_replicate_and_arm(tmp_path: Path) -> None:
    values = on_test_images(compare(parameters(tmp_path), study(tmp_path, 0.84, 0.9 + STEPS)))
    assert list(values) == [*CONTROLS, "cgan-plain", "cgan-classical"]
    assert values["none-plain"].tolist() == pytest.approx([79, 80, 81])


def test_classes_in_which_one_image_outweighs_the_margin_are_named() -> None:
    found = test_sets.TestSet({"a": 60, "b": 49, "c": 2, "absent": 0}, 111, "balanced_accuracy", 0.01)
    assert found.smallest == ("c", 2)
    assert found.coarse == {"c": pytest.approx(1 / 6)}  # one of two images of one of three classes
    assert set(test_sets.TestSet({"a": 60, "b": 30}, 90, "accuracy", 0.01).coarse) == {"a", "b"}
    assert test_sets.TestSet({"a": 60, "b": 60}, 120, "accuracy", 0.01).coarse == {}
