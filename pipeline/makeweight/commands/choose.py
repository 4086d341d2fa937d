"""`makeweight choose`: choose on validation images budgets, the control, and what automatic arms train on."""

from pathlib import Path
from typing import Annotated

import typer

from makeweight.commands.command import ParamsFile, Train, Validation, app, command


@command
def choose(
    params: ParamsFile = Path("params.yaml"),
    train: Train = Path("data/train"),
    validation: Validation = Path("data/validation"),
    out: Annotated[Path, typer.Option(help="Output file for choices and scores.")] = Path("results/choices.json"),
) -> str:
    """Make the choices on validation images. Budgets, the control, and what automatic arms train on."""
    from makeweight.core.parameters import read_parameters
    from makeweight.runtime.choices import write_choices
    from makeweight.runtime.splits import read_groups, read_splits
    from makeweight.studies.choose import choose as choose_options

    parameters = read_parameters(params)
    training_images, validation_images = read_splits(train, validation)
    choices = choose_options(parameters, training_images, validation_images, read_groups(validation))
    write_choices(choices, out)
    for arm, steps in choices.steps.items():
        typer.echo(f"{arm}: {steps:,} steps")
    for arm, choice in choices.automatic.items():
        typer.echo(f"{arm}: {choice.chosen}, chosen among {len(choice.scores)} candidates")
    if choices.control:
        typer.echo(f"control: {choices.control}")
    return f"wrote {out}" + ("" if choices.scores or choices.automatic else ": there was nothing to choose")


main = app(choose)
