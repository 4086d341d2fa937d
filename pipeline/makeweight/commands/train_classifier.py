"""What `train-baseline` and `train-augmented` share: train and score the classifier of one arm."""

from pathlib import Path


def train_classifier(
    source: str,
    transform: str,
    params: Path,
    train: Path,
    validation: Path,
    test: Path,
    synthetic: Path | None,
    out: Path | None,
) -> str:
    """Train the classifier of one arm."""
    from makeweight.classification.fit import Training
    from makeweight.classification.interface import find_transform
    from makeweight.classification.train import train_classifiers
    from makeweight.core.data import SPLITS
    from makeweight.core.parameters import read_parameters
    from makeweight.core.study import CONTROLS, Arm
    from makeweight.runtime.artifacts import replicate_name
    from makeweight.runtime.splits import read_groups, read_split, read_splits

    parameters = read_parameters(params)
    arm = Arm(source, transform)
    out = out or Path("runs", str(arm))
    drawn = None
    if source not in CONTROLS:
        folder = synthetic or Path("data/synthetic", source)
        drawn = [read_split(folder / replicate_name(k)) for k in range(parameters.replicates)]
    splits = dict(zip(SPLITS, read_splits(train, validation, test), strict=True))
    training = Training(
        arm=arm,
        **splits,
        synthetic=drawn,
        transform=find_transform(transform, parameters.recipes),
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
