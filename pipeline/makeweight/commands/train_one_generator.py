"""`makeweight train-one-generator`: a generator arm with one generator for all replicates.

Only the classifier then varies between replicates: the reduction of the variance is the generator's share of it.
"""

from pathlib import Path
from typing import Annotated

import typer

from makeweight.commands.command import Choices, ParamsFile, Test, Train, Transform, Validation, app, command
from makeweight.commands.train_classifier import Inputs, train_classifier


@command
def train_one_generator(
    family: Annotated[str, typer.Option(help="A name from `one_generator` in the parameters.")],
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
        Path | None,
        typer.Option(help="Output folder for scores and predictions.  [default: runs/one_generator/FAMILY-TRANSFORM]"),
    ] = None,
) -> str:
    """Train the classifier on images of one generator. That of replicate 0, in all replicates of the classifier."""
    from makeweight.core.errors import BadInput
    from makeweight.core.study import is_control
    from makeweight.runtime.artifacts import ONE_GENERATOR

    if is_control(family):
        raise BadInput(f"{family!r} is a control, which has no generator: name a family")
    folders = (synthetic or Path("data/synthetic", family),)
    inputs = Inputs(params, train, validation, test, choices, folders, one_generator=True)
    out = out or Path("runs", ONE_GENERATOR, f"{family}-{transform}")
    return train_classifier("train-one-generator", family, transform, inputs, out)


main = app(train_one_generator)
