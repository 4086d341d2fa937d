"""Training of the classifier of one arm: the part that the commands which train classifiers share."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Inputs:
    """The files that an arm is trained from.

    Attributes:
        params: the parameters.
        train: folder of the training images.
        validation: folder of the validation images.
        test: folder of the test images.
        choices: what `choose` has written.
        synthetic: folders of the synthetic images of each family, with a sub-folder for each replicate; empty for a
            control.
        one_generator: every replicate gets the synthetic images of replicate 0, so that only the classifier varies.
    """

    params: Path
    train: Path
    validation: Path
    test: Path
    choices: Path
    synthetic: tuple[Path, ...] = ()
    one_generator: bool = False


def train_classifier(stage: str, source: str, transform: str, inputs: Inputs, out: Path) -> str:
    """Train and score the arm `source`-`transform` for the command `stage`; return the command's last line."""
    from makeweight.classification.fit import Training
    from makeweight.classification.interface import find_transform
    from makeweight.classification.train import train_classifiers
    from makeweight.core.choices import budget, control_arm
    from makeweight.core.data import SPLITS
    from makeweight.core.parameters import read_parameters
    from makeweight.core.study import Arm, base
    from makeweight.runtime.artifacts import METRIC, SPLIT, VALUE, replicate_name
    from makeweight.runtime.choices import read_choices
    from makeweight.runtime.splits import read_groups, read_split, read_splits

    parameters, arm = read_parameters(inputs.params), Arm(source, transform)
    choices = read_choices(parameters, inputs.choices)
    synthetic, control = None, source
    if inputs.synthetic:
        generators = [0 if inputs.one_generator else k for k in range(parameters.replicates)]
        synthetic = [[read_split(folder / replicate_name(k)) for folder in inputs.synthetic] for k in generators]
        control = base(parameters, control_arm(parameters, choices))
    splits = dict(zip(SPLITS, read_splits(inputs.train, inputs.validation, inputs.test), strict=True))
    training = Training(
        arm=arm,
        **splits,
        synthetic=synthetic,
        transform=find_transform(transform, parameters.recipes),
        settings=parameters.classifier.with_budget(budget(parameters.classifier, arm, choices)),
        generate=parameters.generate,
        base=control,
        seed=parameters.seed,
        checkpoint_seconds=parameters.compute.checkpoint_seconds,
        groups={"validation": read_groups(inputs.validation), "test": read_groups(inputs.test)},
    )
    table = train_classifiers(training, out, stage=stage, replicates=parameters.replicates, compute=parameters.compute)
    selected = (table[SPLIT] == "validation") & (table[METRIC] == "balanced_accuracy")
    return (
        f"wrote {parameters.replicates} replicates of {arm} to {out}; balanced accuracy on validation images: "
        f"{100 * table.loc[selected, VALUE].mean():.1f}%"
    )
