"""Errors that `check` finds before anything is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from makeweight.core.errors import BadInput
from makeweight.core.parameters import read_parameters
from makeweight.project.check import check
from tests.conftest import write_params


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"generate": {"base": "smote"}}, r"generate\.base is 'smote': set it to auto or to a control: "),
        ({"controls": ["none", "oversampel"]}, "controls: 'oversampel' is not among the registered controls"),
    ],
)
def test_an_error_is_one_line(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    compare = {"compare": {"control": "none-plain"}}
    with pytest.raises(BadInput, match=message) as caught:
        check(read_parameters(write_params(tmp_path / "params.yaml", compare, change)))
    assert len(caught.value.errors) == 1
