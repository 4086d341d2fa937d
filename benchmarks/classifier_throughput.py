"""Training throughput of the classifier: milliseconds of a step by part, and the ratio to a plain loop.

python -m benchmarks.classifier_throughput [SIZE ...]

One CPU thread, as in one replicate, timed by its CPU time. The plain loop is eager float32 over the same network and
the same batches; a step of it follows each step of ours in the same process, so that other load affects both. Both
profit from the retained heap. Images are noise, which does not change the speed.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import statistics
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import patch

import numpy as np
import torch

from benchmarks import plain
from benchmarks.workspace import PROJECT
from makeweight.classification.fit import fit
from makeweight.classification.mixing import control_mixing, mixed_batches
from makeweight.classification.transforms import Recipe
from makeweight.core.data import Images, Labels, Split
from makeweight.core.parameters import ClassifierSettings, read_parameters
from makeweight.core.validation import validate
from makeweight.runtime.machine import Machine, fixed_threads, machine, retain_heap
from makeweight.training.loop import TrainingContext

SIZES = (8, 28, 32, 64, 128)
STEPS = {8: 300, 28: 60, 32: 60, 64: 30, 128: 12}
WARM_UP = 3  # steps that are not counted


class Stopwatch:
    """CPU seconds of each call of some functions, by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = {}

    def add(self, name: str, start: float) -> None:
        """Record the time since `start`."""
        self.seconds.setdefault(name, []).append(time.process_time() - start)

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """`function`, timed."""

        def call(*args: Any, **kwargs: Any) -> Any:
            start = time.process_time()
            result = function(*args, **kwargs)
            self.add(name, start)
            return result

        return call

    def milliseconds(self, name: str) -> float:
        """The median of a call."""
        return 1e3 * statistics.median(self.seconds[name][WARM_UP:])


def noise(size: int) -> Split:
    """Noise images, in colour at the sizes of common colour data sets."""
    shape = (1000, size, size, 3 if size in (32, 64) else 1)
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    return Split(images, np.arange(1000) % 10, tuple("abcdefghij"))


def measure(settings: ClassifierSettings, transform: Recipe, train: Split, on: Machine) -> Stopwatch:
    """Train as many steps as the budget, each followed by one of the plain loop on the same batch."""
    watch = Stopwatch()
    current: list[tuple[Images, Labels]] = []
    plain_steps = plain.classifier(settings, train, iter(lambda: current[-1], None))
    mixing = control_mixing("none", train, settings.batch, 0)

    def batches() -> Iterator[tuple[Images, Labels]]:
        source = mixed_batches(mixing, settings.budgets[0], seed=0)
        for step in range(settings.budgets[0]):
            start = time.process_time()
            images, labels = next(source)
            watch.add("order", start)
            start = time.process_time()
            images = transform.apply(images, step)
            watch.add("transform", start)
            current[:] = [(images, labels)]
            start = time.process_time()
            yield images, labels
            watch.add("ours", start)
            start = time.process_time()
            with patch.object(torch.Tensor, "backward", backward), patch.object(torch.optim.AdamW, "step", update):
                next(plain_steps)
            watch.add("plain", start)

    backward, update = torch.Tensor.backward, torch.optim.AdamW.step
    with (
        patch.object(torch.Tensor, "backward", watch.timed("backward", backward)),
        patch.object(torch.optim.AdamW, "step", watch.timed("optimizer", update)),
    ):
        fit(
            train,
            lambda done: batches(),
            settings,
            loss=mixing.loss(settings.label_smoothing),
            seed=0,
            run=TrainingContext(torch.device(on.device), on.autocast),
        )
    return watch


def main(sizes: list[int]) -> None:
    """Print a line for each size."""
    parameters = read_parameters(PROJECT / "params.yaml")
    transform = validate(Recipe, parameters.recipes["classical"], key="recipes.classical")
    on = machine(parameters.compute)
    retain_heap()
    print(f"{on}; milliseconds of CPU time of a step of {parameters.classifier.batch} images")
    print("size  order  classical  forward  backward  optimizer  network, ours  plain  ratio")
    with fixed_threads(on.threads):
        for size in sizes:
            settings = parameters.classifier.model_copy(update={"steps": STEPS.get(size, 30)})
            watch = measure(settings, transform, noise(size), on)
            parts = {name: watch.milliseconds(name) for name in watch.seconds}
            forward = parts["ours"] - parts["backward"] - parts["optimizer"]
            pairs = zip(watch.seconds["ours"], watch.seconds["plain"], strict=True)
            ratio = statistics.median([slow / fast for fast, slow in pairs][WARM_UP:])
            print(
                f"{size:4}  {parts['order']:5.2f}  {parts['transform']:9.2f}  {forward:7.2f}  {parts['backward']:8.2f}"
                f"  {parts['optimizer']:9.2f}  {parts['ours']:13.2f}  {parts['plain']:5.1f}  {ratio:5.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main([int(size) for size in sys.argv[1:]] or list(SIZES))
