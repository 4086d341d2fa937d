"""Draw images from a saved sampler into one picture, or into a folder of PNG files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from makeweight.core.data import Images
from makeweight.core.errors import BadInput
from makeweight.core.text import printable
from makeweight.generators.pngs import as_picture, file_name, marks, tiled
from makeweight.generators.saved import SavedSampler
from makeweight.runtime.files import new_directory

COLUMNS = 16  # of the picture


def write_samples(saved: SavedSampler, labels: Sequence[str], count: int, seed: int, out: Path) -> None:
    """Draw `count` images of each of `labels`, and write them to `out`.

    Args:
        saved: the generator.
        labels: class names.
        count: images of each.
        seed: of the draws.
        out: a new file, whose name ends in .png, for one picture with all images; else a new folder, for a file each.

    Raises:
        BadInput: `out` exists, or the generator does not know a label; nothing has been written then.
    """
    if not labels:
        raise BadInput("there are no labels: name at least one class")
    facts = {"family": saved.family, "seed": seed}
    if out.suffix.lower() != ".png":
        with new_directory(out) as folder:
            for name, images in zip(labels, _drawn(saved, labels, count, seed), strict=True):
                for number, image in enumerate(images):
                    path = folder / f"{file_name(name)}_{number:0{len(str(count - 1))}}.png"
                    as_picture(image).save(path, pnginfo=marks({**facts, "class": name}))
        return
    if os.path.lexists(out):
        raise BadInput(f"{printable(out)} is there already: name another file")
    picture = tiled(_drawn(saved, labels, count, seed), min(count, COLUMNS))
    out.parent.mkdir(parents=True, exist_ok=True)
    picture.save(out, pnginfo=marks(facts))


def _drawn(saved: SavedSampler, labels: Sequence[str], count: int, seed: int) -> list[Images]:
    images = saved.sample(labels, count, seed=seed)
    return [images[start : start + count] for start in range(0, len(images), count)]
