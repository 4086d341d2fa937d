"""What each filter of synthetic images brings: paired differences of arms with and without it, of a finished study.

python -m benchmarks.filter_table FOLDER FAMILY [FAMILY …]

FOLDER holds a study of `benchmarks.gain_study`, whose generators and choices are used. For each family and each set of
filters, images are drawn anew and the arm is trained on them, at the budget that was chosen for the arm without
filters. The reference is that arm. Filters are judged by validation images; test images are reported beside them.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import typer
from ruamel.yaml import YAML

from makeweight.commands.generate import generate
from makeweight.commands.train_augmented import train_augmented
from makeweight.comparison.inference import ALPHA, new_test_images
from makeweight.comparison.influence import contributions
from makeweight.comparison.variance_components import variance_components
from makeweight.core.parameters import FilterName, Parameters, read_parameters
from makeweight.generators.generate import filter_counts
from makeweight.runtime.artifacts import GROUPS, LABELS, PREDICTIONS, VALIDATION, replicate_name
from makeweight.runtime.files import read_arrays

FILTER_SETS: Sequence[Sequence[FilterName]] = (
    ("agreement",), ("density",), ("novelty",), ("agreement", "density", "novelty"),
)  # fmt: skip


def filtered_arm(parameters: Path, family: str, transform: str, filters: Sequence[FilterName]) -> Path:
    """Train the arm on images that the filters keep; return its folder, which also holds the images."""
    folder = Path("filters", "-".join([family, *filters]))
    folder.mkdir(parents=True, exist_ok=True)
    values = YAML(typ="safe").load(parameters)
    values["generate"]["filters"] = list(filters)
    YAML(typ="safe").dump(values, changed := folder / "params.yaml")
    images, run = folder / "synthetic", folder / "run"
    generate(family=family, params=changed, out=images, preview=folder / "samples.png")
    train_augmented(family=family, transform=transform, params=changed, synthetic=images, out=run)
    return folder


def kept(images: Path, replicates: int) -> float:
    """The fraction of the drawn images that the filters kept, over classes and replicates."""
    counts = filter_counts([images / replicate_name(k) for k in range(replicates)])
    return float(np.sum([c.kept for c in counts]) / np.sum([c.drawn for c in counts]))


def difference(parameters: Parameters, arm: Path, reference: Path, prefix: str) -> str:
    """The mean paired difference in the metric, with its 95% interval for new images and trainings, in points."""
    names = [replicate_name(k) for k in range(parameters.replicates)]
    read = [read_arrays(run / PREDICTIONS) for run in (arm, reference)]
    labels, groups = (read[0][prefix + name] for name in (LABELS, GROUPS))
    own, other = (
        contributions(
            parameters.compare.metric, labels, np.stack([arrays[prefix + name] for name in names]).astype(int)
        )
        for arrays in read
    )
    paired = own - other
    interval = new_test_images(float(paired.values.mean()), variance_components(paired, groups)).interval(ALPHA)
    return f"{100 * paired.values.mean():+.2f} ({100 * interval.low:+.2f} to {100 * interval.high:+.2f})"


def main(folder: Path, families: Sequence[str]) -> None:
    """Print the table."""
    os.chdir(folder)
    path = Path("params.yaml")
    parameters = read_parameters(path)
    print("| family | filters | kept | validation | test |\n|---|---|---|---|---|")
    transform, *_ = parameters.transforms
    for family in families:
        reference = Path("runs", f"{family}-{transform}")
        for filters in FILTER_SETS:
            try:
                results = filtered_arm(path, family, transform, filters)
            except typer.Exit:  # its message has been printed
                print(f"| {family} | {', '.join(filters)} | stopped | | |")
                continue
            fraction = kept(results / "synthetic", parameters.replicates)
            cells = (difference(parameters, results / "run", reference, prefix) for prefix in (VALIDATION, ""))
            print(f"| {family} | {', '.join(filters)} | {fraction:.1%} | {' | '.join(cells)} |", flush=True)
            shutil.rmtree(results / "synthetic")


if __name__ == "__main__":
    match sys.argv[1:]:
        case [folder, *families] if families:
            main(Path(folder), families)
        case _:
            raise SystemExit(__doc__)
