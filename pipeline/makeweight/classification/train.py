"""All replicates of an arm: runs the cached work of `fit.py` for each, scores them, and writes the arm's folder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from makeweight.classification.fit import Training
from makeweight.classification.mixup import require_mix_allowed
from makeweight.classification.trial import try_on
from makeweight.core.data import Labels, Split
from makeweight.core.errors import BadInput
from makeweight.core.metrics import Metric, scores
from makeweight.core.parameters import ComputeSettings
from makeweight.runtime.artifacts import (
    CONFUSION,
    GROUPS,
    HISTORY,
    LABELS,
    METRIC,
    PREDICTIONS,
    REPLICATE,
    REPLICATES,
    SCORES,
    SPLIT,
    STEPS,
    VALIDATION,
    VALUE,
    replicate_name,
)
from makeweight.runtime.files import atomic_directory, in_use, joined, read_arrays, write_arrays, write_csv
from makeweight.runtime.replicates import Job, copy_finished, run_replicates


@in_use()  # no `clean` before the finished replicates are copied out of the cache
def train_classifiers(
    training: Training, out: Path, *, stage: str, replicates: int, compute: ComputeSettings
) -> pd.DataFrame:
    """Train and score an arm's classifier, once for each replicate.

    Args:
        training: the arm.
        out: gets `scores.csv`, `predictions.npz` (of test and of validation images: the class that each replicate
            predicts, labels and groups), `history.csv`, `confusion.csv` (test images of replicate 0) and
            `replicates/` (each finished replicate as a whole, with its probabilities).
        stage: the command, for messages and the names of checkpoints and logs.
        replicates: how many.
        compute: where to compute.

    Returns:
        `scores.csv`: replicate, steps, split, metric, value in [0, 1].

    Raises:
        BadInput: synthetic images are missing, the transform cannot be applied to these images, or the loss does not
            suit mixed images.
    """
    assert training.test is not None
    if training.synthetic is not None and len(training.synthetic) < replicates:
        raise BadInput(f"{training.arm}: {len(training.synthetic)} of {replicates} replicates have synthetic images")
    require_mix_allowed(training.base, training.settings)  # both fail before anything is trained
    try_on(training.transform, training.train.images)
    job = training_job(training, f"{stage} {training.arm}")
    finished = run_replicates(job, replicates, compute, outputs=out / REPLICATES)
    table = _scores(training, finished)
    with atomic_directory(out) as folder:
        write_csv(folder / SCORES, table)
        # Classes only: the probabilities of 100 replicates for 10,000 images of 1,000 classes are 4 GB.
        predicted = _predictions(training.test, training.groups, finished, "test")
        of_validation = _predictions(training.validation, training.groups, finished, "validation")
        prefixed = {VALIDATION + name: array for name, array in of_validation.items()}
        write_arrays(folder / PREDICTIONS, {**predicted, **prefixed})
        history = joined(result / HISTORY for result in finished)
        history.insert(1, STEPS, training.steps)
        write_csv(folder / HISTORY, history)
        write_csv(folder / CONFUSION, _confusion(training.test, predicted[replicate_name(0)]))
        for k, result in enumerate(finished):
            copy_finished(result, folder / REPLICATES / replicate_name(k))
    return table


def training_job(training: Training, name: str) -> Job:
    """The training of an arm's classifiers as a job with a name."""
    return Job(name, training, training.inputs(), training.steps, training.settings.batch)


def validation_predictions(finished: Sequence[Path]) -> Labels:
    """The class that each finished training predicts for the validation images, int64 [trainings, images]."""
    return np.stack([_predicted(path, "validation") for path in finished]).astype(np.int64)


def validation_scores(images: Split, finished: Sequence[Path], metric: Metric) -> list[float]:
    """The metric of each finished training on the validation images, in [0, 1]."""
    return [scores(images.labels, _probabilities(path, "validation"), images.classes)[metric] for path in finished]


def _scores(training: Training, finished: Sequence[Path]) -> pd.DataFrame:
    return pd.DataFrame([row for k, result in enumerate(finished) for row in _score_rows(training, k, result)])


def _probabilities(result: Path, split: str) -> NDArray[np.float32]:
    return read_arrays(result / f"{split}.npz")["probabilities"]


def _predictions(
    images: Split, groups: Mapping[str, Labels], finished: Sequence[Path], split: str
) -> dict[str, NDArray[Any]]:
    """Labels and groups of a split, and the classes that each replicate predicts."""
    predicted = {replicate_name(k): _predicted(result, split) for k, result in enumerate(finished)}
    return {LABELS: images.labels, GROUPS: groups[split], **predicted}


def _predicted(result: Path, split: str) -> NDArray[np.unsignedinteger[Any]]:
    """The most probable class of each image, in the smallest type that holds all classes."""
    probabilities = _probabilities(result, split)
    predicted: NDArray[Any] = probabilities.argmax(1).astype(np.min_scalar_type(probabilities.shape[1] - 1))
    return predicted


def _score_rows(training: Training, replicate: int, result: Path) -> Iterable[dict[str, object]]:
    for name, split in training.scored.items():
        values = scores(split.labels, _probabilities(result, name), training.train.classes)
        of_split = {REPLICATE: replicate, STEPS: training.steps, SPLIT: name}
        yield from ({**of_split, METRIC: metric, VALUE: value} for metric, value in values.items())


def _confusion(test: Split, predicted: NDArray[np.unsignedinteger[Any]]) -> pd.DataFrame:
    names = np.array(test.classes)
    return pd.DataFrame({"actual": names[test.labels], "predicted": names[predicted]})
