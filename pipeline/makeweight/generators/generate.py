"""Class-balanced synthetic images from fitted samplers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from makeweight.core.data import Images, Labels, Split
from makeweight.core.errors import BadInput
from makeweight.core.images import as_images
from makeweight.core.parameters import ComputeSettings, GenerateSettings
from makeweight.core.seeds import derive
from makeweight.generators.previews import grid
from makeweight.runtime.artifacts import CARD, replicate_name
from makeweight.runtime.files import atomic_directory, write_text
from makeweight.runtime.machine import fixed_threads
from makeweight.runtime.splits import write_split
from makeweight.training.loop import Sampler


def quota(counts: Labels, settings: GenerateSettings) -> Labels:
    """How many images to draw for each class, shape [classes].

    For `uniform` the same number for all. For `balance` what the class lacks to `balance_to` images (null: to the largest
    class), but at most `max_synthetic_ratio` for each real one.
    """
    if settings.strategy == "uniform":
        return np.where(counts > 0, settings.per_class, 0).astype(np.int64)
    lacking = (settings.balance_to or counts.max()) - counts
    return np.clip(lacking, 0, np.floor(settings.max_synthetic_ratio * counts)).astype(np.int64)


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
    if lacking := [k for k in range(replicates) if not (samplers / replicate_name(k)).is_dir()]:
        raise BadInput(f"{samplers} holds no generator of replicate {lacking[0]}: run train-generator --family {name}")
    with atomic_directory(out) as folder, fixed_threads(compute.threads_per_replicate):
        for k in range(replicates):
            images = _draw(load(samplers / replicate_name(k)), labels, derive(seed, "synthetic", k))
            drawn = Split(images, labels, train.classes)
            write_split(folder / replicate_name(k), drawn, _rows(name, k, labels))
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
