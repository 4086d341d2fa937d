"""Execution of groups of replicates in worker processes, with their progress."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import joblib
import numpy as np
from joblib.externals.loky import process_executor

from makeweight.core.parameters import ComputeSettings
from makeweight.runtime import distributed
from makeweight.runtime.machine import retain_heap
from makeweight.runtime.processes import end_with_parent
from makeweight.runtime.progress import ProgressCounters

REPLICATES_PER_PROGRAM_ON_GPU = 10


def replicates_per_program(batched: bool, compute: ComputeSettings, device: str) -> int:
    """Number of replicates of a job to compute in one program.

    `compute.replicates_per_program`, where `auto` means ten on a GPU and one elsewhere. One where the work is not
    `batched`, or where each replicate is distributed over several processes.
    """
    if not batched or distributed.world_size() > 1:
        return 1
    if compute.replicates_per_program == "auto":
        return REPLICATES_PER_PROGRAM_ON_GPU if device == "cuda" else 1
    return compute.replicates_per_program


@contextmanager
def progress_counters(replicates: int) -> Iterator[tuple[Path, ProgressCounters]]:
    """Zeroed progress counters [replicates, 2] in a file that all processes map, and the path of that file."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch, "steps.npy")
        yield path, np.lib.format.open_memmap(path, mode="w+", dtype=np.int64, shape=(replicates, 2))


class StepCounter:
    """Progress callback that writes the number of steps done to one replicate's row of the progress counters."""

    def __init__(self, counters: Path, replicate: int) -> None:
        self.row = np.load(counters, mmap_mode="r+")[replicate]

    def __call__(self, done: int) -> None:
        """Write that `done` steps are done."""
        if not self.row[0]:
            self.row[1] = done - 1  # the steps of an earlier run, which this one resumes
        self.row[0] = done


def run_groups(groups: Sequence[Callable[[Path], None]], processes: int, counters: Path) -> None:
    """Call each of `groups` with the path of the progress counters, in up to `processes` worker processes."""
    joblib.Parallel(n_jobs=processes)(
        joblib.delayed(_run)(group, counters, os.getpid(), Path.cwd()) for group in groups
    )


def _run(group: Callable[[Path], None], counters: Path, owner: int, folder: Path) -> None:
    os.chdir(folder)  # a worker may be in another folder, even in one that no longer exists
    # loky retires a worker that has grown by 300 MB since its first task, and then waits for it forever (joblib 1.6).
    process_executor._MAX_MEMORY_LEAK_SIZE = sys.maxsize
    retain_heap()
    if os.getpid() != owner:
        end_with_parent(owner)
    group(counters)
