"""Cost of more replicates and of checkpoints.

python -m benchmarks.replicate_costs [STEPS]            two replicates side by side, and checkpoints
python -m benchmarks.replicate_costs STEPS REPLICATES   REPLICATES in one batched program, each family

The first: two replicates of the default `cgan` on two cores, relative to one on one core, at 28 pixels (target: at most
1.15 times as long), and the fraction of the time spent on checkpoints. Needs two idle cores. The second: the time of
REPLICATES relative to one, at 28 and 32 pixels, on the GPU if there is one (target for ten: at most twice as long).
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.workspace import PROJECT
from makeweight.core.data import Split
from makeweight.core.parameters import Parameters, read_parameters
from makeweight.generators.fit import Fit
from makeweight.generators.interface import Family, find_family
from makeweight.generators.train import train_generators
from makeweight.training.checkpoints import Checkpoints

FAMILIES = ("cgan", "cvae", "autoencoder")


def noise(side: int, channels: int) -> Split:
    """Noise images of ten classes."""
    images = np.random.default_rng(0).integers(0, 256, (2000, side, side, channels), dtype=np.uint8)
    return Split(images, np.arange(2000) % 10, tuple("abcdefghij"))


def seconds(parameters: Parameters, family: Family, train: Split, replicates: int, out: str) -> float:
    """Wall-clock time of a training, including the start of processes."""
    compute = parameters.compute
    fit = Fit("timed", family, train, train, parameters.monitor, replicates, compute.checkpoint_seconds)
    start = time.perf_counter()
    train_generators(fit, Path(out), replicates=replicates, compute=compute, card=lambda machine, warnings: "")
    return time.perf_counter() - start


def side_by_side(parameters: Parameters, family: Family) -> None:
    """Print the time of two replicates relative to one, and the fraction spent on checkpoints."""
    writing: list[float] = []
    write = Checkpoints.write

    def timed(self: Checkpoints, name: str, packed: bytes) -> None:
        start = time.perf_counter()
        write(self, name, packed)
        writing.append(time.perf_counter() - start)

    train = noise(28, 1)
    Checkpoints.write = timed  # type: ignore[method-assign]  # one replicate trains in this very process
    one = seconds(parameters, family, train, 1, "one")
    Checkpoints.write = write  # type: ignore[method-assign]
    two = seconds(parameters, family, train, 2, "two")
    print(f"one replicate {one:.1f} s, two {two:.1f} s: {two / one:.2f} times as long")
    fraction = sum(writing) / one
    print(f"{len(writing)} checkpoints, {1000 * np.median(writing):.0f} ms each: {fraction:.2%} of the time")


def in_one_program(parameters: Parameters, name: str, family: Family, replicates: int) -> None:
    """Print the time of `replicates` relative to one."""
    for side, channels in ((28, 1), (32, 3)):
        train = noise(side, channels)
        seconds(parameters, family.model_copy(update={"steps": 5}), train, 1, "warm")  # type: ignore[attr-defined]
        one, batched = (seconds(parameters, family, train, n, f"{name} {side} {n}") for n in (1, replicates))
        print(
            f"{name}, {side} pixels: one {one:.1f} s, {replicates} batched {batched:.1f} s: "
            f"{batched / one:.2f} times as long",
            flush=True,
        )


def main(steps: int, replicates: int | None) -> None:
    """Run one of the two measurements."""
    parameters = read_parameters(PROJECT / "params.yaml")
    families = {name: find_family(name, parameters.families).model_copy(update={"steps": steps}) for name in FAMILIES}  # type: ignore[attr-defined]
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        if replicates is None:
            side_by_side(parameters, families["cgan"])
            return
        batched = parameters.model_copy(
            update={"compute": parameters.compute.model_copy(update={"replicates_per_program": replicates})}
        )
        for name, family in families.items():
            in_one_program(batched, name, family, replicates)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 600, int(sys.argv[2]) if len(sys.argv) > 2 else None)
