"""`makeweight train-augmented`: train and score the classifier of one generator arm, once for each replicate."""

from pathlib import Path
from typing import Annotated

import typer

from makeweight.commands.command import Choices, ParamsFile, Test, Train, Transform, Validation, app, command
from makeweight.commands.train_classifier import Inputs, train_classifier


@command
def train_augmented(
    family: Annotated[str, typer.Option(help="A key of `families` in the parameters.")],
    transform: Transform,
    params: ParamsFile = Path("params.yaml"),
    train: Train = Path("data/train"),
    validation: Validation = Path("data/validation"),
    test: Test = Path("data/test"),
    synthetic: Annotated[
        Path | None, typer.Option(help="Synthetic images of the family.  [default: data/synthetic/FAMILY]")
    ] = None,
    choices: Choices = Path("results/choices.json"),
    out: Annotated[
        Path | None, typer.Option(help="Output folder for scores and predictions.  [default: runs/FAMILY-TRANSFORM]")
    ] = None,
) -> str:
    """Train the classifier on real and synthetic images."""
    from makeweight.core.errors import BadInput
    from makeweight.core.study import is_control

    if is_control(family):
        raise BadInput(f"{family!r} is a control, not a family: run train-baseline for it")
    if "+" in family:
        raise BadInput(f"{family!r} is a union, not a family: run train-union for it")
    folders = (synthetic or Path("data/synthetic", family),)
    inputs = Inputs(params, train, validation, test, choices, folders)
    out = out or Path("runs", f"{family}-{transform}")
    return train_classifier("train-augmented", family, transform, inputs, out)


main = app(train_augmented)
