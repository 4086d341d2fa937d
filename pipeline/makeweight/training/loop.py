"""What a training loop is handed: where to compute, resuming, watching over itself, and whom to tell."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from makeweight.core.data import Images, Labels, Split
from makeweight.core.errors import BadInput
from makeweight.core.images import as_images
from makeweight.core.parameters import MonitorSettings
from makeweight.core.seeds import derive
from makeweight.runtime import distributed
from makeweight.runtime.progress import log_line
from makeweight.training.checkpoints import Checkpoints, State, pack, unpack
from makeweight.training.monitors import (
    TrainingFailure,
    discriminator_saturation,
    mode_collapse,
    non_finite,
    real_distances,
)

RECORDS, SHOWINGS = 100, 10  # rows in the history of one replicate; moments at which it shows what it draws
SHOWN_CLASSES, SHOWN_EACH = 10, 6  # images at each moment
MAX_ROLLBACKS = 3  # in one training, before it is given up
ROLLBACK_FACTOR = 0.5  # factor for learning rates at each step back


class BatchedTrainingFailure(Exception):
    """One of several replicates that are trained in one program went wrong, and could step back only by itself."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a loop.

    Attributes:
        number: from 1 to the last one.
        recorded: whether the loop shall call `TrainingContext.record` at its end.
        shown: whether it shall call `TrainingContext.show`.
    """

    number: int
    recorded: bool
    shown: bool


@dataclass(frozen=True, slots=True)
class Frame:
    """What was drawn after `step` steps: uint8 [classes * SHOWN_EACH, h, w, c], class by class."""

    step: int
    images: Images


@dataclass(frozen=True)
class Monitor:
    """What to look for while a family trains on `train`, and what to do about it."""

    settings: MonitorSettings
    train: Split
    real: list[float] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "real", real_distances(self.train))

    @property
    def labels(self) -> Labels:
        """Of the images that are shown: of the rarest classes, which go wrong first."""
        counts = self.train.counts
        rarest = [label for label in np.argsort(counts, kind="stable") if counts[label]][:SHOWN_CLASSES]
        return np.repeat(np.sort(np.array(rarest, dtype=np.int64)), SHOWN_EACH)


@dataclass
class TrainingContext:
    """What a family's `fit` is handed.

    A loop that says `for step in run.steps(total, state)` and calls `record` and `show` where `step` tells it to, is
    resumed, watched and shown with no more words. One that trains several replicates in one program says how many.

    Attributes:
        device: where networks and data live.
        autocast: the type for mixed precision, or None for plain float32.
        progress: called with the number of steps done.
        name: what messages call this training by.
        watch: what to look for; None: nothing.
        checkpoints: where the state is kept now and then; None: nowhere.
        histories: the rows that were recorded, replicate by replicate.
        frames: what was shown, likewise.
        records: rows in the history of one replicate.
        showings: frames of one replicate.
    """

    device: torch.device
    autocast: torch.dtype | None
    progress: Callable[[int], None] = lambda step: None
    name: str = "training"
    watch: Monitor | None = None
    checkpoints: Checkpoints | None = None
    histories: list[list[dict[str, float]]] = field(default_factory=lambda: [[]])
    frames: list[list[Frame]] = field(default_factory=lambda: [[]])
    records: int = RECORDS
    showings: int = SHOWINGS
    _loops: int = 0

    def steps(self, total: int, state: State, replicates: int = 1) -> Iterator[Step]:
        """Steps 1 … `total`, or from where a training that was killed left off.

        Args:
            total: of steps.
            state: all that changes while the loop runs, by name: networks, optimizers, averages, generators of
                random numbers. It is restored in place.
            replicates: how many are trained in this one program.

        Raises:
            BadInput: the training went wrong, and is to stop or has stepped back too often.
            TroubleTogether: one of several replicates went wrong, and is to step back.
        """
        for told in (self.histories, self.frames):
            told.extend([] for _ in range(replicates - len(told)))
        loop = _Loop(self, state, f"{self._loops}")
        self._loops += 1
        step = loop.resume()
        while step < total:
            step += 1
            at = _step(step, total, self.records, self.showings)
            yield at
            self.progress(step)
            if at.recorded and (found := loop.failure()):
                step = loop.rollback(step, found)
            elif at.shown:
                loop.remember(step)
            loop.keep(step, last=step == total)

    def record(self, row: Mapping[str, float | torch.Tensor]) -> None:
        """Take one row of figures for `history.csv`; the first is `step`. A tensor holds a figure a replicate."""
        figures = {name: each.tolist() if isinstance(each, torch.Tensor) else each for name, each in row.items()}
        for k, history in enumerate(self.histories):
            own = {name: each[k] if isinstance(each, list) else each for name, each in figures.items()}
            history.append(distributed.average_row(own))

    def show(self, step: int, *samplers: Sampler) -> None:
        """Draw some images of each class with each replicate's sampler, from noise that is always the same."""
        if self.watch is None:
            return
        labels = torch.from_numpy(self.watch.labels)
        for frames, sampler in zip(self.frames, samplers, strict=True):
            drawn = sampler.sample(labels, rng=torch.Generator().manual_seed(0))
            frames.append(Frame(step, as_images(drawn)))


def _step(number: int, total: int, records: int, showings: int) -> Step:
    """Records and showings are evenly spread, the last step always among them; what is shown is recorded too."""
    recorded = max(1, total // records)
    shown = recorded * max(1, total // recorded // showings)
    last = number == total
    return Step(number, last or number % recorded == 0, last or number % shown == 0)


class _Loop:
    """The state of one loop, in memory and on disk."""

    def __init__(self, run: TrainingContext, state: State, name: str) -> None:
        self.run, self.state, self.name = run, state, name
        self.rows, self.frames = len(run.histories[0]), len(run.frames[0])  # that earlier loops of this run have left
        self.attempts = 0
        self.since = self.rows  # the row from which on this attempt has recorded
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

    def _placed(self, position: Mapping[str, Any]) -> int:
        for history, recorded in zip(self.run.histories, position["histories"], strict=True):
            history[self.rows :] = recorded
        for frames, shown in zip(self.run.frames, position["frames"], strict=True):
            frames[self.frames :] = [Frame(step, images.numpy()) for step, images in shown]
        return int(position["step"])

    def resume(self) -> int:
        """Restore the last checkpoint, if there is one; return how many steps are done."""
        kept = self.run.checkpoints
        position = kept.restore(self.name, self.state) if kept else None
        if kept is None or position is None:
            return 0
        self.attempts, self.since = position["attempts"], position["since"]
        good = kept.folder / f"{self.name}.good"
        self.good = good.read_bytes() if good.exists() else self.good
        step = self._placed(position)
        self.run.progress(step)
        return step

    def remember(self, step: int) -> None:
        """Take the state after `step` for a good one."""
        self.good = self._packed(step)
        if distributed.is_main_process() and self.run.checkpoints:
            self.run.checkpoints.write(f"{self.name}.good", self.good)

    def keep(self, step: int, *, last: bool) -> None:
        """Write a checkpoint, if it is time."""
        if distributed.is_main_process() and self.run.checkpoints and (last or self.run.checkpoints.due):
            self.run.checkpoints.write_now_and_then(self.name, self._packed(step))

    def failure(self) -> TrainingFailure | None:
        """What is wrong after the step that was recorded last, in the first replicate where something is."""
        watch = self.run.watch
        if watch is None:
            return None
        found = (
            non_finite(history[-1], self.state)
            or discriminator_saturation(history[self.since :], watch.settings)
            or self._mode_collapse(watch, frames[self.frames :], history[-1]["step"])
            for history, frames in zip(self.run.histories, self.run.frames, strict=True)
        )
        return next((failure for failure in found if failure), None)

    def _mode_collapse(self, watch: Monitor, frames: list[Frame], step: float) -> TrainingFailure | None:
        if len(frames) <= self.run.showings // 2 or frames[-1].step != step:
            return None  # at first, all of them are alike
        return mode_collapse(frames[-1].images, watch.labels, watch.train, watch.real, watch.settings)

    def rollback(self, step: int, found: TrainingFailure) -> int:
        """Return to the last good state, with lower learning rates and other random numbers; or give up."""
        told = f"{self.run.name}: after {step} steps, {found}"
        if self.run.watch is None or self.run.watch.settings.on_divergence == "stop":
            raise BadInput(told)
        if len(self.run.histories) > 1:
            raise BatchedTrainingFailure(told)
        if self.attempts == MAX_ROLLBACKS:
            raise BadInput(f"{told}. It has stepped back {MAX_ROLLBACKS} times already")
        self.attempts += 1
        position = unpack(self.good, self.state)
        back = self._placed(position)
        self.since = len(self.run.histories[0])
        for name, thing in self.state.items():
            if isinstance(thing, torch.optim.Optimizer):
                for group in thing.param_groups:
                    group["lr"] *= ROLLBACK_FACTOR ** (self.attempts - position["attempts"])
            elif isinstance(thing, torch.Generator):
                thing.manual_seed(derive(thing.initial_seed(), "again", name, self.attempts))
        if distributed.is_main_process():
            slower = ROLLBACK_FACTOR**self.attempts
            log_line(f"{told}. Back to step {back}, learning rates × {slower:g}")
            if self.run.checkpoints:  # before a newer good state: the checkpoint must not belong to an older attempt
                self.run.checkpoints.write(self.name, self._packed(back))
        return back


class Sampler(Protocol):
    """A fitted family."""

    def sample(self, labels: torch.Tensor, *, rng: torch.Generator) -> torch.Tensor:
        """Draw one image for each label (int64 [n]): float [n, c, h, w] in [-1, 1], on the CPU."""
        ...

    def save(self, folder: Path) -> None:
        """Write what `Family.load` needs into `folder`, which exists."""
        ...
