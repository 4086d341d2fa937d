"""Automatic arms: what they choose on validation images, and what they are trained on then."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from makeweight.classification.fit import Training
from makeweight.core.choices import AutomaticChoice, Candidate, Choices, best_candidate
from makeweight.core.errors import BadInput
from makeweight.core.parameters import Parameters, read_parameters
from makeweight.core.seeds import derive
from makeweight.core.study import Arm
from makeweight.generators.automatic import draw_chosen
from makeweight.runtime.choices import made_from, read_choices, write_choices
from makeweight.runtime.replicates import Replicate
from makeweight.runtime.splits import read_split, write_split
from makeweight.studies.choose import choose
from tests.conftest import Invoke, write_params
from tests.support.splits import halves

ARM, NONE = Arm("auto", "plain"), Candidate("oversample", 0.0, ())
CHANGES: dict[str, Any] = {
    "automatic": ["auto"], "transforms": ["plain"], "generators": ["gaussian", "smote"], "controls": ["oversample"],
    "unions": ["gaussian+smote"], "classifier": {"steps": 4}, "choice": {"replicates": 2},
    "generate": {"per_class": 6}, "auto": {"synthetic_fractions": [0.25], "filters": [[], ["agreement"]]},
    "compute": {"workers": 1, "device": "cpu"},
}  # fmt: skip


SPLITS = {"train": halves((30, 6), 0), "validation": halves((12, 12), 1), "test": halves((9, 9), 2)}

GROUPS = np.arange(24)


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("makeweight.runtime.plugin_code.of_code", lambda *_: "code")  # takes seconds in sum


def parameters(*changes: dict[str, Any]) -> Parameters:
    return read_parameters(write_params(Path("params.yaml"), CHANGES, *changes))


def test_candidates_are_tried_by_trainings_that_take_no_part_in_the_comparison(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trainings: list[Training] = []
    original = Training.__call__

    def call(self: Training, replicates: Sequence[Replicate]) -> None:
        trainings.append(self)
        original(self, replicates)

    monkeypatch.setattr(Training, "__call__", call)
    chosen = choose(parameters({"seed": 5}), SPLITS["train"], SPLITS["validation"], GROUPS)
    choice = chosen.automatic[ARM]
    assert list(choice.scores) == [
        NONE,
        *(Candidate(source, 0.25, ()) for source in ("gaussian", "smote", "gaussian+smote")),
        *(Candidate(source, 0.25, ("agreement",)) for source in ("gaussian", "smote", "gaussian+smote")),
    ]
    assert all(len(by_steps[4]) == 2 for by_steps in choice.scores.values())
    assert (choice.chosen, choice.steps) == best_candidate(choice.scores, choice.differences)
    assert list(choice.differences) == list(choice.scores)[1:]
    assert all(own.standard_error > 0 for own in choice.differences.values())
    assert choice.left_out == {}
    assert len(trainings) == 7 * 2
    assert all(training.test is None and training.seed == derive(5, "choice") for training in trainings)
    assert {training.generate.synthetic_fraction for training in trainings if training.synthetic} == {0.25}
    assert chosen.control is None
    assert chosen.steps == {}
    write_choices(chosen, Path("choices.json"))
    before = Path("choices.json").read_bytes()
    write_choices(read_choices(parameters(), Path("choices.json"), automatic=True), Path("again.json"))
    assert Path("again.json").read_bytes() == before
    trainings.clear()
    write_choices(choose(parameters({"seed": 5}), SPLITS["train"], SPLITS["validation"], GROUPS), Path("choices.json"))
    assert not trainings  # all of them come from the cache, as after an interruption
    assert Path("choices.json").read_bytes() == before


def test_candidates_beyond_the_number_and_those_without_images_are_left_out_aloud(
    capsys: pytest.CaptureFixture[str],
) -> None:
    hopeless = {"auto": {"filters": [["novelty"]], "candidates": 3}, "generate": {"filtering": {"min_novelty": 50.0}}}
    choice = choose(parameters(hopeless), SPLITS["train"], SPLITS["validation"], GROUPS).automatic[ARM]
    assert list(choice.scores) == [choice.chosen] == [NONE]
    sources = ("gaussian+smote", "gaussian", "smote")
    beyond, *others = (str(choice.left_out[Candidate(source, 0.25, ("novelty",))]) for source in sources)
    assert beyond == "beyond the number in auto.candidates"
    assert all("leaves class 'left' without images: of 30 that were drawn, novelty 30 were" in why for why in others)
    logged = capsys.readouterr().err
    assert "auto-plain tries 3 of 4 candidates. Beyond the number in auto.candidates: gaussian+smote, 25%" in logged
    assert "auto-plain does not try smote, 25% synthetic, filtered by novelty: smote, replicate 0: " in logged


def test_a_failed_generator_is_an_error_and_no_reason_to_choose_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def failed(*_: object) -> None:
        raise BadInput("choose generator gaussian, replicate 0: the loss is NaN")

    monkeypatch.setattr("makeweight.studies.choose.generator_job", failed)
    with pytest.raises(BadInput, match="the loss is NaN"):
        choose(parameters(), SPLITS["train"], SPLITS["validation"], GROUPS)


def prepared(*changes: dict[str, Any]) -> Parameters:
    """A study whose splits are written, and its parameters."""
    for name, split in SPLITS.items():
        write_split(Path("data", name), split, {"group": range(len(split))})
    return parameters(*changes)


def chosen(candidate: Candidate) -> None:
    """The choice, as if `choose` had made it with the present parameters."""
    choice = AutomaticChoice(candidate, 4, {NONE: {4: (0.5, 0.5)}}, {}, {})
    basis = made_from(read_parameters(Path("params.yaml")), SPLITS["train"], SPLITS["validation"])
    write_choices(Choices(automatic={ARM: choice}, made_from=basis), Path("results/choices.json"))


def files(run: str) -> dict[str, bytes]:
    paths = (path for path in sorted(Path("runs", run).rglob("*")) if path.is_file())
    return {path.relative_to(Path("runs", run)).as_posix(): path.read_bytes() for path in paths}


@pytest.mark.parametrize("first", ["train-baseline", "train-auto"])
def test_without_synthetic_images_it_equals_its_control_image_for_image(first: str, invoke: Invoke) -> None:
    prepared()
    chosen(NONE)
    automatic = ("train-auto", "--transform", "plain")
    commands = [("train-baseline", "--source", "oversample", "--transform", "plain"), automatic]
    for command in sorted(commands, key=lambda command: command[0] != first):
        code, output = invoke(*command)
        assert code == 0, output
    assert "auto-plain to runs/auto-plain: no synthetic images (oversample); balanced" in invoke(*automatic)[1]
    assert files("auto-plain") == files("oversample-plain")
    assert "predictions.npz" in files("auto-plain")
    assert len(list(Path(".makeweight/cache").iterdir())) == 2  # trained once


def test_with_synthetic_images_it_equals_the_arm_that_was_chosen(invoke: Invoke) -> None:
    prepared({"generate": {"filters": ["agreement"]}, "unions": []})
    for family in ("gaussian", "smote"):
        assert invoke("train-generator", "--family", family)[0] == 0
    chosen(Candidate("gaussian", 0.25, ("agreement",)))  # as in the parameters
    for command in (
        ("generate", "--family", "gaussian"),
        ("train-augmented", "--family", "gaussian", "--transform", "plain"),
        ("train-auto", "--transform", "plain"),
    ):
        code, output = invoke(*command)
        assert code == 0, output
    assert files("auto-plain") == files("gaussian-plain")
    chosen(Candidate("gaussian+smote", 0.5, ()))
    assert invoke("train-auto", "--transform", "plain")[0] == 0
    assert files("auto-plain") != files("gaussian-plain")


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"auto": {"filters": [[]]}}, "auto"),
        ({"generators": ["gaussian"], "unions": []}, "families, generators, unions"),
        ({"families": {"smote": {"neighbours": 2}}}, "families"),
        ({"recipes": {"plain": [{"HorizontalFlip": {}}]}}, "recipes"),
        ({"recipes": {"other": []}, "replicates": 3, "compute": {"workers": 2}}, None),
    ],
)
def test_an_outdated_choice_is_refused(change: dict[str, Any], name: str | None, invoke: Invoke) -> None:
    prepared()
    chosen(NONE)
    parameters(change)
    code, output = invoke("train-auto", "--transform", "plain")
    refused = (2, f"the choices of automatic arms are outdated (changed since: {name}): run choose again\n")
    assert (code, output) == refused if name else code == 0


def test_a_choice_by_other_images_is_refused(invoke: Invoke) -> None:
    prepared()
    chosen(NONE)
    write_split(Path("data/validation"), halves((12, 12), 9), {"group": range(24)})
    code, output = invoke("train-auto", "--transform", "plain")
    assert (code, output) == (
        2,
        "the choices of automatic arms are outdated (changed since: validation images): run choose again\n",
    )


def test_images_are_those_that_the_arm_was_trained_on(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    trained: list[Training] = []
    original = Training.__call__

    def call(self: Training, replicates: Sequence[Replicate]) -> None:
        trained.append(self)
        original(self, replicates)

    study = prepared()
    for family in ("gaussian", "smote"):
        assert invoke("train-generator", "--family", family)[0] == 0
    candidate = Candidate("gaussian+smote", 0.25, ("agreement",))
    chosen(candidate)
    monkeypatch.setattr(Training, "__call__", call)
    assert invoke("train-auto", "--transform", "plain")[0] == 0
    cached = sorted(Path(".makeweight/cache").iterdir())
    drawn = draw_chosen(study, candidate, SPLITS["train"], Path("models"))
    assert sorted(Path(".makeweight/cache").iterdir()) == cached  # nothing was drawn again
    assert list(drawn) == ["gaussian", "smote"]
    used = trained[0].synthetic
    assert used is not None
    for k, of_replicate in enumerate(used):
        for name, images in zip(drawn, of_replicate, strict=True):
            assert np.array_equal(read_split(drawn[name][k]).images, images.images)
    assert draw_chosen(study, NONE, SPLITS["train"], Path("models")) == {}


def test_missing_generators_and_a_missing_choice_are_one_line(invoke: Invoke) -> None:
    prepared()
    code, output = invoke("train-auto", "--transform", "plain")
    assert (code, output) == (2, "results/choices.json is missing: run choose first\n")
    chosen(Candidate("gaussian", 0.25, ()))
    code, output = invoke("train-auto", "--transform", "plain")
    missing = "models/gaussian/samplers/replicate_0 is missing: run train-generator --family gaussian\n"
    assert (code, output) == (2, missing)
    write_choices(Choices(), Path("results/choices.json"))
    code, output = invoke("train-auto", "--transform", "plain")
    assert (code, output) == (2, "nothing was chosen for auto-plain: run choose again\n")
