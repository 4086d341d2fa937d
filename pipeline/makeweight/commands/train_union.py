"""`makeweight train-union`: train and score the classifier of one arm with images of several families."""

from pathlib import Path
from typing import Annotated

import typer

from makeweight.commands.command import Choices, ParamsFile, Test, Train, Transform, Validation, app, command
from makeweight.commands.train_classifier import Inputs, train_classifier


@command
def train_union(
    union: Annotated[str, typer.Option(help="A name from `unions` in the parameters.")],
    transform: Transform,
    params: ParamsFile = Path("params.yaml"),
    train: Train = Path("data/train"),
    validation: Validation = Path("data/validation"),
    test: Test = Path("data/test"),
    synthetic: Annotated[Path, typer.Option(help="Synthetic images, with a folder for each family.")] = Path(
        "data/synthetic"
    ),
    choices: Choices = Path("results/choices.json"),
    out: Annotated[
        Path | None, typer.Option(help="Output folder for scores and predictions.  [default: runs/UNION-TRANSFORM]")
    ] = None,
) -> str:
    """Train the classifier on images of several families. Equal parts of their synthetic images, and real images."""
    from makeweight.core.errors import BadInput
    from makeweight.core.parameters import families_of, read_parameters
    from makeweight.core.study import is_union
    from makeweight.runtime.leftovers import SYNTHETIC, remove_others

    if not is_union(union):
        raise BadInput(f"{union!r} is not a union of families, such as cgan+cvae: run train-augmented for one family")
    # This stage depends on the whole folder, which `report` sweeps later.
    remove_others(synthetic, read_parameters(params).generators, SYNTHETIC)
    folders = tuple(synthetic / family for family in families_of(union))
    inputs = Inputs(params, train, validation, test, choices, folders)
    out = out or Path("runs", f"{union}-{transform}")
    return train_classifier("train-union", union, transform, inputs, out)


main = app(train_union)
