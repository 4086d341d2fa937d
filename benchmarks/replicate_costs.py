"""What more replicates and checkpoints cost.

python -m benchmarks.replicate_costs [STEPS]            two replicates side by side, and checkpoints
python -m benchmarks.replicate_costs STEPS TOGETHER     TOGETHER replicates in one batched program, each family

The first: two replicates of the default `cgan` on two cores, beside one on one, at 28 pixels (at most 1.15 times as
long); and the part of the time that goes into checkpoints. Needs two cores that do nothing else. The second: how many
times as long as one they take, at 28 and 32 pixels, on the GPU if there is one (ten: at most twice as long).
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
from makeweight.generators.interface import Family, find_family
from makeweight.generators.train import train_generators
from makeweight.training.checkpoints import Checkpoints

FAMILIES = ("cgan", "cvae", "autoencoder")


def noise(side: int, channels: int) -> Split:
    """Images of ten classes; their content does not matter."""
    images = np.random.default_rng(0).integers(0, 256, (2000, side, side, channels), dtype=np.uint8)
    return Split(images, np.arange(2000) % 10, tuple("abcdefghij"))


def seconds(parameters: Parameters, family: Family, train: Split, replicates: int, out: str) -> float:
    """Of a training from its start to its end, the start of the processes included."""
    start = time.perf_counter()
    train_generators(
        "timed", family, train, train, Path(out), replicates=replicates, seed=replicates, watch=parameters.monitor,
        compute=parameters.compute, card=lambda machine: "",
    )  # fmt: skip
    return time.perf_counter() - start


def side_by_side(parameters: Parameters, family: Family) -> None:
    """Print the ratio of two to one, and the part of checkpoints."""
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
    part = sum(writing) / one
    print(f"{len(writing)} checkpoints, {1000 * np.median(writing):.0f} ms each: {part:.2%} of the time")


def in_one_program(parameters: Parameters, name: str, family: Family, replicates: int) -> None:
    """Print how many times as long as one they take."""
    for side, channels in ((28, 1), (32, 3)):
        train = noise(side, channels)
        seconds(parameters, family.model_copy(update={"steps": 5}), train, 1, "warm")  # type: ignore[attr-defined]
        one, all_of_them = (seconds(parameters, family, train, n, f"{name} {side} {n}") for n in (1, replicates))
        print(
            f"{name}, {side} pixels: one {one:.1f} s, {replicates} together {all_of_them:.1f} s: "
            f"{all_of_them / one:.2f} times as long",
            flush=True,
        )


def main(steps: int, together: int | None) -> None:
    """Measure one of the two."""
    read = read_parameters(PROJECT / "params.yaml")
    families = {name: find_family(name, read.families).model_copy(update={"steps": steps}) for name in FAMILIES}  # type: ignore[attr-defined]
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        if together is None:
            side_by_side(read, families["cgan"])
            return
        chosen = read.model_copy(
            update={"compute": read.compute.model_copy(update={"replicates_per_program": together})}
        )
        for name, family in families.items():
            in_one_program(chosen, name, family, together)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 600, int(sys.argv[2]) if len(sys.argv) > 2 else None)
