"""The plan of a study: trainings, time and minimum detectable effect, before anything is trained."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from makeweight.comparison.power import anticipated, detectable_effect
from makeweight.core.data import Labels, Split
from makeweight.core.parameters import Parameters, read_parameters
from makeweight.project import plan, timing
from makeweight.project.plan import duration, kinds, power_lines, time_lines, trainings, units_of_classes
from makeweight.project.timing import EnoughSteps, StepTime, Stopwatch, step_times
from makeweight.runtime.machine import machine
from makeweight.runtime.replicates import Job, Replicate
from makeweight.runtime.splits import write_labels, write_split
from tests.conftest import Invoke, write_params


def parameters(folder: Path, **changes: object) -> Parameters:
    return read_parameters(write_params(folder / "params.yaml", changes))


def written(folder: Path, counts: Sequence[int], groups: Sequence[int] | None = None) -> Path:
    """Labels, class names and groups of a test split without images."""
    labels = np.repeat(np.arange(len(counts)), counts)
    folder.mkdir(parents=True)
    classes = [f"class {label}" for label in range(len(counts))]
    write_labels(folder, labels, classes, {"group": groups or range(len(labels))})
    return folder


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"replicates": 5}, "The study trains 5 generators (cgan) and 30 classifiers."),
        (
            {"replicates": 3, "generators": ["cgan", "smote"], "transforms": ["classical"]},
            "The study trains 6 generators (3 each of cgan, smote) and 12 classifiers.",
        ),
        # With one generator for all replicates, each generator arm has one training less: its first is the arm's own.
        (
            {"replicates": 5, "one_generator": ["cgan"]},
            "The study trains 5 generators (cgan) and 38 classifiers.",
        ),
        (
            {"replicates": 5, "generators": ["cgan", "smote"], "unions": ["cgan+smote"], "transforms": ["plain"]},
            "The study trains 10 generators (5 each of cgan, smote) and 25 classifiers.",
        ),
        # 3 trainings of each of 6 arms at 2 budgets, with 3 generators.
        (
            {"replicates": 5, "classifier": {"steps": [5, 9]}, "choice": {"replicates": 3}},
            "The study trains 5 generators (cgan) and 30 classifiers. To choose budgets, another 3 "
            "generators and 36 classifiers are trained.",
        ),
        (
            {"replicates": 5, "compare": {"control": "auto"}, "choice": {"replicates": 3}},
            "The study trains 5 generators (cgan) and 30 classifiers. To choose the control, another 12 "
            "classifiers are trained.",
        ),
        # 5 candidates: none, and 2 fractions × 2 lists of filters; 2 transforms, and 2 arms of each besides.
        (
            {"replicates": 5, "automatic": ["auto"], "choice": {"replicates": 3}},
            "The study trains 5 generators (cgan) and 40 classifiers. To choose what automatic arms train on, "
            "another 3 generators and 30 classifiers are trained.",
        ),
        # The same at 2 budgets, and 3 trainings of each of the 6 other arms at both.
        (
            {"replicates": 5, "automatic": ["auto"], "classifier": {"steps": [5, 9]}, "choice": {"replicates": 3}},
            "The study trains 5 generators (cgan) and 40 classifiers. To choose budgets and what automatic "
            "arms train on, another 3 generators and 96 classifiers are trained.",
        ),
    ],
)
def test_trainings_are_counted(changes: dict[str, object], line: str, tmp_path: Path) -> None:
    assert trainings(parameters(tmp_path, **changes)) == line


def test_candidates_beyond_their_number_are_warned_of(tmp_path: Path) -> None:
    changes = {"automatic": ["auto"], "choice": {"replicates": 2}}
    assert plan.candidate_lines(parameters(tmp_path)) == []
    (line,) = plan.candidate_lines(parameters(tmp_path, **changes))
    assert line == "Automatic arms choose among 5 candidates, one of them without synthetic images."
    _, warning = plan.candidate_lines(parameters(tmp_path, **changes, auto={"candidates": 3}))
    assert warning == (
        "warning: auto.candidates is 3, so the last 2 of 5 candidates are not tried, the first of which is: cgan, 25% "
        "synthetic, filtered by agreement"
    )


class Clock:
    """A clock whose readings are given."""

    def __init__(self, *readings: float) -> None:
        self.readings = list(readings)

    def __call__(self) -> float:
        return self.readings.pop(0)


def test_the_first_step_is_a_warm_up_and_the_budget_ends_the_training() -> None:
    stopwatch = Stopwatch(budget=1.0, clock=Clock(10.0, 10.5, 10.75, 11.0))
    for done in (1, 2, 3):
        stopwatch(done)
    with pytest.raises(EnoughSteps):
        stopwatch(4)
    assert stopwatch.seconds_per_step == pytest.approx(1 / 3)


def test_steps_that_are_reported_together_count_each() -> None:
    stopwatch = Stopwatch(budget=9.0, clock=Clock(0.0, 5.0))
    stopwatch(10)
    assert stopwatch.seconds_per_step is None
    stopwatch(20)
    assert stopwatch.seconds_per_step == 0.5


def test_a_slow_step_is_timed_once() -> None:
    stopwatch = Stopwatch(budget=0.5, clock=Clock(0.0, 4.0))
    stopwatch(1)
    with pytest.raises(EnoughSteps):
        stopwatch(2)
    assert stopwatch.seconds_per_step == 4.0


def times(**seconds: float | None) -> dict[str, StepTime]:
    return {name.replace("_", " "): StepTime(value) for name, value in seconds.items()}


TIMED: dict[str, Any] = {
    "replicates": 5,
    "transforms": ["classical"],
    "families": {"cgan": {"steps": 100}},
    "classifier": {"steps": 50},
    "compute": {"workers": 2, "device": "cpu"},
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of splits with training images."""
    folder: Path = tmp_path_factory.mktemp("data")
    images = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 1), dtype=np.uint8)
    write_split(folder / "train", Split(images, np.repeat([0, 1], 10), ("a", "b")), {})
    return folder


def line_of_times(data: Path, chosen: Parameters, **seconds: float | None) -> list[str]:
    return time_lines(kinds(chosen, data), times(**seconds), chosen.compute, machine(chosen.compute))


def test_replicates_side_by_side_take_the_time_of_their_rounds(tmp_path: Path, data: Path) -> None:
    # 5 replicates by 2 workers: 3 rounds. 100 steps of 1 s × 3, and 50 steps of 0.5 s × 3 for each of 3 arms: 525 s.
    chosen = parameters(tmp_path, **TIMED)
    (line,) = line_of_times(data, chosen, generator_cgan=1.0, classifier_classical=0.5)
    assert line.startswith("Training takes about 9 min on this machine")
    # `one_generator` adds 4 classifiers, which are 2 rounds: 575 s. One worker: 5 × 100 + 19 × 25 = 975 s.
    more = parameters(tmp_path, **{**TIMED, "one_generator": ["cgan"]})
    assert "about 10 min" in line_of_times(data, more, generator_cgan=1.0, classifier_classical=0.5)[0]
    alone = parameters(tmp_path, **{**TIMED, "one_generator": ["cgan"], "compute": {"workers": 1}})
    assert "about 16 min" in line_of_times(data, alone, generator_cgan=1.0, classifier_classical=0.5)[0]


def test_trainings_of_choices_take_time_and_all_count_at_the_largest_budget(tmp_path: Path, data: Path) -> None:
    # Compared: 3 rounds of 100 s, and 3 arms × 3 rounds of 50 steps. Choices: 3 generators in 2 rounds, and 3 × 3
    # classifiers of each budget in 5 rounds: 300 + 225 + 200 + 5 × (10 + 50) / 2 = 875 s.
    changes = {"classifier": {"steps": [10, 50]}, "choice": {"replicates": 3}}
    chosen = parameters(tmp_path, **{**TIMED, **changes})
    assert "about 15 min" in line_of_times(data, chosen, generator_cgan=1.0, classifier_classical=0.5)[0]


def test_replicates_in_one_program_are_one_training(tmp_path: Path, data: Path) -> None:
    # 3 and 2 generators at a time, side by side: one round of 100 s; the classifiers as before: 225 s.
    chosen = parameters(tmp_path, **{**TIMED, "compute": {"workers": 2, "device": "cpu", "replicates_per_program": 3}})
    assert "about 5 min" in line_of_times(data, chosen, generator_cgan=1.0, classifier_classical=0.5)[0]


def test_more_than_an_hour_has_a_warning_of_its_own(tmp_path: Path, data: Path) -> None:
    chosen = parameters(tmp_path, **TIMED)
    line, warning = line_of_times(data, chosen, generator_cgan=27.25, classifier_classical=0.5)
    assert "about 2 h 20 min" in line
    assert warning.startswith("warning: training takes more than an hour: ")
    assert len(line_of_times(data, chosen, generator_cgan=11.2, classifier_classical=0.5)) == 1


def test_what_could_not_be_timed_is_named(tmp_path: Path, data: Path) -> None:
    chosen = parameters(tmp_path, **{**TIMED, "generators": ["cgan", "smote"]})
    (line,) = line_of_times(data, chosen, generator_cgan=1.0, generator_smote=None, classifier_classical=0.0)
    assert line.endswith("not counting generator smote (not timed).")
    failed = {**times(generator_smote=None, classifier_classical=0.0), "generator cgan": StepTime(None, "no such side")}
    assert (
        time_lines(kinds(chosen, data), failed, chosen.compute, machine(chosen.compute))[1]
        == "warning: generator cgan: no such side"
    )


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (3, "a few seconds"),
        (43, "about 45 s"),
        (59.9, "about 60 s"),
        (89, "about 1 min"),
        (3569, "about 59 min"),
        (3580, "about 1 h"),
        (8500, "about 2 h 20 min"),
        (45_000, "about 12 h"),
    ],
)
def test_durations_are_rounded(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def points(lines: Sequence[str]) -> float:
    return float(lines[0].split("about ")[1].split(" points")[0])


def test_the_detectable_gain_is_that_of_the_formula(tmp_path: Path) -> None:
    chosen = parameters(tmp_path, replicates=5, compare={"margin": 0.05})
    counts = np.array([32, 18, 10, 6, 4])
    components = anticipated(counts, 5, disagreement=plan.DISAGREEMENT, deviation=plan.DEVIATION)
    expected = 100 * detectable_effect(components.widest(0.05), 0.05)
    (line,) = power_lines(chosen, written(tmp_path / "test", counts.tolist()))
    assert points([line]) == pytest.approx(expected, abs=0.05)
    assert "with 70 test images, 5 classes and 5 replicates, if two arms differ on 2% of the test images" in line


def test_without_a_primary_contrast_all_share_the_level(tmp_path: Path) -> None:
    chosen = parameters(tmp_path, replicates=5, compare={"primary": None, "margin": 0.05})
    components = anticipated(np.array([50, 50]), 5, disagreement=plan.DISAGREEMENT, deviation=plan.DEVIATION)
    expected = 100 * detectable_effect(components.widest(0.025), 0.025)  # cgan-plain and cgan-classical
    assert points(power_lines(chosen, written(tmp_path / "test", [50, 50]))) == pytest.approx(expected, abs=0.05)


def test_grouped_test_images_show_less(tmp_path: Path) -> None:
    chosen = parameters(tmp_path, replicates=5)
    single = power_lines(chosen, written(tmp_path / "single", [60, 60]))
    grouped = power_lines(chosen, written(tmp_path / "grouped", [60, 60], [n // 10 for n in range(120)]))
    assert "with 120 test images in 12 groups, 2 classes" in grouped[0]
    assert "group" not in single[0]
    assert points(grouped) > 2 * points(single)


def test_a_group_counts_in_each_class_that_it_holds() -> None:
    labels: Labels = np.array([0, 0, 1, 1, 1, 3])
    groups: Labels = np.array([0, 0, 0, 1, 2, 2])
    assert units_of_classes("balanced_accuracy", labels, groups).tolist() == [1, 3, 0, 1]
    assert units_of_classes("accuracy", labels, groups).tolist() == [3]


def test_classes_with_too_few_test_images_are_named_the_smallest_first(tmp_path: Path) -> None:
    lines = power_lines(parameters(tmp_path), written(tmp_path / "test", [100, 10, 2]))
    assert lines[-1] == (
        "One test image is worth more than the margin of 1 point in: class 2 (2 images, 16.7 points each), "
        "class 1 (10 images, 3.3 points each)."
    )
    many = power_lines(parameters(tmp_path), written(tmp_path / "many", [2] * 13))
    assert many[-1].endswith("class 9 (2 images, 3.8 points each), 3 more.")


def test_a_hopeless_study_has_a_warning(tmp_path: Path) -> None:
    lines = power_lines(parameters(tmp_path, replicates=5), written(tmp_path / "test", [4, 1]))
    assert lines[1].startswith("warning: a gain of less than ")
    hopeful = power_lines(parameters(tmp_path, replicates=5), written(tmp_path / "more", [400, 100]))
    assert not any(line.startswith("warning") for line in hopeful)


def files(folder: Path) -> dict[str, bytes]:
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def fixed_times(jobs: Sequence[Job], *_: object) -> dict[str, StepTime]:
    return {job.name: StepTime(0.5) for job in jobs}


def test_check_and_prepare_print_the_plan(workspace: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "step_times", fixed_times)
    count = "The study trains 2 generators (cgan) and 12 classifiers."
    unprepared = [count, "run `makeweight prepare` for an estimate of time and power"]
    assert invoke("check")[1].splitlines()[:-1] == unprepared
    code, output = invoke("prepare")
    assert code == 0
    lines = plan.lines(read_parameters(Path("params.yaml")))
    assert "\n".join(["", *lines, ""]) in output
    assert lines[0] == count
    assert "Training takes about " in lines[1]
    assert "Minimum detectable gain in balanced accuracy" in lines[2]
    assert invoke("check")[1].splitlines()[:-1] == lines
    write_params(Path("params.yaml"), {"data": {"test_fraction": 0.3}})  # the prepared data are of other parameters
    assert invoke("check")[1].splitlines()[:-1] == unprepared


def test_settings_that_the_prepared_images_do_not_allow_are_errors(workspace: Path, invoke: Invoke) -> None:
    filters = {"filters": ["density", "novelty"], "filtering": {"neighbours": 10_000}}
    for change in ({"generate": filters}, {"generate": filters, "generators": ["cgan", "smote"]}):
        write_params(Path("params.yaml"), change)
        code, output = invoke("prepare")
        assert code == 2
        assert "generate.filtering.neighbours is 10000, but class " in output
    chosen = read_parameters(write_params(Path("params.yaml"), change, {"generate": {"filtering": {"neighbours": 1}}}))
    with_novelty = [line for line in plan.lines(chosen) if "novelty" in line]
    assert with_novelty == [
        "warning: images of smote are close to training images by construction: the filter novelty discards "
        "many of them, and may leave a class without images"
    ]


def test_times_of_steps_hold_for_another_number_of_steps_and_not_for_other_networks(
    workspace: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "step_times", fixed_times)
    invoke("prepare")
    chosen = read_parameters(write_params(Path("params.yaml"), {"families": {"cgan": {"steps": 20_000}}}))
    assert plan.lines(chosen)[2].startswith("warning: training takes more than an hour")
    chosen = read_parameters(write_params(Path("params.yaml"), {"families": {"cgan": {"generator_width": 16}}}))
    assert plan.lines(chosen)[1] == (
        "run `makeweight prepare` for an estimate of the time: not timed with these settings: generator cgan"
    )


def test_the_plan_changes_no_output(workspace: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    invoke("prepare")
    with_plan = files(workspace)
    assert {name for name in with_plan if name.startswith("logs/")} == {"logs/plan.json"}
    (workspace / "logs" / "plan.json").unlink()
    for function in ("measure", "lines"):
        monkeypatch.setattr(plan, function, lambda *_: [])
    invoke("prepare")
    assert with_plan == {**files(workspace), "logs/plan.json": with_plan["logs/plan.json"]}


def test_the_splits_are_good_even_if_later_parameters_are_not(workspace: Path, invoke: Invoke) -> None:
    write_params(Path("params.yaml"), {"compare": {"control": "nothing"}})
    code, output = invoke("prepare")
    assert code == 0
    assert "\nwarning: compare.control is 'nothing', which is not a control arm of this study" in output
    assert output.splitlines()[-1].startswith("wrote ")


def test_steps_are_timed_in_other_processes_without_the_test_images(workspace: Path, invoke: Invoke) -> None:
    invoke("prepare")
    Path("data/test/images.npy").unlink()
    chosen = parameters(
        workspace, generators=["cgan", "smote"], transforms=["plain"], compare={"control": "none-plain"}
    )
    before = files(workspace)
    jobs = [kind.job for kind in kinds(chosen, Path("data"))]
    jobs.append(replace(jobs[0], name="broken", work=Broken()))
    measured = step_times(jobs, 2, chosen.compute, machine(chosen.compute))
    assert files(workspace) == before
    assert 0 < (measured["generator cgan"].seconds or 0) < 10
    assert 0 < (measured["classifier plain"].seconds or 0) < 10
    assert measured["generator smote"] == StepTime(None)
    assert measured["broken"] == StepTime(None, "out of order")
    plan.lines(chosen)


@dataclass(frozen=True)
class Broken:
    """Fails."""

    def __call__(self, replicates: Sequence[Replicate]) -> None:
        raise RuntimeError("out of order")


@dataclass(frozen=True)
class Silent:
    """Reports no step; notes its process."""

    note: Path

    def __call__(self, replicates: Sequence[Replicate]) -> None:
        self.note.write_text(str(os.getpid()), encoding="utf-8")
        time.sleep(600)


def test_few_epochs_of_generator_arms_are_warned_of(tmp_path: Path) -> None:
    chosen = parameters(tmp_path, classifier={"steps": [100, 500], "batch": 64}, generate={"synthetic_fraction": 0.5})
    assert plan.epoch_lines(chosen, 1600) == []  # 20 epochs
    (line,) = plan.epoch_lines(chosen, 4000)
    assert line.startswith(
        "warning: 500 steps of the classifier are 8 epochs of the training images, of which generator"
    )
    assert "replace 50% by synthetic images" in line
    assert "classifier.steps: [500, 1500]" in line
    assert plan.epoch_lines(chosen.model_copy(update={"generators": ()}), 4000) == []


def test_a_plug_in_that_reports_no_step_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen, note = parameters(tmp_path, compute={"workers": 1, "device": "cpu"}), tmp_path / "note"

    def wait_from_the_start_on(futures: Sequence[Future[object]], timeout: float) -> object:
        while not note.exists():  # on a busy machine, the start of the process takes longer than the timeout
            time.sleep(0.05)
        return wait(futures, timeout)

    monkeypatch.setattr(timing, "wait", wait_from_the_start_on)
    monkeypatch.setattr(timing, "TIMEOUT", 1.0)
    job = Job("silent", Silent(note), lambda replicate: {}, 10, 1)
    assert step_times([job], 2, chosen.compute, machine(chosen.compute)) == {
        "silent": StepTime(None, "no step was reported within 1 s")
    }
    process = int(note.read_text(encoding="utf-8"))
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)
