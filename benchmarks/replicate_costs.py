"""What more replicates and checkpoints cost.

python -m benchmarks.replicate_costs [STEPS]

Two replicates of the default `cgan` side by side on two cores, beside one on one, at 28 pixels (at most 1.15 times as
long); and the part of the time that goes into checkpoints. Needs two cores that do nothing else.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.workspace import PROJECT
from pipeline.checkpoints import Checkpoints
from pipeline.core import Split
from pipeline.families.cgan import ConditionalGAN
from pipeline.generating import train_generators
from pipeline.params import Parameters, read_parameters

SIZE = 28


def seconds(parameters: Parameters, family: ConditionalGAN, train: Split, replicates: int, out: Path) -> float:
    """Of a training from its start to its end, the start of the processes included."""
    start = time.perf_counter()
    train_generators(
        "cgan", family, train, train, out, replicates=replicates, seed=replicates, watch=parameters.watch,
        compute=parameters.compute, card=lambda machine: "",
    )  # fmt: skip
    return time.perf_counter() - start


def main(steps: int) -> None:
    """Print the ratio and the part."""
    parameters = read_parameters(PROJECT / "params.yaml")
    family = parameters.family("cgan")
    assert isinstance(family, ConditionalGAN)
    family = family.model_copy(update={"steps": steps})
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (2000, SIZE, SIZE, 1), dtype=np.uint8)
    train = Split(images, np.arange(2000) % 10, tuple("abcdefghij"))
    writing: list[float] = []
    write = Checkpoints.write

    def timed(self: Checkpoints, name: str, packed: bytes) -> None:
        start = time.perf_counter()
        write(self, name, packed)
        writing.append(time.perf_counter() - start)

    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        Checkpoints.write = timed  # type: ignore[method-assign]  # one replicate trains in this very process
        one = seconds(parameters, family, train, 1, Path("one"))
        Checkpoints.write = write  # type: ignore[method-assign]
        two = seconds(parameters, family, train, 2, Path("two"))
    print(f"one replicate {one:.1f} s, two {two:.1f} s: {two / one:.2f} times as long")
    part = sum(writing) / one
    print(f"{len(writing)} checkpoints, {1000 * np.median(writing):.0f} ms each: {part:.2%} of the time")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 600)
