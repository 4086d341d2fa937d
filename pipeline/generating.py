"""Training generators, and drawing class-balanced synthetic images from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from PIL import Image

from pipeline import figures, fingerprints, plugins, spread
from pipeline.checkpoints import Checkpoints
from pipeline.core import BadInput, Family, Images, Labels, Sampler, Split
from pipeline.params import ComputeSettings, GenerateSettings, WatchSettings
from pipeline.progress import tell
from pipeline.replicates import Job, Machine, Replicate, copy_finished, machine, run_replicates, settled
from pipeline.seeds import derive
from pipeline.storage import (
    in_use,
    joined,
    read_arrays,
    replaced_folder,
    save_picture,
    write_arrays,
    write_csv,
    write_split,
    write_text,
)
from pipeline.training import SHOWN_EACH, Run, TroubleTogether, Watch, as_images

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PREVIEW_COLUMNS, PREVIEW_WIDTH = 12, 480  # images, and about so many pixels
HISTORY, FRAMES = "history.csv", "frames.npz"
SAMPLERS = "samplers"
CARD = "README.md"


@dataclass(frozen=True)
class _Fit:
    name: str
    family: Family
    train: Split
    validation: Split
    watch: WatchSettings
    seed: int
    checkpoint_seconds: float

    def __call__(self, replicates: Sequence[Replicate]) -> None:
        try:
            self._fit(replicates)
        except TroubleTogether as trouble:
            tell(f"{trouble}. These replicates are now trained one by one")
            for replicate in replicates:
                self._fit([replicate])

    def _fit(self, replicates: Sequence[Replicate]) -> None:
        first, numbers = replicates[0], [replicate.number for replicate in replicates]

        def progress(done: int) -> None:
            for replicate in replicates:
                replicate.progress(done)

        run = Run(
            torch.device(first.machine.device),
            first.machine.autocast,
            progress,
            f"train-generator {self.name}, replicate {' + '.join(map(str, numbers))}",
            Watch(self.watch, self.train),
            Checkpoints(first.unfinished / "-".join(map(str, numbers)), self.checkpoint_seconds),
        )
        seeds = [derive(self.seed, "generator", self.name, number) for number in numbers]
        samplers = self.family.fit(self.train, monitor=self.validation, seeds=seeds, run=run)
        if not run.frames[0]:  # of what has no steps to show, at least the end
            run.show(self.family.total_steps, *samplers)
        for replicate, sampler, history, frames in zip(replicates, samplers, run.histories, run.frames, strict=True):
            sampler.save(replicate.folder)
            write_csv(replicate.folder / HISTORY, pd.DataFrame(history))
            write_arrays(replicate.folder / FRAMES, {str(frame.step): frame.images for frame in frames})


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
    watch: WatchSettings,
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
        "watch": watch.model_dump(),
        "train": fingerprints.of_split(train),
        "validation": fingerprints.of_split(validation),
        "seed": seed,
        "code": plugins.of_code(__name__, plugins.Plugin("families", name, family)),
    }
    job = Job(
        name=f"train-generator {name}",
        work=_Fit(name, family, train, validation, watch, seed, compute.checkpoint_seconds),
        inputs=lambda replicate: {**inputs, "replicate": replicate},
        steps=family.total_steps,
        images_per_step=family.images_per_step,
        together=getattr(family, "fits_together", False),
    )
    finished = run_replicates(job, replicates, compute, outputs=out / SAMPLERS)
    if not spread.leads():
        return
    with replaced_folder(out) as folder:
        for k, result in enumerate(finished):
            copy_finished(result, folder / SAMPLERS / f"replicate_{k}")
        history = joined(result / HISTORY for result in finished)
        write_csv(folder / HISTORY, history)
        save_picture(figures.curves(history), folder / "history.png")
        save_picture(strip(read_arrays(finished[0] / FRAMES), name), folder / "learning.png")
        write_text(folder / CARD, card(machine(compute)))


def strip(frames: Mapping[str, Images], name: str) -> Figure:
    """What was drawn from one fixed noise, moment by moment; a row a class, the same noise at the same place."""
    figure = figures.canvas(max(4.0, 1.5 * len(frames)), 3.2)
    figure.suptitle(f"what {name} draws from one noise as it learns, replicate 0")
    panels = figure.subplots(1, len(frames), squeeze=False)[0]
    for axes, (step, images) in zip(panels, frames.items(), strict=True):
        framed = np.pad(images, ((0, 0), (0, 1), (0, 1), (0, 0)), constant_values=255)
        rows = framed.reshape(-1, SHOWN_EACH, *framed.shape[1:])
        tiled = rows.transpose(0, 2, 1, 3, 4).reshape(len(rows) * framed.shape[1], -1, framed.shape[3])
        axes.imshow(tiled.squeeze(), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        axes.set_title(f"step {step}", fontsize="small")
        axes.axis("off")
    return figure


def quota(counts: Labels, settings: GenerateSettings) -> Labels:
    """How many images to draw for each class, shape [classes].

    For `even` the same number for all. For `level` what the class lacks to `level_to` images (null: to the largest
    class), but at most `max_per_real` for each real one.
    """
    if settings.fill == "even":
        return np.where(counts > 0, settings.per_class, 0).astype(np.int64)
    lacking = (settings.level_to or counts.max()) - counts
    return np.clip(lacking, 0, np.floor(settings.max_per_real * counts)).astype(np.int64)


def generate(
    name: str,
    load: Callable[[Path], Sampler],
    samplers: Path,
    train: Split,
    out: Path,
    preview: Path,
    *,
    settings: GenerateSettings,
    replicates: int,
    seed: int,
    compute: ComputeSettings,
    card: Callable[[Labels], str],
) -> Labels:
    """Draw a quota of images from each replicate's sampler; write `out/replicate_<k>/`, and a picture `preview`.

    Args:
        name: of the family.
        load: reads one of its samplers.
        samplers: where they are.
        train: the images that they were fitted to.
        out: gets a folder for each replicate, and a card.
        preview: gets a picture of some images of replicate 0.
        settings: how many to draw.
        replicates: how many samplers there are.
        seed: of the whole pipeline.
        compute: with how many threads.
        card: what is to be told of such a quota of images.

    Returns:
        the quota.
    """
    wanted = quota(train.counts, settings)
    labels = np.repeat(np.arange(len(wanted)), wanted)
    if lacking := [k for k in range(replicates) if not (samplers / f"replicate_{k}").is_dir()]:
        raise BadInput(f"{samplers} holds no generator of replicate {lacking[0]}: run train-generator --family {name}")
    with replaced_folder(out) as folder, settled(compute.threads_per_replicate):
        for k in range(replicates):
            images = _draw(load(samplers / f"replicate_{k}"), labels, derive(seed, "synthetic", k))
            drawn = Split(images, labels, train.classes)
            write_split(folder / f"replicate_{k}", drawn, _rows(name, k, labels))
            if k == 0:
                preview.parent.mkdir(parents=True, exist_ok=True)
                grid(drawn).save(preview)
        write_text(folder / CARD, card(wanted))
    return wanted


def _rows(name: str, replicate: int, labels: Labels) -> dict[str, Sequence[object]]:
    """Columns that mark each image as synthetic, and say which generator drew it."""
    n = len(labels)
    return {"label": labels.tolist(), "synthetic": ["true"] * n, "family": [name] * n, "replicate": [replicate] * n}


def _draw(sampler: Sampler, labels: Labels, seed: int) -> Images:
    return as_images(sampler.sample(torch.from_numpy(labels), rng=torch.Generator().manual_seed(seed)))


def grid(drawn: Split) -> Image.Image:
    """The first images of each class, a row a class; white where a class has too few."""
    margin, side = 1, drawn.size
    cell = side + margin
    height, width = len(drawn.classes) * cell + margin, PREVIEW_COLUMNS * cell + margin
    canvas = np.full((height, width, drawn.channels), 255, dtype=np.uint8)
    for row in range(len(drawn.classes)):
        for column, index in enumerate(np.flatnonzero(drawn.labels == row)[:PREVIEW_COLUMNS]):
            top, left = row * cell + margin, column * cell + margin
            canvas[top : top + side, left : left + side] = drawn.images[index]
    picture = Image.fromarray(canvas.squeeze(2) if drawn.channels == 1 else canvas)
    zoom = max(1, round(PREVIEW_WIDTH / width))
    return picture.resize((width * zoom, height * zoom), Image.Resampling.NEAREST)
