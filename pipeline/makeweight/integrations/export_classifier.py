"""Export of the classifier of one arm that is best on validation images; nothing is trained."""

from __future__ import annotations

import shutil
import warnings
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import torch

from makeweight.classification.saved import SavedClassifier, load_classifier
from makeweight.core.errors import BadInput
from makeweight.core.text import listed, printable, readable
from makeweight.runtime.artifacts import (
    CLASSIFIER,
    METRIC,
    REPLICATE,
    REPLICATES,
    SCORES,
    SPLIT,
    VALUE,
    WEIGHTS,
    replicate_name,
)
from makeweight.runtime.files import new_directory, write_text

ONNX = "classifier.onnx"
NEEDED_FOR_ONNX = ("onnx", "onnxscript")  # by torch.onnx


def export_classifier(arm: str, metric: str, runs: Path, out: Path) -> list[str]:
    """Write the classifier of `arm` with the highest score on validation images.

    Args:
        arm: for instance `cgan-classical`.
        metric: of the comparison, by which the replicate is chosen; the first one if several are equal.
        runs: folder of the arms.
        out: a new or empty folder: gets the weights, their description, a README, and ONNX where its packages are.

    Returns:
        what was written, as lines.

    Raises:
        BadInput: the arm does not exist or has no weights, or `out` is not empty; nothing has been written then.
    """
    replicate, score = _best(arm, metric, runs)
    folder = runs / arm / REPLICATES / replicate_name(replicate)
    classifier = load_classifier(folder)
    with new_directory(out) as new:
        for name in (WEIGHTS, CLASSIFIER):
            shutil.copyfile(folder / name, new / name)
        onnx = _write_onnx(classifier, new / ONNX)
        write_text(new / "README.md", _readme(arm, replicate, f"{readable(metric)} {score:.1%}", classifier))
    chosen = f"replicate {replicate} of {arm}, {readable(metric)} on validation images: {score:.1%}"
    return [*([onnx] if onnx else []), f"wrote the classifier to {out}: {chosen}"]


def _best(arm: str, metric: str, runs: Path) -> tuple[int, float]:
    path = runs / arm / SCORES
    if not path.is_file():
        present = sorted(scores.parent.name for scores in runs.glob(f"*/{SCORES}"))
        choices = f"one of {listed(present, 50)}" if present else "run dvc repro first"
        raise BadInput(f"{printable(runs)} holds no arm {arm!r}: {choices}")
    table = pd.read_csv(path)
    rows = table[(table[SPLIT] == "validation") & (table[METRIC] == metric)]
    row = rows.iloc[int(rows[VALUE].to_numpy().argmax())]
    best = int(row[REPLICATE])
    if not (runs / arm / REPLICATES / replicate_name(best) / WEIGHTS).is_file():
        raise BadInput(
            f"{printable(runs / arm)} holds no weights, which earlier versions did not keep: run dvc repro again"
        )
    return best, float(row[VALUE])


def _write_onnx(classifier: SavedClassifier, path: Path) -> str | None:
    """Write the network as ONNX; if packages for it are missing, return a line that names them instead."""
    if missing := [name for name in NEEDED_FOR_ONNX if find_spec(name) is None]:
        return f"{ONNX} was not written: torch.onnx needs {' and '.join(missing)}: install them, and export again"
    example = torch.zeros(2, classifier.channels, classifier.size, classifier.size)
    with warnings.catch_warnings(action="ignore"):
        torch.onnx.export(
            classifier.network, (example,), path, input_names=["images"], output_names=["logits"],
            dynamic_shapes=({0: torch.export.Dim("n")},), dynamo=True, external_data=False, verbose=False,
        )  # fmt: skip
    return None


def _readme(arm: str, replicate: int, score: str, classifier: SavedClassifier) -> str:
    side, channels, classes = classifier.size, classifier.channels, len(classifier.classes)
    return f"""\
# Classifier of the arm `{arm}`

```python
import makeweight
classifier = makeweight.load_classifier(".")
probabilities = classifier.predict_proba(images)  # uint8 [n, {side}, {side}, {channels}] to float32 [n, {classes}]
names = [classifier.classes[label] for label in probabilities.argmax(1)]
```

`{WEIGHTS}` holds the weights, `{CLASSIFIER}` the class names, the size and channels of the images, and the
normalisation: pixel values from 0 to 255, minus the mean, divided by the standard deviation. Images must be resized and
converted as `prepare` does. `{ONNX}`, if present, takes normalised images, float32
[n, {channels}, {side}, {side}], and returns logits.

This is replicate {replicate}, the best one on validation images ({score}). The score is optimistic, since the replicate
was chosen by it. The verdict of the study applies to the mean of all replicates, not to this one.
"""
