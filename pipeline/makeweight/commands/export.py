"""`makeweight export`: write the balanced training set as PNG files for other training code."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from makeweight.commands.command import ParamsFile, Train, app, command


@command
def export(
    format_: Annotated[
        Literal["imagefolder", "huggingface"],
        typer.Option("--format", help="For torchvision's ImageFolder, or for datasets.load_dataset."),
    ],
    family: Annotated[str, typer.Option(help="A key of `families` in the parameters.")],
    out: Annotated[Path, typer.Option(help="A new or empty folder.")],
    replicate: Annotated[int, typer.Option(min=0, help="Whose generator drew the synthetic images.")] = 0,
    only: Annotated[
        Literal["synthetic"] | None, typer.Option(help="Leave out the real images, and do not balance.")
    ] = None,
    params: ParamsFile = Path("params.yaml"),
    train: Train = Path("data/train"),
    synthetic: Annotated[
        Path | None, typer.Option(help="Synthetic images of the family.  [default: data/synthetic/FAMILY]")
    ] = None,
) -> str:
    """Export real and synthetic training images as PNG files."""
    from makeweight.core.parameters import read_parameters
    from makeweight.integrations.export import TrainingSet
    from makeweight.integrations.export import export as export_images
    from makeweight.runtime.artifacts import replicate_name
    from makeweight.runtime.splits import read_split

    parameters = read_parameters(params)
    drawn = read_split((synthetic or Path("data/synthetic", family)) / replicate_name(replicate))
    images = TrainingSet(family, replicate, read_split(train), drawn, parameters.generate, parameters.seed)
    indices = images.only_synthetic() if only else images.balanced()
    export_images(images, indices, format_, out)
    return f"wrote {len(indices)} images to {out}; {out / 'README.md'} says what may be tested with"


main = app(export)
