"""The file of the choices."""

from __future__ import annotations

from pathlib import Path

import pytest

from makeweight.core.choices import NOTHING_CHOSEN, Choices
from makeweight.core.errors import BadInput
from makeweight.core.parameters import read_parameters
from makeweight.core.study import Arm
from makeweight.runtime.choices import read_choices, write_choices
from tests.conftest import write_params

OPEN = {"classifier": {"steps": [5, 6]}}


def test_choices_are_read_as_they_were_written(tmp_path: Path) -> None:
    parameters = read_parameters(write_params(tmp_path / "params.yaml", OPEN))
    control, union = Arm("none", "plain"), Arm("cgan+cvae", "classical")
    choices = Choices(control, {control: 5, union: 6}, {control: {5: (0.5, 0.25), 6: (0.0, 1.0)}})
    write_choices(choices, tmp_path / "results/choices.json")
    assert read_choices(parameters, tmp_path / "results/choices.json") == choices
    write_choices(NOTHING_CHOSEN, tmp_path / "results/choices.json")
    assert read_choices(parameters, tmp_path / "results/choices.json") == NOTHING_CHOSEN


def test_a_missing_file_is_an_error_only_where_something_is_to_be_chosen(tmp_path: Path) -> None:
    assert read_choices(read_parameters(write_params(tmp_path / "params.yaml")), tmp_path / "none") == NOTHING_CHOSEN
    for change in (OPEN, {"compare": {"control": "auto"}}):
        parameters = read_parameters(write_params(tmp_path / "params.yaml", change))
        with pytest.raises(BadInput, match=r"choices\.json is missing: run choose first"):
            read_choices(parameters, tmp_path / "choices.json")


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"control": null, "steps": [], "scores": {}}'])
def test_a_damaged_file_is_an_error(tmp_path: Path, content: str) -> None:
    parameters = read_parameters(write_params(tmp_path / "params.yaml", OPEN))
    (tmp_path / "choices.json").write_text(content)
    with pytest.raises(BadInput, match=r"choices\.json is damaged: run choose again"):
        read_choices(parameters, tmp_path / "choices.json")
