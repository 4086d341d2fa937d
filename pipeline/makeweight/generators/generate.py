"""Class-balanced synthetic images from fitted samplers."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch

from makeweight.core.data import Images, Labels, Split
from makeweight.core.errors import BadInput
from makeweight.core.images import as_images
from makeweight.core.parameters import ComputeSettings, GenerateSettings, Parameters
from makeweight.core.plugins import find, keeps_training_images
from makeweight.core.seeds import derive
from makeweight.core.text import counted, shown
from makeweight.generators.filters import (
    FILTERS,
    Filter,
    FilterCounts,
    NoImagesLeft,
    TrainingImages,
    require_neighbours,
)
from makeweight.generators.interface import BlockSampler, sample_blocks
from makeweight.generators.previews import grid
from makeweight.runtime import fingerprints, plugin_code
from makeweight.runtime.artifacts import CARD, FILTERED, IMAGES, replicate_name
from makeweight.runtime.files import atomic_directory, in_use, new_array, read_json, write_json, write_text
from makeweight.runtime.progress import log_line
from makeweight.runtime.replicates import Job, Replicate, copy_all_finished, hashes, run_replicates
from makeweight.runtime.splits import copy_rows, read_split, write_labels
from makeweight.training.loop import Sampler

CPU = torch.device("cpu")
QUOTA = {"uniform": ("per_class",), "balance": ("balance_to", "max_synthetic_ratio")}  # what it depends on, by strategy
DECIMALS = 6  # of the scores of images


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
        settings: how many images to draw, and which filters decide which of them are kept.
        seed: the seed of the pipeline.
        scorer_steps: optimizer steps of the scorer that filters use.
    """

    family: str
    load: Callable[[Path], Sampler]
    samplers: Sequence[Path]
    train: Split
    settings: GenerateSettings
    seed: int
    scorer_steps: int

    @classmethod
    def of(cls, family: str, samplers: Sequence[Path], train: Split, parameters: Parameters) -> Self:
        """The sampling of a registered family by a study's settings."""
        load = find("families", family).load
        return cls(family, load, samplers, train, parameters.generate, parameters.seed, parameters.monitor.scorer_steps)

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
        device = torch.device(replicate.machine.device)
        self.draw(replicate.number, self.labels, replicate.folder, self.filters(device), device)
        replicate.progress(1)

    def filters(self, device: torch.device) -> dict[str, Filter]:
        """The filters of the settings; the scorer of the training images is trained on `device`.

        Raises:
            BadInput: a class has too few training images for them.
        """
        require_neighbours(self.train, self.settings.filters, self.settings.filtering)
        train = TrainingImages(self.train, self.scorer_steps, derive(self.seed, "scorer"), device)
        return {name: FILTERS[name](train, self.settings.filtering) for name in self.settings.filters}

    def draw(
        self, replicate: int, labels: Labels, folder: Path, filters: Mapping[str, Filter], device: torch.device = CPU
    ) -> Split:
        """Draw images of sorted `labels` from the sampler of one replicate; write them as a split into `folder`.

        What filters drop is drawn again, as long as the number of drawn images allows it.
        """
        sampler = self.load(self.samplers[replicate])
        if isinstance(sampler, BlockSampler):
            sampler.to(device)
        rng = torch.Generator().manual_seed(derive(self.seed, "synthetic", replicate))
        folder.mkdir(parents=True, exist_ok=True)
        wanted = np.bincount(labels, minlength=len(self.train.classes))
        kept = _Kept(folder / IMAGES, wanted, self.train.images.shape[1:], filters)
        while len(missing := kept.missing(self.settings.filtering.max_drawn)):
            self._draw_once(sampler, missing, rng, kept)
        kept.finish()
        labels = np.repeat(np.arange(len(wanted)), kept.counts.kept)
        write_labels(folder, labels, self.train.classes, {**_rows(self.family, replicate, labels), **kept.columns()})
        if filters:
            write_json(folder / FILTERED, kept.counts.rows(self.train.classes))
        return read_split(folder)

    def _draw_once(self, sampler: Sampler, labels: Labels, rng: torch.Generator, kept: _Kept) -> None:
        done, shape = 0, self.train.images.shape[1:]
        for block in sample_blocks(sampler, torch.from_numpy(labels), rng):
            images = as_images(block)
            if images.shape[1:] != shape:  # NumPy would broadcast grey images into RGB
                raise ValueError(f"{self.family} drew images of shape {images.shape[1:]}, not {shape}")
            done += len(images)
            if done <= len(labels):
                kept.add(images, labels[done - len(images) : done])
        if done != len(labels):
            raise ValueError(f"{self.family} drew {done} images for {len(labels)} labels")


class _Kept:
    """The images of one replicate that filters have kept so far, in a file with a row for each image wanted."""

    def __init__(self, path: Path, wanted: Labels, shape: tuple[int, ...], filters: Mapping[str, Filter]) -> None:
        none = np.zeros_like(wanted)
        self.path, self.filters = path, filters
        self.counts = FilterCounts(wanted, none.copy(), none.copy(), {name: none.copy() for name in filters})
        self.first = wanted.cumsum() - wanted  # index of the first image of each class
        self.scores = {name: np.full(wanted.sum(), np.nan) for name in filters}
        new_array(path, (int(wanted.sum()), *shape), np.uint8)

    def missing(self, max_drawn: float) -> Labels:
        """The sorted labels of the images that are still wanted and may be drawn."""
        counts = self.counts
        allowed = np.floor(max_drawn * counts.quota).astype(np.int64) - counts.drawn
        return np.repeat(np.arange(len(allowed)), np.minimum(counts.quota - counts.kept, allowed))

    def add(self, images: Images, labels: Labels) -> None:
        """Keep those of the drawn images that no filter drops."""
        for label in np.unique(labels).tolist():
            self._add_of_class(images[labels == label], label)

    def _add_of_class(self, images: Images, label: int) -> None:
        kept = np.ones(len(images), dtype=bool)
        scores = {name: own.score(images, label) for name, own in self.filters.items()}
        for name, values in scores.items():
            passes = ~(values < self.filters[name].minimum)
            self.counts.dropped[name][label] += (kept & ~passes).sum()
            kept &= passes
        start = self.first[label] + self.counts.kept[label]
        indices = slice(start, start + kept.sum())
        # Mapped anew each time, since pages of a map count as memory of the process until it goes.
        np.load(self.path, mmap_mode="r+")[indices] = images[kept]
        for name, values in scores.items():
            self.scores[name][indices] = values[kept]
        self.counts.drawn[label] += len(images)
        self.counts.kept[label] += kept.sum()

    @property
    def indices(self) -> Labels:
        """The indices of the rows that hold an image."""
        ends = zip(self.first, self.first + self.counts.kept, strict=True)
        return np.concatenate([np.arange(0), *(np.arange(*end) for end in ends)])

    def finish(self) -> None:
        """Remove empty rows from the file."""
        if (self.counts.kept < self.counts.quota).any():
            with_gaps = self.path.with_suffix(".with_gaps")
            os.replace(self.path, with_gaps)
            copy_rows(with_gaps, self.indices, self.path, channels=np.load(with_gaps, mmap_mode="r").shape[-1])
            with_gaps.unlink()

    def columns(self) -> dict[str, list[float | None]]:
        """The scores of the images, columns of their metadata; None: undefined."""
        return {
            name: [None if np.isnan(value) else value for value in scores[self.indices].round(DECIMALS).tolist()]
            for name, scores in self.scores.items()
        }


@in_use()  # keeps the cached replicates until they are copied
def generate(
    generation: Generation,
    out: Path,
    preview: Path,
    *,
    compute: ComputeSettings,
    card: Callable[[Labels, Sequence[FilterCounts]], str],
) -> Labels:
    """Draw a quota of images from each replicate's sampler.

    Args:
        generation: the samplers, and how many images to draw.
        out: the output folder: `replicate_<k>/` for each replicate, which a later run reuses if none of its inputs has
            changed, and a card.
        preview: the file of a picture with some images of replicate 0.
        compute: where to draw, and in how many processes.
        card: the text of the card, given the quota and, where images were filtered, the counts of each replicate.

    Returns:
        the quota.

    Raises:
        BadInput: a sampler is missing, or there are too few training or drawn images for the filters.
    """
    n_images, family = generation.quota, generation.family
    for k, sampler in enumerate(generation.samplers):
        if not sampler.is_dir():
            raise BadInput(
                f"{sampler.parent} holds no generator of replicate {k}: run train-generator --family {family}"
            )
    require_neighbours(generation.train, generation.settings.filters, generation.settings.filtering)
    finished = run_replicates(
        drawing_job(generation, f"generate {family}"), len(generation.samplers), compute, outputs=out
    )
    counts = filter_counts(finished)
    require_images(generation, counts)
    warn_of_shortages(generation, counts)
    with atomic_directory(out) as folder:
        copy_all_finished(finished, [folder / replicate_name(k) for k in range(len(finished))], link=True)
        preview.parent.mkdir(parents=True, exist_ok=True)
        grid(read_split(finished[0])).save(preview)
        write_text(folder / CARD, card(n_images, counts))
    return n_images


def filter_counts(finished: Sequence[Path]) -> list[FilterCounts]:
    """The counts of each replicate, from the folders of its images; empty where these were not filtered."""
    return [FilterCounts.of(read_json(path)) for folder in finished if (path := folder / FILTERED).exists()]


def require_images(generation: Generation, counts: Sequence[FilterCounts]) -> None:
    """Check that the filters have left images of each class in each replicate.

    After all drawing, not during it: so the images of other generators are drawn, and none are drawn again.

    Raises:
        NoImagesLeft: they have not.
    """
    for replicate, own in enumerate(counts):
        for label in np.flatnonzero((own.quota > 0) & (own.kept == 0)):
            dropped = [f"{name} {numbers[label]:,}" for name, numbers in own.dropped.items() if numbers[label]]
            raise NoImagesLeft(
                f"{generation.family}, replicate {replicate}: generate.filters leaves class "
                f"{shown(generation.train.classes[label])!r} without images: of {own.drawn[label]:,} that were drawn, "
                f"{' and '.join(dropped)} were dropped; remove a filter, or train a better generator"
                f"{_near_by_construction(generation.family, generation.settings)}"
            )


def warn_of_shortages(generation: Generation, counts: Sequence[FilterCounts]) -> None:
    """Log a line for each class of which some replicate has fewer images than wanted."""
    near, few = _near_by_construction(generation.family, generation.settings), np.array([c.kept for c in counts])
    for label in np.flatnonzero((few < [c.quota for c in counts]).any(0)) if counts else ():
        worst = counts[int(few[:, label].argmin())]
        log_line(
            f"warning: {generation.family}: filters left {counted(int(worst.kept[label]), 'image')} of class "
            f"{shown(generation.train.classes[label])!r}, fewer than the {worst.quota[label]:,} wanted, of "
            f"{worst.drawn[label]:,} that were drawn (generate.filtering.max_drawn){near}"
        )


def _near_by_construction(family: str, settings: GenerateSettings) -> str:
    if "novelty" not in settings.filters or not keeps_training_images(family):
        return ""
    return f"; images of {family} are near to training images by construction, so that novelty drops many of them"


def drawing_job(generation: Generation, name: str) -> Job:
    """The sampling of finished generators as a job with a name."""
    settings = generation.settings
    inputs = {
        "work": "generate",
        "settings": {name: getattr(settings, name) for name in ("strategy", *QUOTA[settings.strategy])},
        "filters": _filter_inputs(generation),
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


def _filter_inputs(generation: Generation) -> dict[str, object] | None:
    """All that the filters depend on besides the training images and the seed."""
    settings = generation.settings
    if not settings.filters:
        return None
    limits = settings.filtering.model_dump()
    return {"filters": settings.filters, **limits, "scorer_steps": generation.scorer_steps}


def _rows(name: str, replicate: int, labels: Labels) -> dict[str, Sequence[object]]:
    """Metadata columns: each image is marked as synthetic, with the generator that drew it."""
    n = len(labels)
    return {"label": labels.tolist(), "synthetic": ["true"] * n, "family": [name] * n, "replicate": [replicate] * n}
