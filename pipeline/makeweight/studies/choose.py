"""Choices of budgets and of the control, by trainings that take no part in the comparison.

The trainings are those of a study with a seed of its own, so that their classifiers and generators are independent of
those that are compared. They are scored on validation images only and never see a test image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from makeweight.classification.fit import Training
from makeweight.classification.interface import find_transform
from makeweight.classification.mixup import require_mix_allowed
from makeweight.classification.train import training_job, validation_scores
from makeweight.classification.trial import try_on
from makeweight.core.choices import Choices, Scores, best, resolved
from makeweight.core.data import Split
from makeweight.core.parameters import Parameters, families_of
from makeweight.core.plugins import find
from makeweight.core.seeds import derive
from makeweight.core.study import AUTO, Arm, arms, base, control, control_arms, is_control
from makeweight.generators.filters import require_neighbours
from makeweight.generators.fit import Fit
from makeweight.generators.generate import Generation, drawing_job, filter_counts, warn_of_shortages
from makeweight.generators.interface import find_family
from makeweight.generators.train import generator_job
from makeweight.runtime.files import in_use
from makeweight.runtime.replicates import Job, run_jobs
from makeweight.runtime.splits import read_split

DECIMALS = 9  # of scores


@in_use()  # no `clean` while images are read from the cache
def choose(parameters: Parameters, train: Split, validation: Split) -> Choices:
    """Choose a budget for each arm if there are several, and the control if it is `auto`, by the same rule.

    The rule: the highest mean of `compare.metric` on validation images over `choice.replicates` trainings. The control
    is the best of all control arms, each at its best budget. Its source decides how generator arms are trained, so it
    is chosen first.

    Args:
        parameters: of the study.
        train: the training images.
        validation: the validation images.

    Raises:
        BadInput: a family or a transform does not exist, or does not suit these images; a loss does not suit mixed
            images; a class has too few images for the filters; or a training failed.
    """
    require_neighbours(train.counts, train.classes, parameters.generate)
    trainings = _Trainings(parameters, train, validation)
    candidates, several = control_arms(parameters), len(parameters.classifier.budgets) > 1
    chosen: Arm | None = None
    scores: Scores = {}
    if parameters.compare.control == AUTO:
        chosen = candidates[0]
        if several or len(candidates) > 1:
            scores = trainings.scores(candidates, chosen)
            chosen, _ = best(scores, candidates)
    if not several:
        return Choices(chosen, {}, scores)
    everything = arms(parameters)
    scores = trainings.scores(everything, control(resolved(parameters, Choices(chosen))))
    return Choices(chosen, {arm: best(scores, [arm])[1] for arm in everything}, scores)


@dataclass(frozen=True)
class _Trainings:
    """The trainings by which a study's choices are made."""

    parameters: Parameters
    train: Split
    validation: Split

    def scores(self, study_arms: Sequence[Arm], control_arm: Arm) -> Scores:
        """The scores of `study_arms` at every budget; all trainings run side by side."""
        for transform in self.parameters.transforms:  # fails before anything is trained
            try_on(find_transform(transform, self.parameters.recipes), self.train.images)
        for arm in study_arms:  # likewise
            require_mix_allowed(self._base(arm, control_arm), self.parameters.classifier)
        options = [(arm, steps) for arm in study_arms for steps in self.parameters.classifier.budgets]
        trainings = [self._training(arm, steps, control_arm) for arm, steps in options]
        names = [f"choose {arm} {steps} steps" for arm, steps in options]
        jobs = [training_job(training, name) for training, name in zip(trainings, names, strict=True)]
        title = "classifiers" if any(training.synthetic for training in trainings) else "control arms"
        finished = self._run(jobs, title)
        scores: dict[Arm, dict[int, list[float]]] = {arm: {} for arm in study_arms}
        for (arm, steps), training, folders in zip(options, trainings, finished, strict=True):
            values = validation_scores(training, folders, self.parameters.compare.metric)
            scores[arm][steps] = [round(value, DECIMALS) for value in values]
        return scores

    def _run(self, jobs: Sequence[Job], title: str) -> list[list[Path]]:
        return run_jobs(jobs, self.parameters.choice.replicates, self.parameters.compute, title=f"choose {title}")

    def _training(self, arm: Arm, steps: int, control_arm: Arm) -> Training:
        synthetic = None
        if not is_control(arm.source):
            families = [self.synthetic[name] for name in families_of(arm.source)]
            synthetic = list(zip(*families, strict=True))
        return Training(
            arm=arm,
            train=self.train,
            validation=self.validation,
            test=None,
            synthetic=synthetic,
            transform=find_transform(arm.transform, self.parameters.recipes),
            settings=self.parameters.classifier.with_budget(steps),
            generate=self.parameters.generate,
            base=self._base(arm, control_arm),
            seed=self.seed,
            groups={},
            checkpoint_seconds=self.parameters.compute.checkpoint_seconds,
        )

    def _base(self, arm: Arm, control_arm: Arm) -> str:
        return arm.source if is_control(arm.source) else base(self.parameters, control_arm)

    @property
    def seed(self) -> int:
        """The seed of these trainings, in place of that of the study."""
        return derive(self.parameters.seed, "choice")

    @cached_property
    def synthetic(self) -> dict[str, list[Split]]:
        """For each family the images of generators of its own, a split for each training of a classifier."""
        parameters, families = self.parameters, self.parameters.generators
        fits = [self._fit(name) for name in families]
        finished = self._run([generator_job(fit, f"choose generator {fit.name}") for fit in fits], "generators")
        generations = [
            Generation(
                name,
                find("families", name).load,
                samplers,
                self.train,
                parameters.generate,
                self.seed,
                parameters.monitor.scorer_steps,
            )
            for name, samplers in zip(families, finished, strict=True)
        ]
        jobs = [drawing_job(generation, f"choose images {generation.family}") for generation in generations]
        drawn = self._run(jobs, "synthetic images")
        for generation, folders in zip(generations, drawn, strict=True):
            warn_of_shortages(generation, filter_counts(folders))
        return {name: [read_split(folder) for folder in folders] for name, folders in zip(families, drawn, strict=True)}

    def _fit(self, name: str) -> Fit:
        parameters = self.parameters
        return Fit(
            name,
            find_family(name, parameters.families),
            self.train,
            self.validation,
            parameters.monitor,
            self.seed,
            parameters.compute.checkpoint_seconds,
        )
