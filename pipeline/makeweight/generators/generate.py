"""Class-balanced synthetic images from fitted samplers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from makeweight.core.data import Labels, Split
from makeweight.core.errors import BadInput
from makeweight.core.images import as_images
from makeweight.core.parameters import ComputeSettings, GenerateSettings
from makeweight.core.seeds import derive
from makeweight.generators.interface import sample_blocks
from makeweight.generators.previews import grid
from makeweight.runtime import fingerprints, plugin_code
from makeweight.runtime.artifacts import CARD, IMAGES, replicate_name
from makeweight.runtime.files import atomic_directory, in_use, new_array, write_text
from makeweight.runtime.replicates import Job, Replicate, copy_all_finished, hashes, run_replicates
from makeweight.runtime.splits import read_split, write_labels
from makeweight.training.loop import Sampler

QUOTA = {"uniform": ("per_class",), "balance": ("balance_to", "max_synthetic_ratio")}  # what it depends on, by strategy


def quota(counts: Labels, settings: GenerateSettings) -> Labels:
    """The number of images to draw for each class, [classes].

    `uniform`: the same number for each class that has training images. `balance`: what the class lacks to `balance_to`
    images (null: to the largest class), but at most `max_synthetic_ratio` for each real image.
    """
    if settings.strategy == "uniform":
        return np.where(counts > 0, settings.per_class, 0).astype(np.int64)
    lacking = (settings.balance_to or counts.max()) - counts
    return np.clip(lacking, 0, np.floor(settings.max_synthetic_ratio * counts)).astype(np.int64)


@dataclass(frozen=True)
class Generation:
    """The sampling of one family's generators.

    Attributes:
        family: the family's name.
        load: loads a sampler from its folder.
        samplers: the folder of each replicate's sampler.
        train: the images that they were fitted to.
        settings: how many images to draw.
        seed: the seed of the pipeline.
    """

    family: str
    load: Callable[[Path], Sampler]
    samplers: Sequence[Path]
    train: Split
    settings: GenerateSettings
    seed: int

    @property
    def quota(self) -> Labels:
        """The number of images to draw for each class, [classes]."""
        return quota(self.train.counts, self.settings)

    @property
    def labels(self) -> Labels:
        """The class of each image to draw, sorted, int64 [images]."""
        return np.repeat(np.arange(len(self.quota)), self.quota)

    def __call__(self, replicates: Sequence[Replicate]) -> None:
        """Draw the images of one replicate: the cached work of `drawing_job`."""
        (replicate,) = replicates
        self.draw(replicate.number, self.labels, replicate.folder)
        replicate.progress(1)

    def draw(self, replicate: int, labels: Labels, folder: Path) -> Split:
        """Draw images of sorted `labels` from the sampler of one replicate; write them as a split into `folder`."""
        sampler = self.load(self.samplers[replicate])
        rng = torch.Generator().manual_seed(derive(self.seed, "synthetic", replicate))
        folder.mkdir(parents=True, exist_ok=True)
        path, shape = folder / IMAGES, (len(labels), *self.train.images.shape[1:])
        new_array(path, shape, np.uint8)
        done = 0
        for block in sample_blocks(sampler, torch.from_numpy(labels), rng):
            images = as_images(block)
            if images.shape[1:] != shape[1:]:  # NumPy would broadcast grey images into RGB
                raise ValueError(f"{self.family} drew images of shape {images.shape[1:]}, not {shape[1:]}")
            # Mapped anew for each block, since pages of a map count as memory of the process until it goes.
            np.load(path, mmap_mode="r+")[done : done + len(images)] = images
            done += len(images)
        if done != len(labels):
            raise ValueError(f"{self.family} drew {done} images for {len(labels)} labels")
        write_labels(folder, labels, self.train.classes, _rows(self.family, replicate, labels))
        return read_split(folder)


@in_use()  # keeps the cached replicates until they are copied
def generate(
    generation: Generation,
    out: Path,
    preview: Path,
    *,
    compute: ComputeSettings,
    card: Callable[[Labels], str],
) -> Labels:
    """Draw a quota of images from each replicate's sampler.

    Args:
        generation: the samplers, and how many images to draw.
        out: the output folder: `replicate_<k>/` for each replicate, which a later run reuses if none of its inputs has
            changed, and a card.
        preview: the file of a picture with some images of replicate 0.
        compute: where to draw, and in how many processes.
        card: the text of the card, given the quota.

    Returns:
        the quota.

    Raises:
        BadInput: a sampler is missing.
    """
    n_images, family = generation.quota, generation.family
    for k, sampler in enumerate(generation.samplers):
        if not sampler.is_dir():
            raise BadInput(
                f"{sampler.parent} holds no generator of replicate {k}: run train-generator --family {family}"
            )
    finished = run_replicates(
        drawing_job(generation, f"generate {family}"), len(generation.samplers), compute, outputs=out
    )
    with atomic_directory(out) as folder:
        copy_all_finished(finished, [folder / replicate_name(k) for k in range(len(finished))], link=True)
        preview.parent.mkdir(parents=True, exist_ok=True)
        grid(read_split(finished[0])).save(preview)
        write_text(folder / CARD, card(n_images))
    return n_images


def drawing_job(generation: Generation, name: str) -> Job:
    """The sampling of finished generators as a job with a name."""
    settings = generation.settings
    inputs = {
        "work": "generate",
        "settings": {name: getattr(settings, name) for name in ("strategy", *QUOTA[settings.strategy])},
        "train": fingerprints.of_split(generation.train),
        "seed": generation.seed,
        "code": plugin_code.of_code(__name__, plugin_code.Plugin("families", generation.family, generation.load)),
    }
    return Job(
        name=name,
        work=generation,
        inputs=lambda k: {**inputs, "generator": hashes(generation.samplers[k]), "replicate": k},
        steps=1,
        images_per_step=int(generation.quota.sum()),
    )


def _rows(name: str, replicate: int, labels: Labels) -> dict[str, Sequence[object]]:
    """Metadata columns: each image is marked as synthetic, with the generator that drew it."""
    n = len(labels)
    return {"label": labels.tolist(), "synthetic": ["true"] * n, "family": [name] * n, "replicate": [replicate] * n}
