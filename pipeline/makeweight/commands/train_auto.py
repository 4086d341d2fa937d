"""`makeweight train-auto`: train and score the classifier of an automatic arm, on what was chosen for it."""

from pathlib import Path
from typing import Annotated

import typer

from makeweight.commands.command import Choices, ParamsFile, Test, Train, Transform, Validation, app, command


@command
def train_auto(
    transform: Transform,
    params: ParamsFile = Path("params.yaml"),
    train: Train = Path("data/train"),
    validation: Validation = Path("data/validation"),
    test: Test = Path("data/test"),
    models: Annotated[Path, typer.Option(help="Folder of the generators.")] = Path("models"),
    choices: Choices = Path("results/choices.json"),
    out: Annotated[
        Path | None, typer.Option(help="Output folder for scores and predictions.  [default: runs/auto-TRANSFORM]")
    ] = None,
) -> str:
    """Train the classifier of an automatic arm on what `choose` has chosen for it: synthetic images, or none."""
    from makeweight.core.data import SPLITS
    from makeweight.core.parameters import read_parameters
    from makeweight.core.study import AUTO, Arm
    from makeweight.runtime.artifacts import METRIC, SPLIT, VALUE
    from makeweight.runtime.choices import read_choices
    from makeweight.runtime.leftovers import MODELS, remove_others
    from makeweight.runtime.splits import read_groups, read_splits
    from makeweight.studies.automatic import train_automatic

    parameters, arm = read_parameters(params), Arm(AUTO, transform)
    chosen = read_choices(parameters, choices, automatic=True)
    # This stage depends on the whole folder, which `compare` sweeps later.
    remove_others(models, parameters.generators, MODELS)
    splits = dict(zip(SPLITS, read_splits(train, validation, test), strict=True))
    groups = {"validation": read_groups(validation), "test": read_groups(test)}
    out = out or Path("runs", str(arm))
    table = train_automatic(parameters, arm, chosen, splits, groups, models, out)
    selected = (table[SPLIT] == "validation") & (table[METRIC] == "balanced_accuracy")
    return (
        f"wrote {parameters.replicates} replicates of {arm} to {out}: {chosen.automatic[arm].chosen}; balanced "
        f"accuracy on validation images: {100 * table.loc[selected, VALUE].mean():.1f}%"
    )


main = app(train_auto)
