"""MNIST with 4000 to 40 training images a digit, the predefined test split, every arm, run with the commands.

python -m benchmarks.mnist_imbalanced MNIST_ROOT [FOLDER] [key=value ...]

MNIST_ROOT is torchvision's root, the folder that holds MNIST/raw. About an hour on two cores. Changes of parameters
(`families.cgan.steps=3000`) follow as they would stand in params.yaml.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import pandas as pd
from ruamel.yaml import YAML

from benchmarks.workspace import timed, write_params

COUNTS = [4000, 2000, 1000, 750, 500, 350, 200, 100, 60, 40]
PUBLISHED = "Published balanced accuracy on these counts: SMOTE 88.0, BAGAN 93.1, GAMO 95.5, DeepSMOTE 96.1"


def main(root: Path, folder: Path, changes: list[str]) -> None:
    """Run all commands in `folder` and print the comparison on validation and test images."""
    settings = {
        "data.reader": "mnist",
        "data.path": str(root.absolute()),
        "data.download": False,
        "data.imbalance": None,
        "data.counts": COUNTS,
        "data.validation_fraction": 0.1,
        "replicates": 3,
        "generate.per_class": 4000,
        "classifier.steps": 1000,
    }
    settings |= {key: YAML(typ="safe").load(value) for key, value in (change.split("=", 1) for change in changes)}
    write_params(folder, settings)
    seconds = {"prepare": timed("makeweight", "prepare", cwd=folder)}
    for stage in ("train-generator", "generate"):
        seconds[stage] = timed("makeweight", stage, "--family", "cgan", cwd=folder)
    for source in ("none", "oversample", "cgan"):
        command = ("train-augmented", "--family") if source == "cgan" else ("train-baseline", "--source")
        for transform in ("plain", "classical"):
            seconds[f"{source}-{transform}"] = timed(
                "makeweight", *command, source, "--transform", transform, cwd=folder
            )
    timed("makeweight", "compare", cwd=folder)
    arms = pd.read_csv(folder / "results" / "arms.csv")
    table = arms[arms["metric"] == "balanced_accuracy"].pivot(index="arm", columns="split", values="mean")
    print((100 * table).round(2).to_string(), f"\n{PUBLISHED}\nseconds:", {k: round(s) for k, s in seconds.items()})


if __name__ == "__main__":
    match sys.argv[1:]:
        case [root, folder, *changes] if "=" not in folder:
            main(Path(root), Path(folder), changes)
        case [root, *changes]:
            with tempfile.TemporaryDirectory() as temporary:
                main(Path(root), Path(temporary), changes)
        case _:
            raise SystemExit(__doc__)
