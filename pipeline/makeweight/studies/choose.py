"""Choices of budgets, of the control and of automatic arms, by trainings that take no part in the comparison.

The trainings are those of a study with a seed of its own, so that their classifiers and generators are independent of
those that are compared. They are scored on validation images only and never see a test image.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from makeweight.classification.fit import Training
from makeweight.classification.interface import find_transform
from makeweight.classification.mixup import require_mix_allowed
from makeweight.classification.train import training_job, validation_predictions, validation_scores
from makeweight.classification.trial import try_on
from makeweight.comparison.influence import contributions
from makeweight.comparison.variance_components import variance_components
from makeweight.core.choices import (
    AutomaticChoice,
    Candidate,
    Choices,
    Difference,
    Option,
    Scores,
    best,
    best_candidate,
    candidates,
    resolved,
)
from makeweight.core.data import Labels, Split
from makeweight.core.parameters import FilterName, GenerateSettings, Parameters, families_of, filters_used
from makeweight.core.plugins import find
from makeweight.core.seeds import derive
from makeweight.core.study import (
    AUTO,
    Arm,
    arms,
    automatic_arms,
    base,
    control,
    control_arms,
    is_automatic,
    is_control,
)
from makeweight.core.text import counted
from makeweight.generators.filters import NoImagesLeft, require_neighbours
from makeweight.generators.fit import Fit
from makeweight.generators.generate import Generation, drawing_job, filter_counts, warn_of_shortages
from makeweight.generators.interface import find_family
from makeweight.generators.train import generator_job
from makeweight.runtime.choices import made_from
from makeweight.runtime.files import in_use
from makeweight.runtime.progress import log_line
from makeweight.runtime.replicates import Job, run_jobs
from makeweight.runtime.splits import read_split

DECIMALS = 9  # of scores
BEYOND = "beyond the number in auto.candidates"


@in_use()  # no `clean` while images are read from the cache
def choose(parameters: Parameters, train: Split, validation: Split, groups: Labels) -> Choices:
    """Choose the control if it is `auto`, a budget for each arm if there are several, and what automatic arms train on.

    The rule: the highest mean of `compare.metric` on validation images over `choice.replicates` trainings; automatic
    arms take no synthetic images unless others are better beyond chance (`core.choices.best_candidate`). The control is
    the best of all control arms, each at its best budget. Its source decides how generator arms are trained, so it is
    chosen first.

    Args:
        parameters: of the study.
        train: the training images.
        validation: the validation images.
        groups: of the validation images, int64 [images], equal numbers for images that belong together.

    Raises:
        BadInput: a family or a transform does not exist, or does not suit these images; a loss does not suit mixed
            images; a class has too few images for the filters; or a training failed.
    """
    require_neighbours(train, filters_used(parameters), parameters.generate.filtering)
    trainings = _Trainings(parameters, train, validation, groups)
    controls, several = control_arms(parameters), len(parameters.classifier.budgets) > 1
    chosen: Arm | None = None
    scores: Scores[Arm] = {}
    if parameters.compare.control == AUTO:
        chosen = controls[0]
        if several or len(controls) > 1:
            scores = trainings.of_arms(controls, chosen)
            best_control, _ = best(scores, controls)
            chosen = best_control
    if not several and not parameters.automatic:
        return Choices(chosen, {}, scores)
    steps, control_arm = {}, control(resolved(parameters, Choices(chosen)))
    if several:
        everything = [arm for arm in arms(parameters) if not is_automatic(arm.source)]
        scores = trainings.of_arms(everything, control_arm)
        steps = {arm: best(scores, [arm])[1] for arm in everything}
    automatic = {arm: trainings.automatic(arm, control_arm) for arm in automatic_arms(parameters)}
    return Choices(chosen, steps, scores, automatic, made_from(parameters, train, validation) if automatic else {})


@dataclass(frozen=True)
class _Trainings:
    """The trainings by which a study's choices are made."""

    parameters: Parameters
    train: Split
    validation: Split
    groups: Labels
    _drawn: dict[tuple[str, tuple[FilterName, ...]], list[Split]] = field(default_factory=dict)

    def of_arms(self, study_arms: Sequence[Arm], control_arm: Arm) -> Scores[Arm]:
        """The scores of `study_arms` at every budget."""
        self._require_trainable(study_arms, control_arm)
        return self._scores(self._train({arm: (arm, self.parameters.generate) for arm in study_arms}, control_arm))

    def automatic(self, arm: Arm, control_arm: Arm) -> AutomaticChoice:
        """The choice of an automatic arm among the candidates that its budget allows."""
        everything, most = candidates(self.parameters, control_arm), self.parameters.auto.candidates
        self._require_trainable([Arm(candidate.source, arm.transform) for candidate in everything], control_arm)
        left_out = dict.fromkeys(everything[most:], BEYOND)
        if left_out:
            names = "; ".join(map(str, left_out))
            log_line(f"{arm} tries {most} of {counted(len(everything), 'candidate')}. {BEYOND.capitalize()}: {names}")
        options = {}
        for candidate in everything[:most]:
            settings = candidate.settings(self.parameters.generate)
            try:
                if candidate.has_synthetic_images:
                    self._images(candidate.source, settings)
                options[candidate] = Arm(candidate.source, arm.transform), settings
            except NoImagesLeft as error:  # any other error, such as a failed training, must not decide a choice
                left_out[candidate] = str(error)
                log_line(f"{arm} does not try {candidate}: {error}")
        finished = self._train(options, control_arm)
        scores = self._scores(finished)
        differences = self._differences(finished, scores)
        return AutomaticChoice(*best_candidate(scores, differences), scores, differences, left_out)

    def _require_trainable(self, study_arms: Sequence[Arm], control_arm: Arm) -> None:
        """Fail before anything is trained if something of this cannot be."""
        for transform in self.parameters.transforms:
            try_on(find_transform(transform, self.parameters.recipes), self.train.images)
        for arm in study_arms:
            require_mix_allowed(self._base(arm, control_arm), self.parameters.classifier)

    def _train(
        self, options: Mapping[Option, tuple[Arm, GenerateSettings]], control_arm: Arm
    ) -> dict[tuple[Option, int], list[Path]]:
        """The finished trainings of options at every budget; all of them run side by side."""
        pairs = [(option, steps) for option in options for steps in self.parameters.classifier.budgets]
        trainings = [self._training(*options[option], steps, control_arm) for option, steps in pairs]
        names = [f"choose {_name(*options[option])} {steps} steps" for option, steps in pairs]
        jobs = [training_job(training, name) for training, name in zip(trainings, names, strict=True)]
        title = "classifiers" if any(training.synthetic for training in trainings) else "control arms"
        return dict(zip(pairs, self._run(jobs, title), strict=True))

    def _scores(self, finished: Mapping[tuple[Option, int], Sequence[Path]]) -> dict[Option, dict[int, list[float]]]:
        scores: dict[Option, dict[int, list[float]]] = {option: {} for option, _ in finished}
        for (option, steps), folders in finished.items():
            values = validation_scores(self.validation, folders, self.parameters.compare.metric)
            scores[option][steps] = [round(value, DECIMALS) for value in values]
        return scores

    def _differences(
        self, finished: Mapping[tuple[Candidate, int], Sequence[Path]], scores: Scores[Candidate]
    ) -> dict[Candidate, Difference]:
        """Of each candidate from the first one, each at its best budget.

        As in the comparison of arms, the standard error allows for other trainings and for other images: three
        trainings that agree on the same few validation images prove little.
        """
        metric, labels = self.parameters.compare.metric, self.validation.labels
        of_candidates = [
            contributions(metric, labels, validation_predictions(finished[best(scores, [candidate])]))
            for candidate in scores
        ]
        differences = {}
        for candidate, own in list(zip(scores, of_candidates, strict=True))[1:]:
            paired = own - of_candidates[0]
            variance = variance_components(paired, self.groups).total.value
            figures = float(paired.values.mean()), variance**0.5
            differences[candidate] = Difference(*(round(figure, DECIMALS) for figure in figures))
        return differences

    def _run(self, jobs: Sequence[Job], title: str) -> list[list[Path]]:
        return run_jobs(jobs, self.parameters.choice.replicates, self.parameters.compute, title=f"choose {title}")

    def _training(self, arm: Arm, generate: GenerateSettings, steps: int, control_arm: Arm) -> Training:
        return Training(
            arm=arm,
            train=self.train,
            validation=self.validation,
            test=None,
            synthetic=None if is_control(arm.source) else self._images(arm.source, generate),
            transform=find_transform(arm.transform, self.parameters.recipes),
            settings=self.parameters.classifier.with_budget(steps),
            generate=generate,
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

    def _images(self, source: str, settings: GenerateSettings) -> list[tuple[Split, ...]]:
        """For each training of a classifier the images of each family of a source, by generators of its own."""
        families = families_of(source)
        missing = [name for name in families if (name, settings.filters) not in self._drawn]
        generations = [
            Generation(
                name,
                find("families", name).load,
                self.samplers[name],
                self.train,
                settings,
                self.seed,
                self.parameters.monitor.scorer_steps,
            )
            for name in missing
        ]
        filtered = "".join(f" {name}" for name in settings.filters)
        jobs = [drawing_job(generation, f"choose images {generation.family}{filtered}") for generation in generations]
        drawn = self._run(jobs, "synthetic images") if jobs else []
        for generation, folders in zip(generations, drawn, strict=True):
            warn_of_shortages(generation, filter_counts(folders))
            self._drawn[generation.family, settings.filters] = [read_split(folder) for folder in folders]
        return list(zip(*(self._drawn[name, settings.filters] for name in families), strict=True))

    @cached_property
    def samplers(self) -> dict[str, list[Path]]:
        """For each family the folders of generators of its own, one for each training of a classifier."""
        fits = [self._fit(name) for name in self.parameters.generators]
        finished = self._run([generator_job(fit, f"choose generator {fit.name}") for fit in fits], "generators")
        return dict(zip(self.parameters.generators, finished, strict=True))

    def _fit(self, name: str) -> Fit:
        parameters = self.parameters
        return Fit(
            name,
            find_family(name, parameters.families, self.train),
            self.train,
            self.validation,
            parameters.monitor,
            self.seed,
            parameters.compute.checkpoint_seconds,
        )


def _name(arm: Arm, generate: GenerateSettings) -> str:
    """A name for messages and paths."""
    if is_control(arm.source):
        return str(arm)
    return " ".join([str(arm), f"{generate.synthetic_fraction:g}", *generate.filters])
