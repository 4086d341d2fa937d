"""The fit of a family for a group of replicates: the cached work that `train.py` runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version

import numpy as np
import pandas as pd
import torch
from torch import nn

from makeweight.core.data import Split
from makeweight.core.parameters import MonitorSettings
from makeweight.core.sample_quality import FIGURES, as_values
from makeweight.core.seeds import derive
from makeweight.generators.interface import Family
from makeweight.runtime.artifacts import FRAMES, HISTORY, SAMPLE_QUALITY, SAMPLER
from makeweight.runtime.files import write_arrays, write_csv, write_json
from makeweight.runtime.progress import log_line
from makeweight.runtime.replicates import Replicate
from makeweight.training.checkpoints import Checkpoints
from makeweight.training.loop import BatchedTrainingFailure, Sampler, TrainingContext
from makeweight.training.monitors import Monitor, diversity_ratio, drawn_by_class, real_diversities
from makeweight.training.scorer import is_recognised, recognised, train_scorer

SCORED_EACH = 50  # drawn images of each class


@dataclass(frozen=True)
class Fit:
    """The fit of a family for one replicate, or for several in one program.

    Attributes:
        name: the family's name.
        family: its settings.
        train: images to fit.
        validation: images that are only logged and scored.
        monitor: the criteria of a failed training, and the reaction to it.
        seed: the seed of the pipeline.
        checkpoint_seconds: the time between two checkpoints.
    """

    name: str
    family: Family
    train: Split
    validation: Split
    monitor: MonitorSettings
    seed: int
    checkpoint_seconds: float

    def __call__(self, replicates: Sequence[Replicate]) -> None:
        """Fit, and write each replicate's sampler, history, frames and sample quality."""
        try:
            self._fit(replicates)
        except BatchedTrainingFailure as failure:
            log_line(f"{failure}. These replicates are now trained one by one")
            for replicate in replicates:
                self._fit([replicate])

    def _fit(self, replicates: Sequence[Replicate]) -> None:
        first, numbers = replicates[0], [replicate.number for replicate in replicates]

        def progress(done: int) -> None:
            for replicate in replicates:
                replicate.progress(done)

        run = TrainingContext(
            torch.device(first.machine.device),
            first.machine.autocast,
            progress,
            f"train-generator {self.name}, replicate {' + '.join(map(str, numbers))}",
            Monitor(self.monitor, self.train),
            Checkpoints(first.unfinished / "-".join(map(str, numbers)), self.checkpoint_seconds),
        )
        seeds = [derive(self.seed, "generator", self.name, number) for number in numbers]
        scorer = train_scorer(self.train, self.monitor.scorer_steps, derive(self.seed, "scorer"), run.device)
        samplers = self.family.fit(self.train, monitor=self.validation, seeds=seeds, run=run)
        if not run.frames[0]:  # a family without steps has only its final state to show
            run.show(self.family.total_steps, *samplers)
        for replicate, sampler, history, frames in zip(replicates, samplers, run.histories, run.frames, strict=True):
            sampler.save(replicate.folder)
            write_json(replicate.folder / SAMPLER, description(self.name, self.train))
            write_csv(replicate.folder / HISTORY, pd.DataFrame(history))
            write_arrays(replicate.folder / FRAMES, {str(frame.step): frame.images for frame in frames})
            write_json(replicate.folder / SAMPLE_QUALITY, self._quality(sampler, scorer))

    def _quality(self, sampler: Sampler, scorer: nn.Module) -> dict[str, list[float | None]]:
        """The figures of `SampleQuality` for one replicate; validation images are only scored."""
        train, validation, n_classes = self.train, self.validation, len(self.train.classes)
        real, varied, drawn_recognised = real_diversities(train), np.full(n_classes, np.nan), np.full(n_classes, np.nan)
        for label, images in drawn_by_class(sampler, train, SCORED_EACH, derive(self.seed, "quality")):
            varied[label] = diversity_ratio(images, real[label])
            drawn_recognised[label] = is_recognised(scorer, images, np.full(len(images), label)).mean()
        real_recognised = recognised(scorer, validation.images, validation.labels, n_classes)
        figures = (varied, drawn_recognised, real_recognised)
        return {name: as_values(values) for name, values in zip(FIGURES, figures, strict=True)}


def description(family: str, train: Split) -> dict[str, object]:
    """What a program needs to use a sampler by class name, without the parameters and data of its training."""
    return {
        "makeweight": version("makeweight"),
        "family": family,
        "classes": list(train.classes),
        "training_images": train.counts.tolist(),
        "size": train.size,
        "channels": train.channels,
    }
