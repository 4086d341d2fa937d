"""`makeweight train-baseline`: train and score the classifier of one control arm, once for each replicate."""

from pathlib import Path
from typing import Annotated

import typer

from makeweight.commands.command import Choices, ParamsFile, Test, Train, Transform, Validation, app, command
from makeweight.commands.train_classifier import Inputs, train_classifier


@command
def train_baseline(
    source: Annotated[str, typer.Option(help="A name from `controls` in the parameters.")],
    transform: Transform,
    params: ParamsFile = Path("params.yaml"),
    train: Train = Path("data/train"),
    validation: Validation = Path("data/validation"),
    test: Test = Path("data/test"),
    choices: Choices = Path("results/choices.json"),
    out: Annotated[
        Path | None, typer.Option(help="Output folder for scores and predictions.  [default: runs/SOURCE-TRANSFORM]")
    ] = None,
) -> str:
    """Train the classifier on real images only."""
    from makeweight.core.errors import BadInput
    from makeweight.core.plugins import names
    from makeweight.core.study import is_control

    if not is_control(source):
        raise BadInput(
            f"{source!r} is not a control ({', '.join(names('controls'))}): run train-augmented for a family"
        )
    inputs = Inputs(params, train, validation, test, choices)
    out = out or Path("runs", f"{source}-{transform}")
    return train_classifier("train-baseline", source, transform, inputs, out)


main = app(train_baseline)
