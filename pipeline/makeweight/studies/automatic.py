"""Training of an automatic arm: of what was chosen for it on validation images."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from makeweight.classification.fit import Training
from makeweight.classification.interface import find_transform
from makeweight.classification.train import train_classifiers
from makeweight.core.choices import Choices, automatic_choice, control_arm
from makeweight.core.data import Labels, Split
from makeweight.core.parameters import Parameters
from makeweight.core.study import Arm, base
from makeweight.generators.automatic import draw_chosen
from makeweight.runtime.choices import require_current
from makeweight.runtime.files import in_use
from makeweight.runtime.splits import read_split


@in_use()  # no `clean` while images are read from the cache
def train_automatic(
    parameters: Parameters,
    arm: Arm,
    choices: Choices,
    splits: Mapping[str, Split],
    groups: Mapping[str, Labels],
    models: Path,
    out: Path,
) -> pd.DataFrame:
    """Train and score the classifiers of an automatic arm; the arguments that `train_classifiers` has are its own.

    Without synthetic images, these are the trainings of the control arm with the same transform; otherwise those of a
    generator arm with the chosen fraction and filters. So the results are those of that arm, and trainings that it has
    finished are taken from the cache.

    Args:
        parameters: of the study.
        arm: the automatic arm.
        choices: of the study.
        splits: training, validation and test images, by name.
        groups: of validation and test images.
        models: generators, with a folder for each family; not read if there are no synthetic images.
        out: gets scores and predictions.

    Raises:
        BadInput: nothing was chosen for the arm, or with other settings or images; generators are missing; or filters
            leave a class without images.
    """
    choice = automatic_choice(arm, choices)
    require_current(choices, parameters, splits["train"], splits["validation"])
    candidate = choice.chosen
    drawn = draw_chosen(parameters, candidate, splits["train"], models)
    of_families = [[read_split(folder) for folder in folders] for folders in drawn.values()]
    training = Training(
        arm=Arm(candidate.source, arm.transform),
        train=splits["train"],
        validation=splits["validation"],
        test=splits["test"],
        synthetic=list(zip(*of_families, strict=True)) or None,
        transform=find_transform(arm.transform, parameters.recipes),
        settings=parameters.classifier.with_budget(choice.steps),
        generate=candidate.settings(parameters.generate),
        base=base(parameters, control_arm(parameters, choices)) if drawn else candidate.source,
        seed=parameters.seed,
        groups=groups,
        checkpoint_seconds=parameters.compute.checkpoint_seconds,
    )
    return train_classifiers(
        training, out, stage=arm.stage, replicates=parameters.replicates, compute=parameters.compute
    )
