"""Times of training steps, measured in as many processes side by side as a study would run.

Only a few steps of a training run: its progress callback measures them and then stops the training with an exception.
No result is kept, and no cache or checkpoint is read or written.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import wait
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch
from joblib.externals.loky import ProcessPoolExecutor

from makeweight.classification.fit import fit, transformed_batches
from makeweight.classification.interface import Transform
from makeweight.classification.mixing import control_mixing
from makeweight.core.parameters import ClassifierSettings, ComputeSettings
from makeweight.generators.interface import Family
from makeweight.runtime.executors import replicates_per_program
from makeweight.runtime.machine import Machine, fixed_threads, retain_heap, workers
from makeweight.runtime.processes import end_with_parent
from makeweight.runtime.replicates import Job, Replicate
from makeweight.runtime.splits import read_split
from makeweight.training.loop import TrainingContext

WARM_UP = 1  # step, which also loads kernels and reserves memory
BUDGET = 4.0  # seconds of timed steps of all jobs, though at least one step of each
BUDGET_OF_JOB = 1.0
TIMEOUT = 60.0  # seconds for one job, with the start of the processes; a plug-in may not report its steps


class EnoughSteps(Exception):
    """Ends a training whose steps have been timed."""


@dataclass
class Stopwatch:
    """A progress callback that times steps after a warm-up, and stops the training after `budget` seconds.

    Attributes:
        budget: seconds.
        clock: in seconds.
        before: called before the clock is read, to wait for work that runs asynchronously.
        readings: number of steps done, and the time.
    """

    budget: float
    clock: Callable[[], float] = time.perf_counter
    before: Callable[[], object] = lambda: None
    readings: list[tuple[int, float]] = field(default_factory=list)

    def __call__(self, done: int) -> None:
        """Note that `done` steps are done.

        Raises:
            EnoughSteps: the budget is spent.
        """
        self.before()
        self.readings.append((done, self.clock()))
        if len(self.readings) > WARM_UP and self.readings[-1][1] - self.readings[WARM_UP - 1][1] >= self.budget:
            raise EnoughSteps

    @property
    def seconds_per_step(self) -> float | None:
        """The mean time of a step after the warm-up; None if there was none."""
        if len(self.readings) <= WARM_UP:
            return None
        (first, start), (last, end) = self.readings[WARM_UP - 1], self.readings[-1]
        return (end - start) / (last - first)


@dataclass(frozen=True)
class GeneratorTraining:
    """The training of a family, for one program's replicates, without its results. `data`: the prepared splits."""

    family: Family
    data: Path

    def __call__(self, replicates: Sequence[Replicate]) -> None:
        """Train until the progress callback of the first replicate stops it."""
        first = replicates[0]
        context = TrainingContext(torch.device(first.machine.device), first.machine.autocast, first.progress)
        seeds = [replicate.number for replicate in replicates]
        train, validation = (read_split(self.data / split) for split in ("train", "validation"))
        self.family.fit(train, monitor=validation, seeds=seeds, run=context)


@dataclass(frozen=True)
class ClassifierTraining:
    """The training of a classifier on real images with one budget, without its results. `data`: the prepared splits."""

    settings: ClassifierSettings
    transform: Transform
    data: Path

    def __call__(self, replicates: Sequence[Replicate]) -> None:
        """Train until the progress callback of the replicate stops it."""
        (replicate,) = replicates
        train, seed = read_split(self.data / "train"), replicate.number
        mixing = control_mixing("oversample", train, self.settings.batch, seed)
        batches = partial(transformed_batches, mixing, self.transform, self.settings.budgets[-1], seed)
        run = TrainingContext(torch.device(replicate.machine.device), replicate.machine.autocast, replicate.progress)
        fit(train, batches, self.settings, loss=mixing.loss(self.settings.label_smoothing), seed=seed, run=run)


@dataclass(frozen=True, slots=True)
class StepTime:
    """The result for one job.

    Attributes:
        seconds: of a step of one process; None: not timed.
        error: the error message, if there was an error.
    """

    seconds: float | None
    error: str | None = None


def step_times(
    jobs: Sequence[Job], replicates: int, compute: ComputeSettings, resolved: Machine
) -> dict[str, StepTime]:
    """Time a few steps of each job in as many processes as would run so many replicates.

    A job of a single step is not timed, since it could not be stopped. An error in one job does not end the others.

    Args:
        jobs: to be timed.
        replicates: of each job.
        compute: gives the number of workers.
        resolved: what `compute` resolves to on this machine.

    Returns:
        Times by the name of the job.
    """
    budget = min(BUDGET_OF_JOB, BUDGET / max(1, len(jobs)))
    times = {job.name: StepTime(None) for job in jobs}
    processes = _processes(compute, replicates)
    try:
        for job in jobs:
            if job.steps == 1:
                continue
            size = min(replicates, replicates_per_program(job.batched, compute, resolved.device))
            side_by_side = range(workers(compute, -(-replicates // size)))
            futures = [
                processes.submit(_time_steps, job, resolved, range(size), budget, os.getpid()) for _ in side_by_side
            ]
            if wait(futures, TIMEOUT).not_done:
                times[job.name] = StepTime(None, f"no step was reported within {TIMEOUT:.0f} s")
                processes.shutdown(kill_workers=True)
                processes = _processes(compute, replicates)
                continue
            times[job.name] = _mean([_result(future.exception, future.result) for future in futures])
    finally:
        processes.shutdown(kill_workers=True)
    return times


def _processes(compute: ComputeSettings, replicates: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(max_workers=workers(compute, replicates))


def _result(exception: Callable[[], BaseException | None], result: Callable[[], float | None]) -> StepTime:
    error = exception()
    if error is not None:  # of any type: the code may be a plug-in's
        return StepTime(None, str(error) or type(error).__name__)
    return StepTime(result())


def _mean(times: Sequence[StepTime]) -> StepTime:
    seconds = [step_time.seconds for step_time in times if step_time.seconds is not None]
    error = next((step_time.error for step_time in times if step_time.error), None)
    return StepTime(sum(seconds) / len(seconds) if seconds and not error else None, error)


def _time_steps(job: Job, machine: Machine, numbers: Sequence[int], budget: float, owner: int) -> float | None:
    end_with_parent(owner)
    retain_heap()
    before = torch.cuda.synchronize if machine.device == "cuda" else lambda: None
    stopwatch = Stopwatch(budget, before=before)
    with fixed_threads(machine.threads), tempfile.TemporaryDirectory() as scratch, suppress(EnoughSteps):
        job.work([Replicate(k, Path(scratch), Path(scratch), machine, stopwatch) for k in numbers])
    return stopwatch.seconds_per_step
