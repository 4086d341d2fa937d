"""Which control is strong? Twelve arms without synthetic images, on validation images.

python -m benchmarks.controls_table DATA [--replicates N] [--steps STEPS]

DATA: digits (subsampled as in params.yaml), mnist=PATH (torchvision's root; 4000 to 40 training images of a digit) or
cifar10=PATH (a folder with `train` and `test`; 4500 to 80). Balanced accuracy and
accuracy of every arm, and the difference in balanced accuracy to `oversample` with the same transform, paired by
replicate, with standard errors over replicates. No test image is read.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import time
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.family_table import CIFAR_COUNTS
from benchmarks.mnist_imbalanced import COUNTS
from benchmarks.workspace import PROJECT, splits
from makeweight.classification.fit import fit, predict, transformed_batches
from makeweight.classification.interface import find_transform
from makeweight.classification.mixing import control_mixing
from makeweight.core.data import Split
from makeweight.core.metrics import scores
from makeweight.core.parameters import Parameters, read_parameters
from makeweight.core.seeds import derive
from makeweight.core.study import Arm
from makeweight.runtime.machine import Machine, fixed_threads, machine, retain_heap
from makeweight.training.loop import TrainingContext

CONTROLS = ("none", "oversample", "weighted", "logit_adjusted", "deferred")
DATA: dict[str, dict[str, Any]] = {
    "digits": {"imbalance": 20.0},  # what null stands for in params.yaml
    "mnist": {
        "reader": "mnist", "download": False, "counts": tuple(COUNTS), "imbalance": None, "validation_fraction": 0.1,
    },
    "cifar10": {"reader": "folder", "counts": CIFAR_COUNTS, "imbalance": None, "validation_fraction": 0.1},
}  # fmt: skip
# A third transform for two controls. Images of 8 pixels are too small for elastic deformations, and
# trivial_augment_wide rotates by up to 135°, which turns a 6 of MNIST into a 9.
STRONG = {"digits": "trivial_augment_wide", "mnist": "elastic", "cifar10": "trivial_augment_wide"}
METRICS = ("balanced_accuracy", "accuracy")


def arms(data: str) -> list[Arm]:
    """The twelve arms."""
    both = [Arm(control, transform) for transform in ("plain", "classical") for control in CONTROLS]
    return [*both, Arm("oversample", STRONG[data]), Arm("deferred", STRONG[data])]


def validation_scores(
    arm: Arm, replicate: int, train: Split, validation: Split, parameters: Parameters, on: Machine
) -> list[float]:
    """The metrics of one training, in percent."""
    settings, seed = parameters.classifier, derive(parameters.seed, "classifier", replicate)
    mixing = control_mixing(arm.source, train, settings.batch, seed)
    transform = find_transform(arm.transform, parameters.recipes)
    batches = partial(transformed_batches, mixing, transform, settings.budgets[0], seed)
    run = TrainingContext(torch.device(on.device), on.autocast)
    network, _ = fit(train, batches, settings, loss=mixing.loss(settings.label_smoothing), seed=seed, run=run)
    found = scores(validation.labels, predict(network, validation.images, on), train.classes)
    return [100 * found[metric] for metric in METRICS]


def with_error(values: NDArray[np.float64]) -> str:
    """Mean and standard error."""
    return f"{values.mean():.2f} ± {values.std(ddof=1) / np.sqrt(len(values)):.2f}"


def main() -> None:
    """Print a line of a Markdown table for each arm as soon as it is trained."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="digits, mnist=PATH or cifar10=PATH")
    parser.add_argument("--replicates", type=int, default=5)
    parser.add_argument("--steps", type=int, help="default: the first of classifier.budgets")
    options = parser.parse_args()
    name, _, path = options.data.partition("=")
    if name not in DATA:
        parser.error(f"{name} is none of {', '.join(DATA)}")
    parameters = read_parameters(PROJECT / "params.yaml")
    settings = parameters.classifier
    parameters = parameters.model_copy(
        update={
            "data": parameters.data.model_copy(update={**DATA[name], "path": path or None}),
            "classifier": settings.with_budget(options.steps or settings.budgets[0]),
        }
    )
    on = machine(parameters.compute)
    train, validation, _ = splits(parameters)
    steps = parameters.classifier.budgets[0]
    print(f"{name}: {train.counts.tolist()} training images, {len(validation)} validation images, {steps} steps, {on}")
    print(
        "\n| arm | balanced accuracy | accuracy | minus oversample, same transform | seconds |\n|---|---|---|---|---|"
    )
    retain_heap()
    found: dict[Arm, NDArray[np.float64]] = {}
    with fixed_threads(on.threads):
        for arm in sorted(arms(name), key=lambda arm: arm.source != "oversample"):
            start = time.process_time()
            found[arm] = np.array(
                [validation_scores(arm, k, train, validation, parameters, on) for k in range(options.replicates)]
            )
            reference = found[Arm("oversample", arm.transform)]
            difference = "" if arm.source == "oversample" else with_error((found[arm] - reference)[:, 0])
            figures = [with_error(values) for values in found[arm].T]
            print(f"| `{arm}` | {' | '.join(figures)} | {difference} | {time.process_time() - start:.0f} |", flush=True)


if __name__ == "__main__":
    main()
