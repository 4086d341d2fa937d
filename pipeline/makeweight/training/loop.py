"""The context of a training loop: device, checkpoints, monitoring with rollback, history and progress."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch

from makeweight.core.data import Images, Labels
from makeweight.core.errors import BadInput
from makeweight.core.images import as_images
from makeweight.core.parameters import MonitorSettings
from makeweight.core.seeds import derive
from makeweight.core.text import listed
from makeweight.runtime import distributed
from makeweight.runtime.progress import log_line
from makeweight.training.checkpoints import Checkpoints, State, pack, unpack

RECORDS, SHOWN_FRAMES = 100, 10  # rows in the history of one replicate; frames of drawn images
SHOWN_CLASSES, SHOWN_EACH = 10, 6  # classes in a frame, and images of each
MAX_ROLLBACKS = 3  # in one training, before it fails
ROLLBACK_FACTOR = 0.5  # by which each rollback multiplies the learning rates


class BatchedTrainingFailure(Exception):
    """One of several replicates in one program failed to train; only a replicate by itself can be rolled back."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a training loop.

    Attributes:
        number: from 1.
        recorded: whether the loop has to call `TrainingContext.record` at the end of the step.
        shown: whether it has to call `TrainingContext.show`.
    """

    number: int
    recorded: bool
    shown: bool


@dataclass(frozen=True, slots=True)
class Frame:
    """The images drawn after `step` steps: uint8 [classes * SHOWN_EACH, h, w, c], sorted by class."""

    step: int
    images: Images


@dataclass(frozen=True, slots=True)
class TrainingFailure:
    """A description of a failure, and its remedies, for messages."""

    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.what}; try {self.remedy}"


class TrainingMonitor(Protocol):
    """Detection of failures, as `training/monitors.py` implements it for generators.

    A protocol, so that classifiers, which are not monitored, do not depend on that code.
    """

    @property
    def settings(self) -> MonitorSettings:
        """Thresholds, and what to do about a failure."""
        ...

    @property
    def labels(self) -> Labels:
        """Labels of the images in a frame, int64 [n], sorted."""
        ...

    def failure(
        self, history: Sequence[Mapping[str, float]], state: State, images: Images | None
    ) -> TrainingFailure | None:
        """The failure that the last row of `history` shows.

        Args:
            history: the rows since the last rollback.
            state: of the loop.
            images: drawn at that row; None: none were drawn, or it is too early to judge them.
        """
        ...

    def low_diversity_classes(self, sampler: Sampler) -> list[str]:
        """Names of the classes whose drawn images vary much less than their training images, with the ratio."""
        ...


@dataclass
class TrainingContext:
    """The context of one call of a family's `fit`.

    A loop `for step in run.steps(total, state)` that calls `record` and `show` when `step` requires it is resumed,
    monitored and rolled back without further code. A loop that trains several replicates in one program passes their
    number.

    Attributes:
        device: of networks and data.
        autocast: the type for mixed precision, or None for plain float32.
        progress: called with the number of steps done.
        name: the name of this training in messages.
        monitor: detects failures; None: they are not looked for.
        checkpoints: where the state is saved periodically; None: nowhere.
        histories: the recorded rows of each replicate.
        frames: the frames of each replicate.
        records: approximate number of rows in the history of one replicate.
        shown_frames: approximate number of frames of one replicate.
    """

    device: torch.device
    autocast: torch.dtype | None
    progress: Callable[[int], None] = lambda step: None
    name: str = "training"
    monitor: TrainingMonitor | None = None
    checkpoints: Checkpoints | None = None
    histories: list[list[dict[str, float]]] = field(default_factory=lambda: [[]])
    frames: list[list[Frame]] = field(default_factory=lambda: [[]])
    records: int = RECORDS
    shown_frames: int = SHOWN_FRAMES
    _loops: int = 0
    _warned: set[int] = field(default_factory=set)

    def steps(self, total: int, state: State, replicates: int = 1) -> Iterator[Step]:
        """Steps 1 … `total`; a killed training continues after the step of its last checkpoint.

        Args:
            total: number of steps.
            state: all that changes while the loop runs, by name: networks, optimizers, averages, random generators.
                It is restored in place.
            replicates: number of replicates that are trained in this program.

        Raises:
            BadInput: the training failed, and is to stop or has been rolled back too often.
            BatchedTrainingFailure: the training of one of several replicates failed, and is to be rolled back.
        """
        self.histories.extend([] for _ in range(replicates - len(self.histories)))
        self.frames.extend([] for _ in range(replicates - len(self.frames)))
        loop = _Loop(self, state, f"{self._loops}")
        self._loops += 1
        step = loop.resume()
        while step < total:
            step += 1
            current = _step(step, total, self.records, self.shown_frames)
            yield current
            self.progress(step)
            if current.recorded and (failure := loop.failure()):
                step = loop.rollback(step, failure)
            elif current.shown and self.monitor is not None:
                loop.save_good_state(step)
            loop.save_checkpoint(step, last=step == total)

    def record(self, row: Mapping[str, float | torch.Tensor]) -> None:
        """Append a row to `history.csv`; its first value is `step`. A tensor holds a value for each replicate."""
        values = {name: value.tolist() if isinstance(value, torch.Tensor) else value for name, value in row.items()}
        for k, history in enumerate(self.histories):
            own = {name: value[k] if isinstance(value, list) else value for name, value in values.items()}
            history.append(distributed.average_row(own))

    def show(self, step: int, *samplers: Sampler) -> None:
        """Draw a frame with each replicate's sampler, always from the same noise.

        From the middle of the training on, log the classes whose images vary too little, once for each replicate.
        """
        if self.monitor is None:
            return
        labels = torch.from_numpy(self.monitor.labels)
        for frames, sampler in zip(self.frames, samplers, strict=True):
            images = sampler.sample(labels, rng=torch.Generator().manual_seed(0))
            frames.append(Frame(step, as_images(images)))
        for k, (frames, sampler) in enumerate(zip(self.frames, samplers, strict=True)):
            if len(frames) > self.shown_frames // 2 and k not in self._warned:  # early images hardly vary
                self._warn(step, k, self.monitor.low_diversity_classes(sampler))

    def _warn(self, step: int, number: int, classes: list[str]) -> None:
        if classes and distributed.is_main_process():
            self._warned.add(number)
            replicate = f", generator {number + 1} of {len(self.frames)}" if len(self.frames) > 1 else ""
            log_line(
                f"{self.name}: after {step} steps{replicate}, the diversity ratio is below "
                f"{self.monitor.settings.alarm_diversity_ratio:g} in {listed(classes)}"  # type: ignore[union-attr]
            )


def _step(number: int, total: int, records: int, shown_frames: int) -> Step:
    """Recorded and shown steps are evenly spaced and include the last one; every shown step is recorded."""
    recorded = max(1, total // records)
    shown = recorded * max(1, total // recorded // shown_frames)
    last = number == total
    return Step(number, last or number % recorded == 0, last or number % shown == 0)


class _Loop:
    """The state of one loop, in memory and on disk."""

    def __init__(self, run: TrainingContext, state: State, name: str) -> None:
        self.run, self.state, self.name = run, state, name
        self.rows, self.frames = len(run.histories[0]), len(run.frames[0])  # of earlier loops in this context
        self.attempts = 0
        self.since = self.rows  # the first row of the current attempt
        self.good = self._packed(0)

    def _packed(self, step: int) -> bytes:
        return pack(
            self.state,
            {
                "step": step,
                "attempts": self.attempts,
                "since": self.since,
                "histories": [history[self.rows :] for history in self.run.histories],
                "frames": [
                    [[frame.step, torch.from_numpy(frame.images)] for frame in frames[self.frames :]]
                    for frames in self.run.frames
                ],
            },
        )

    def _restored(self, position: Mapping[str, Any]) -> int:
        """Restore histories and frames; return the number of steps done."""
        for history, rows in zip(self.run.histories, position["histories"], strict=True):
            history[self.rows :] = rows
        for frames, shown in zip(self.run.frames, position["frames"], strict=True):
            frames[self.frames :] = [Frame(step, images.numpy()) for step, images in shown]
        return int(position["step"])

    def resume(self) -> int:
        """Restore the last checkpoint, if there is one; return the number of steps done."""
        checkpoints = self.run.checkpoints
        position = checkpoints.restore(self.name, self.state) if checkpoints else None
        if checkpoints is None or position is None:
            return 0
        self.attempts, self.since = position["attempts"], position["since"]
        good = checkpoints.folder / f"{self.name}.good"
        self.good = good.read_bytes() if good.exists() else self.good
        step = self._restored(position)
        if distributed.is_main_process():
            log_line(f"{self.run.name} resumes after step {step}")
        self.run.progress(step)
        return step

    def save_good_state(self, step: int) -> None:
        """Save the state after `step` as the target of a rollback."""
        self.good = self._packed(step)
        if distributed.is_main_process() and self.run.checkpoints:
            self.run.checkpoints.write(f"{self.name}.good", self.good)

    def save_checkpoint(self, step: int, *, last: bool) -> None:
        """Write a checkpoint if one is due or the step is the last."""
        if distributed.is_main_process() and self.run.checkpoints and (last or self.run.checkpoints.due):
            self.run.checkpoints.write_periodically(self.name, lambda: self._packed(step))

    def failure(self) -> TrainingFailure | None:
        """The failure that the last recorded step shows, in the first replicate that has one."""
        monitor = self.run.monitor
        if monitor is None:
            return None
        failures = (
            monitor.failure(history[self.since :], self.state, self._judged(frames[self.frames :], history[-1]["step"]))
            for history, frames in zip(self.run.histories, self.run.frames, strict=True)
        )
        return next((failure for failure in failures if failure), None)

    def _judged(self, frames: list[Frame], step: float) -> Images | None:
        if len(frames) <= self.run.shown_frames // 2 or frames[-1].step != step:
            return None  # early images hardly vary
        return frames[-1].images

    def rollback(self, step: int, failure: TrainingFailure) -> int:
        """Restore the last good state, with lower learning rates and other random numbers; return its step.

        Raises:
            BadInput: the training is to stop, or has been rolled back too often.
            BatchedTrainingFailure: there are several replicates.
        """
        where = f"{self.run.name}: after {step} steps"
        if self.run.monitor is None or self.run.monitor.settings.on_divergence == "stop":
            raise BadInput(f"{where}, {failure}")
        if len(self.run.histories) > 1:
            raise BatchedTrainingFailure(f"{where}, {failure}")
        if self.attempts == MAX_ROLLBACKS:
            raise BadInput(f"{where}, {failure}. It has been rolled back {MAX_ROLLBACKS} times already")
        self.attempts += 1
        position = unpack(self.good, self.state)
        target = self._restored(position)
        self.since = len(self.run.histories[0])
        for name, item in self.state.items():
            if isinstance(item, torch.optim.Optimizer):
                for group in item.param_groups:
                    group["lr"] *= ROLLBACK_FACTOR ** (self.attempts - position["attempts"])
            elif isinstance(item, torch.Generator):
                item.manual_seed(derive(item.initial_seed(), "again", name, self.attempts))
        if distributed.is_main_process():
            factor = ROLLBACK_FACTOR**self.attempts
            log_line(f"{where}, {failure}. Rolled back to step {target}, learning rates × {factor:g}")
            if self.run.checkpoints:  # before a newer good state: the checkpoint must not belong to an older attempt
                self.run.checkpoints.write(self.name, self._packed(target))
        return target


class Sampler(Protocol):
    """A fitted family."""

    def sample(self, labels: torch.Tensor, *, rng: torch.Generator) -> torch.Tensor:
        """Draw an image for each label (int64 [n]): float [n, c, h, w] in [-1, 1], on the CPU."""
        ...

    def save(self, folder: Path) -> None:
        """Write what `Family.load` reads into `folder`, which exists."""
        ...
