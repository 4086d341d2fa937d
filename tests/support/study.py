"""A finished study with simulated predictions."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from makeweight.comparison.compare import compare, write_comparison
from makeweight.core.choices import NOTHING_CHOSEN, Choices
from makeweight.core.data import Split
from makeweight.core.metrics import scores
from makeweight.core.parameters import Parameters, read_parameters
from makeweight.core.study import arms, arms_with_one_generator
from makeweight.reporting.report import Places
from makeweight.runtime.files import write_arrays, write_csv, write_json
from makeweight.runtime.splits import write_split
from tests.conftest import write_params

EVIL = "<script>alert(1)</script>"
CLASSES = (EVIL, "a|b *c* _d_", "nan")
ARMS = ("none-plain", "oversample-plain", "cgan-plain")
SMALL_CHANGES: dict[str, Any] = {
    "replicates": 3, "transforms": ["plain"], "one_generator": ["cgan"], "compare": {"control": "oversample-plain"}
}  # fmt: skip

RECORD = {
    "machine": {"device": "cuda", "precision": "bfloat16", "threads": 3, "processes": 1},
    "versions": {"numpy": "2.0.1", "torch": "2.99.0"},
}


def split(seed: int, counts: Sequence[int], names: tuple[str, ...] = CLASSES) -> Split:
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(counts)), counts)
    return Split(rng.integers(0, 256, (len(labels), 8, 8, 1), dtype=np.uint8), labels, names)


@dataclass(frozen=True)
class Study:
    """A study with simulated predictions.

    Attributes:
        changes: of the parameters.
        test: images of each class.
        group: images in each group of test images.
        accuracy: of each arm; by default, later arms are better.
        noise: part of the images on which a replicate of an arm differs from the others by chance.
        names: of the classes.
        record: of each arm: the machine and package versions that trained it.
        choices: of automatic arms.
    """

    changes: dict[str, Any] = field(default_factory=dict)
    test: tuple[int, ...] = (25, 25, 25)
    group: int = 1
    accuracy: dict[str, float] = field(default_factory=dict)
    noise: float = 1.0
    names: tuple[str, ...] = CLASSES
    record: dict[str, Any] = field(default_factory=lambda: RECORD)
    choices: Choices = NOTHING_CHOSEN


def finished(folder: Path, study: Study) -> tuple[Parameters, Places]:
    """The study as the stages before `report` leave it."""
    parameters = read_parameters(write_params(folder / "params.yaml", SMALL_CHANGES, study.changes))
    places = Places(folder / "data", folder / "models", folder / "runs", folder / "results", folder / "logs")
    several = (1,) * len(study.names)
    test = split(2, study.test, study.names)
    train, validation = (split(size, np.multiply(size, several).tolist(), study.names) for size in (8, 5))
    write_split(places.data / "train", train, {})
    write_split(places.data / "validation", validation, {})
    write_split(places.data / "test", test, {})
    history = pd.DataFrame({"replicate": [0, 0, 1, 1], "step": [1, 2, 1, 2], "generator_loss": [2.0, 1.0, 2.5, 1.5]})
    for family in parameters.generators:
        for k in range(parameters.replicates):
            drawn = split(10 + k, np.multiply(4, several).tolist(), study.names)
            write_split(places.data / f"synthetic/{family}/replicate_{k}", drawn, {})
            (places.models / f"{family}/samplers/replicate_{k}").mkdir(parents=True)
        write_csv(places.models / family / "history.csv", history)
        write_json(places.models / family / "sample_quality.json", sample_quality(family, study.names))
    for number, arm in enumerate(map(str, arms(parameters))):
        accuracy = study.accuracy.get(arm, 0.7 + 0.1 * number)
        _run(places.runs / arm, test, validation, history, number, accuracy, parameters.replicates, study)
    for arm in map(str, arms_with_one_generator(parameters)):
        shutil.copytree(places.runs / arm, places.runs / "one_generator" / arm)
    (folder / "logs").mkdir()
    write_json(folder / "logs/train-generator-cgan.json", {"replicates": 3, "seconds": 12.5, "images_per_second": 900})
    write_comparison(compare(parameters, places.runs, places.models, study.choices), places.results)
    return parameters, places


def sample_quality(family: str, classes: Sequence[str], diversity: float = 1.0, recognised: float = 1.0) -> Any:
    """The figures that `train-generator` leaves, of one replicate, the same for all classes."""
    figures = {"diversity": diversity, "recognised": recognised, "recognised_validation": 1.0}
    replicate = {name: [value] * len(classes) for name, value in figures.items()}
    return {"family": family, "classes": list(classes), "replicates": [replicate]}


def small_study(folder: Path) -> tuple[Parameters, Places]:
    """Three classes, three arms, three replicates."""
    return finished(folder, Study())


def _run(
    run: Path,
    test: Split,
    validation: Split,
    history: pd.DataFrame,
    number: int,
    accuracy: float,
    replicates: int,
    study: Study,
) -> None:
    rng = np.random.default_rng(number if study.noise == 1 else 0)
    own = np.random.default_rng(number)
    hard = np.broadcast_to(rng.random(len(test)), (replicates, len(test)))
    again = own.random(hard.shape)
    right = np.where(own.random(hard.shape) < study.noise, again, hard) < accuracy
    predicted = np.where(right, test.labels, (test.labels + 1) % len(test.classes))
    probabilities = np.eye(len(test.classes), dtype=np.float32)[predicted]
    run.mkdir(parents=True)
    predictions = {f"replicate_{k}": classes for k, classes in enumerate(predicted.astype(np.uint8))}
    groups = np.arange(len(test)) // study.group
    labels, classes = validation.labels, len(validation.classes)
    predictions |= {"validation_labels": labels, "validation_groups": np.arange(len(labels))}
    for k in range(replicates):
        wrong = np.random.default_rng([number, k]).random(len(labels)) > accuracy
        predictions[f"validation_replicate_{k}"] = ((labels + wrong) % classes).astype(np.uint8)
    write_arrays(run / "predictions.npz", {"labels": test.labels, "groups": groups, **predictions})
    rows = [
        {"replicate": k, "split": name, "metric": metric, "value": value}
        for k, p in enumerate(probabilities)
        for name in ("validation", "test")
        for metric, value in scores(test.labels, p, test.classes).items()
    ]
    (run / "replicates/replicate_0").mkdir(parents=True)
    write_json(run / "replicates/replicate_0/record.json", study.record)
    write_csv(run / "scores.csv", pd.DataFrame(rows))
    write_csv(run / "history.csv", history.rename(columns={"generator_loss": "loss"}))
