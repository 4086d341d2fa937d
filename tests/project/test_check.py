"""Errors that `check` finds before anything is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from makeweight.core.errors import BadInput
from makeweight.core.parameters import read_parameters
from makeweight.project.check import check, link_weights
from tests.conftest import write_params


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"generate": {"base": "smote"}}, r"generate\.base is 'smote': set it to auto or to a control: "),
        (
            {"controls": ["none", "logit_adjusted"], "classifier": {"mix": "mixup"}},
            r"classifier\.mix is mixup, but the loss of the control logit_adjusted does not suit mixed images: ",
        ),
        (
            {"generate": {"base": "logit_adjusted"}, "classifier": {"mix": "cutmix"}},
            "classifier.mix is cutmix, but the loss of the control logit_adjusted",
        ),
        (
            {"transforms": ["plain", "trivial_augment"]},
            r"'trivial_augment' is neither .*did you mean trivial_augment_wide",
        ),
        ({"recipes": {"classical": [{"Afine": {}}]}}, r"no transform named 'Afine' \(did you mean Affine"),
        (
            {"transforms": ["plain", "heavy"], "recipes": {"heavy": [{"Resize": {"height": 4, "width": 4}}]}},
            r"recipes\.heavy turns uint8 images of shape \(\d+, \d+, \d\) into uint8 of shape \(4, 4",
        ),
        (
            {"transforms": ["plain", "heavy"], "recipes": {"heavy": [{"ToFloat": {}}]}},
            r"recipes\.heavy turns uint8 images .* into float32",
        ),
        (
            {"assess": {"families": ["cgan"], "weights": "absent.safetensors"}},
            r"assess\.weights: absent\.safetensors does not exist",
        ),
        ({"controls": ["none", "oversampel"]}, "controls: 'oversampel' is not among the registered controls"),
    ],
)
def test_an_error_is_one_line(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    compare = {"compare": {"control": "none-plain"}}
    with pytest.raises(BadInput, match=message) as caught:
        check(read_parameters(write_params(tmp_path / "params.yaml", compare, change)))
    assert len(caught.value.errors) == 1


def test_the_link_to_the_weights_leads_to_the_file_that_the_parameters_name(workspace: Path) -> None:
    weights, link = Path("own.pt"), Path(".makeweight/weights")
    weights.write_text("first", encoding="utf-8")
    for named, content in ((None, "No weights are used.\n"), ("own.pt", "first"), ("own.pt", "second")):
        write_params(workspace / "params.yaml", {"assess": {"families": ["cgan"], "weights": named}})
        link_weights(read_parameters(workspace / "params.yaml"), link)
        if content == "second":
            weights.write_text(content, encoding="utf-8")
        assert link.read_text(encoding="utf-8") == content
    weights.unlink()  # what the link led to may be gone
    write_params(workspace / "params.yaml", {"assess": {"families": [], "weights": "own.pt"}})
    link_weights(read_parameters(workspace / "params.yaml"), link)
    assert link.read_text(encoding="utf-8") == "No weights are used.\n"
