"""Each family with its defaults: seconds, agreement, diversity, distance ratio, balanced accuracy on validation.

python -m benchmarks.family_table digits|mnist|cifar10 [PATH] [FAMILY ...]

digits: subsampled as in params.yaml. mnist (PATH: torchvision's root): 4000 to 40 images per digit. cifar10 (PATH: a
folder of images, one sub-folder per class): 400 to 40 images per class, long-tailed. One replicate, one thread.
Agreement is the accuracy, on generated images, of a reference classifier trained on all images except the validation
images; on CIFAR-10 it errs itself. No test image is read: a predefined test split is left out, otherwise the one that
`prepare` makes.
"""

from __future__ import annotations

import os

from makeweight.classification.interface import find_transform
from makeweight.generators.interface import find_family

os.environ.setdefault("OMP_NUM_THREADS", "1")

import sys
import time
from typing import Any

import torch

from benchmarks.judge import judge, labels_for, recognised
from benchmarks.mnist_imbalanced import COUNTS
from benchmarks.workspace import PROJECT, splits
from makeweight.classification.fit import fit, predict
from makeweight.classification.mixing import Mixing, control_mixing, generator_mixing, mixed_batches
from makeweight.core.data import Split
from makeweight.core.images import as_images
from makeweight.core.metrics import scores
from makeweight.core.parameters import Parameters, read_parameters
from makeweight.core.plugins import names
from makeweight.core.seeds import derive
from makeweight.quality.similarity import similarity
from makeweight.runtime.machine import Machine, fixed_threads, machine, retain_heap
from makeweight.training.loop import TrainingContext

DATA: dict[str, dict[str, Any]] = {
    "digits": {},
    "mnist": {
        "reader": "mnist", "download": False, "counts": tuple(COUNTS), "imbalance": None, "validation_fraction": 0.1,
    },
    "cifar10": {
        "reader": "folder", "counts": (400, 310, 240, 185, 143, 111, 86, 67, 52, 40), "imbalance": None,
        "validation_fraction": 0.1,
    },
}  # fmt: skip
IMAGES_PER_CLASS, STEPS = (
    {"digits": 500, "mnist": 4000, "cifar10": 1000},
    {"digits": 500, "mnist": 1000, "cifar10": 1000},
)


def validation_accuracy(
    mixing: Mixing, train: Split, validation: Split, parameters: Parameters, chosen: Machine
) -> float:
    """Balanced accuracy on validation images of a classifier trained on `mixing` with the classical transform."""
    seed, steps = derive(parameters.seed, "classifier", 0), parameters.classifier.budgets[0]
    transform = find_transform("classical", parameters.recipes)
    batches = (
        (transform.apply(images, derive(seed, "transform", step)), labels)
        for step, (images, labels) in enumerate(mixed_batches(mixing, steps, seed))
    )
    loss = mixing.loss(parameters.classifier.label_smoothing)
    network, _ = fit(
        train, batches, parameters.classifier, loss=loss, seed=seed, machine=chosen, progress=lambda step: None
    )
    return scores(validation.labels, predict(network, validation.images, chosen), train.classes)["balanced_accuracy"]


def main(data: str, path: str | None, families: list[str]) -> None:
    """Print a line for each family."""
    parameters = read_parameters(PROJECT / "params.yaml")
    parameters = parameters.model_copy(
        update={
            "data": parameters.data.model_copy(update={**DATA[data], "path": path}),
            "classifier": parameters.classifier.model_copy(update={"steps": STEPS[data]}),
        }
    )
    chosen, batch = machine(parameters.compute), parameters.classifier.batch
    train, validation, all_but_validation = splits(parameters)
    retain_heap()
    with fixed_threads(chosen.threads):
        network = judge(all_but_validation, chosen)
        right = recognised(network, validation, chosen).mean()
        print(f"{data}: {len(train)} training images")
        print(f"the reference classifier recognises {right:.1%} of real validation images")
        seed = derive(parameters.seed, "classifier", 0)
        accuracy = validation_accuracy(
            control_mixing("oversample", train, batch, seed), train, validation, parameters, chosen
        )
        print(f"oversample-classical: {accuracy:.2%}")
        print("family  seconds  agreement (worst)  diversity (worst)  distance ratio (worst)  balanced accuracy")
        for name in families:
            start = time.perf_counter()
            context = TrainingContext(torch.device(chosen.device), chosen.autocast)
            seeds = [derive(parameters.seed, "generator", name, 0)]
            (sampler,) = find_family(name, parameters.families).fit(train, monitor=validation, seeds=seeds, run=context)
            seconds = time.perf_counter() - start
            labels = labels_for(len(train.classes), IMAGES_PER_CLASS[data])
            images = sampler.sample(torch.from_numpy(labels), rng=torch.Generator().manual_seed(0))
            synthetic = Split(as_images(images), labels, train.classes)
            agreement = recognised(network, synthetic, chosen)
            ratios = similarity(synthetic, train, validation)
            mixing = generator_mixing(train, synthetic, parameters.generate, "oversample", batch, seed)
            accuracy = validation_accuracy(mixing, train, validation, parameters, chosen)
            columns = (
                f"{figure.mean():.2f} ({figure.min():.2f})"
                for figure in (agreement, ratios.diversity, ratios.distance_ratio)
            )
            print(f"{name}  {seconds:.0f}  {'  '.join(columns)}  {accuracy:.2%}", flush=True)


if __name__ == "__main__":
    match sys.argv[1:]:
        case [data, *rest] if data in DATA:
            path, families = (None, rest) if data == "digits" else (rest[0], rest[1:])
            main(data, path, families or names("families"))
        case _:
            raise SystemExit(__doc__)
