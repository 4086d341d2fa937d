"""The plan of a study before anything is trained: number of trainings, their duration, minimum detectable effect.

Of the test images only labels and groups are read, which belong to the design of the study; neither pixels nor
predictions are. Everything here is printed and enters no output.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from makeweight.classification.interface import find_transform
from makeweight.classification.trial import try_on
from makeweight.comparison.inference import ALPHA
from makeweight.comparison.power import anticipated, detectable_effect
from makeweight.comparison.test_sets import TestSet
from makeweight.core.choices import candidates
from makeweight.core.data import SPLITS, Labels, Split
from makeweight.core.errors import BadInput
from makeweight.core.parameters import ComputeSettings, Parameters, filters_used
from makeweight.core.plugins import keeps_training_images
from makeweight.core.study import AUTO, check_contrasts, control_arms, generator_arms, is_automatic
from makeweight.core.text import counted, readable, shown
from makeweight.generators.filters import require_neighbours
from makeweight.generators.interface import Family, find_family
from makeweight.project.timing import ClassifierTraining, GeneratorTraining, StepTime, step_times
from makeweight.runtime import fingerprints
from makeweight.runtime.artifacts import CLASSES, IMAGE_LABELS, IMAGES, LOGS
from makeweight.runtime.executors import replicates_per_program
from makeweight.runtime.files import read_json, write_json
from makeweight.runtime.machine import Machine, machine, workers
from makeweight.runtime.replicates import Job
from makeweight.runtime.splits import read_groups, read_split

# In the study of digits (94 to 96% are right), two arms differ on 2 to 3% of the test images in one replicate and on
# 0.3 to 0.9% whatever the replicate, and the gain has a standard deviation of 0.6 to 1.3 points. On images that are
# harder to classify, arms differ more.
DISAGREEMENT = 0.02  # fraction of the test images on which two arms differ whatever the replicate
DEVIATION = 0.01  # standard deviation of the gain over replicates
UNREALISTIC_GAIN = 0.1  # a larger gain is hardly to be expected
# Half of each batch synthetic: after 7 epochs of MNIST and 12 of CIFAR-10, cgan lost 0.2 and 2.1 points to its control
# on validation images; after 21 of MNIST, 37 of CIFAR-10 and 86 or more of smaller data sets it lost nothing. A quarter
# synthetic: after 12 epochs of CIFAR-10 it lost 0.1 (benchmarks/results.md).
FEW_EPOCHS = 20
LONG_TRAINING = 3600  # seconds
MAX_NAMED_CLASSES = 10
STEP_TIMES = "plan.json"  # in logs/
PREPARE = "run `makeweight prepare`"


def lines(parameters: Parameters) -> list[str]:
    """The plan as lines; only the trainings if `measure` has not run on splits prepared with these parameters.

    Raises:
        BadInput: the parameters name something that does not exist, or a transform that cannot be applied.
    """
    measured = _measured(parameters)
    counts = [trainings(parameters), *candidate_lines(parameters), *novelty_lines(parameters)]
    if measured is None:
        return [*counts, f"{PREPARE} for an estimate of time and power"]
    data = Path(measured["data"])
    try_settings(parameters, data)
    study, resolved = kinds(parameters, data), machine(parameters.compute)
    keys = {kind.job.name: kind.key(parameters.compute, resolved) for kind in study}
    times = {
        name: StepTime(entry["seconds"], entry["error"])
        for name, entry in measured["step_times"].items()
        if entry["key"] == keys.get(name)
    }
    return [
        *counts,
        *time_lines(study, times, parameters.compute, resolved),
        *power_lines(parameters, data / "test"),
        *epoch_lines(parameters, len(np.load(data / "train" / IMAGE_LABELS, allow_pickle=False))),
    ]


def try_settings(parameters: Parameters, data: Path) -> None:
    """Apply each transform to training images below `data`, and check that filters have enough of them.

    Raises:
        BadInput: one line for each transform that cannot be applied to them, or does not exist, and for filters.
    """
    train = read_split(data / "train")
    checks: list[Callable[[], object]] = [
        *(partial(_try_transform, name, parameters, train) for name in parameters.transforms),
        lambda: require_neighbours(train, filters_used(parameters), parameters.generate.filtering),
    ]
    errors: list[str] = []
    for run_check in checks:
        try:
            run_check()
        except BadInput as error:
            errors += error.errors
    if errors:
        raise BadInput(*errors)


def _try_transform(name: str, parameters: Parameters, train: Split) -> None:
    try_on(find_transform(name, parameters.recipes), train.images)


def measure(parameters: Parameters, data: Path) -> None:
    """Time a few steps of each kind of training on the splits below `data`; keep the times in `logs/`.

    Raises:
        BadInput: the parameters name something that does not exist.
    """
    study, resolved = kinds(parameters, data), machine(parameters.compute)
    times = step_times([kind.job for kind in study], parameters.replicates, parameters.compute, resolved)
    entries = {
        kind.job.name: {"key": kind.key(parameters.compute, resolved), **asdict(times[kind.job.name])} for kind in study
    }
    LOGS.mkdir(exist_ok=True)
    write_json(
        LOGS / STEP_TIMES, {"data": str(data), "prepared_with": _prepared_with(parameters), "step_times": entries}
    )


def _measured(parameters: Parameters) -> Any:
    """What `measure` wrote; None if it was about other splits."""
    path = LOGS / STEP_TIMES
    measured = read_json(path) if path.exists() else {}
    current = measured.get("prepared_with") == _prepared_with(parameters)
    return measured if current and all(Path(measured["data"], name, IMAGES).exists() for name in SPLITS) else None


def _prepared_with(parameters: Parameters) -> str:
    return fingerprints.of_values({"data": parameters.data.model_dump(), "seed": parameters.seed})


@dataclass(frozen=True, slots=True)
class TrainingRun:
    """Trainings that a stage runs side by side.

    Attributes:
        trainings: their number.
        steps: of each.
        choosing: whether something is chosen by them; otherwise they are compared.
    """

    trainings: int
    steps: int
    choosing: bool = False


def generator_runs(parameters: Parameters, steps: int = 1) -> list[TrainingRun]:
    """The runs of one family, whose training takes so many steps."""
    runs = [TrainingRun(parameters.replicates, steps)]
    if len(parameters.classifier.budgets) > 1 or parameters.automatic:
        runs.append(TrainingRun(parameters.choice.replicates, steps, choosing=True))
    return runs


def classifier_runs(parameters: Parameters) -> list[TrainingRun]:
    """The runs of the classifiers with one transform, at the largest budget where it is yet to be chosen.

    Arms of the families in `one_generator` are also trained with one generator for all replicates; the first of these
    is a replicate of the arm itself. Each training of an automatic arm counts, though it may equal one of another arm
    and then comes from the cache.
    """
    budgets, transforms = parameters.classifier.budgets, len(parameters.transforms)
    sources = len(parameters.controls) + len(generator_arms(parameters)) // transforms
    runs = [TrainingRun(parameters.replicates, budgets[-1])] * sources
    runs += [TrainingRun(parameters.replicates - 1, budgets[-1])] * len(parameters.one_generator)
    several = len(budgets) > 1
    chosen = control_arms(parameters) if several or parameters.compare.control == AUTO else []
    if several:
        chosen += [arm for arm in generator_arms(parameters) if not is_automatic(arm.source)]
    if several or len(chosen) > 1:
        of_transform = parameters.choice.replicates * len(chosen) // transforms
        runs += [TrainingRun(of_transform, steps, choosing=True) for steps in budgets]
    if parameters.automatic:
        of_transform = parameters.choice.replicates * tried(parameters)
        runs += [TrainingRun(of_transform, steps, choosing=True) for steps in budgets]
    return runs


def tried(parameters: Parameters) -> int:
    """The number of candidates that an automatic arm tries."""
    any_control = control_arms(parameters)[0]
    return min(parameters.auto.candidates, len(candidates(parameters, any_control)))


def trainings(parameters: Parameters) -> str:
    """The number of generators and classifiers that the study trains, as a line."""
    families = [run for _ in parameters.generators for run in generator_runs(parameters)]
    classifiers = [run for _ in parameters.transforms for run in classifier_runs(parameters)]
    names, several = ", ".join(parameters.generators), len(parameters.generators) > 1
    of_families = f"{parameters.replicates} each of {names}" if several else names
    line = (
        f"The study trains {counted(_number(families), 'generator')} ({of_families}) and "
        f"{counted(_number(classifiers), 'classifier')}."
    )
    choosing = {"generator": _number(families, choosing=True), "classifier": _number(classifiers, choosing=True)}
    if not any(choosing.values()):
        return line
    numbers = " and ".join(counted(number, what) for what, number in choosing.items() if number)
    what = {
        "budgets": len(parameters.classifier.budgets) > 1,
        "the control": parameters.compare.control == AUTO,
        "what automatic arms train on": bool(parameters.automatic),
    }
    chosen = " and ".join(name for name, is_chosen in what.items() if is_chosen)
    return f"{line} To choose {chosen}, another {numbers} are trained."


def candidate_lines(parameters: Parameters) -> list[str]:
    """What automatic arms choose from, and a warning if there is more than they try."""
    if not parameters.automatic:
        return []
    everything, most = candidates(parameters, control_arms(parameters)[0]), parameters.auto.candidates
    first = (
        f"Automatic arms choose among {counted(tried(parameters), 'candidate')}, one of them without synthetic images."
    )
    if len(everything) <= most:
        return [first]
    return [
        first,
        f"warning: auto.candidates is {most}, so the last {len(everything) - most} of {len(everything)} candidates are "
        f"not tried, the first of which is: {everything[most]}",
    ]


def novelty_lines(parameters: Parameters) -> list[str]:
    """A warning about families to whose images the filter `novelty` does not suit."""
    near = [name for name in parameters.generators if keeps_training_images(name)]
    if "novelty" not in filters_used(parameters) or not near:
        return []
    return [
        f"warning: images of {', '.join(near)} are close to training images by construction: the filter novelty "
        "discards many of them, and may leave a class without images"
    ]


def epoch_lines(parameters: Parameters, training_images: int) -> list[str]:
    """A warning if generator arms are served too few real images, which the controls get in their place."""
    classifier, generate = parameters.classifier, parameters.generate
    longest = classifier.budgets[-1]
    epochs = longest * classifier.batch / training_images
    if generate.strategy != "uniform" or not parameters.generators or epochs >= FEW_EPOCHS:
        return []
    return [
        f"warning: {longest:,} steps of the classifier are {epochs:.2g} epochs of the training images, of which "
        f"generator arms replace {generate.synthetic_fraction:.0%} by synthetic images. With fewer than about "
        f"{FEW_EPOCHS}, these arms may lose for lack of real images: try a smaller generate.synthetic_fraction, "
        f"several budgets (classifier.steps: [{longest}, {3 * longest}]), or automatic: [auto]"
    ]


def _number(runs: Sequence[TrainingRun], *, choosing: bool = False) -> int:
    return sum(run.trainings for run in runs if run.choosing == choosing)


@dataclass(frozen=True, slots=True)
class Kind:
    """Trainings of one kind: a family's, or the classifier's under one transform.

    Attributes:
        job: one of them.
        runs: of such trainings; runs follow each other.
    """

    job: Job
    runs: Sequence[TrainingRun]

    def steps(self, compute: ComputeSettings, resolved: Machine) -> int:
        """How many steps follow each other, where groups of replicates are trained side by side."""
        size = replicates_per_program(self.job.batched, compute, resolved.device)
        groups = [(math.ceil(run.trainings / size), run.steps) for run in self.runs]
        return sum(math.ceil(number / workers(compute, number)) * steps for number, steps in groups)

    def key(self, compute: ComputeSettings, resolved: Machine) -> str:
        """A hash of all that the time of a step depends on."""
        size = replicates_per_program(self.job.batched, compute, resolved.device)
        side_by_side = size, workers(compute, max(run.trainings for run in self.runs))
        settings = self.job.inputs(0)
        return fingerprints.of_values({"settings": settings, "machine": str(resolved), "side_by_side": side_by_side})


def kinds(parameters: Parameters, data: Path) -> list[Kind]:
    """All kinds of trainings of the study, to be timed on the splits below `data`.

    Raises:
        BadInput: a family or transform does not exist, its settings are not allowed, or there are no training images.
    """
    train = read_split(data / "train")
    generators = [
        _generator_job(name, find_family(name, parameters.families, train), data) for name in parameters.generators
    ]
    classifiers = [_classifier_job(parameters, name, data) for name in parameters.transforms]
    return [
        *(Kind(job, generator_runs(parameters, job.steps)) for job in generators),
        *(Kind(job, classifier_runs(parameters)) for job in classifiers),
    ]


def _generator_job(name: str, family: Family, data: Path) -> Job:
    return Job(
        name=f"generator {name}",
        work=GeneratorTraining(family, data),
        inputs=lambda replicate: _without_steps(family.model_dump()),
        steps=family.total_steps,
        images_per_step=family.images_per_step,
        batched=getattr(family, "supports_batched_seeds", False),
    )


def _classifier_job(parameters: Parameters, transform: str, data: Path) -> Job:
    largest = parameters.classifier.budgets[-1]
    settings, recipe = parameters.classifier.with_budget(largest), find_transform(transform, parameters.recipes)
    return Job(
        name=f"classifier {transform}",
        work=ClassifierTraining(settings, recipe, data),
        inputs=lambda replicate: {**_without_steps(settings.model_dump()), "transform": recipe.model_dump()},
        steps=largest,
        images_per_step=settings.batch,
    )


def _without_steps(settings: Mapping[str, object]) -> dict[str, object]:
    return {key: value for key, value in settings.items() if key != "steps"}


def time_lines(
    study: Sequence[Kind], times: Mapping[str, StepTime], compute: ComputeSettings, resolved: Machine
) -> list[str]:
    """An estimate of the time that all trainings take from scratch, as lines.

    Args:
        study: all kinds of trainings.
        times: of one step, by the name of the job; one that is missing has not been timed with these settings.
        compute: gives the number of workers.
        resolved: what `compute` resolves to on this machine.
    """
    if missing := [kind.job.name for kind in study if kind.job.name not in times]:
        return [f"{PREPARE} for an estimate of the time: not timed with these settings: {', '.join(missing)}"]
    total, untimed = 0.0, []
    for kind in study:
        seconds_per_step = times[kind.job.name].seconds
        if seconds_per_step is None:
            untimed.append(kind.job.name)
        else:
            total += seconds_per_step * kind.steps(compute, resolved)
    without = f", not counting {', '.join(untimed)} (not timed)" if untimed else ""
    estimate = [
        f"Training takes {duration(total)} on this machine at its current load, estimated from a few steps{without}."
    ]
    estimate += [f"warning: {name}: {error}" for name in untimed if (error := times[name].error)]
    if total > LONG_TRAINING:
        estimate.append(
            "warning: training takes more than an hour: to shorten it, use fewer steps (families.<name>.steps, "
            "classifier.steps), smaller images (data.image_size) or fewer replicates"
        )
    return estimate


def duration(seconds: float) -> str:
    """A duration in words, rounded."""
    if seconds < 10:
        return "a few seconds"
    if seconds < 60:
        return f"about {5 * round(seconds / 5)} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"about {minutes} min"
    hours, rest = divmod(10 * round(seconds / 600), 60)
    return f"about {hours} h" + (f" {rest} min" if rest and hours < 10 else "")


def power_lines(parameters: Parameters, test: Path) -> list[str]:
    """The minimum detectable effect on these test images, and classes that are too small, as lines.

    Args:
        parameters: of the study.
        test: folder of the test split, of which labels, class names and groups are read.

    Raises:
        BadInput: the study has no such control or primary contrast, or the split is incomplete.
    """
    labels = np.load(test / IMAGE_LABELS, allow_pickle=False)
    groups, classes = read_groups(test), read_json(test / CLASSES)
    images = dict(zip(classes, np.bincount(labels, minlength=len(classes)).tolist(), strict=True))
    test_set = TestSet(images, len(np.unique(groups)), parameters.compare.metric, parameters.compare.margin)
    return [*_detectable_lines(parameters, test_set, detectable(parameters, labels, groups)), *_coarse_lines(test_set)]


def detectable(parameters: Parameters, labels: Labels, groups: Labels) -> float:
    """The expected minimum detectable effect of the primary contrast; of each tested one if none is primary.

    Args:
        parameters: of the study.
        labels: of the test images, int64 [images].
        groups: int64 [images], equal numbers for images that belong together.
    """
    check_contrasts(parameters)
    tests = len(generator_arms(parameters)) if parameters.compare.primary is None else 1
    alpha = ALPHA / tests
    units = units_of_classes(parameters.compare.metric, labels, groups)
    components = anticipated(units, parameters.replicates, disagreement=DISAGREEMENT, deviation=DEVIATION)
    return detectable_effect(components.widest(alpha), alpha)


def units_of_classes(metric: str, labels: Labels, groups: Labels) -> NDArray[np.int64]:
    """The number of groups that hold images of each class, int64 [classes]; for accuracy of all groups, int64 [1]."""
    strata = np.zeros_like(labels) if metric == "accuracy" else labels
    (strata_of_cells, _) = np.unique(np.stack([strata, groups]), axis=1)
    return np.bincount(strata_of_cells).astype(np.int64)


def _detectable_lines(parameters: Parameters, test_set: TestSet, gain: float) -> Iterator[str]:
    size = counted(test_set.total, "test image")
    if test_set.groups < test_set.total:
        size += f" in {counted(test_set.groups, 'group')}"
    classes = sum(count > 0 for count in test_set.images.values())
    yield (
        f"Minimum detectable gain in {readable(test_set.metric)} (with a power of 80%): about "
        f"{100 * gain:.1f} points, with {size}, {classes} classes and "
        f"{parameters.replicates} replicates, if two arms differ on {DISAGREEMENT:.0%} of the test images in every "
        f"replicate and the gain has a standard deviation of {100 * DEVIATION:g} point over replicates."
    )
    if gain > UNREALISTIC_GAIN:
        yield (
            f"warning: a gain of less than {100 * gain:.1f} points would hardly be detected: more test images "
            "(data.test_fraction, more files) or more replicates are needed"
        )


def _coarse_lines(test_set: TestSet) -> Iterator[str]:
    coarse = sorted(test_set.coarse.items(), key=lambda item: -item[1])
    if not coarse:
        return
    listed = [
        f"{shown(name)} ({counted(test_set.images[name], 'image')}, {100 * worth:.1f} points each)"
        for name, worth in coarse[:MAX_NAMED_CLASSES]
    ]
    if len(coarse) > MAX_NAMED_CLASSES:
        listed.append(f"{len(coarse) - MAX_NAMED_CLASSES} more")
    yield (
        f"One test image is worth more than the margin of {100 * test_set.margin:g} "
        f"point{'' if test_set.margin == 0.01 else 's'} in: {', '.join(listed)}."
    )
