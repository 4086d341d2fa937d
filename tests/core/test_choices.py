"""The rule of the choices, and choices that do not fit the parameters."""

from __future__ import annotations

from pathlib import Path

import pytest

from makeweight.core.choices import NOTHING_CHOSEN, Choices, best, budget, is_open, resolved
from makeweight.core.errors import BadInput
from makeweight.core.parameters import Parameters, read_parameters
from makeweight.core.study import Arm, control
from tests.conftest import write_params

FIRST, SECOND = Arm("none", "plain"), Arm("oversample", "plain")


def parameters(folder: Path, **changes: object) -> Parameters:
    return read_parameters(write_params(folder / "params.yaml", changes))


def test_the_highest_mean_wins() -> None:
    scores = {FIRST: {10: (0.5, 0.7), 20: (0.9, 0.2)}, SECOND: {10: (0.1, 0.2), 20: (0.6, 0.61)}}
    assert best(scores, scores) == (SECOND, 20)
    assert best(scores, [FIRST]) == (FIRST, 10)


def test_ties_go_to_the_smaller_budget_and_then_to_the_earlier_arm() -> None:
    assert best({FIRST: {10: (0.5,), 20: (0.9,)}, SECOND: {10: (0.9,), 20: (0.8,)}}, [FIRST, SECOND]) == (SECOND, 10)
    assert best({FIRST: {10: (0.9,)}, SECOND: {10: (0.9,)}}, [FIRST, SECOND]) == (FIRST, 10)
    rounding = (0.1 + 0.2, 0.3)  # not equal as floating-point numbers
    assert best({FIRST: {10: (rounding[1],), 20: (rounding[0],)}}, [FIRST]) == (FIRST, 10)


def test_one_budget_and_a_named_control_leave_nothing_to_choose(tmp_path: Path) -> None:
    assert not is_open(parameters(tmp_path))
    assert is_open(parameters(tmp_path, classifier={"steps": [5, 6]}))
    assert is_open(parameters(tmp_path, compare={"control": "auto"}))


def test_an_arm_has_the_only_budget_or_the_chosen_one(tmp_path: Path) -> None:
    one, two = (parameters(tmp_path, classifier={"steps": steps}).classifier for steps in (5, [5, 6]))
    assert budget(one, FIRST, NOTHING_CHOSEN) == 5
    assert budget(two, FIRST, Choices(steps={FIRST: 6})) == 6
    for stale in (NOTHING_CHOSEN, Choices(steps={FIRST: 7}), Choices(steps={SECOND: 6})):
        with pytest.raises(
            BadInput, match=r"no budget of classifier\.steps was chosen for none-plain: run choose again"
        ):
            budget(two, FIRST, stale)


def test_the_chosen_control_takes_the_place_of_auto(tmp_path: Path) -> None:
    named, auto = parameters(tmp_path), parameters(tmp_path, compare={"control": "auto"})
    assert resolved(named, Choices(FIRST)) is named
    assert control(resolved(auto, Choices(FIRST))) == FIRST
    for stale in (NOTHING_CHOSEN, Choices(Arm("none", "gone"))):
        with pytest.raises(BadInput, match=r"no control arm.*: run choose again"):
            resolved(auto, stale)
