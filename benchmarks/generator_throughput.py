"""Training throughput of families: images per second, fraction of peak throughput, ratio to a plain loop.

python -m benchmarks.generator_throughput [SIZE ...]

One CPU thread, as in one replicate, timed by its CPU time, so that other processes have little effect. The peak is the
better rate of a large matrix product and a large convolution, in the family's number format; operations are counted,
not estimated. Images are noise, which does not change the speed.
"""

from __future__ import annotations

import os

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
SECONDS = 12.0  # of each measurement, of at least 5 steps


def now(device: torch.device) -> float:
    """CPU time of the process in seconds; with a GPU wall-clock time."""
    if device.type != "cuda":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def median_seconds(times: Iterator[float]) -> float:
    """Median of the differences between consecutive times, within `SECONDS`; the first two are warm-up."""
    measured: list[float] = []
    for seconds in times:
        measured.append(seconds)
        if len(measured) >= 8 and seconds - measured[0] > SECONDS:
            break
    return statistics.median(np.diff(measured[2:]))


def peak(device: torch.device, dtype: torch.dtype) -> float:
    """Operations per second (a multiply-add is two) of a large matrix product or convolution, whichever is faster."""

    def rate(work: Callable[[], torch.Tensor], operations: float) -> float:
        def times() -> Iterator[float]:
            while True:
                work()
                yield now(device)

        return operations / median_seconds(times())

    side = 1024 if device.type == "cpu" else 8192
    a, b = (torch.randn(side, side, dtype=dtype, device=device) for _ in range(2))
    images = torch.randn(128, 128, 14, 14, dtype=dtype, device=device).contiguous(memory_format=torch.channels_last)
    kernel = torch.randn(128, 128, 3, 3, dtype=dtype, device=device).contiguous(memory_format=torch.channels_last)
    return max(
        rate(lambda: a @ b, 2 * side**3), rate(lambda: conv2d(images, kernel, padding=1), 2 * 128 * 14**2 * 128**2 * 9)
    )


class MeasurementComplete(Exception):
    """Ends a training early."""


def ours(family: Family, train: Split, device: torch.device, autocast: torch.dtype | None) -> Iterator[float]:
    """The times at which a family ends its steps."""
    times: list[float] = []

    def progress(step: int) -> None:
        times.append(now(device))
        if len(times) >= 8 and times[-1] - times[0] > SECONDS + 1:
            raise MeasurementComplete

    with suppress(MeasurementComplete):
        family.fit(train, monitor=train, seeds=[0], run=_context(device, autocast, progress))
    return iter(times)


def _context(device: torch.device, autocast: torch.dtype | None, progress: Callable[[int], None]) -> TrainingContext:
    """A context that records and shows only the last step, so that monitoring is not timed."""
    return TrainingContext(device, autocast, progress, records=1, shown_frames=1)


def operations(family: Family, train: Split, device: torch.device) -> int:
    """Operations of one step; a multiply-add is two."""
    totals: list[int] = []

    def progress(step: int) -> None:
        totals.append(counter.get_total_flops())
        if step == 3:
            raise MeasurementComplete

    counter = FlopCounterMode(display=False)
    with suppress(MeasurementComplete), counter:
        family.fit(train, monitor=train, seeds=[0], run=_context(device, None, progress))
    return totals[2] - totals[1]


def noise(size: int) -> Split:
    """Noise images, in colour at the sizes of common colour data sets."""
    shape = (2000, size, size, 3 if size in (32, 64) else 1)
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    return Split(images, np.arange(2000) % 10, tuple("abcdefghij"))


def main(sizes: list[int]) -> None:
    """Print a line for each family and size."""
    parameters = read_parameters(PROJECT / "params.yaml")
    chosen = machine(parameters.compute)
    device, dtype = torch.device(chosen.device), chosen.autocast or torch.float32
    with fixed_threads(chosen.threads):
        peaks = {kind: peak(device, kind) / 1e9 for kind in (torch.float32, torch.bfloat16)}
        print(f"{chosen}; peak", {str(kind): round(rate) for kind, rate in peaks.items()}, "GFLOP/s")
        print("family        size  GFLOP/step  images/s  fraction of peak  plain loop, images/s  ratio")
        cases = [(name, find_family(name, parameters.families), size) for name in LOOPS for size in sizes]
        plain = [
            median_seconds(now(device) for _ in LOOPS[name](family, noise(size)))  # type: ignore[operator]
            for name, family, size in cases
        ]
        retain_heap()  # as the stages do, and plain loops do not
        for (name, family, size), plain_seconds in zip(cases, plain, strict=True):
            gflop = operations(family, noise(size), device) / 1e9
            seconds = median_seconds(ours(family, noise(size), device, chosen.autocast))
            batch = family.images_per_step
            print(
                f"{name:12}  {size:4}  {gflop:10.2f}  {batch / seconds:8.0f}  {gflop / seconds / peaks[dtype]:16.2f}"
                f"  {batch / plain_seconds:20.0f}  {plain_seconds / seconds:5.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main([int(size) for size in sys.argv[1:]] or list(SIZES))
