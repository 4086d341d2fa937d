"""Coverage of confidence intervals and error rates of verdicts in simulated studies.

python -m benchmarks.coverage [STUDIES] [WORD …]

STUDIES (10,000) simulated studies for each row; with words, only the rows whose name contains one of them. A wrong
verdict is *helps* or *hurts* where the true gain is zero, and *equivalent* where it is at least the margin of one
point.

    python -m benchmarks.coverage [STUDIES] classes

prints how often the intervals of all classes hold the true differences in recall.

    python -m benchmarks.coverage [STUDIES] automatic

prints what an automatic arm chooses in the logit model below, and how often it then helps or hurts. Three networks of
each candidate, and of none (no synthetic images), take part in the choice: by the highest mean, or by the rule of
`best_candidate`. If none is chosen, the arm equals the reference, and neither helps nor hurts.

- *crossed*: a logit model. An image has a difficulty that both arms share and one of its own for each arm; a replicate
  of an arm has a skill; whether an image is classified correctly is a Bernoulli draw. Groups add a difficulty that
  their images share.
- *nested*: all replicates agree, and the reference is right on no image on which the arm is wrong. Most studies of few
  images then see no discordant image at all.
- *independent*: all replicates agree, and arms are right independently of each other.
- *choice*: the logit model with several options (budgets, controls, settings) of each arm, all equally good, of which
  the best one by validation images is tested. It is chosen by the tested networks themselves (one option for all
  replicates, or one for each replicate), or by three networks of each option that take no part in the test.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, Protocol

import joblib
import numpy as np
from numpy.typing import NDArray
from scipy import special

from makeweight.comparison.classes import class_gains
from makeweight.comparison.inference import ALPHA, fixed_test_set, for_equivalence, new_test_images, verdict
from makeweight.comparison.influence import contributions
from makeweight.comparison.variance_components import variance_components
from makeweight.core.choices import Candidate, Difference, best, best_candidate
from makeweight.core.metrics import Metric

MARGIN, STUDIES_OF_A_PART = 0.01, 250
SEPARATE = 3  # networks of each option by which it is chosen, as `choice.replicates`
LONG_TAIL = (200, 120, 72, 43, 26, 15, 9, 6, 3, 2)
Networks = Literal["separate networks", "tested networks", "tested networks, each replicate for itself"]
Right = NDArray[np.bool_]  # [replicates, images]


class Model(Protocol):
    """Draws which images each arm classifies correctly."""

    def draw(self, rng: np.random.Generator, design: Design) -> tuple[list[Right], Right]:
        """The generator arms' and the reference's, each bool [replicates, images]."""
        ...

    def truths(self, design: Design) -> NDArray[np.float64]:
        """The true gain of the first arm in the recall of each class."""
        ...


@dataclass(frozen=True)
class Design:
    """A kind of study.

    Attributes:
        name: of the row.
        model: draws its predictions.
        labels: of the test images.
        replicates: of each arm.
        groups: of the test images; None: each image is one.
        arms: arms that are tested against one reference, all at an adjusted level.
        metric: that they are compared by.
    """

    name: str
    model: Model
    labels: NDArray[np.int64]
    replicates: int = 5
    groups: NDArray[np.int64] | None = None
    arms: int = 1
    metric: Metric = "balanced_accuracy"

    @property
    def classes(self) -> int:
        """Number of classes."""
        return int(self.labels.max()) + 1

    @property
    def truth(self) -> float:
        """The true gain of the first arm; in these designs that of all three metrics is the mean over classes."""
        return float(self.model.truths(self).mean())

    @property
    def units(self) -> NDArray[np.int64]:
        """The group of each image."""
        return np.arange(len(self.labels)) if self.groups is None else self.groups


@dataclass(frozen=True)
class Crossed:
    """See the module. Standard deviations in logits; `shift` is the arms' advantage over the reference."""

    skill: float = 0.1
    shift: float = 0.0
    mean: float = 2.5
    shared: float = 1.5
    own: float = 0.7
    of_group: float = 0.0
    own_of_group: float = 0.0
    of_class: Sequence[float] = field(default=())

    def draw(self, rng: np.random.Generator, design: Design) -> tuple[list[Right], Right]:
        """See `Model`."""
        n, groups = len(design.labels), design.units
        easy = self.mean + self.shared * rng.standard_normal(n)
        easy += self.of_group * rng.standard_normal(groups.max() + 1)[groups]
        if self.of_class:
            easy += np.array(self.of_class)[design.labels]

        def arm(shift: float) -> Right:
            own = self.own * rng.standard_normal(n)
            own += self.own_of_group * rng.standard_normal(groups.max() + 1)[groups]
            skill = self.skill * rng.standard_normal((design.replicates, 1))
            right: Right = rng.random((design.replicates, n)) < special.expit(easy + own + shift + skill)
            return right

        return [arm(self.shift) for _ in range(design.arms)], arm(0.0)

    def truths(self, design: Design) -> NDArray[np.float64]:
        """See `Model`."""
        nodes, weights = np.polynomial.hermite_e.hermegauss(100)
        deviation = np.sqrt(self.shared**2 + self.own**2 + self.skill**2 + self.of_group**2 + self.own_of_group**2)
        of_class = np.array(self.of_class or [0.0] * design.classes)
        centres = self.mean + of_class[:, None] + deviation * nodes
        gains = special.expit(centres + self.shift) - special.expit(centres)
        truths: NDArray[np.float64] = gains @ weights / weights.sum()
        return truths


@dataclass(frozen=True)
class Fixed:
    """Recalls of each class, the same in all replicates; `nested` or independent."""

    arm: Sequence[float]
    reference: Sequence[float]
    nested: bool

    def draw(self, rng: np.random.Generator, design: Design) -> tuple[list[Right], Right]:
        """See `Model`."""
        first = rng.random(len(design.labels))
        second = first if self.nested else rng.random(len(design.labels))
        arm, reference = first < np.array(self.arm)[design.labels], second < np.array(self.reference)[design.labels]
        return [np.tile(arm, (design.replicates, 1))], np.tile(reference, (design.replicates, 1))

    def truths(self, design: Design) -> NDArray[np.float64]:
        """See `Model`."""
        truths: NDArray[np.float64] = np.array(self.arm) - np.array(self.reference)
        return truths


@dataclass(frozen=True)
class Chosen:
    """See the module.

    Attributes:
        options: of the reference, and of the arm.
        how: the networks by which the options are chosen.
        validation: labels of the validation images.
        skill: standard deviation of networks, in logits, as in `Crossed`.
    """

    options: tuple[int, int]
    how: Networks
    validation: NDArray[np.int64]
    skill: float

    def draw(self, rng: np.random.Generator, design: Design) -> tuple[list[Right], Right]:
        """See `Model`."""
        model = Crossed(self.skill)
        easy = [
            model.mean + model.shared * rng.standard_normal(len(labels)) for labels in (self.validation, design.labels)
        ]
        reference, arm = (self._arm(rng, design.replicates, easy, options, model.own) for options in self.options)
        return [arm], reference

    def _arm(
        self, rng: np.random.Generator, replicates: int, easy: Sequence[NDArray[np.float64]], options: int, own: float
    ) -> Right:
        """The predictions of the networks with the chosen option for the test images."""
        networks = replicates + SEPARATE
        skill = self.skill * rng.standard_normal((options, networks, 1))
        validation, test = (
            special.expit(ease + own * rng.standard_normal((options, 1, len(ease))) + skill) for ease in easy
        )
        right = rng.random(validation.shape) < validation
        scores = np.mean([right[..., self.validation == label].mean(2) for label in np.unique(self.validation)], 0)
        match self.how:
            case "separate networks":
                best = np.full(replicates, scores[:, replicates:].mean(1).argmax())
            case "tested networks":
                best = np.full(replicates, scores[:, :replicates].mean(1).argmax())
            case _:
                best = scores[:, :replicates].argmax(0)
        probabilities = test[best, np.arange(replicates)]
        chosen: Right = rng.random(probabilities.shape) < probabilities
        return chosen

    def truths(self, design: Design) -> NDArray[np.float64]:
        """See `Model`; all options are equally good."""
        return np.zeros(design.classes)


def simulate(design: Design, part: int, studies: int) -> dict[str, float]:
    """Sums of the figures of one row over `studies` studies."""
    rng = np.random.default_rng([part, *design.name.encode()])
    truth, alpha = design.truth, ALPHA / design.arms
    sums = dict.fromkeys(("holds", "width", "wrong", "any_wrong", "equivalent", "fixed_holds", "fixed_calls", "bias",
                          "helps"), 0.0)  # fmt: skip
    for _ in range(studies):
        arms, reference = design.model.draw(rng, design)
        right = partial(_contributions, design)
        calls = []
        for number, arm in enumerate(arms):
            difference = right(arm) - right(reference)
            gain = float(difference.values.mean())
            components = variance_components(difference, design.units)
            estimate = new_test_images(gain, components)
            result = verdict(estimate, for_equivalence(gain, components), MARGIN, alpha)
            calls.append(result in {"helps", "hurts"})
            if number == 0:
                interval, fixed = estimate.interval(alpha), fixed_test_set(difference.values)
                sums["holds"] += interval.low <= truth <= interval.high
                sums["width"] += interval.high - interval.low
                sums["equivalent"] += result == "equivalent"
                sums["wrong"] += calls[0]
                sums["bias"] += gain - truth
                sums["helps"] += result == "helps"
                if fixed is not None:
                    of_seeds = fixed.interval(alpha)
                    sums["fixed_holds"] += of_seeds.low <= truth <= of_seeds.high
                    sums["fixed_calls"] += not of_seeds.low <= 0 <= of_seeds.high
        sums["any_wrong"] += any(calls)
    return sums


@dataclass(frozen=True)
class AutomaticArm:
    """See the module.

    Attributes:
        world: what the candidates are like.
        shifts: their advantage over none, in logits.
        one_standard_error: whether none is chosen unless the best candidate is better by more than one standard error.
    """

    world: str
    shifts: Sequence[float]
    one_standard_error: bool

    def study(self, rng: np.random.Generator, design: Design, validation: NDArray[np.int64]) -> tuple[int, str]:
        """The candidate that is chosen (0: none) and the verdict on it, for one study."""
        model, networks = Crossed(), SEPARATE + design.replicates
        skill = model.skill * rng.standard_normal((1 + len(self.shifts), networks, 1))
        level = skill + np.array([0.0, *self.shifts])[:, None, None]

        def right(labels: NDArray[np.int64]) -> Right:
            easy = model.mean + model.shared * rng.standard_normal(len(labels))
            own = model.own * rng.standard_normal((len(level), 1, len(labels)))
            drawn: Right = rng.random((len(level), networks, len(labels))) < special.expit(easy + own + level)
            return drawn

        chosen = self._choose(right(validation)[:, :SEPARATE], validation)
        if chosen == 0:
            return 0, "none chosen"
        on_test = right(design.labels)[:, SEPARATE:]
        difference = _contributions(design, on_test[chosen]) - _contributions(design, on_test[0])
        gain, components = float(difference.values.mean()), variance_components(difference, design.units)
        estimates = new_test_images(gain, components), for_equivalence(gain, components)
        return chosen, verdict(*estimates, MARGIN, ALPHA)

    def _choose(self, right: Right, labels: NDArray[np.int64]) -> int:
        recalls = np.mean([right[..., labels == label].mean(2) for label in np.unique(labels)], 0)
        numbered = [Candidate(str(number), float(number > 0), ()) for number in range(len(recalls))]
        scores = {option: {0: values} for option, values in zip(numbered, recalls.tolist(), strict=True)}
        highest, _ = best(scores, scores)
        if not self.one_standard_error:
            return numbered.index(highest)
        design = Design("", Crossed(), labels)
        paired = _contributions(design, right[numbered.index(highest)]) - _contributions(design, right[0])
        variance = variance_components(paired, design.units).total.value
        differences = {highest: Difference(float(paired.values.mean()), variance**0.5)}  # others are not asked for
        return numbered.index(best_candidate(scores, differences)[0])

    def row(self, studies: int) -> str:
        """A row of the table: the frequencies in percent, and the mean true gain in points."""
        rng = np.random.default_rng([*self.world.encode()])
        results = [self.study(rng, Design("", Crossed(), TEN), TEN) for _ in range(studies)]
        gains = [100 * Design("", Crossed(shift=shift), TEN).truth for shift in (0.0, *self.shifts)]
        calls = [call for _, call in results]
        shares = [100 * calls.count(name) / studies for name in ("none chosen", "helps", "hurts")]
        rule = "one standard error" if self.one_standard_error else "highest mean"
        cells = [*(f"{share:.1f}" for share in shares), f"{np.mean([gains[chosen] for chosen, _ in results]):+.2f}"]
        return f"| {self.world} | {rule} | {' | '.join(cells)} |"


def simulate_classes(design: Design, part: int, studies: int) -> dict[str, float]:
    """The same for the intervals of all classes: how often all hold, and the means of each over the classes."""
    rng = np.random.default_rng([part, *design.name.encode()])
    truths = design.model.truths(design)
    sums = dict.fromkeys(("all_hold", "holds", "width"), 0.0)
    for _ in range(studies):
        arms, reference = design.model.draw(rng, design)
        rows = class_gains(design.labels, design.units, *(_predicted(design, right) for right in (arms[0], reference)))
        hold = [row.interval.low <= truths[row.label] <= row.interval.high for row in rows]
        sums["all_hold"] += all(hold)
        sums["holds"] += float(np.mean(hold))
        sums["width"] += float(np.mean([row.interval.high - row.interval.low for row in rows]))
    return sums


def _contributions(design: Design, right: Right) -> Any:
    return contributions(design.metric, design.labels, _predicted(design, right))


def _predicted(design: Design, right: Right) -> NDArray[np.int64]:
    wrong = (design.labels + 1) % design.classes  # no recall depends on which other class it is
    return np.where(right, design.labels, wrong)


def _labels(*images: int) -> NDArray[np.int64]:
    return np.repeat(np.arange(len(images)), images)


HOW: tuple[Networks, ...] = (
    "separate networks", "tested networks", "tested networks, each replicate for itself"
)  # fmt: skip
TEN, TAIL = _labels(*[36] * 10), _labels(*LONG_TAIL)
RARE_AT_90 = [0.99] * 6 + [0.9] * 4
BY_PATIENT = [np.arange(360) // size for size in (10, 20)]
GROUPED = Crossed(of_group=1.0, own_of_group=1.0)
DESIGNS = [
    *(
        Design(f"crossed, 360 images, K = {k}, skill {skill}, shift {shift}", Crossed(skill, shift), TEN, k)
        for k in (2, 3, 5, 10, 30)
        for skill in (0.0, 0.1, 0.3)
        for shift in (0.0, 0.3)
        if k > 3 or (skill, shift) == (0.3, 0.0)
    ),
    *(
        Design(f"crossed, 10,000 images, K = {k}, shift {shift}", Crossed(0.1, shift), _labels(*[1000] * 10), k)
        for k in (5, 10, 30)
        for shift in (0.0, 0.3)
    ),
    *(Design(f"crossed, 360 images, {metric}", Crossed(), TEN, metric=metric) for metric in ("accuracy", "macro_f1")),
    Design("nested, 300 + 3 images", Fixed((0.95, 0.95), (0.95, 0.85), nested=True), _labels(300, 3)),
    Design("nested, 300 + 10 images", Fixed((0.95, 0.95), (0.95, 0.85), nested=True), _labels(300, 10)),
    Design("nested, long tail, 99% against 90% in the rare classes", Fixed([0.99] * 10, RARE_AT_90, nested=True), TAIL),
    Design("nested, 100 images", Fixed((0.99, 0.99), (0.975, 0.975), nested=True), _labels(50, 50)),
    Design("nested, 360 images, gain of the margin", Fixed((0.99, 0.99), (0.98, 0.98), nested=True), _labels(180, 180)),
    Design("nested, 360 images, ten classes, gain of the margin", Fixed([0.99] * 10, [0.98] * 10, nested=True), TEN),
    Design("independent, 300 + 3 images", Fixed((0.97, 0.9), (0.97, 0.9), nested=False), _labels(300, 3)),
    Design("independent, 300 + 10 images", Fixed((0.97, 0.9), (0.97, 0.9), nested=False), _labels(300, 10)),
    Design("independent, long tail, 99% and 90%", Fixed(RARE_AT_90, RARE_AT_90, nested=False), TAIL),
    Design("independent, long tail, 80%", Fixed([0.8] * 10, [0.8] * 10, nested=False), TAIL),
    Design("independent, 2 images", Fixed((0.7, 0.7), (0.7, 0.7), nested=False), _labels(1, 1)),
    Design("crossed, 72 images of six classes", Crossed(0.2), _labels(24, 18, 12, 10, 6, 2)),
    *(
        Design(f"crossed, long tail, rare classes harder, shift {shift}",
               Crossed(shift=shift, of_class=tuple(np.linspace(2, -1.5, 10))), TAIL)
        for shift in (0.0, 0.5)
    ),
    *(
        Design(f"crossed, 1,000 images, above 99%, shift {shift}", Crossed(shift=shift, mean=7.0), _labels(*[100] * 10))
        for shift in (0.0, 1.0)
    ),
    *(
        Design(f"crossed, {360 // size} groups of {size}, {kind}", GROUPED, labels, groups=groups)
        for groups, size in zip(BY_PATIENT, (10, 20), strict=True)
        for kind, labels in (("one class each", groups % 3), ("spanning classes", np.tile(np.arange(4), 90)))
    ),
    Design("crossed, 18 groups of 20, spanning classes, one in 3 groups", GROUPED,
           np.repeat([1, 0], [60, 300]), groups=BY_PATIENT[1]),
    *(
        Design(f"crossed, 360 images, {arms} arms against one reference, skill {skill}", Crossed(skill), TEN, arms=arms)
        for arms in (4, 20)
        for skill in (0.1, 0.3)
    ),
    *(
        Design(f"choice: the best of {options[1]} options against that of {options[0]} by {how}, skill {skill}",
               Chosen(options, how, TEN, skill), TEN)
        for skill in (0.1, 0.3)
        for options in ((1, 24), (2, 24))
        for how in HOW
    ),
]  # fmt: skip
GAIN = Crossed(shift=0.5)
CLASS_DESIGNS = [
    Design("10 classes of 36 images", GAIN, TEN),
    Design("10 classes of 36 images, K = 2", GAIN, TEN, 2),
    Design("10 classes of 36 images, K = 30", GAIN, TEN, 30),
    Design("10 classes of 1,000 images", GAIN, _labels(*[1000] * 10)),
    Design("long tail, 200 to 2 images, rare classes harder",
           Crossed(shift=0.5, of_class=tuple(np.linspace(2, -1.5, 10))), TAIL),
    Design("30 classes of 5 images", GAIN, _labels(*[5] * 30)),
    Design("100 classes of 20 images", GAIN, _labels(*[20] * 100)),
    Design("3 classes in 36 groups of 10, one class each", GROUPED, BY_PATIENT[0] % 3, groups=BY_PATIENT[0]),
    Design("4 classes in 36 groups of 10, spanning classes", GROUPED, np.tile(np.arange(4), 90), groups=BY_PATIENT[0]),
    Design("4 classes in 18 groups of 20, spanning classes", GROUPED, np.tile(np.arange(4), 90), groups=BY_PATIENT[1]),
    Design("nested, 10 classes of 36 images, 80% against 60%", Fixed([0.8] * 10, [0.6] * 10, nested=True), TEN),
    Design("nested, 10 classes of 100 images, 80% against 60%",
           Fixed([0.8] * 10, [0.6] * 10, nested=True), _labels(*[100] * 10)),
    Design("nested, 10 classes of 100 images, 97% against 90%",
           Fixed([0.97] * 10, [0.9] * 10, nested=True), _labels(*[100] * 10)),
    Design("independent, 10 classes of 36 images, 90% against 60%",
           Fixed([0.9] * 10, [0.6] * 10, nested=False), TEN),
]  # fmt: skip

AUTOMATIC = [
    AutomaticArm(world, shifts, one_standard_error)
    for world, shifts in (
        ("12 candidates as good as none", [0.0] * 12),
        ("12 candidates, all harmful (-0.3)", [-0.3] * 12),
        ("12 candidates, 11 harmful (-0.3), one good (+0.3)", [-0.3] * 11 + [0.3]),
    )
    for one_standard_error in (False, True)
]


def main(studies: int, words: Sequence[str]) -> None:
    """Print a row for each design."""
    if list(words) == ["classes"]:
        _print_classes(studies)
        return
    if list(words) == ["automatic"]:
        _print_automatic(studies)
        return
    print(f"{studies} studies a row; how often in %, widths in points")
    print("| design | true gain | interval holds it | width | helps or hurts | any of all arms | equivalent "
          "| interval over seeds: holds it | calls | bias | helps |")  # fmt: skip
    print("|" + 11 * "---|")
    chosen = [design for design in DESIGNS if not words or any(word in design.name for word in words)]
    for design, mean in _means(simulate, chosen, studies):
        cells = [f"{mean[key]:.1f}" for key in ("holds", "width", "wrong", "any_wrong", "equivalent", "fixed_holds",
                                                "fixed_calls")]  # fmt: skip
        cells += [f"{mean['bias']:+.2f}", f"{mean['helps']:.1f}"]
        print(f"| {design.name} | {100 * design.truth:.2f} | " + " | ".join(cells) + " |", flush=True)


def _print_classes(studies: int) -> None:
    print(f"{studies} studies a row; how often in %, widths in points")
    print("| design | all intervals hold | each holds | its level | its width |")
    print("|" + 5 * "---|")
    for design, mean in _means(simulate_classes, CLASS_DESIGNS, studies):
        level = 100 * (1 - ALPHA / len(np.unique(design.labels)))
        print(f"| {design.name} | {mean['all_hold']:.1f} | {mean['holds']:.2f} | {level:.4g} | {mean['width']:.1f} |",
              flush=True)  # fmt: skip


def _print_automatic(studies: int) -> None:
    print(f"{studies} studies a row")
    print("| candidates | rule | none chosen, % | helps, % | hurts, % | mean true gain, points |\n|" + 6 * "---|")
    for arm in AUTOMATIC:
        print(arm.row(studies), flush=True)


def _means(
    simulation: Callable[[Design, int, int], dict[str, float]], designs: Sequence[Design], studies: int
) -> Iterator[tuple[Design, dict[str, float]]]:
    """Each design with the means of the figures of its studies, times 100."""
    parts = [min(STUDIES_OF_A_PART, studies - start) for start in range(0, studies, STUDIES_OF_A_PART)]
    with joblib.Parallel(n_jobs=-1) as parallel:
        for design in designs:
            sums = parallel(joblib.delayed(simulation)(design, part, size) for part, size in enumerate(parts))
            yield design, {key: 100 * sum(of_part[key] for of_part in sums) / studies for key in sums[0]}


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000, sys.argv[2:])
