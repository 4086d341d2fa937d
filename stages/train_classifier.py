"""`makeweight train-classifier`: train and score the classifier of one arm, once for each replicate."""

from pathlib import Path
from typing import Annotated

import typer

from stages.command import ParamsFile, Test, Train, Validation, app, command


@command
def train_classifier(
    source: Annotated[str, typer.Option(help="none, oversample, or a family.")],
    transform: Annotated[str, typer.Option(help="A key of `recipes` in the parameters.")],
    params: ParamsFile = Path("params.yaml"),
    train: Train = Path("data/train"),
    validation: Validation = Path("data/validation"),
    test: Test = Path("data/test"),
    synthetic: Annotated[
        Path | None, typer.Option(help="Synthetic images of a family.  [default: data/synthetic/SOURCE]")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Gets scores and predictions.  [default: runs/SOURCE-TRANSFORM]")
    ] = None,
) -> str:
    """Train the classifier of one arm."""
    from pipeline.classifying import Training, train_classifiers
    from pipeline.core import CONTROLS, SPLITS, Arm
    from pipeline.params import read_parameters
    from pipeline.storage import read_groups, read_split, read_splits

    parameters = read_parameters(params)
    arm = Arm(source, transform)
    out = out or Path("runs", str(arm))
    drawn = None
    if source not in CONTROLS:
        folder = synthetic or Path("data/synthetic", source)
        drawn = [read_split(folder / f"replicate_{k}") for k in range(parameters.replicates)]
    splits = dict(zip(SPLITS, read_splits(train, validation, test), strict=True))
    training = Training(
        arm=arm,
        **splits,
        synthetic=drawn,
        transform=parameters.transform(transform),
        settings=parameters.classifier,
        generate=parameters.generate,
        seed=parameters.seed,
        groups={"validation": read_groups(validation), "test": read_groups(test)},
    )
    table = train_classifiers(
        training,
        out,
        replicates=parameters.replicates,
        compute=parameters.compute,
        variance=drawn is not None and parameters.compare.variance,
    )
    chosen = (table["split"] == "validation") & (table["metric"] == "balanced_accuracy")
    return (
        f"wrote {parameters.replicates} replicates of {arm} to {out}; balanced accuracy on validation images: "
        f"{100 * table.loc[chosen, 'value'].mean():.1f}%"
    )


if __name__ == "__main__":
    app(train_classifier)()
