"""How fast families train: images a second, part of what the machine can do, and beside a plain loop.

python -m benchmarks.generator_throughput [SIZE ...]

One thread on a CPU, as in one replicate, timed by the seconds of that thread, so that other processes count for
little. The ceiling is the better of a large matrix product and a large convolution, in the number format that the
family computes in; operations are counted, not guessed. Images are noise: speed does not look at them.
"""

from __future__ import annotations

import os

import makeweight.training.loop
from makeweight.generators.interface import find_family

os.environ.setdefault("OMP_NUM_THREADS", "1")

import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import numpy as np
import torch
from torch.nn.functional import conv2d
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.plain import LOOPS
from benchmarks.workspace import PROJECT
from makeweight.core.data import Split
from makeweight.core.parameters import read_parameters
from makeweight.generators.interface import Family
from makeweight.runtime.machine import fixed_threads, machine, retain_heap
from makeweight.training.loop import TrainingContext

SIZES = (8, 28, 32, 64)
SECONDS = 12.0  # of each measurement, at least 5 steps


def now(device: torch.device) -> float:
    """Seconds that the process has computed; on a GPU those that have passed."""
    if device.type != "cuda":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def median_seconds(times: Iterator[float]) -> float:
    """Median of the times between consecutive moments, of as many as `SECONDS` hold; the first two warm up."""
    moments: list[float] = []
    for moment in times:
        moments.append(moment)
        if len(moments) >= 8 and moment - moments[0] > SECONDS:
            break
    return statistics.median(np.diff(moments[2:]))


def ceiling(device: torch.device, kind: torch.dtype) -> float:
    """Operations a second (a multiply-add counts as two) of a large matrix product or convolution, the better one."""

    def rate(work: Callable[[], torch.Tensor], operations: float) -> float:
        def moments() -> Iterator[float]:
            while True:
                work()
                yield now(device)

        return operations / median_seconds(moments())

    side = 1024 if device.type == "cpu" else 8192
    a, b = (torch.randn(side, side, dtype=kind, device=device) for _ in range(2))
    images = torch.randn(128, 128, 14, 14, dtype=kind, device=device).contiguous(memory_format=torch.channels_last)
    kernel = torch.randn(128, 128, 3, 3, dtype=kind, device=device).contiguous(memory_format=torch.channels_last)
    return max(
        rate(lambda: a @ b, 2 * side**3), rate(lambda: conv2d(images, kernel, padding=1), 2 * 128 * 14**2 * 128**2 * 9)
    )


class Enough(Exception):
    """Ends a training from within."""


def ours(family: Family, train: Split, device: torch.device, autocast: torch.dtype | None) -> Iterator[float]:
    """The moments at which a family ends its steps."""
    moments: list[float] = []

    def progress(step: int) -> None:
        moments.append(now(device))
        if len(moments) >= 8 and moments[-1] - moments[0] > SECONDS + 1:
            raise Enough

    with suppress(Enough):
        family.fit(train, monitor=train, seeds=[0], run=TrainingContext(device, autocast, progress))
    return iter(moments)


def operations(family: Family, train: Split, device: torch.device) -> int:
    """Of one step, a multiply-add counted as two."""
    totals: list[int] = []

    def progress(step: int) -> None:
        totals.append(counter.get_total_flops())
        if step == 3:
            raise Enough

    counter = FlopCounterMode(display=False)
    with suppress(Enough), counter:
        family.fit(train, monitor=train, seeds=[0], run=TrainingContext(device, None, progress))
    return totals[2] - totals[1]


def noise(size: int) -> Split:
    """Images without content, in colour where they usually are."""
    shape = (2000, size, size, 3 if size in (32, 64) else 1)
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    return Split(images, np.arange(2000) % 10, tuple("abcdefghij"))


def main(sizes: list[int]) -> None:
    """Print a line for each family and size."""
    parameters = read_parameters(PROJECT / "params.yaml")
    chosen = machine(parameters.compute)
    device, kind = torch.device(chosen.device), chosen.autocast or torch.float32
    makeweight.training.loop.RECORDS = makeweight.training.loop.SHOWINGS = (
        1  # what is looked at now and then is not what is timed
    )
    with fixed_threads(chosen.threads):
        peaks = {each: ceiling(device, each) / 1e9 for each in (torch.float32, torch.bfloat16)}
        print(f"{chosen}; ceiling", {str(each): round(peak) for each, peak in peaks.items()}, "GFLOP/s")
        print("family        size  GFLOP a step  images/s  part of the ceiling  plain loop, images/s  ratio")
        cases = [(name, find_family(name, parameters.families), size) for name in LOOPS for size in sizes]
        plain = [
            median_seconds(now(device) for _ in LOOPS[name](family, noise(size)))  # type: ignore[operator]
            for name, family, size in cases
        ]
        retain_heap()  # as the stages do, and people's loops do not
        for (name, family, size), beside in zip(cases, plain, strict=True):
            work = operations(family, noise(size), device) / 1e9
            seconds = median_seconds(ours(family, noise(size), device, chosen.autocast))
            batch = family.images_per_step
            print(
                f"{name:12}  {size:4}  {work:12.2f}  {batch / seconds:8.0f}  {work / seconds / peaks[kind]:19.2f}"
                f"  {batch / beside:20.0f}  {beside / seconds:5.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main([int(size) for size in sys.argv[1:]] or list(SIZES))
