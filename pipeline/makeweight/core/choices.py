"""What is chosen on validation images, and by which rule: budgets, the control, what automatic arms train on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import TypeAlias, TypeVar

from makeweight.core.errors import BadInput
from makeweight.core.parameters import ClassifierSettings, FilterName, GenerateSettings, Parameters
from makeweight.core.study import AUTO, Arm, control_arms
from makeweight.core.text import percent

DECIMALS = 9  # of mean scores: means that differ by less differ by rounding
Option = TypeVar("Option")
Scores: TypeAlias = Mapping[Option, Mapping[int, Sequence[float]]]  # of each training, by option and budget; in [0, 1]


@dataclass(frozen=True, slots=True)
class Candidate:
    """What an automatic arm may train on.

    Attributes:
        source: a family or a union; the source of the control where there are no synthetic images.
        synthetic_fraction: fraction of each batch that is synthetic; 0: the batches are those of the control.
        filters: of the drawn images.
    """

    source: str
    synthetic_fraction: float
    filters: tuple[FilterName, ...]

    @property
    def has_synthetic_images(self) -> bool:
        """Whether it is not the control itself."""
        return self.synthetic_fraction > 0

    def settings(self, generate: GenerateSettings) -> GenerateSettings:
        """The settings of its images: `generate` with its own filters and fraction; unchanged if it has no images."""
        if not self.has_synthetic_images:
            return generate
        own = {"synthetic_fraction": self.synthetic_fraction, "filters": self.filters}
        return generate.model_copy(update=own)

    def __str__(self) -> str:
        if not self.has_synthetic_images:
            return f"no synthetic images ({self.source})"
        filtered = f", filtered by {', '.join(self.filters)}" if self.filters else ""
        return f"{self.source}, {percent(self.synthetic_fraction, 0)}% synthetic{filtered}"


@dataclass(frozen=True, slots=True)
class Difference:
    """A candidate's difference from none on validation images, each at its best budget.

    Attributes:
        mean: over the trainings.
        standard_error: of the mean, for other trainings and other validation images of the same kind.
    """

    mean: float
    standard_error: float


@dataclass(frozen=True, slots=True)
class AutomaticChoice:
    """What an automatic arm was chosen to train on.

    Attributes:
        chosen: one of the candidates.
        steps: its budget.
        scores: of all candidates that were tried, on validation images; the first one has no synthetic images.
        differences: of the other candidates from the first one.
        left_out: candidates that were not tried, with the reason.
    """

    chosen: Candidate
    steps: int
    scores: Scores[Candidate]
    differences: Mapping[Candidate, Difference]
    left_out: Mapping[Candidate, str]


@dataclass(frozen=True, slots=True)
class Choices:
    """What was chosen on validation images.

    Attributes:
        control: the control arm; None: the parameters name it.
        steps: the budget of each arm; empty: there is one for all.
        scores: on validation images, by which the choices were made; empty: there was nothing to choose.
        automatic: of each automatic arm.
        made_from: the hash of each setting and split that the choices of automatic arms depend on; empty: there are no
            such arms.
    """

    control: Arm | None = None
    steps: Mapping[Arm, int] = field(default_factory=dict)
    scores: Scores[Arm] = field(default_factory=dict)
    automatic: Mapping[Arm, AutomaticChoice] = field(default_factory=dict)
    made_from: Mapping[str, str] = field(default_factory=dict)


NOTHING_CHOSEN = Choices()


def is_open(parameters: Parameters) -> bool:
    """Whether a control or a budget is left to be chosen."""
    return parameters.compare.control == AUTO or len(parameters.classifier.budgets) > 1


def best(scores: Scores[Option], options: Iterable[Option]) -> tuple[Option, int]:
    """The option and the budget with the highest mean score; ties: the smaller budget, then the earlier option."""
    pairs = [(option, steps) for option in options for steps in scores[option]]
    order = sorted(pairs, key=lambda pair: (-round(fmean(scores[pair[0]][pair[1]]), DECIMALS), pair[1]))
    return order[0]


def candidates(parameters: Parameters, control_arm: Arm) -> list[Candidate]:
    """All candidates of automatic arms, in the order in which they are tried as long as `auto.candidates` allows.

    No synthetic images come first. Then sources vary fastest, in the order of generators and unions, then fractions,
    then filters.
    """
    sources, auto = (*parameters.generators, *parameters.unions), parameters.auto
    return [
        Candidate(control_arm.source, 0.0, ()),
        *(
            Candidate(source, fraction, filters)
            for filters in auto.filters
            for fraction in auto.synthetic_fractions
            for source in sources
        ),
    ]


def best_candidate(scores: Scores[Candidate], differences: Mapping[Candidate, Difference]) -> tuple[Candidate, int]:
    """The candidate with the highest mean score and its budget, if it is better than the first one beyond chance.

    It must be better by more than one standard error of the difference; else the first candidate, without synthetic
    images, is chosen: the one-standard-error rule of Breiman et al. 1984, "Classification and regression trees",
    section 3.4.3, which takes the simplest option that is not clearly worse than the best one.

    Args:
        scores: of all candidates; the first one has no synthetic images.
        differences: of the other candidates from the first one.
    """
    first, *_ = scores
    chosen, steps = best(scores, scores)
    if chosen != first and differences[chosen].mean > differences[chosen].standard_error:
        return chosen, steps
    return best(scores, [first])


def budget(settings: ClassifierSettings, arm: Arm, choices: Choices) -> int:
    """The number of optimizer steps of an arm.

    Raises:
        BadInput: the choices are those of other budgets or other arms.
    """
    if len(settings.budgets) == 1:
        return settings.budgets[0]
    steps = choices.steps.get(arm)
    if steps not in settings.budgets:
        raise BadInput(f"no budget of classifier.steps was chosen for {arm}: run choose again")
    return steps


def automatic_choice(arm: Arm, choices: Choices) -> AutomaticChoice:
    """The choice of an automatic arm.

    Raises:
        BadInput: none was made.
    """
    if arm not in choices.automatic:
        raise BadInput(f"nothing was chosen for {arm}: run choose again")
    return choices.automatic[arm]


def control_arm(parameters: Parameters, choices: Choices) -> Arm:
    """The control arm that the parameters name or that was chosen; whether the study has it is not checked.

    Raises:
        BadInput: it was to be chosen and was not.
    """
    if parameters.compare.control != AUTO:
        return Arm.named(parameters.compare.control)
    if choices.control is None:
        raise BadInput("compare.control is auto, but no control arm was chosen: run choose again")
    return choices.control


def resolved(parameters: Parameters, choices: Choices) -> Parameters:
    """The parameters with the chosen control in place of `auto`.

    Raises:
        BadInput: the chosen arm is no control arm of these parameters.
    """
    if parameters.compare.control != AUTO:
        return parameters
    arm = control_arm(parameters, choices)
    if arm not in control_arms(parameters):
        raise BadInput(f"compare.control is auto, but {arm}, which was chosen, is no control arm: run choose again")
    compare = parameters.compare.model_copy(update={"control": str(arm)})
    return parameters.model_copy(update={"compare": compare})
