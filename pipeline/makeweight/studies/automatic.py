"""Training of an automatic arm: of what was chosen for it on validation images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pandas as pd

from makeweight.classification.fit import Training
from makeweight.classification.interface import find_transform
from makeweight.classification.train import train_classifiers
from makeweight.core.choices import Candidate, Choices, automatic_choice, control_arm
from makeweight.core.data import Labels, Split
from makeweight.core.errors import BadInput
from makeweight.core.parameters import Parameters, families_of
from makeweight.core.study import Arm, base
from makeweight.generators.generate import Generation, drawing_job, filter_counts, require_images, warn_of_shortages
from makeweight.runtime.artifacts import SAMPLERS, replicate_name
from makeweight.runtime.files import in_use
from makeweight.runtime.replicates import run_replicates
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
        BadInput: nothing was chosen for the arm, generators are missing, or filters leave a class without images.
    """
    choice = automatic_choice(arm, choices)
    candidate = choice.chosen
    drawn = _draw(parameters, candidate, splits["train"], models) if candidate.has_synthetic_images else None
    training = Training(
        arm=Arm(candidate.source, arm.transform),
        train=splits["train"],
        validation=splits["validation"],
        test=splits["test"],
        synthetic=drawn,
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


def _draw(parameters: Parameters, candidate: Candidate, train: Split, models: Path) -> list[tuple[Split, ...]]:
    """For each replicate the images of each family; those that `generate` has drawn alike come from the cache."""
    by_family = []
    for name in families_of(candidate.source):
        samplers = [models / name / SAMPLERS / replicate_name(k) for k in range(parameters.replicates)]
        if missing := next((folder for folder in samplers if not folder.is_dir()), None):
            raise BadInput(f"{missing} is missing: run train-generator --family {name}")
        generation = Generation.of(name, samplers, train, parameters)
        generation = replace(generation, settings=candidate.settings(parameters.generate))
        folders = run_replicates(drawing_job(generation, f"generate {name}"), len(samplers), parameters.compute)
        counts = filter_counts(folders)
        require_images(generation, counts)
        warn_of_shortages(generation, counts)
        by_family.append([read_split(folder) for folder in folders])
    return list(zip(*by_family, strict=True))
