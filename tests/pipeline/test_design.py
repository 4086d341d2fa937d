"""Arms and contrasts follow from the parameters alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.core import BadInput
from pipeline.design import arms, contrasts, primary
from pipeline.params import Parameters, read_parameters
from tests.conftest import write_params


def parameters(folder: Path, **changes: object) -> Parameters:
    return read_parameters(write_params(folder / "params.yaml", changes))


def test_contrasts_follow_from_the_parameters_alone(tmp_path: Path) -> None:
    assert [str(each) for each in contrasts(parameters(tmp_path))] == [
        "cgan-plain_vs_none-plain",
        "cgan-plain_vs_oversample-plain",
        "cgan-plain_vs_oversample-classical",
        "cgan-classical_vs_none-classical",
        "cgan-classical_vs_oversample-classical",
    ]


def test_contrasts_name_only_arms_that_exist(tmp_path: Path) -> None:
    few = parameters(tmp_path, controls=["none"], transforms=["plain"])
    assert [str(arm) for arm in arms(few)] == ["none-plain", "cgan-plain"]
    assert [str(each) for each in contrasts(few)] == ["cgan-plain_vs_none-plain"]


def test_the_primary_contrast_is_the_one_that_is_named(tmp_path: Path) -> None:
    assert str(primary(parameters(tmp_path))) == "cgan-classical_vs_oversample-classical"
    named = parameters(tmp_path, compare={"primary": "cgan-plain_vs_none-plain"})
    assert str(primary(named)) == "cgan-plain_vs_none-plain"
    assert primary(parameters(tmp_path, compare={"primary": None})) is None


def test_else_it_is_the_last_one_of_the_first_generator(tmp_path: Path) -> None:
    both = parameters(tmp_path, generators=["cvae", "cgan"], transforms=["plain"])
    assert str(primary(both)) == "cvae-plain_vs_oversample-plain"


def test_a_primary_contrast_that_does_not_exist_is_a_mistake_with_the_ways_out(tmp_path: Path) -> None:
    named = "cgan-classical_vs_oversample-classical"
    with pytest.raises(
        BadInput, match=r"compare\.primary is 'cgan-classical_vs_oversample-classical', which is no contrast"
    ):
        primary(parameters(tmp_path, transforms=["plain"], compare={"primary": named}))
