"""The rule of the choices, and choices that do not fit the parameters."""

from __future__ import annotations

from pathlib import Path

import pytest

from makeweight.core.choices import (
    NOTHING_CHOSEN,
    Candidate,
    Choices,
    Difference,
    automatic_choice,
    best,
    best_candidate,
    budget,
    candidates,
    is_open,
    resolved,
)
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
        with pytest.raises(BadInput, match=r"no(t a)? control arm.*: run choose again"):
            resolved(auto, stale)


NONE, CGAN, SMOTE = Candidate("none", 0.0, ()), Candidate("cgan", 0.5, ()), Candidate("smote", 0.25, ("agreement",))


def test_candidates_begin_with_none_then_sources_fractions_and_filters_vary(tmp_path: Path) -> None:
    chosen = parameters(
        tmp_path, generators=["cgan", "smote"], unions=["cgan+smote"],
        auto={"synthetic_fractions": [0.25, 0.5], "filters": [[], ["agreement", "density"]]},
    )  # fmt: skip
    found = [str(candidate) for candidate in candidates(chosen, Arm("weighted", "plain"))]
    assert found[:5] == [
        "no synthetic images (weighted)",
        "cgan, 25% synthetic", "smote, 25% synthetic", "cgan+smote, 25% synthetic",
        "cgan, 50% synthetic",
    ]  # fmt: skip
    assert found[-1] == "cgan+smote, 50% synthetic, filtered by agreement, density"
    assert len(found) == 1 + 3 * 2 * 2


def test_a_candidate_has_settings_of_its_own_and_none_has_those_of_the_study(tmp_path: Path) -> None:
    generate = parameters(tmp_path).generate
    assert NONE.settings(generate) is generate
    own = SMOTE.settings(generate)
    assert (own.synthetic_fraction, own.filters, own.per_class) == (0.25, ("agreement",), generate.per_class)


def test_the_best_candidate_is_taken_if_it_beats_none_by_more_than_one_standard_error() -> None:
    scores = {NONE: {10: (0.5,)}, SMOTE: {10: (0.55,)}, CGAN: {10: (0.6,)}}
    clear, unclear = Difference(0.1, 0.09), Difference(0.1, 0.1)
    assert best_candidate(scores, {SMOTE: clear, CGAN: clear}) == (CGAN, 10)
    assert best_candidate(scores, {SMOTE: clear, CGAN: unclear}) == (NONE, 10)  # only the best one counts


def test_ties_of_candidates_go_to_none_and_then_to_the_earlier_one() -> None:
    none, better = {10: (0.5, 0.6)}, {10: (0.6, 0.7)}
    clear = dict.fromkeys((CGAN, SMOTE), Difference(0.1, 0.0))
    assert best_candidate({NONE: none, CGAN: none}, clear) == (NONE, 10)
    assert best_candidate({NONE: none, SMOTE: better, CGAN: better}, clear) == (SMOTE, 10)


def test_none_has_its_own_best_budget() -> None:
    scores = {NONE: {10: (0.5,), 20: (0.7,)}, CGAN: {10: (0.6,), 20: (0.3,)}}
    assert best_candidate(scores, {CGAN: Difference(-0.1, 0.0)}) == (NONE, 20)


def test_an_automatic_arm_without_a_choice_is_an_error() -> None:
    with pytest.raises(BadInput, match=r"nothing was chosen for auto-plain: run choose again"):
        automatic_choice(Arm("auto", "plain"), NOTHING_CHOSEN)
