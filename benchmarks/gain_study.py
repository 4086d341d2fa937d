"""A whole study of the gain on one data set: choices, arms, verdicts, run stage by stage without DVC.

python -m benchmarks.gain_study FOLDER digits [key=value …]
python -m benchmarks.gain_study FOLDER mnist|cifar10|cifar10-small|signs PATH [key=value …]

FOLDER gets params.yaml and all outputs; started again, the study goes on where it stopped. PATH: of `mnist`
torchvision's root; of the others a folder of images or a zip file, which is unpacked into FOLDER. Changes of
parameters follow as they would stand in params.yaml (`replicates=10`, `classifier.steps=[1000,3000]`,
`unions=[cgan+warp]`); they win over those of the data set below. Choices are made on validation images; test images are
scored once, at the end. Beside the families of Makeweight there is `weak`, a `cgan` of 200 steps whose images are bad:
`generators=[cgan,weak] automatic=[auto]` shows whether automatic arms avoid it.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean
from typing import Any

import pandas as pd
import typer
from ruamel.yaml import YAML

from benchmarks.family_table import SMALL_CIFAR_COUNTS
from benchmarks.mnist_imbalanced import COUNTS
from benchmarks.workspace import PROJECT, register_family, write_params
from makeweight.commands.check import check
from makeweight.commands.choose import choose
from makeweight.commands.compare import compare
from makeweight.commands.generate import generate
from makeweight.commands.prepare import prepare
from makeweight.commands.report import report
from makeweight.commands.train_augmented import train_augmented
from makeweight.commands.train_auto import train_auto
from makeweight.commands.train_baseline import train_baseline
from makeweight.commands.train_generator import train_generator
from makeweight.commands.train_union import train_union
from makeweight.core.choices import Choices, best
from makeweight.core.parameters import Parameters, read_parameters
from makeweight.generators.families.cgan.family import ConditionalGAN
from makeweight.runtime.choices import read_choices
from makeweight.runtime.files import read_json

COMMON: dict[str, Any] = {
    "replicates": 5,
    "transforms": ["classical"],
    "compare.control": "auto",
    "choice.replicates": 3,
    "data.imbalance": None,
}
CIFAR: dict[str, Any] = {
    "data.reader": "folder", "data.validation_fraction": 0.1, "recipes.classical": [{"HorizontalFlip": {"p": 0.5}}],
}  # fmt: skip
DATA: dict[str, dict[str, Any]] = {
    "digits": {"replicates": 10, "data.imbalance": 20.0, "classifier.steps": [500, 1500]},
    "mnist": {
        "data.reader": "mnist", "data.download": False, "data.counts": COUNTS, "data.validation_fraction": 0.1,
        "generate.per_class": 4000, "classifier.steps": [1000, 3000],
    },
    "cifar10": {
        **CIFAR, "data.counts": [4500, 2000, 1000, 800, 600, 500, 400, 250, 150, 80], "generate.per_class": 2000,
        "classifier.steps": [2000, 4000],
    },
    "cifar10-small": {
        **CIFAR, "data.counts": list(SMALL_CIFAR_COUNTS), "generate.per_class": 1000, "classifier.steps": [1000, 2000],
    },
    "signs": {
        "replicates": 10, "data.reader": "folder", "data.image_size": 32, "data.channels": 3, "data.imbalance": 10.0,
        "classifier.steps": [800, 2400],
    },
}  # fmt: skip
WEAK_STEPS = 200  # of a `cgan` whose images are bad


def unpacked(path: Path, folder: Path) -> Path:
    """The folder of images at `path`, which may be a zip file with one folder in it."""
    if path.suffix != ".zip":
        return path.absolute()
    images = folder / "images"
    if not images.exists():
        with zipfile.ZipFile(path) as archive:
            archive.extractall(images.with_name("unpacking"))
        images.with_name("unpacking").rename(images)
    (inner,) = images.iterdir()
    return inner.absolute()


def run(parameters: Parameters) -> None:
    """Run all stages in the current folder; finished trainings are taken from the cache."""
    check()
    if not Path("data/test").exists():
        prepare()
    choose()
    for family in parameters.generators:
        train_generator(family=family)
        generate(family=family)
    for transform in parameters.transforms:
        for source in parameters.controls:
            train_baseline(source=source, transform=transform)
        for family in parameters.generators:
            train_augmented(family=family, transform=transform)
        for union in parameters.unions:
            train_union(union=union, transform=transform)
        if parameters.automatic:
            train_auto(transform=transform)
    compare()
    report()


def verdicts() -> Iterator[str]:
    """The scores of all arms and the verdicts on all tested contrasts, as tables in Markdown."""
    arms = pd.read_csv("results/arms.csv", keep_default_na=False)
    metric = read_json(Path("results/comparison.json"))["metric"]
    rows = arms[arms["metric"] == metric].astype({"mean": float, "sd": float})
    steps = {arm: pd.read_csv(f"runs/{arm}/scores.csv")["steps"].iloc[0] for arm in rows["arm"].unique()}
    yield "| arm | steps | validation | test |\n|---|---|---|---|"
    for arm, of_arm in rows.groupby("arm", sort=False):
        figures = of_arm.set_index("split")
        cells = (
            f"{100 * figures['mean'][name]:.2f} ± {100 * figures['sd'][name]:.2f}" for name in ("validation", "test")
        )
        yield f"| {arm} | {steps[str(arm)]} | {' | '.join(cells)} |"
    yield "\n| arm | control | gain | interval | verdict |\n|---|---|---|---|---|"
    for row in pd.read_csv("results/contrasts.csv").query("tested").to_dict("records"):
        gain, low, high = (f"{100 * row[key]:+.2f}" for key in ("gain", "low", "high"))
        level = f"{100 * row['level']:.4g}%"
        yield f"| {row['arm']} | {row['reference']} | {gain} | {low} to {high} ({level}) | {row['verdict']} |"


def automatic_choices(choices: Choices) -> Iterator[str]:
    """What each automatic arm chose, and its candidates with their differences from none, as tables in Markdown."""
    for arm, choice in choices.automatic.items():
        yield f"\n{arm} chose: {choice.chosen}, {choice.steps} steps"
        yield "\n| candidate | steps | validation | minus none ± standard error |\n|---|---|---|---|"
        for candidate in choice.scores:
            _, steps = best(choice.scores, [candidate])
            mean, own = fmean(choice.scores[candidate][steps]), choice.differences.get(candidate)
            difference = f"{100 * own.mean:+.2f} ± {100 * own.standard_error:.2f}" if own else ""
            yield f"| {candidate} | {steps} | {100 * mean:.2f} | {difference} |"


def main(folder: Path, data: str, path: Path | None, changes: list[str]) -> None:
    """Prepare the study in `folder`, run it, and print the verdicts."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = {**COMMON, **DATA[data], "data.path": str(unpacked(path, folder)) if path else None}
    register_family(folder / "plugins", "weak", f"{ConditionalGAN.__module__}:{ConditionalGAN.__name__}")
    shipped = YAML(typ="safe").load(PROJECT / "params.yaml")
    settings["families.weak"] = {**shipped["families"]["cgan"], "steps": WEAK_STEPS}
    settings |= {key: YAML(typ="safe").load(value) for key, value in (change.split("=", 1) for change in changes)}
    parameters = read_parameters(write_params(folder, settings))
    os.chdir(folder)
    start = time.monotonic()
    try:
        run(parameters)
    except typer.Exit as stopped:  # its message has been printed
        raise SystemExit(stopped.exit_code) from None
    print(f"\n{data}, {parameters.replicates} replicates, {time.monotonic() - start:.0f} s")
    print("\n".join(verdicts()))
    if parameters.automatic:
        print("\n".join(automatic_choices(read_choices(parameters, Path("results/choices.json"), automatic=True))))


if __name__ == "__main__":
    match sys.argv[1:]:
        case [folder, "digits", *changes]:
            main(Path(folder), "digits", None, changes)
        case [folder, data, path, *changes] if data in DATA and "=" not in path:
            main(Path(folder), data, Path(path), changes)
        case _:
            raise SystemExit(__doc__)
