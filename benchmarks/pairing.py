"""Images that the arms of a replicate share, and the variance that this saves.

python -m benchmarks.pairing [plain | classical]

First the fraction of batch positions (an index in the batch of a step) at which two arms show the same real image. Then
the standard deviation over replicates of the difference in balanced accuracy between a `gaussian` arm and
`oversample`, on validation images of the digits, where the two share initial weights and the order of images, initial
weights alone, or nothing. Test images are not used.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.workspace import PROJECT, splits
from makeweight.classification.fit import fit, predict, transformed_batches
from makeweight.classification.interface import find_transform
from makeweight.classification.mixing import Mixing, batch_indices, control_mixing, generator_mixing
from makeweight.core.data import Split
from makeweight.core.images import as_images
from makeweight.core.metrics import scores
from makeweight.core.parameters import Parameters, read_parameters
from makeweight.core.seeds import derive
from makeweight.generators.generate import quota
from makeweight.generators.interface import find_family
from makeweight.runtime.machine import Machine, fixed_threads, retain_heap
from makeweight.training.loop import TrainingContext

REPLICATES, STEPS, EACH = 40, 200, 500
MACHINE = Machine("cpu", "float32", 1)
RESAMPLES = 2000


def shared_positions(first: Mixing, second: Mixing, steps: int, seed: int) -> float:
    """The fraction of batch positions at which two arms show the same real image."""
    one, other = (np.stack(list(batch_indices(mixing, steps, seed))) for mixing in (first, second))
    return float(((one == other) & (one < len(first.splits[0]))).mean())


def print_shared_positions(train: Split, parameters: Parameters) -> None:
    """Print a line for each pair of arms."""
    batch, settings = parameters.classifier.batch, parameters.generate
    balanced = settings.model_copy(update={"strategy": "balance"})
    mixings = {control: control_mixing(control, train, batch, 0) for control in ("none", "oversample")}
    for strategy_settings in (settings, balanced):
        labels = np.repeat(np.arange(len(train.classes)), quota(train.counts, strategy_settings))
        blank = Split(np.zeros((len(labels), *train.images.shape[1:]), np.uint8), labels, train.classes)
        mixings[strategy_settings.strategy] = generator_mixing(train, blank, strategy_settings, "oversample", batch, 0)
    for one, other in combinations(mixings, 2):
        shared = shared_positions(mixings[one], mixings[other], parameters.classifier.budgets[0], 0)
        print(f"{one} and {other}: {shared:.1%}")


def predicted(
    mixing: Mixing, weights: int, data: int, train: Split, validation: Split, parameters: Parameters, transform: str
) -> NDArray[np.float32]:
    """Validation probabilities of a classifier; `weights` and `data` seed its initial weights and its batches."""
    change = find_transform(transform, parameters.recipes)
    batches = partial(transformed_batches, mixing, change, STEPS, data)
    settings = parameters.classifier.model_copy(update={"steps": STEPS})
    run = TrainingContext(torch.device(MACHINE.device), MACHINE.autocast)
    network, _ = fit(train, batches, settings, loss=mixing.loss(settings.label_smoothing), seed=weights, run=run)
    return predict(network, validation.images, MACHINE)


def main(transform: str) -> None:
    """Print the shared batch positions, then a line for each kind of pairing."""
    parameters = read_parameters(PROJECT / "params.yaml")
    train, validation, _ = splits(parameters)
    print_shared_positions(train, parameters)
    start, batch = time.perf_counter(), parameters.classifier.batch
    labels = np.repeat(np.arange(len(train.classes)), EACH)
    controls: list[NDArray[np.float32]] = []
    paired: list[NDArray[np.float32]] = []
    weights_only: list[NDArray[np.float32]] = []
    retain_heap()
    with fixed_threads(1):
        for k in range(REPLICATES):
            run = TrainingContext(torch.device("cpu"), None)
            seeds = [derive(parameters.seed, "generator", "gaussian", k)]
            (sampler,) = find_family("gaussian", parameters.families).fit(
                train, monitor=validation, seeds=seeds, run=run
            )
            images = sampler.sample(torch.from_numpy(labels), rng=torch.Generator().manual_seed(k))
            synthetic = Split(as_images(images), labels, train.classes)
            seed, other = (derive(parameters.seed, use, k) for use in ("classifier", "another order"))
            control = control_mixing("oversample", train, batch, seed)
            for probabilities, data, mixing in (
                (controls, seed, control),
                (paired, seed, generator_mixing(train, synthetic, parameters.generate, "oversample", batch, seed)),
                (
                    weights_only,
                    other,
                    generator_mixing(train, synthetic, parameters.generate, "oversample", batch, other),
                ),
            ):
                probabilities.append(predicted(mixing, seed, data, train, validation, parameters, transform))
    seconds = time.perf_counter() - start
    print(f"{transform}: {REPLICATES} replicates, {len(validation)} validation images; {seconds:.0f} s")

    def accuracies(probabilities: Sequence[NDArray[np.float32]]) -> NDArray[Any]:
        return 100 * np.array([scores(validation.labels, p, train.classes)["balanced_accuracy"] for p in probabilities])

    shifted = weights_only[1:] + weights_only[:1]
    differences = {
        name: accuracies(arm) - accuracies(controls)
        for name, arm in (("weights and order", paired), ("weights", weights_only), ("nothing", shifted))
    }
    for (name, difference), arm in zip(differences.items(), (paired, weights_only, shifted), strict=True):
        disagree = np.mean([(a.argmax(1) != b.argmax(1)).mean() for a, b in zip(arm, controls, strict=True)])
        print(
            f"sharing {name}: difference {difference.mean():+.2f} points, standard deviation "
            f"{difference.std(ddof=1):.2f}; the two arms disagree on {disagree:.1%} of the images"
        )
    rows = np.random.default_rng(0).integers(0, REPLICATES, (RESAMPLES, REPLICATES))
    for name in ("weights", "nothing"):
        ratios = differences["weights and order"][rows].var(axis=1) / differences[name][rows].var(axis=1)
        low, middle, high = np.quantile(ratios, (0.025, 0.5, 0.975))
        print(f"variance, against sharing {name}: × {middle:.2f} ({low:.2f} to {high:.2f}, bootstrap over replicates)")


if __name__ == "__main__":
    main(*(sys.argv[1:] or ["plain"]))
