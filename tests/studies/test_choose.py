"""Choices by trainings that take no part in the comparison."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from makeweight.classification.fit import Training
from makeweight.core.choices import Choices, best
from makeweight.core.errors import BadInput
from makeweight.core.parameters import Parameters, read_parameters
from makeweight.core.seeds import derive
from makeweight.core.study import Arm
from makeweight.generators.fit import Fit
from makeweight.runtime.replicates import Replicate
from makeweight.studies import choose as module
from makeweight.studies.choose import choose
from tests.conftest import write_params
from tests.support.splits import halves

BUDGETS = {"classifier": {"steps": [4, 8]}}
NARROW: dict[str, Any] = {
    "transforms": ["plain"], "generators": ["gaussian", "smote"], "unions": ["gaussian+smote"],
    "choice": {"replicates": 2}, "compute": {"workers": 1, "device": "cpu"},
}  # fmt: skip


TRAIN, VALIDATION, GROUPS = halves((30, 6), 0), halves((12, 12), 1), np.arange(24)


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def parameters(*changes: dict[str, Any]) -> Parameters:
    return read_parameters(write_params(Path("params.yaml"), NARROW, *changes))


def cached() -> set[str]:
    return {path.name for path in Path(".makeweight/cache").glob("*")}


@pytest.mark.parametrize("change", [{}, {"controls": ["none"], "compare": {"control": "auto"}}])
def test_with_nothing_to_choose_nothing_is_trained(change: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "run_jobs", lambda *_, **__: pytest.fail("something was trained"))
    assert choose(parameters(change), TRAIN, VALIDATION, GROUPS) == Choices(Arm("none", "plain") if change else None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"controls": ["none", "logit_adjusted"], "classifier": {"mix": "mixup"}}, "does not suit mixed images"),
        ({"generate": {"base": "logit_adjusted"}, "classifier": {"mix": "mixup"}}, "does not suit mixed images"),
        ({"generate": {"filters": ["density"], "filtering": {"neighbours": 6}}}, "class 'right' has only 6 training"),
        ({"transforms": ["elastic"], "recipes": {"elastic": [{"Resize": {"height": 9, "width": 9}}]}}, "keep size"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_anything_is_trained(
    change: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "run_jobs", lambda *_, **__: pytest.fail("something was trained"))
    with pytest.raises(BadInput, match=message):
        choose(parameters(BUDGETS, change), TRAIN, VALIDATION, GROUPS)


def test_every_arm_gets_its_best_budget_and_the_best_control_arm_is_the_control() -> None:
    chosen = choose(parameters(BUDGETS, {"compare": {"control": "auto"}}), TRAIN, VALIDATION, GROUPS)
    sources = ["none", "oversample", "gaussian", "smote", "gaussian+smote"]
    assert [str(arm) for arm in chosen.scores] == [f"{source}-plain" for source in sources]
    for arm, by_steps in chosen.scores.items():
        assert list(by_steps) == [4, 8]
        assert [len(values) for values in by_steps.values()] == [2, 2]
        assert chosen.steps[arm] == best(chosen.scores, [arm])[1]
    assert chosen.control == best(chosen.scores, list(chosen.scores)[:2])[0]


def test_the_control_alone_is_chosen_without_any_generator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Fit, "__call__", lambda *_: pytest.fail("a generator was trained"))
    chosen = choose(parameters({"compare": {"control": "auto"}}), TRAIN, VALIDATION, GROUPS)
    assert [str(arm) for arm in chosen.scores] == ["none-plain", "oversample-plain"]
    assert chosen.steps == {}
    assert len(cached()) == 4


def test_no_test_image_is_seen_and_no_stream_is_shared_with_the_compared_trainings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trainings: list[Training | Fit] = []

    def watched(kind: type) -> None:
        original: Callable[..., None] = kind.__call__

        def call(self: Any, replicates: Sequence[Replicate]) -> None:
            trainings.append(self)
            original(self, replicates)

        monkeypatch.setattr(kind, "__call__", call)

    watched(Training)
    watched(Fit)
    choose(parameters(BUDGETS, {"seed": 5}), TRAIN, VALIDATION, GROUPS)
    assert {training.seed for training in trainings} == {derive(5, "choice")}
    classifiers = [training for training in trainings if isinstance(training, Training)]
    assert len(classifiers) == 5 * 2 * 2
    assert all(training.test is None for training in classifiers)
    assert not list(Path(".makeweight/cache").rglob("test.npz"))


def test_a_killed_choice_goes_on_where_it_stopped_with_the_same_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = BUDGETS, {"generators": ["gaussian"], "unions": []}
    whole, files = choose(parameters(*changes), TRAIN, VALIDATION, GROUPS), cached()
    again = tmp_path / "again"
    again.mkdir()
    monkeypatch.chdir(again)
    original = Training.__call__

    def killed_at_the_second_budget(self: Training, replicates: Sequence[Replicate]) -> None:
        if self.steps == 8:
            raise KeyboardInterrupt
        original(self, replicates)

    monkeypatch.setattr(Training, "__call__", killed_at_the_second_budget)
    with pytest.raises(KeyboardInterrupt):
        choose(parameters(*changes), TRAIN, VALIDATION, GROUPS)
    assert 0 < len(cached()) < len(files)
    monkeypatch.setattr(Training, "__call__", original)
    assert choose(parameters(*changes), TRAIN, VALIDATION, GROUPS) == whole
    assert cached() == files


def test_more_replicates_of_a_choice_train_only_the_new_ones() -> None:
    few = choose(parameters(BUDGETS, {"choice": {"replicates": 1}}), TRAIN, VALIDATION, GROUPS)
    before = cached()
    more = choose(parameters(BUDGETS), TRAIN, VALIDATION, GROUPS)
    assert before < cached()
    for arm, by_steps in few.scores.items():
        for steps, values in by_steps.items():
            assert more.scores[arm][steps][0] == values[0]
