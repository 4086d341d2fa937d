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
    family: Annotated[str, typer.Option(help="A family, or a union such as cgan+warp.")],
    out: Annotated[Path, typer.Option(help="A new or empty folder.")],
    replicate: Annotated[int, typer.Option(min=0, help="Replicate whose synthetic images are exported.")] = 0,
    only: Annotated[
        Literal["synthetic"] | None, typer.Option(help="Export synthetic images only, without balancing.")
    ] = None,
    params: ParamsFile = Path("params.yaml"),
    train: Train = Path("data/train"),
    synthetic: Annotated[Path, typer.Option(help="Synthetic images, with a folder for each family.")] = Path(
        "data/synthetic"
    ),
) -> str:
    """Export the training set as PNG files. Real and synthetic images, balanced as the arms of the study are."""
    from makeweight.core.parameters import families_of, read_parameters
    from makeweight.generators.filters import read_scores
    from makeweight.integrations.export import TrainingSet
    from makeweight.integrations.export import export as export_images
    from makeweight.runtime.artifacts import replicate_name
    from makeweight.runtime.splits import read_split

    parameters = read_parameters(params)
    folders = {name: synthetic / name / replicate_name(replicate) for name in families_of(family)}
    drawn = {name: read_split(folder) for name, folder in folders.items()}
    scores = {name: read_scores(folder) for name, folder in folders.items()}
    images = TrainingSet(read_split(train), drawn, replicate, parameters.generate, parameters.seed, scores)
    indices = images.only_synthetic() if only else images.balanced()
    export_images(images, indices, format_, out)
    return f"wrote {len(indices)} images to {out}; {out / 'README.md'} says which images are valid for testing"


main = app(export)
