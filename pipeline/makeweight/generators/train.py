"""Training generators, and drawing class-balanced synthetic images from them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from makeweight.core.data import Split
from makeweight.core.parameters import ComputeSettings, MonitorSettings
from makeweight.generators.fit import Fit
from makeweight.generators.interface import Family
from makeweight.generators.previews import strip
from makeweight.runtime import distributed, fingerprints, plots, plugin_code
from makeweight.runtime.artifacts import CARD, FRAMES, HISTORY, SAMPLERS, replicate_name
from makeweight.runtime.files import atomic_directory, in_use, joined, read_arrays, save_picture, write_csv, write_text
from makeweight.runtime.machine import Machine, machine
from makeweight.runtime.replicates import Job, copy_finished, run_replicates


@in_use()  # its replicates, until they are copied
def train_generators(
    name: str,
    family: Family,
    train: Split,
    validation: Split,
    out: Path,
    *,
    replicates: int,
    seed: int,
    watch: MonitorSettings,
    compute: ComputeSettings,
    card: Callable[[Machine], str],
) -> None:
    """Fit the family `name`, once for each replicate.

    Args:
        name: what it is called by.
        family: with its settings.
        train: what it is fitted to.
        validation: only logged.
        out: gets `samplers/` (each finished replicate as a whole, which a later run takes up again if nothing that it
            depends on has changed), `history.csv`, a card, and two pictures: `history.png`, and `learning.png` of what
            replicate 0 drew from one fixed noise as it learned.
        replicates: how many.
        seed: of the whole pipeline.
        watch: what a training that goes wrong looks like, and what to do about it.
        compute: where to compute.
        card: what is to be told of generators that were fitted on such a machine.

    Raises:
        BadInput: a training went wrong and could not be saved, or settings do not fit the images.
    """
    inputs = {
        "work": "train-generator",
        "family": name,
        "settings": family.model_dump(),
        "monitor": watch.model_dump(),
        "train": fingerprints.of_split(train),
        "validation": fingerprints.of_split(validation),
        "seed": seed,
        "code": plugin_code.of_code(Fit.__module__, plugin_code.Plugin("families", name, family)),
    }
    job = Job(
        name=f"train-generator {name}",
        work=Fit(name, family, train, validation, watch, seed, compute.checkpoint_seconds),
        inputs=lambda replicate: {**inputs, "replicate": replicate},
        steps=family.total_steps,
        images_per_step=family.images_per_step,
        batched=getattr(family, "fits_together", False),
    )
    finished = run_replicates(job, replicates, compute, outputs=out / SAMPLERS)
    if not distributed.is_main_process():
        return
    with atomic_directory(out) as folder:
        for k, result in enumerate(finished):
            copy_finished(result, folder / SAMPLERS / replicate_name(k))
        history = joined(result / HISTORY for result in finished)
        write_csv(folder / HISTORY, history)
        save_picture(plots.curves(history), folder / "history.png")
        save_picture(strip(read_arrays(finished[0] / FRAMES), name), folder / "learning.png")
        write_text(folder / CARD, card(machine(compute)))
