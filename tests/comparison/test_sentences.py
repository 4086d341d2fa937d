"""The words about a comparison: they agree with the figures, and somebody who knows no statistics can read them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from makeweight.comparison.result import ContrastResult
from makeweight.comparison.sentences import based_on, chosen, contrast_text, explanations, in_brief, other_base
from makeweight.comparison.test_sets import TestSet
from makeweight.comparison.variance_components import Component, VarianceComponents
from makeweight.core.choices import NOTHING_CHOSEN, Choices
from makeweight.core.parameters import GenerateSettings, Parameters, read_parameters
from makeweight.core.study import Arm, Contrast
from makeweight.core.text import amount, split_sizes
from tests.conftest import write_params
from tests.support.generating import generate_settings

ARM, CONTROL = Arm("cgan", "classical"), Arm("oversample", "classical")
SIX = {"fox": 22, "owl": 16, "newt": 14, "wren": 10, "mole": 8, "hare": 2}


def result(
    gain: float = 0.0,
    *,
    runs: float = 0.001,
    images: float = 0.001,
    control: float = 0.8,
    arm: Arm = ARM,
    test_images: int = 1000,
    **changes: Any,
) -> ContrastResult:
    """The result of five runs whose standard errors due to runs and to test images are given."""
    deviations = np.array([-2, -1, 0, 1, 2]) * runs * np.sqrt(2)  # their mean has the standard error `runs`
    components = VarianceComponents(
        5,
        changes.pop("units", test_images),
        Component(runs**2, 4),
        Component(images**2, 200),
        Component(1e-9, 800),
    )
    values: dict[str, Any] = {"metric": "balanced_accuracy", "margin": 0.01, "tests": 1, "primary": True} | changes
    return ContrastResult(
        contrast=Contrast(arm, CONTROL),
        differences=gain + deviations,
        components=components,
        images=test_images,
        reference_mean=control,
        **values,
    )


def whole(found: ContrastResult) -> str:
    text = contrast_text(found)
    return " ".join([text.answer, *text.sentences])


ANSWERS = {
    "GAN images help.": result(0.05),
    "GAN images hurt.": result(-0.05),
    "GAN images make no difference that matters (less than 1 point).": result(0.0),
    "We cannot tell whether GAN images help.": result(0.01, images=0.02),
}


@pytest.mark.parametrize("answer", ANSWERS)
def test_the_answer_is_one_sentence_without_statistics(answer: str) -> None:
    assert contrast_text(ANSWERS[answer]).answer == answer


@pytest.mark.parametrize("found", ANSWERS.values(), ids=lambda found: str(found.verdict))
def test_both_figures_and_the_range_of_the_true_difference_are_those_of_the_tables(found: ContrastResult) -> None:
    figures = found.figures()
    both, within = contrast_text(found).sentences[:2]
    assert re.findall(r"[-+]?\d+\.\d+", both) == [
        f"{80 + 100 * found.gain:.2f}", "80.00", f"{100 * found.gain:+.2f}" if found.gain else "0.00"
    ]  # fmt: skip
    ends = ("equivalence_low", "equivalence_high") if found.verdict == "equivalent" else ("low", "high")
    low, high, level = map(float, re.findall(r"[-+]?\d+(?:\.\d+)?", within)[:3])
    assert [low, high] == pytest.approx([100 * figures[key] for key in ends], abs=0.00501)
    assert level == (90 if found.verdict == "equivalent" else 95)


def test_gains_that_cannot_exist_are_not_mentioned() -> None:
    found = result(0.0, images=0.19, control=0.914, test_images=72)
    assert found.interval.high > 0.3
    text = whole(found)
    assert "This test was too small to show any gain that is possible here (at most 8.6 points)." in text
    assert f"between {100 * found.interval.low:.2f} and +8.60 points, the largest possible gain" in text
    assert max(float(number) for number in re.findall(r"\+\d+\.\d+", text)) <= 8.6
    assert "would have shown" not in text


def test_the_range_of_a_detectable_gain_ends_at_the_largest_possible_one() -> None:
    found = result(0.0, runs=0.03, images=0.001, control=0.86)
    detectable = found.power.detectable
    assert detectable.value is not None
    assert detectable.high is not None
    assert detectable.value < 0.14 < detectable.high
    (sentence,) = (text for text in contrast_text(found).sentences if "would have shown" in text)
    assert "to 14.0, the largest possible gain)" in sentence


def test_a_sentence_states_that_no_relevant_gain_is_possible() -> None:
    text = whole(result(0.0, images=0.01, control=0.995))
    assert "No gain that matters is possible here: the control reaches 99.50%" in text
    assert "To show a gain" not in text


@pytest.mark.parametrize(
    ("runs", "images", "expected"),
    [
        (
            0.002,
            0.0032,
            r"it would take about [\d,]+ runs \(.*\) with the same test images or about [\d,]+ test images",
        ),
        (0.001, 0.02, r"about [\d,]+ test images \(.*\) with the same 5 runs \(more runs alone would not suffice\)"),
        (0.02, 0.0001, r"about [\d,]+ runs \(.*\) with the .* \(more test images alone would not suffice\)"),
        (0.02, 0.02, "neither more runs nor more test images alone would suffice: it would take more of both"),
    ],
)
def test_a_sentence_states_the_sample_sizes_for_a_conclusive_result(runs: float, images: float, expected: str) -> None:
    text = whole(result(0.005, runs=runs, images=images))
    assert re.search(rf"To show a gain of 1 point with a probability of 80%, .*{expected}", text), text


def test_a_question_that_only_the_range_left_open_needs_no_larger_study() -> None:
    found = result(0.006, runs=0.001, images=0.003)
    assert found.verdict == "inconclusive"
    assert "more runs or test images make the range narrower" in whole(found)


@pytest.mark.parametrize(
    ("gain", "expected"),
    [
        (0.05, "Even the smallest gain in this range is more than 1 point"),
        (-0.05, "Even the smallest loss in this range is more than 1 point"),
        (0.012, "The gain may be smaller than 1 point"),
        (0.005, "But every gain in this range is less than 1 point"),
    ],
)
def test_a_sentence_states_whether_a_difference_is_relevant(gain: float, expected: str) -> None:
    assert expected in whole(result(gain, runs=0.001, images=0.0012))


def test_grouped_images_are_counted_and_asked_for_in_groups() -> None:
    assert "72 test images in 36 groups of images that belong together" in basis(_test_set(groups=36))[0]
    assert "group" not in " ".join(basis(_test_set()))
    text = whole(result(0.005, images=0.02, test_images=72, units=36))
    assert re.search(r"about [\d,]+ groups of test images \(", text)


GENERATE = generate_settings(per_class=4, synthetic_fraction=0.25)


def basis(test_set: TestSet, replicates: int = 5) -> list[str]:
    return based_on(test_set, replicates, GENERATE)


def _test_set(images: dict[str, int] | None = None, **changes: Any) -> TestSet:
    images = SIX if images is None else images
    values: dict[str, Any] = {"groups": sum(images.values()), "metric": "balanced_accuracy", "margin": 0.01} | changes
    return TestSet(images, **values)


def test_the_smallest_class_and_those_in_which_one_image_counts_much_are_named() -> None:
    _, sentence, _ = basis(_test_set())
    assert sentence == (
        "The smallest class, “hare”, has 2 test images; one test image more or less changes balanced accuracy by more "
        "than the 1 point that matters in “hare” (8.33 points), “mole” (2.08 points), “wren” (1.67 points), “newt” "
        "(1.19 points) and “owl” (1.04 points)."
    )
    many = basis(_test_set({str(k): 5 for k in range(9)}))[1]
    assert many.endswith("“4” (2.22 points) and 4 other classes.")
    assert basis(_test_set({"cat": 80, "dog": 90}))[1] == "The smallest class, “cat”, has 80 test images."
    assert "one test image more or less changes accuracy by 1.39 points" in basis(_test_set(metric="accuracy"))[1]


def test_names_of_classes_cannot_command_a_terminal() -> None:
    assert "“a\\x1b[2Jb”" in basis(_test_set({"a\x1b[2Jb": 80, "dog": 90}))[1]


@pytest.mark.parametrize(
    ("fraction", "text"), [(0.01, "1 point"), (0.005, "0.5 points"), (0.02, "2 points"), (0.07, "7 points")]
)
def test_one_point_is_singular(fraction: float, text: str) -> None:
    assert amount(fraction) == text


def test_nothing_is_one_in_the_plural_and_no_zero_has_a_sign() -> None:
    texts = [whole(found) for found in ANSWERS.values()]
    texts += [whole(result(-1e-17, images=0.02)), whole(result(1e-5, images=0.02)), whole(result(-0.0))]
    texts += basis(_test_set({"hare": 1, "fox": 100}, groups=1), 1)
    assert "1 run of each arm" in texts[-3]
    assert "101 test images in 1 group of images" in texts[-3]
    assert "has 1 test image;" in texts[-2]
    for text in texts:
        assert not re.search(r"(?<![\d.,+-])1 (points|runs|test images|images|groups|classes|contrasts)", text), text
        assert not re.search(r"[-+]0\.0+(?!\d)", text), text


def test_an_arm_with_another_transform_than_its_control_says_so() -> None:
    found = result(0.05, arm=Arm("cgan", "plain"))
    text = contrast_text(found)
    assert text.answer == "GAN images with the transform “plain” help."
    assert "The control uses another transform (“classical”)" in text.sentences[-1]


def test_a_family_of_a_plug_in_is_called_by_its_name() -> None:
    assert contrast_text(result(-0.05, arm=Arm("diffusion", "classical"))).answer == "Diffusion images hurt."


def test_an_adjusted_level_says_why() -> None:
    within = contrast_text(result(0.05, tests=4)).sentences[1]
    assert "(98.75% confidence interval, as 4 contrasts share the error rate of 5%)" in within
    assert "share" not in contrast_text(result(0.05)).sentences[1]


def test_a_sign_flip_test_that_disagrees_is_mentioned() -> None:
    differences = np.array([0.01, 0.011, 0.012, 0.013, 0.014, 0.015, 0.016, 0.017])
    base = result(0.0135, images=0.02)
    found = ContrastResult(**{**_fields(base), "differences": differences})
    assert found.sign_flip_disagrees
    assert "sign-flip test over the runs" in contrast_text(found).sentences[-1]
    assert "sign-flip" not in whole(base)


def _fields(found: ContrastResult) -> dict[str, Any]:
    return {name: getattr(found, name) for name in ContrastResult.__dataclass_fields__}


def _parameters(folder: Path, *changes: dict[str, Any]) -> Parameters:
    return read_parameters(write_params(folder / "params.yaml", *changes))


def test_what_was_compared_is_explained(tmp_path: Path) -> None:
    explained = explanations(_parameters(tmp_path), _test_set())
    assert "repeated until all classes are equally frequent" in explained["Control (oversample-classical)"]
    assert "With synthetic images (such as cgan-classical)" in explained
    assert "a rare class counts as much as a common one" in explained["Balanced accuracy"]
    assert explained["Data set"] == "digits, 6 classes."
    assert {"Arm", "Run", "Scope"} < set(explained)
    other = {"compare": {"control": "none-plain", "metric": "macro_f1"}}
    explained = explanations(_parameters(tmp_path, other), _test_set())
    assert "as they are" in explained["Control (none-plain)"]
    assert "F1 score" in explained["Macro F1"]


def test_arms_that_are_not_built_on_the_control_say_so(tmp_path: Path) -> None:
    def sentences(arm: str, **generate: str) -> list[str]:
        changes = {"controls": ["none", "oversample", "deferred"], "compare": {"control": arm}, "generate": generate}
        return other_base(_parameters(tmp_path, changes))

    assert sentences("oversample-plain") == sentences("deferred-plain") == []
    assert "use the batches and the loss of “oversample”, the control those of “none”" in sentences("none-plain")[0]
    assert "“none”, the control those of “deferred”" in sentences("deferred-plain", base="none")[0]


def test_the_basis_states_how_many_fewer_real_images_a_generator_arm_shows() -> None:
    assert basis(_test_set())[2].endswith("so the classifier sees 25% fewer real images with them.")
    level = GenerateSettings.model_validate({**GENERATE.model_dump(), "strategy": "balance"})
    assert "less often than with oversampling" in based_on(_test_set(), 5, level)[2]


def test_the_data_set_is_called_by_its_folder_and_not_by_a_path_of_a_machine(tmp_path: Path) -> None:
    data = {"data": {"reader": "folder", "path": "/home/somebody/photos/birds", "imbalance": None}}
    assert explanations(_parameters(tmp_path, data), _test_set())["Data set"] == "“birds” (reader folder), 6 classes."


def test_sizes_of_splits_are_one_phrase() -> None:
    assert split_sizes({"training": 1200, "test": 72}) == "1,200 training and 72 test images."


def test_no_sentence_shows_a_placeholder(tmp_path: Path) -> None:
    parameters = read_parameters(write_params(tmp_path / "params.yaml"))
    explained = explanations(parameters, TestSet({"a": 10, "b": 20}, 30, "balanced_accuracy", 0.01))
    assert not [text for text in explained.values() if "{" in text or "}" in text]


def test_a_chosen_control_is_named_and_said_to_be_chosen_on_validation_images(tmp_path: Path) -> None:
    open_ = {"classifier": {"steps": [1000, 3000]}, "choice": {"replicates": 3}}
    found = _parameters(tmp_path, open_)
    scores = {CONTROL: {1000: (0.5, 0.6), 3000: (0.7, 0.8)}}
    control, budgets = chosen(found, Choices(CONTROL, {CONTROL: 3000}, scores))
    assert control == (
        "The control, oversample-classical, was chosen among 4 arms without synthetic images on validation images, by "
        "3 trainings of each option that are never scored on test images."
    )
    assert budgets == "The number of steps of each arm was chosen among 1,000, 3,000 in the same way."
    (budgets,) = chosen(found, Choices(None, {CONTROL: 3000}, scores))
    assert "among 1,000, 3,000 on validation images, by 3 trainings" in budgets
    alone = {**open_, "controls": ["oversample"], "transforms": ["classical"]}
    assert chosen(_parameters(tmp_path, alone), Choices(CONTROL, {CONTROL: 3000}, scores)) == [budgets]
    assert chosen(_parameters(tmp_path), NOTHING_CHOSEN) == []
    assert "numbers of steps on offer: 1,000 or 3,000" in explanations(found, _test_set())["Arm"]


def test_a_union_is_named_by_its_families() -> None:
    text = contrast_text(result(0.1, arm=Arm("cgan+smote", "classical")))
    assert text.answer == "GAN and SMOTE images together help."


def test_the_brief_line_holds_arm_verdict_and_interval() -> None:
    line = in_brief(result(0.1))
    assert re.fullmatch(
        r"cgan-classical: helps, \+10\.00 points \(\+\d+\.\d\d to \+\d+\.\d\d, 95% confidence interval\)", line
    )
