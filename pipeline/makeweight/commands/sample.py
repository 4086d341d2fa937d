"""`makeweight sample`: draw images from a generator in a local folder."""

from pathlib import Path
from typing import Annotated

import typer

from makeweight.commands.command import app, command


@command
def sample(
    folder: Annotated[Path, typer.Argument(help="The generators of a family, such as models/cgan.")],
    out: Annotated[
        Path, typer.Option(help="A picture if it ends in .png, otherwise a folder with one file per image.")
    ],
    labels: Annotated[
        str | None, typer.Option(help="Class names, separated by commas.  [default: all with training images]")
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="Images of each class.")] = 16,
    replicate: Annotated[int, typer.Option(min=0, help="Replicate whose generator is used.")] = 0,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same images.")] = 0,
) -> str:
    """Draw synthetic images from a generator. Needs neither parameters nor training data."""
    import csv

    from makeweight.generators.sample import write_samples
    from makeweight.generators.saved import load_sampler

    saved = load_sampler(folder, replicate)
    if labels is None:
        names = [name for name, images in zip(saved.classes, saved.training_images, strict=True) if images]
    else:
        named = next(csv.reader([labels], skipinitialspace=True), [])  # so that quotes protect a comma
        names = list(dict.fromkeys(named))  # files of a class that is named twice would replace each other
    write_samples(saved, names, count, seed, out)
    return f"wrote {len(names)} × {count} synthetic images of {saved.family} to {out}"


main = app(sample)
