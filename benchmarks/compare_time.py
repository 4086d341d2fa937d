"""Duration of `makeweight compare` for 12 arms, 10 replicates and 10,000 test images.

python -m benchmarks.compare_time
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.workspace import timed, write_params
from makeweight.core.metrics import scores
from makeweight.core.parameters import read_parameters
from makeweight.core.study import arms
from makeweight.runtime.files import write_arrays, write_csv

REPLICATES, IMAGES, CLASSES = 10, 10_000, 10


def main(folder: Path) -> None:
    """Simulate predictions of every arm below `folder`, and compare them."""
    changes = {"replicates": REPLICATES, "generators": ["cgan", "cvae", "gaussian", "smote"]}
    parameters = read_parameters(write_params(folder, changes))
    rng = np.random.default_rng(0)
    labels = np.arange(IMAGES) % CLASSES
    names = tuple(str(label) for label in range(CLASSES))
    for arm in arms(parameters):
        logits = rng.normal(size=(REPLICATES, IMAGES, CLASSES)) + 3 * np.eye(CLASSES)[labels]
        probabilities = logits.astype(np.float32)
        run = folder / "runs" / str(arm)
        run.mkdir(parents=True)
        rows = [
            {"replicate": k, "split": split, "metric": metric, "value": value}
            for k, of_replicate in enumerate(probabilities)
            for split in ("validation", "test")
            for metric, value in scores(labels, of_replicate, names).items()
        ]
        write_csv(run / "scores.csv", pd.DataFrame(rows))
        stored = {f"replicate_{k}": of_replicate.argmax(1) for k, of_replicate in enumerate(probabilities)}
        write_arrays(run / "predictions.npz", {"labels": labels, "groups": np.arange(IMAGES), **stored})
    seconds = timed("makeweight", "compare", cwd=folder)
    print(f"\n{time.strftime('%Y-%m-%d')}: compare of {len(arms(parameters))} arms {seconds:.1f} s (at most 15)")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        main(Path(temporary))
