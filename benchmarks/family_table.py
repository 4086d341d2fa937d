"""Each family on several kinds of images: agreement, diversity, nearest-neighbour distance ratio, seconds.

python -m benchmarks.family_table DATA [DATA ...] [options]

DATA is digits, mnist=PATH, cifar10=PATH, cifar10-small=PATH, sign-digits-32=PATH or sign-digits-64=PATH. PATH is
torchvision's root for MNIST, else a folder with a sub-folder of images for each class, or with `train` and `test` and
in each a sub-folder for each class. The shipped parameters, one thread, replicates trained one after another.

- agreement: accuracy, on generated images, of a reference classifier of all images but those of validation and test;
- pixels, features: median difference of two generated images of a class over that of two validation images, of pixels
  without brightness and contrast, and of the reference classifier's last features;
- distance: median distance to the nearest training image of the class over that of validation images;
- seconds: processor time of the training, of one replicate.

Means over classes and replicates, with the worst class in brackets. No test image is read: a predefined test split is
left out, otherwise the one that `prepare` makes.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import time
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
from benchmarks.workspace import PROJECT, splits
from makeweight.core.data import Images, Split
from makeweight.core.images import as_images, from_uint8, median_distance, of_class
from makeweight.core.parameters import Parameters, read_parameters
from makeweight.core.plugins import names
from makeweight.core.seeds import derive
from makeweight.generators.interface import find_family
from makeweight.generators.previews import grid
from makeweight.quality.similarity import MAX_COMPARED, similarity
from makeweight.runtime.machine import Machine, fixed_threads, machine, retain_heap
from makeweight.training.loop import TrainingContext

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


def rows_of(
    data: str, parameters: Parameters, families: list[str], replicates: int, pictures: Path | None
) -> list[Row]:
    """Train and measure each family on one kind of images."""
    name, chosen = data.partition("=")[0], machine(parameters.compute)
    train, validation, all_but_validation = splits(parameters)
    network = judge(all_but_validation, chosen)
    real = recognised(network, validation, chosen)
    print(
        f"{name}: {len(train)} training images; real validation images: agreement {real.mean():.2f} ({real.min():.2f})"
    )
    rows: list[Row] = []
    for family in families:
        for k in range(replicates):
            start = time.process_time()
            context = TrainingContext(torch.device(chosen.device), chosen.autocast)
            seeds = [derive(parameters.seed, "generator", family, k)]
            (sampler,) = find_family(family, parameters.families).fit(
                train, monitor=validation, seeds=seeds, run=context
            )
            seconds = time.process_time() - start
            labels = labels_for(len(train.classes), IMAGES_PER_CLASS)
            drawn = sampler.sample(torch.from_numpy(labels), rng=torch.Generator().manual_seed(0))
            synthetic = Split(as_images(drawn), labels, train.classes)
            figures = measured(synthetic, train, validation, network, chosen)
            rows.append({"data": name, "family": family, "replicate": k, **figures, "seconds": seconds})
            print(" ", pd.DataFrame(rows[-1:]).round(2).to_csv(index=False, header=False).strip(), flush=True)
            if pictures and k == 0:
                pictures.mkdir(parents=True, exist_ok=True)
                grid(synthetic).save(pictures / f"{name}-{family}.png")
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
    parser.add_argument("data", nargs="+", help="kinds of images, with their path")
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
        for data in options.data:
            chosen = changed(parameters, data, options.set)
            rows += rows_of(data, chosen, options.families, options.replicates, options.pictures)
            if options.csv:
                pd.DataFrame(rows).round(4).to_csv(options.csv, index=False)
    print(table(rows))


if __name__ == "__main__":
    main()
