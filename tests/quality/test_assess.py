"""Whole assessments, of images for which the answer is known."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torchvision.models import resnet18

from makeweight.core.data import Labels, Split
from makeweight.core.errors import BadInput
from makeweight.core.parameters import read_parameters
from makeweight.quality import assessment as module
from makeweight.quality.assess import assess, discriminator_errors
from makeweight.quality.assessment import Assessment, matched
from makeweight.runtime.files import read_json, write_csv
from makeweight.runtime.splits import write_split
from tests.conftest import Invoke, write_params
from tests.support.assessing import assess_settings, copies, noise, real, swapped
from tests.support.monitoring import monitor_settings

TRAIN, VALIDATION = real(0), real(1)
ALONE = {"train": np.arange(120), "validation": np.arange(120)}
NOWHERE = Path("history.csv")


def assessed(
    synthetic: Split, family: str = "cgan", steps: int = 60, groups: Mapping[str, Labels] = ALONE, **changes: Any
) -> dict[str, Any]:
    """The assessment of one replicate's images, with the measures by name."""
    parameters = read_parameters(write_params(Path("params.yaml"), {"compute": {"workers": 1}}))
    assessment = Assessment(family, [synthetic], TRAIN, VALIDATION, groups, assess_settings(**changes), steps, 0)
    assess(assessment, Path("out"), history=NOWHERE, monitor=monitor_settings(), compute=parameters.compute)
    result: dict[str, Any] = read_json(Path("out/assessment.json"))
    return result | {"measures": {row["name"]: row for row in result["measures"]}}


def test_other_real_images_are_as_good_as_real_ones(workspace: Path) -> None:
    found = assessed(real(2))
    assert found["alerts"] == []
    measures = found["measures"]
    for name in ("precision", "recall", "coverage", "label_agreement", "training_accuracy"):
        assert measures[name]["generated"] == pytest.approx(measures[name]["real"], abs=0.15), name
    assert measures["kernel_distance"]["generated"] < 1
    assert [measures[name]["generated"] for name in ("spread", "distance_ratio")] == pytest.approx([1, 1], abs=0.15)
    for name in ("membership", "separability"):
        assert measures[name]["low"] < 0.5 < measures[name]["high"], name
    assert read_json(Path("out/metrics.json")) == {name: row["generated"] for name, row in measures.items()}
    for name in ("closest", "nearest", "ranked"):
        Image.open(f"out/{name}.png").verify()


def test_noise_raises_every_alert_about_quality(workspace: Path) -> None:
    found = assessed(noise(2))
    text = "\n".join(found["alerts"])
    for words in ("are unlike real images", "look like another class", "far from all training images, as noise is"):
        assert words in text
    assert "3 classes from real ones (AUC): “left”" in text
    assert "near-copies" not in text
    assert found["measures"]["precision"]["generated"] < 0.1
    assert found["measures"]["distance_ratio"]["generated"] > 2


def test_copies_are_an_alert_that_names_the_classes_unless_the_family_holds_training_images(workspace: Path) -> None:
    alerts = assessed(copies(TRAIN))["alerts"]
    assert any(
        "3 classes are near-copies of training images" in alert and "“middle” (1.00)" in alert for alert in alerts
    )
    assert any("membership inference: AUC 1.00" in alert for alert in alerts)
    held = assessed(copies(TRAIN), family="smote")
    assert held["alerts"] == []
    assert "by construction" in held["notes"][0]
    assert held["measures"]["near_copies"]["generated"] == 1


def test_swapped_classes_are_named_and_the_third_is_not(workspace: Path) -> None:
    found = assessed(swapped(real(2)))
    assert found["by_class"]["label_agreement"]["generated"] == pytest.approx([0, 0, 1], abs=0.1)
    assert found["by_class"]["training_accuracy"]["generated"] == pytest.approx([0, 0, 1], abs=0.1)
    (alert,) = (alert for alert in found["alerts"] if "another class" in alert)
    assert "of 2 classes look like another class" in alert
    assert "“left” (0.00), “right” (0.00)" in alert
    assert "middle" not in alert
    assert found["measures"]["precision"]["generated"] > 0.8  # without labels, they are real images


def test_a_class_without_generated_images_is_left_out_of_all_comparisons(workspace: Path) -> None:
    found = assessed(real(2, (40, 0, 40)))
    assert found["alerts"] == []
    assert all(values["generated"][1] is None for values in found["by_class"].values())
    assert found["by_class"]["training_accuracy"]["real"][1] is None


def test_images_of_one_kind_are_a_loss_of_spread_and_recall(workspace: Path) -> None:
    one = real(2)
    first = {label: one.images[one.labels == label][0] for label in range(3)}
    same = one.images.copy()
    for row, label in enumerate(one.labels.tolist()):
        same[row] = first[label]
    alerts = "\n".join(assessed(Split(same, one.labels, one.classes))["alerts"])
    assert "generated images of 3 classes vary much less than real ones" in alerts
    assert "cover only part of the variety" in alerts


def test_the_same_images_give_the_same_bytes_and_another_bound_computes_nothing(workspace: Path) -> None:
    assessed(noise(2), steps=4)
    written = {path.name: path.read_bytes() for path in Path("out").iterdir()}
    (cached,) = Path(".makeweight/cache").iterdir()
    shutil.rmtree(cached)
    assessed(noise(2), steps=4)
    assert {path.name: path.read_bytes() for path in Path("out").iterdir()} == written
    assert "far from all" not in "\n".join(assessed(noise(2), steps=4, alarm_ratio=0.0)["alerts"])
    assert list(Path(".makeweight/cache").iterdir()) == [cached]


def test_images_are_scored_a_block_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (10, 8, 8, 1), dtype=np.uint8)
    split = Split(images, np.arange(10) % 3, ("a", "b", "c"))
    torch.manual_seed(0)
    scorer = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 3))
    whole = module._scored(scorer, split)
    monkeypatch.setattr(module, "SCORED_BLOCK", 4)
    for blocks, expected in zip(module._scored(scorer, split), whole, strict=True):
        assert blocks == pytest.approx(expected)
    assert 0 < whole[1].min() < whole[1].max() < 1


def test_features_of_weights_on_disk_are_named_and_no_fid(workspace: Path) -> None:
    torch.manual_seed(0)
    torch.save(resnet18(num_classes=2).state_dict(), "own.pt")
    found = assessed(real(2), steps=4, weights="own.pt", max_images=12)
    assert found["features"] == "resnet18 of torchvision with the weights own.pt, 512 features"
    assert found["measures"]["frechet_distance"]["title"] == "Fréchet distance"


def test_images_of_a_group_count_as_one_for_the_intervals_and_other_groups_are_assessed_anew(workspace: Path) -> None:
    def widths(groups: Labels) -> list[float]:
        found = assessed(copies(TRAIN), steps=4, groups={"train": groups, "validation": groups})["measures"]
        return [found[name]["high"] - found[name]["low"] for name in ("membership", "separability")]

    (known, told), (of_groups, told_of_groups) = widths(np.arange(120)), widths(np.arange(120) // 4)
    assert of_groups > 3 * known  # all images are recognised, and 30 prove less than 120
    assert told_of_groups > 1.2 * told


def test_fewer_images_than_neighbours_are_one_line_before_anything_is_trained(workspace: Path) -> None:
    with pytest.raises(BadInput, match=r"^assess cgan: 9 images can be compared .* assess.neighbours \(9\): lower it$"):
        assessed(real(2, (3, 3, 3)), neighbours=9)
    with pytest.raises(BadInput, match=r"absent\.pt does not exist"):
        assessed(real(2), weights="absent.pt")
    assert not Path(".makeweight/cache").exists()


def test_the_discriminators_errors_are_those_at_the_end_of_the_training(tmp_path: Path) -> None:
    path = tmp_path / "history.csv"
    steps = list(range(1, 21)) * 2
    late = [step > 18 for step in steps]
    table = pd.DataFrame(
        {"replicate": [0] * 20 + [1] * 20, "step": steps, "error_train": [0.1 * each for each in late],
         "error_validation": [0.4 * each for each in late], "error_generated": [0.2 * each for each in late]}
    )  # fmt: skip
    write_csv(path, table)
    assert discriminator_errors(path) == {"train": 0.1, "validation": 0.4, "generated": 0.2}
    write_csv(path, table[["replicate", "step"]])
    assert discriminator_errors(path) is None
    assert discriminator_errors(tmp_path / "absent.csv") is None


def test_equally_many_images_of_each_class_are_compared() -> None:
    def counts(most: int, *splits: Split) -> list[list[int]]:
        rows = matched(splits, most, np.random.default_rng(0))
        return [split.take(own).counts.tolist() for split, own in zip(splits, rows, strict=True)]

    assert counts(100, real(0, (9, 2, 0)), real(1, (4, 5, 6))) == [[4, 2, 0], [4, 2, 0]]
    assert counts(9, real(0, (9, 2, 9))) == [[3, 2, 3]]


def test_the_command_reads_folders_and_refuses_images_that_are_missing_or_of_another_kind(
    workspace: Path, invoke: Invoke
) -> None:
    small = {"monitor": {"scorer_steps": 4}, "assess": {"neighbours": 3}, "compute": {"workers": 1}}
    write_params(workspace / "params.yaml", small)
    for name, split in (("train", TRAIN), ("validation", VALIDATION)):
        write_split(Path("data", name), split, {"group": [""] * len(split)})
    code, output = invoke("assess", "--family", "cgan")
    assert (code, output.count("\n")) == (2, 1)
    assert "replicate_0 holds no images" in output
    for k in range(2):
        write_split(Path(f"data/synthetic/cgan/replicate_{k}"), replace(noise(k), classes=("a", "b", "c")), {})
    code, output = invoke("assess", "--family", "cgan")
    assert code == 2
    assert "images of other classes" in output
    assert "run generate --family cgan again" in output
    for k in range(2):
        write_split(Path(f"data/synthetic/cgan/replicate_{k}"), noise(k), {})
    code, output = invoke("assess", "--family", "cgan")
    assert code == 0, output
    assert "assess cgan: generated images of 3 classes" in output
    assert output.splitlines()[-1] == "assessed 2 generators; wrote results/assessment/cgan"
