"""Arms and contrasts follow from the parameters alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from makeweight.core.errors import BadInput
from makeweight.core.parameters import Parameters, read_parameters
from makeweight.core.study import Arm, arms, base, check_contrasts, contrasts, control, other_contrasts, primary
from tests.conftest import write_params


def parameters(folder: Path, **changes: object) -> Parameters:
    return read_parameters(write_params(folder / "params.yaml", changes))


def test_each_generator_arm_is_tested_once_against_the_control(tmp_path: Path) -> None:
    found = parameters(tmp_path)
    assert str(control(found)) == "oversample-classical"
    assert [str(contrast) for contrast in contrasts(found)] == [
        "cgan-plain_vs_oversample-classical",
        "cgan-classical_vs_oversample-classical",
    ]
    named = parameters(tmp_path, compare={"control": "none-plain"})
    assert {str(contrast.reference) for contrast in contrasts(named)} == {"none-plain"}


def test_all_other_pairs_are_estimated_generators_against_each_other_too(tmp_path: Path) -> None:
    two = parameters(tmp_path, generators=["cgan", "cvae"], transforms=["plain"])
    assert [str(contrast) for contrast in other_contrasts(two)] == [
        "oversample-plain_vs_none-plain",
        "cgan-plain_vs_none-plain",
        "cvae-plain_vs_none-plain",
        "cvae-plain_vs_cgan-plain",
    ]
    n = len(arms(two))
    assert len(contrasts(two)) + len(other_contrasts(two)) == n * (n - 1) / 2


def test_a_control_that_does_not_exist_is_an_error_that_lists_the_valid_ones(tmp_path: Path) -> None:
    gone = parameters(tmp_path, transforms=["plain"], compare={"control": "oversample-classical"})
    with pytest.raises(
        BadInput, match=r"compare\.control is 'oversample-classical', .* one of none-plain, oversample-pl"
    ):
        control(gone)


@pytest.mark.parametrize(
    ("generate", "source", "expected"),
    [
        ({}, "oversample", "oversample"),
        ({}, "none", "oversample"),
        ({}, "logit_adjusted", "logit_adjusted"),
        ({"base": "weighted"}, "oversample", "weighted"),
        ({"base": "none"}, "oversample", "none"),
        ({"base": "weighted", "strategy": "balance"}, "deferred", "oversample"),
    ],
)
def test_generator_arms_build_on_the_source_of_the_control_arm_or_on_a_named_control(
    generate: dict[str, str], source: str, expected: str, tmp_path: Path
) -> None:
    assert base(parameters(tmp_path, generate=generate), Arm(source, "plain")) == expected


def test_a_base_that_is_no_control_is_an_error_that_lists_the_controls(tmp_path: Path) -> None:
    unknown = parameters(tmp_path, generate={"base": "smote"})
    with pytest.raises(BadInput, match=r"^generate\.base is 'smote': set it to auto or to a control: deferred, .*none"):
        base(unknown, Arm("oversample", "plain"))


def test_an_arm_is_found_by_its_name() -> None:
    assert Arm.named("logit_adjusted-plain") == Arm("logit_adjusted", "plain")


def test_the_primary_contrast_is_the_one_that_is_named(tmp_path: Path) -> None:
    assert str(primary(parameters(tmp_path))) == "cgan-classical_vs_oversample-classical"
    named = parameters(tmp_path, compare={"primary": "cgan-plain_vs_oversample-classical"})
    assert str(primary(named)) == "cgan-plain_vs_oversample-classical"
    assert primary(parameters(tmp_path, compare={"primary": None})) is None


@pytest.mark.parametrize("transforms", [["plain", "classical"], ["classical", "plain"]])
def test_else_it_is_the_first_generator_with_the_controls_transform(transforms: list[str], tmp_path: Path) -> None:
    found = parameters(
        tmp_path, generators=["cvae", "cgan"], transforms=transforms, compare={"control": "oversample-classical"}
    )
    assert str(primary(found)) == "cvae-classical_vs_oversample-classical"


def test_a_primary_contrast_that_is_not_tested_is_an_error_that_lists_the_valid_ones(tmp_path: Path) -> None:
    for name in ("cgan-classical_vs_oversample-classical", "cgan-plain_vs_none-plain"):
        with pytest.raises(BadInput, match=rf"compare\.primary is '{name}', which is not a tested contrast: .*auto"):
            primary(parameters(tmp_path, transforms=["plain"], compare={"primary": name}))


def test_a_union_is_an_arm_of_its_own_and_tested_like_the_others(tmp_path: Path) -> None:
    found = parameters(
        tmp_path, generators=["cgan", "cvae"], unions=["cgan+cvae"], transforms=["plain"], controls=["none"]
    )
    assert [str(arm) for arm in arms(found)] == ["none-plain", "cgan-plain", "cvae-plain", "cgan+cvae-plain"]
    assert [arm.stage for arm in arms(found)] == ["train-baseline", "train-augmented", "train-augmented", "train-union"]
    assert str(contrasts(found)[-1]) == "cgan+cvae-plain_vs_none-plain"
    assert str(primary(found)) == "cgan-plain_vs_none-plain"
    assert Arm.named("cgan+cvae-plain") == arms(found)[-1]


def test_a_primary_contrast_with_a_control_that_is_yet_to_be_chosen_is_an_error(tmp_path: Path) -> None:
    auto = {"control": "auto"}
    for allowed in ("auto", None):
        check_contrasts(parameters(tmp_path, compare={**auto, "primary": allowed}))
    with pytest.raises(BadInput, match=r"but compare\.control is auto: set compare\.primary to auto or to null"):
        check_contrasts(parameters(tmp_path, compare={**auto, "primary": "cgan-plain_vs_none-plain"}))
    with pytest.raises(BadInput, match="not a control arm of this study"):
        check_contrasts(parameters(tmp_path, compare={"control": "nothing"}))


def test_an_automatic_arm_comes_last_and_is_tested_against_the_control(tmp_path: Path) -> None:
    found = parameters(tmp_path, automatic=["auto"], transforms=["plain"], choice={"replicates": 2})
    assert str(arms(found)[-1]) == "auto-plain"
    assert arms(found)[-1].stage == "train-auto"
    assert str(contrasts(found)[-1]) == "auto-plain_vs_oversample-plain"
