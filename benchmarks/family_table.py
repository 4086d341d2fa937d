"""Each family on several kinds of images: agreement, diversity, nearest-neighbour distance ratio, seconds.

python -m benchmarks.family_table DATA [DATA ...] [options]
python -m benchmarks.family_table --study FOLDER [options]

DATA is digits, mnist=PATH, cifar10=PATH, cifar10-small=PATH, sign-digits-32=PATH or sign-digits-64=PATH. PATH is
torchvision's root for MNIST, else a folder with a sub-folder of images for each class, or with `train` and `test` and
in each a sub-folder for each class. The shipped parameters, one thread, replicates trained one after another. With
`--study`, the generators of a study (`benchmarks.gain_study`) are measured, and nothing is trained but the reference
classifier.

- agreement: accuracy, on generated images, of a reference classifier of all images but those of validation and test;
- pixels, features: median difference of two generated images of a class over that of two validation images, of pixels
  without brightness and contrast, and of the reference classifier's last features;
- distance: median distance to the nearest training image of the class over that of validation images;
- seconds: processor time of the training, of one replicate; not of a study's.

Means over classes and replicates, with the worst class in brackets. No test image is read: a predefined test split is
left out, otherwise the one that `prepare` makes.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from ruamel.yaml import YAML
from torch import nn

from benchmarks.judge import judge, labels_for, recognised
from benchmarks.mnist_imbalanced import COUNTS
from benchmarks.workspace import PROJECT, all_but, splits
from makeweight.core.data import Images, Split
from makeweight.core.images import as_images, from_uint8, median_distance, of_class
from makeweight.core.parameters import Parameters, read_parameters
from makeweight.core.plugins import find, names
from makeweight.core.seeds import derive
from makeweight.generators.interface import find_family
from makeweight.generators.previews import grid
from makeweight.quality.similarity import MAX_COMPARED, similarity
from makeweight.runtime.artifacts import METADATA, SAMPLERS, replicate_name
from makeweight.runtime.machine import Machine, fixed_threads, machine, retain_heap
from makeweight.runtime.splits import read_split
from makeweight.training.loop import Sampler, TrainingContext

# MNIST's 4000 … 40, in proportion.
CIFAR_COUNTS = (4500, 2883, 1847, 1184, 758, 486, 311, 199, 128, 80)
SMALL_CIFAR_COUNTS = (400, 310, 240, 185, 143, 111, 86, 67, 52, 40)
FOLDER = {"reader": "folder", "download": None, "counts": None, "imbalance": None}
DATA: dict[str, dict[str, Any]] = {
    "digits": {"imbalance": 20.0},
    "mnist": {
        "reader": "mnist", "download": False, "counts": tuple(COUNTS), "imbalance": None, "validation_fraction": 0.1,
    },
    "cifar10": {**FOLDER, "counts": CIFAR_COUNTS, "validation_fraction": 0.1},
    "cifar10-small": {**FOLDER, "counts": SMALL_CIFAR_COUNTS, "validation_fraction": 0.1},
    "sign-digits-32": {**FOLDER, "imbalance": 10.0, "image_size": 32},
    "sign-digits-64": {**FOLDER, "imbalance": 10.0, "image_size": 64},
}  # fmt: skip
IMAGES_PER_CLASS = 200
Row = dict[str, object]


def changed(parameters: Parameters, data: str, changes: list[str]) -> Parameters:
    """The parameters for `name=path`, with changes of families such as `cgan.steps=500`."""
    name, _, path = data.partition("=")
    settings = parameters.data.model_copy(update={**DATA[name], "path": path or None})
    families = {family: dict(values) for family, values in parameters.families.items()}
    for change in changes:
        key, _, value = change.partition("=")
        family, _, setting = key.partition(".")
        families[family][setting] = YAML(typ="safe").load(value)
    return parameters.model_copy(update={"data": settings, "families": families})


@torch.no_grad()
def features(network: nn.Module, images: Images) -> NDArray[np.float32]:
    """The input of the classifier's last layer, [n, features]."""
    assert isinstance(network, nn.Sequential)
    pixels = from_uint8(torch.tensor(images).permute(0, 3, 1, 2))
    return np.asarray(network[:-1].eval()(pixels).flatten(1).numpy())


def feature_diversity(network: nn.Module, synthetic: Split, real: Split) -> NDArray[np.float64]:
    """Median distance between features of generated images over that of real ones, [classes]."""
    drawn, expected = (
        np.array([median_distance(features(network, of_class(s, k)[:MAX_COMPARED])) for k in range(len(real.classes))])
        for s in (synthetic, real)
    )
    return drawn / np.where(expected > 0, expected, np.nan)


def measured(synthetic: Split, train: Split, validation: Split, network: nn.Module, chosen: Machine) -> Row:
    """Mean and worst class of each figure."""
    ratios = similarity(synthetic, train, validation)
    figures = {
        "agreement": recognised(network, synthetic, chosen),
        "pixels": ratios.diversity,
        "features": feature_diversity(network, synthetic, validation),
    }
    row: Row = {}
    for name, values in figures.items():
        row |= {name: np.nanmean(values), f"{name} (worst)": np.nanmin(values)}
    return row | {"distance": np.nanmedian(ratios.distance_ratio), "distance (worst)": np.nanmin(ratios.distance_ratio)}


@dataclass(frozen=True)
class Generators:
    """Fitted samplers on one kind of images.

    Attributes:
        name: of the kind of images.
        parameters: of the trainings.
        train: the images that the samplers were fitted to.
        validation: the images that they are compared with.
        rest: all images but those of validation and test, for the reference classifier.
        fitted: the sampler of a family and replicate, and the seconds of its training.
    """

    name: str
    parameters: Parameters
    train: Split
    validation: Split
    rest: Split
    fitted: Callable[[str, int], tuple[Sampler, float]]


def trained(data: str, parameters: Parameters) -> Generators:
    """Generators that are trained when they are needed."""
    train, validation, rest = splits(parameters)
    chosen = machine(parameters.compute)

    def fit(family: str, replicate: int) -> tuple[Sampler, float]:
        start = time.process_time()
        context = TrainingContext(torch.device(chosen.device), chosen.autocast)
        seeds = [derive(parameters.seed, "generator", family, replicate)]
        (sampler,) = find_family(family, parameters.families, train).fit(
            train, monitor=validation, seeds=seeds, run=context
        )
        return sampler, time.process_time() - start

    return Generators(data.partition("=")[0], parameters, train, validation, rest, fit)


def of_study(folder: Path) -> Generators:
    """The generators of a study."""
    parameters = read_parameters(folder / "params.yaml")
    train, validation = (read_split(folder / "data" / name) for name in ("train", "validation"))
    held_out = [
        path for name in ("validation", "test") for path in pd.read_csv(folder / "data" / name / METADATA)["path"]
    ]

    def load(family: str, replicate: int) -> tuple[Sampler, float]:
        samplers = folder / "models" / family / SAMPLERS
        return find("families", family).load(samplers / replicate_name(replicate)), np.nan

    return Generators(folder.name, parameters, train, validation, all_but(parameters, held_out), load)


def rows_of(generators: Generators, families: list[str], replicates: int, pictures: Path | None) -> list[Row]:
    """Measure each family on one kind of images."""
    train, validation, chosen = generators.train, generators.validation, machine(generators.parameters.compute)
    network = judge(generators.rest, chosen)
    real = recognised(network, validation, chosen)
    print(
        f"{generators.name}: {len(train)} training images; "
        f"real validation images: agreement {real.mean():.2f} ({real.min():.2f})"
    )
    rows: list[Row] = []
    for family in families:
        for k in range(replicates):
            sampler, seconds = generators.fitted(family, k)
            labels = labels_for(len(train.classes), IMAGES_PER_CLASS)
            drawn = sampler.sample(torch.from_numpy(labels), rng=torch.Generator().manual_seed(0))
            synthetic = Split(as_images(drawn), labels, train.classes)
            figures = measured(synthetic, train, validation, network, chosen)
            rows.append({"data": generators.name, "family": family, "replicate": k, **figures, "seconds": seconds})
            print(" ", pd.DataFrame(rows[-1:]).round(2).to_csv(index=False, header=False).strip(), flush=True)
            if pictures and k == 0:
                pictures.mkdir(parents=True, exist_ok=True)
                grid(synthetic).save(pictures / f"{generators.name}-{family}.png")
    return rows


def table(rows: list[Row]) -> str:
    """Means over replicates in Markdown, the worst class and replicate in brackets."""
    lines = ["data | family | agreement | pixels | features | distance | seconds", "|".join(["---"] * 7)]
    for (data, family), group in pd.DataFrame(rows).groupby(["data", "family"], sort=False):
        figures = [
            f"{group[name].mean():.2f} ({group[f'{name} (worst)'].min():.2f})"
            for name in ("agreement", "pixels", "features", "distance")
        ]
        lines.append(" | ".join([str(data), f"`{family}`", *figures, f"{group['seconds'].mean():.0f}"]))
    return "\n".join(f"| {line} |" for line in lines)


def main() -> None:
    """Print a table, one line for each kind of images and family."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="*", help="kinds of images, with their path")
    parser.add_argument("--study", type=Path, help="folder of a study whose generators are measured")
    parser.add_argument("--families", nargs="+", default=names("families"), help="of params.yaml; default: all")
    parser.add_argument("--replicates", type=int, default=1, help="of each family")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="such as cgan.steps=500")
    parser.add_argument("--csv", type=Path, help="file that gets a row for each replicate")
    parser.add_argument("--pictures", type=Path, help="folder that gets a picture for each family")
    options = parser.parse_args()
    if unknown := [data for data in options.data if data.partition("=")[0] not in DATA]:
        parser.error(f"{unknown[0]} is none of {', '.join(DATA)}")
    parameters = read_parameters(PROJECT / "params.yaml")
    retain_heap()
    rows: list[Row] = []
    with fixed_threads(machine(parameters.compute).threads):
        kinds = (trained(data, changed(parameters, data, options.set)) for data in options.data)
        for generators in (*kinds, of_study(options.study)) if options.study else kinds:
            rows += rows_of(generators, options.families, options.replicates, options.pictures)
            if options.csv:
                pd.DataFrame(rows).round(4).to_csv(options.csv, index=False)
    print(table(rows))


if __name__ == "__main__":
    main()
