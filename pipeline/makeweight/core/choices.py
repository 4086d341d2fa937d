"""What is chosen on validation images, and by which rule: the budget of each arm, and the control."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import TypeAlias

from makeweight.core.errors import BadInput
from makeweight.core.parameters import ClassifierSettings, Parameters
from makeweight.core.study import AUTO, Arm, control_arms

DECIMALS = 9  # of mean scores: means that differ by less differ by rounding
Scores: TypeAlias = Mapping[Arm, Mapping[int, Sequence[float]]]  # of each training, by arm and budget; in [0, 1]


@dataclass(frozen=True, slots=True)
class Choices:
    """What was chosen on validation images.

    Attributes:
        control: the control arm; None: the parameters name it.
        steps: the budget of each arm; empty: there is one for all.
        scores: on validation images, by which the choices were made; empty: there was nothing to choose.
    """

    control: Arm | None = None
    steps: Mapping[Arm, int] = field(default_factory=dict)
    scores: Scores = field(default_factory=dict)


NOTHING_CHOSEN = Choices()


def is_open(parameters: Parameters) -> bool:
    """Whether anything is left to be chosen."""
    return parameters.compare.control == AUTO or len(parameters.classifier.budgets) > 1


def best(scores: Scores, arms: Iterable[Arm]) -> tuple[Arm, int]:
    """The arm of `arms` and the budget with the highest mean score; ties: the smaller budget, then the earlier arm."""
    options = [(arm, steps) for arm in arms for steps in scores[arm]]
    order = sorted(options, key=lambda option: (-round(fmean(scores[option[0]][option[1]]), DECIMALS), option[1]))
    return order[0]


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
