"""Sentences about a comparison for readers without statistics, shown by the report and on the terminal."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from makeweight.comparison.power import POWER, Range
from makeweight.comparison.result import ContrastResult
from makeweight.comparison.test_sets import TestSet
from makeweight.core.choices import Choices
from makeweight.core.parameters import DataSettings, GenerateSettings, Parameters, families_of
from makeweight.core.plugins import find
from makeweight.core.study import Arm, base, control, control_arms
from makeweight.core.text import (
    amount,
    capitalised,
    counted,
    percent,
    points,
    possible_range,
    readable,
    rough,
    shown,
    valid_unicode,
)

FAMILIES = {
    "cgan": "GAN", "cvae": "VAE", "smote": "SMOTE", "gaussian": "Gaussian", "autoencoder": "autoencoder",
    "warp": "deformed",
}  # fmt: skip
METRICS = {
    "accuracy": "the percentage of test images that are classified correctly",
    "balanced_accuracy": "the percentage of test images that are classified correctly, computed for each class and "
    "then averaged, so that a rare class counts as much as a common one",
    "macro_f1": "the F1 score (harmonic mean of precision and recall), computed for each class and then averaged, in "
    "percent, so that a rare class counts as much as a common one",
}
MAX_NAMED_CLASSES = 5  # in one sentence


@dataclass(frozen=True, slots=True)
class ContrastText:
    """The sentences about one tested contrast.

    Attributes:
        answer: the verdict as one sentence.
        sentences: both means, the confidence interval, what a conclusive study needs, reservations.
    """

    answer: str
    sentences: tuple[str, ...]


def contrast_text(result: ContrastResult) -> ContrastText:
    """The sentences about a tested contrast."""
    if result.without_synthetic_images:
        return ContrastText(_answer(result), (_same_as_a_control(result),))
    sentences = [_both_means(result), _range_of_difference(result)]
    if result.verdict in {"helps", "hurts"}:
        sentences.append(_relevance(result))
    if result.verdict == "inconclusive":
        sentences += _required_study(result)
    if result.contrast.arm.transform != result.contrast.reference.transform:
        sentences.append(
            f"The control uses another transform (“{result.contrast.reference.transform}”): "
            "the difference is not due to the images alone."
        )
    if result.sign_flip_disagrees:
        sentences.append(
            "The exact sign-flip test over the runs, which does not account for other test images, disagrees "
            f"(p = {result.sign_flip_p:.2g})."
        )
    return ContrastText(_answer(result), tuple(sentences))


def based_on(test_set: TestSet, replicates: int, generate: GenerateSettings) -> list[str]:
    """The basis of the answers: runs, test images, classes in which one image counts much, real images shown."""
    grouped = (
        f" in {counted(test_set.groups, 'group')} of images that belong together"
        if test_set.groups < test_set.total
        else ""
    )
    basis = f"Based on {counted(replicates, 'run')} of each arm and {counted(test_set.total, 'test image')}{grouped}."
    name, size = test_set.smallest
    smallest = f"The smallest class, {quoted(name)}, has {counted(size, 'test image')}"
    return [basis, f"{smallest}{_coarse_classes(test_set)}.", exposure(generate)]


def other_fractions(choices: Choices, generate: GenerateSettings) -> list[str]:
    """The part of the batches that is synthetic in automatic arms, where it differs from the other generator arms."""
    by_fraction: dict[float, list[str]] = {}
    for arm, choice in choices.automatic.items():
        by_fraction.setdefault(choice.chosen.synthetic_fraction, []).append(str(arm))
    return [
        f"In {' and '.join(names)} they make up {percent(fraction, 0)}%."
        if fraction
        else f"There are none in the batches of {' and '.join(names)}."
        for fraction, names in by_fraction.items()
        if fraction != generate.synthetic_fraction
    ]


def other_base(parameters: Parameters) -> list[str]:
    """A reservation where generator arms are not built on the control: then the images are not the only difference."""
    source = control(parameters).source
    if (name := base(parameters, control(parameters))) == source:
        return []
    return [
        f"Arms with synthetic images use the batches and the loss of “{name}”, the control those of “{source}”: the "
        "difference is not due to the images alone."
    ]


def explanations(parameters: Parameters, test_set: TestSet) -> dict[str, str]:
    """What was compared: a sentence for each term."""
    reference, metric = control(parameters), parameters.compare.metric
    generated = Arm(parameters.generators[0], reference.transform)
    description = find("controls", reference.source).description
    return {
        "Arm": "one way to train the classifier: a source of training images and, after the hyphen, a transform (what "
        "is done to the images as they are shown). All arms train the same classifier "
        f"{_budgets(parameters.classifier.budgets)}.",
        f"Control ({reference})": f"the arm that the others are measured against, {description}.",
        f"With synthetic images (such as {generated})": "trained on real images and on images that a generator drew "
        f"after it was fitted to the training images{_base(parameters, reference)}.",
        "Run": "one repetition of everything from another random seed: generator, synthetic images, classifier.",
        capitalised(readable(metric)): f"{METRICS[metric]}. Differences are in percentage points.",
        "Data set": f"{_data_set(parameters.data)}, {counted(len(test_set.images), 'class', 'classes')}.",
        "Scope": "this data set, this split into training and test images, and these settings; other ones may differ.",
    }


def _budgets(budgets: tuple[int, ...]) -> str:
    if len(budgets) == 1:
        return "for the same number of steps"
    return f"with the same numbers of steps on offer: {' or '.join(f'{steps:,}' for steps in budgets)}"


def _base(parameters: Parameters, reference: Arm) -> str:
    if parameters.generate.strategy == "balance":
        return ""
    name = base(parameters, reference)
    return f", in the batches and with the loss of “{name}”: some images of each batch are replaced by these"


def quoted(name: str) -> str:
    """The name of a class, quoted for a sentence."""
    return f"“{shown(valid_unicode(name))}”"


def in_brief(result: ContrastResult) -> str:
    """The verdict on a tested contrast as one line, with the interval that it rests on."""
    if result.without_synthetic_images:
        return f"{result.contrast.arm}: chose no synthetic images"
    equivalent = result.verdict == "equivalent"
    interval = result.equivalence_interval if equivalent else result.interval
    low, high = possible_range(interval.low, interval.high, result.largest_possible)
    return (
        f"{result.contrast.arm}: {result.verdict}, {points(result.gain)} points "
        f"({points(low)} to {points(high)}, {100 * interval.level:.4g}% confidence interval)"
    )


def chosen(parameters: Parameters, choices: Choices) -> list[str]:
    """How the control and the budgets were chosen; nothing where the parameters name them.

    Args:
        parameters: of the study, with the chosen control.
        choices: of the study.
    """
    budgets = ", ".join(f"{steps:,}" for steps in parameters.classifier.budgets)
    how = (
        f"on validation images, by {counted(parameters.choice.replicates, 'training')} of each option that "
        f"{'is' if parameters.choice.replicates == 1 else 'are'} never scored on test images"
    )
    sentences = []
    candidates = len(control_arms(parameters))
    if choices.control is not None and candidates > 1:
        sentences.append(
            f"The control, {choices.control}, was chosen among {counted(candidates, 'arm')} without synthetic images "
            f"{how}."
        )
    for arm, choice in choices.automatic.items():
        way = "in the same way" if sentences else how
        sentences.append(
            f"{arm} trains on what was chosen among {counted(len(choice.scores), 'candidate')} {way}: {choice.chosen}."
        )
    if choices.steps:
        way = "in the same way" if sentences else how
        sentences.append(f"The number of steps of each arm was chosen among {budgets} {way}.")
    return sentences


def _images(result: ContrastResult) -> str:
    arm, reference = result.contrast.arm, result.contrast.reference
    families = families_of(arm.source if result.chosen is None else result.chosen.source)
    images = f"{' and '.join(FAMILIES.get(name, name) for name in families)} images"
    images = images if len(families) == 1 else f"{images} together"
    images = images if result.chosen is None else f"automatically chosen {images}"
    return images if arm.transform == reference.transform else f"{images} with the transform “{arm.transform}”"


def _answer(result: ContrastResult) -> str:
    if result.without_synthetic_images:
        return f"{capitalised(str(result.contrast.arm))} chose no synthetic images."
    images = _images(result)
    match result.verdict:
        case "helps":
            return capitalised(f"{images} help.")
        case "hurts":
            return capitalised(f"{images} hurt.")
        case "equivalent":
            return capitalised(f"{images} make no difference that matters (less than {amount(result.margin)}).")
    return f"We cannot tell whether {images} help."


def _same_as_a_control(result: ContrastResult) -> str:
    assert result.chosen is not None
    same, control_name = Arm(result.chosen.source, result.contrast.arm.transform), result.contrast.reference
    is_control = ", the control" if same == control_name else ""
    return (
        f"No candidate was better on validation images than none, beyond chance: {result.contrast.arm} is trained as "
        f"{same}{is_control}, and predicts the same."
    )


def _both_means(result: ContrastResult) -> str:
    reference = result.reference_mean
    return (
        f"{capitalised(readable(result.metric))} is {100 * (reference + result.gain):.2f}% with them "
        f"({result.contrast.arm}) and {100 * reference:.2f}% without them ({result.contrast.reference}, the control): "
        f"a difference of {points(result.gain)} points."
    )


def _range_of_difference(result: ContrastResult) -> str:
    equivalent = result.verdict == "equivalent"
    interval = result.equivalence_interval if equivalent else result.interval
    low, high = possible_range(interval.low, interval.high, result.largest_possible)
    most = ", the largest possible gain" if interval.high > result.largest_possible else ""
    adjusted = f", as {result.tests} contrasts share the error rate of 5%" if result.tests > 1 else ""
    meaning = {
        "inconclusive": ": it may be a loss or a gain",
        "equivalent": f": less than {amount(result.margin)} either way",
    }.get(str(result.verdict), "")
    return (
        f"The true difference probably lies between {points(low)} and {points(high)} points{most} "
        f"({100 * interval.level:.4g}% confidence interval{adjusted}){meaning}."
    )


def _relevance(result: ContrastResult) -> str:
    """Whether the difference is large enough to matter."""
    interval, noun = result.interval, "gain" if result.verdict == "helps" else "loss"
    least, most = sorted((abs(interval.low), abs(interval.high)))
    threshold = f"{amount(result.margin)}, the least that matters (compare.margin)"
    if least > result.margin:
        return f"Even the smallest {noun} in this range is more than {threshold}."
    if most < result.margin:
        return f"But every {noun} in this range is less than {threshold}."
    return f"The {noun} may be smaller than {threshold}."


def _required_study(result: ContrastResult) -> list[str]:
    possible, margin, analysis = result.largest_possible, amount(result.margin), result.power
    if possible < result.margin:
        return [
            f"No gain that matters is possible here: the control reaches {100 * result.reference_mean:.2f}%, and less "
            f"than {margin} does not matter (compare.margin)."
        ]
    assert analysis.detectable.value is not None
    assert analysis.power.value is not None
    if analysis.power.value >= POWER:
        return [
            f"A true gain of {margin} would have shown with a probability of {100 * analysis.power.value:.0f}%; more "
            "runs or test images make the range narrower."
        ]
    if analysis.detectable.value > possible:
        seen = f"This test was too small to show any gain that is possible here (at most {amount(round(possible, 3))})."
    else:
        seen = (
            f"A true gain of about {_detectable(analysis.detectable, possible)} would have shown with a probability of "
            f"{100 * POWER:.0f}%."
        )
    return [seen, f"To show a gain of {margin} with a probability of {100 * POWER:.0f}%, {_needed(result)}."]


def _detectable(effect: Range, possible: float) -> str:
    assert effect.value is not None
    assert effect.low is not None
    high = None if effect.high is None or effect.high > possible else effect.high
    most = f"{100 * possible:.1f}, the largest possible gain" if high is None else f"{rough(100 * high):g}"
    return f"{amount(rough(effect.value))} ({rough(100 * effect.low):g} to {most})"


def _needed(result: ContrastResult) -> str:
    grouped = result.components.units < result.images
    images = "group of test images" if grouped else "test image"
    plural = "groups of test images" if grouped else "test images"
    runs = counted(result.components.replicates, "run")
    ways = [
        f"about {_number(figure, one, many)} with the same {rest}"
        for figure, one, many, rest in (
            (result.power.replicates_needed, "run", "runs", "test images"),
            (result.power.images_needed, images, plural, runs),
        )
        if figure.value is not None
    ]
    if not ways:
        return f"neither more runs nor more {plural} alone would suffice: it would take more of both"
    alone = ""
    if len(ways) == 1:
        alone = f" (more {plural if result.power.images_needed.value is None else 'runs'} alone would not suffice)"
    return f"it would take {' or '.join(ways)}{alone}"


def _number(figure: Range, one: str, many: str) -> str:
    assert figure.value is not None
    low, value, high = (
        None if number is None else f"{rough(number):,.0f}" for number in (figure.low, figure.value, figure.high)
    )
    within = "" if low == value == high else f" ({low} or more)" if high is None else f" ({low} to {high})"
    return f"{value} {one if value == '1' else many}{within}"


def _coarse_classes(test_set: TestSet) -> str:
    coarse = sorted(test_set.coarse.items(), key=lambda item: -item[1])
    if not coarse:
        return ""
    metric, more = readable(test_set.metric), f"more than the {amount(test_set.margin)} that matters"
    if test_set.metric == "accuracy":
        return f"; one test image more or less changes accuracy by {amount(_worth(coarse[0][1]))}, {more}"
    listed = [f"{quoted(name)} ({amount(_worth(value))})" for name, value in coarse[:MAX_NAMED_CLASSES]]
    if len(coarse) > MAX_NAMED_CLASSES:
        listed.append(f"{counted(len(coarse) - MAX_NAMED_CLASSES, 'other class', 'other classes')}")
    joined = " and ".join(part for part in (", ".join(listed[:-1]), listed[-1]) if part)
    return f"; one test image more or less changes {metric} by {more} in {joined}"


def _worth(value: float) -> float:
    return float(f"{value:.3g}")


def _data_set(settings: DataSettings) -> str:
    if settings.path is None:
        return settings.reader
    return f"{quoted(Path(settings.path).name)} (reader {settings.reader})"


def exposure(settings: GenerateSettings) -> str:
    """One sentence: how many real images a generator arm shows, compared with its base."""
    if settings.strategy == "balance":
        return (
            "With synthetic images the classifier sees each real image less often than with oversampling: they take "
            "the place of repetitions."
        )
    share = f"{100 * settings.synthetic_fraction:.3g}%"
    return (
        f"Synthetic images make up {share} of each batch, so the classifier sees {share} fewer real images with them."
    )
