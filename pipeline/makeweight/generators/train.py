"""All replicates of a family: runs the cached work of `fit.py` for each, and writes the family's folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from makeweight.core.parameters import ComputeSettings
from makeweight.core.sample_quality import SampleQuality
from makeweight.generators.fit import Fit
from makeweight.generators.previews import strip
from makeweight.runtime import distributed, fingerprints, plots, plugin_code
from makeweight.runtime.artifacts import CARD, FRAMES, HISTORY, SAMPLE_QUALITY, SAMPLERS, replicate_name
from makeweight.runtime.files import (
    atomic_directory,
    in_use,
    joined,
    read_arrays,
    read_json,
    save_picture,
    write_csv,
    write_json,
    write_text,
)
from makeweight.runtime.machine import Machine, machine
from makeweight.runtime.pictures import caption
from makeweight.runtime.progress import log_line
from makeweight.runtime.replicates import Job, copy_all_finished, run_replicates
from makeweight.training.monitors import Monitor

ALARMS = {"alarm_diversity_ratio", "alarm_recognised_ratio"}  # of the monitor: they only print, and retrain nothing


@in_use()  # keeps the cached replicates until they are copied
def train_generators(
    fit: Fit, out: Path, *, replicates: int, compute: ComputeSettings, card: Callable[[Machine, Sequence[str]], str]
) -> None:
    """Fit a family, once for each replicate.

    Args:
        fit: the family, the images and the seed.
        out: the output folder: `samplers/` (the complete folder of each finished replicate, which a later run reuses if
            none of its inputs has changed), `history.csv`, `sample_quality.json`, a card, and two figures:
            `history.png`, and `learning.png` with images that replicate 0 drew from one fixed noise during training.
        replicates: number of replicates.
        compute: where to compute.
        card: the text of the card, given the machine of the training and warnings about the generated images.

    Raises:
        BadInput: a training failed and could not recover, or settings do not fit the images.
    """
    job = generator_job(fit, f"train-generator {fit.name}")
    finished = run_replicates(job, replicates, compute, outputs=out / SAMPLERS)
    if not distributed.is_main_process():
        return
    with atomic_directory(out) as folder:
        copy_all_finished(finished, [folder / SAMPLERS / replicate_name(k) for k in range(replicates)], link=False)
        history = joined(result / HISTORY for result in finished)
        write_csv(folder / HISTORY, history)
        save_picture(plots.curves(history), folder / "history.png")
        save_picture(strip(read_arrays(finished[0] / FRAMES), fit.name, _shown(fit)), folder / "learning.png")
        quality = _quality(fit, finished)
        write_json(folder / SAMPLE_QUALITY, quality)
        warnings = SampleQuality.of(**quality).warnings(fit.monitor)
        write_text(folder / CARD, card(machine(compute), warnings))
    for warning in warnings:
        log_line(f"train-generator {warning}")


def generator_job(fit: Fit, name: str) -> Job:
    """The fit of a family as a job with a name."""
    inputs = {
        "work": "train-generator",
        "family": fit.name,
        "settings": fit.family.model_dump(),
        "monitor": {key: value for key, value in fit.monitor.model_dump().items() if key not in ALARMS},
        "train": fingerprints.of_split(fit.train),
        "validation": fingerprints.of_split(fit.validation),
        "seed": fit.seed,
        "code": plugin_code.of_code(Fit.__module__, plugin_code.Plugin("families", fit.name, fit.family)),
    }
    return Job(
        name=name,
        work=fit,
        inputs=lambda replicate: {**inputs, "replicate": replicate},
        steps=fit.family.total_steps,
        images_per_step=fit.family.images_per_step,
        batched=getattr(fit.family, "supports_batched_seeds", False),
    )


def _shown(fit: Fit) -> list[str]:
    """The captions of the classes in a frame."""
    labels = np.unique(Monitor(fit.monitor, fit.train).labels)
    return [caption(fit.train.classes[label], label) for label in labels]


def _quality(fit: Fit, finished: Sequence[Path]) -> dict[str, Any]:
    """The arguments of `SampleQuality.of`."""
    return {
        "family": fit.name,
        "classes": fit.train.classes,
        "replicates": [read_json(folder / SAMPLE_QUALITY) for folder in finished],
    }
