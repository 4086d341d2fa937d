"""Parameters: every error names key, value and what is allowed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from ruamel.yaml import YAML

from makeweight.core.errors import BadInput
from makeweight.core.parameters import Parameters, read_parameters
from makeweight.generators.interface import find_family
from tests.conftest import PROJECT, write_params


def errors(path: Path) -> list[str]:
    with pytest.raises(BadInput) as caught:
        read_parameters(path)
    return list(caught.value.errors)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"sed": 1},
            "sed is not a parameter (did you mean seed?); allowed here: assess, auto, automatic, ",
        ),
        ({"data": {"fitt": 1}}, "data.fitt is not a parameter (did you mean fit?); allowed here: background, bands, "),
        ({"classifier": {"steps": "5"}}, "classifier.steps is '5', but should be a valid integer"),
        ({"classifier": {"steps": 5.5}}, "classifier.steps is 5.5"),
        ({"classifier": {"steps": 0}}, "classifier.steps is 0, but should be greater than or equal to 1"),
        ({"classifier": {"steps": None}}, "classifier.steps is None"),
        (
            {"classifier": {"steps": []}},
            "classifier.steps is [], but should be a valid integer or a list of at least 1",
        ),
        ({"classifier": {"steps": [5, 5]}}, "steps is [5, 5], but a list of budgets must increase strictly"),
        ({"classifier": {"steps": [9, 5]}}, "steps is [9, 5], but a list of budgets must increase strictly"),
        ({"classifier": {"steps": [0, 5]}}, "classifier.steps.0 is 0, but should be greater than or equal to 1"),
        ({"data": {"counts": {"int": -1}}}, "data.counts.int is -1, but should be greater than or equal to"),
        ({"data": {"counts": {"str": "x", "cat": 1}}}, "data.counts.str is 'x', but should be a valid integer"),
        ({"choice": {"replicates": 0}}, "choice.replicates is 0, but should be greater than or equal to 1"),
        ({"unions": ["cgan"]}, "unions: 'cgan' must name at least two different families, joined by +"),
        (
            {"generators": ["cgan", "cvae"], "unions": ["cgan+cvae", "cgan+cvae"]},
            "unions has duplicates: cgan+cvae, cgan+cvae",
        ),
        ({"unions": ["cgan+cgan"]}, "unions: 'cgan+cgan' must name at least two different families, joined by +"),
        ({"unions": ["cgan+cvae"]}, "unions: 'cgan+cvae' names 'cvae', which is not among the generators, cgan"),
        (
            {"generators": ["cgan", "cvae"], "unions": ["cgan+cvae", "cvae+cgan"]},
            "unions: 'cgan+cvae' and 'cvae+cgan' combine the same families",
        ),
        ({"classifier": 7}, "classifier is 7"),
        ({"data": {"image_size": 7}}, "data.image_size is 7, but should be greater than or equal to 8"),
        ({"data": {"image_size": 129}}, "data.image_size is 129"),
        ({"data": {"fit": "squeeze"}}, "data.fit is 'squeeze', but should be 'pad', 'crop' or 'stretch'"),
        ({"data": {"test_fraction": 1.0}}, "data.test_fraction is 1.0"),
        ({"data": {"test_fraction": 0.6, "validation_fraction": 0.5}}, "leave nothing to train on"),
        ({"data": {"imbalance": float("nan")}}, "data.imbalance"),
        ({"compute": {"workers": "all"}}, "compute.workers is 'all', but should be a valid integer or 'auto'"),
        ({"transforms": ["plain", "plain"]}, "transforms has duplicates: plain, plain"),
        ({"generators": ["none"]}, "generators cannot hold 'none': that is the name of a control"),
        ({"one_generator": ["cgan", "cgan"]}, "one_generator has duplicates: cgan, cgan"),
        ({"one_generator": ["cvae"]}, "one_generator names 'cvae', which is not in generators: add it there or remove"),
        ({"assess": {"families": ["cgan", "cgan"]}}, "assess.families has duplicates: cgan, cgan"),
        ({"assess": {"families": ["cvae"]}}, "assess.families names 'cvae', which is not in generators: add it there"),
        ({"assess": {"neighbours": 0}}, "assess.neighbours is 0, but should be greater than or equal to 1"),
        ({"automatic": ["auto"]}, "automatic needs choice.replicates of at least 2"),
        (
            {"automatic": ["auto"], "choice": {"replicates": 2}, "generate": {"strategy": "balance"}},
            "needs generate.strat",
        ),
        ({"automatic": ["best"]}, "automatic.0 is 'best', but should be 'auto'"),
        ({"generators": ["auto"]}, "controls and generators cannot hold 'auto': that is the name of automatic arms"),
        ({"auto": {"candidates": 0}}, "auto.candidates is 0, but should be greater than or equal to 1"),
        ({"auto": {"filters": [["agreement"], ["agreement"]]}}, "auto: filters has duplicates"),
        ({"auto": {"synthetic_fractions": [0.0]}}, "auto.synthetic_fractions.0 is 0.0, but should be greater than 0"),
        ({"generate": {"filters": ["density", "density"]}}, "generate: filters has duplicates: density, density"),
        ({"generate": {"filtering": {"max_drawn": 0.5}}}, "generate.filtering.max_drawn is 0.5, but should be greater"),
        ({"controls": "none"}, "controls is 'none', but should be a list"),
        ({"classifier": []}, "classifier is [], but should be keys with values"),
        ({"generators": []}, "generators is [], but should be a list of at least 1"),
        ({"data": {"background": [0, 0]}}, "data.background is [0, 0], but should be a list of at least 3"),
        ({"data": {"counts": 5}}, "data.counts is 5, but should be a list or keys with values"),
        ({"data": {"counts": {"cat": 0}}}, "data.counts.cat is 0, but should be greater than or equal to 1"),
        ({"data": {"counts": [5, "x"]}}, "data.counts.1 is 'x', but should be a valid integer"),
    ],
)
def test_an_error_is_one_line_that_names_key_value_and_what_is_allowed(
    change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    (line,) = errors(write_params(tmp_path / "params.yaml", change))
    assert message in line


def test_every_error_has_a_line_of_its_own(tmp_path: Path) -> None:
    lines = errors(write_params(tmp_path / "params.yaml", {"seed": -1, "data": {"fit": "x"}}))
    assert [line.split()[0] for line in lines] == ["seed", "data.fit"]


def test_a_missing_key_is_named_since_nothing_has_a_default(tmp_path: Path) -> None:
    text = (PROJECT / "params.yaml").read_text(encoding="utf-8")
    (tmp_path / "params.yaml").write_text(text.replace("  margin:", "  # margin:"))
    assert errors(tmp_path / "params.yaml") == ["compare.margin is missing"]


def test_yaml_is_read_as_version_1_2(tmp_path: Path) -> None:
    text = (PROJECT / "params.yaml").read_text(encoding="utf-8")
    text = text.replace("learning_rate: 0.003", "learning_rate: 3e-3").replace("reader: digits", "reader: no")
    (tmp_path / "params.yaml").write_text(text)
    parameters = read_parameters(tmp_path / "params.yaml")
    assert parameters.classifier.learning_rate == 0.003  # a text in YAML 1.1
    assert parameters.data.reader == "no"  # False in YAML 1.1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("seed: [1\nreplicates: 2", "line 2 is not valid YAML"),
        ("seed: 1\nseed: 2", "is not valid YAML"),
        ("", "holds no parameters"),
        ("- 1", "holds no parameters"),
        ("seed: 2020-01-01", "seed is '2020-01-01'"),
    ],
)
def test_a_file_without_parameters_is_one_line(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text(content)
    assert message in errors(tmp_path / "params.yaml")[0]


def test_a_missing_file_and_a_binary_one_are_errors(tmp_path: Path) -> None:
    assert "cannot be read" in errors(tmp_path / "params.yaml")[0]
    (tmp_path / "params.yaml").write_bytes(b"\xff\xfe\x00")
    assert "is not UTF-8 text" in errors(tmp_path / "params.yaml")[0]


def test_parameters_cannot_be_changed(tmp_path: Path) -> None:
    parameters: Parameters = read_parameters(write_params(tmp_path / "params.yaml"))
    with pytest.raises(ValidationError, match="frozen"):
        parameters.data.fit = "crop"  # type: ignore[misc]


OLD_NAMES: list[tuple[list[str], str, str]] = [
    (["watch"], "monitor", "watch is now monitor: rename it (on_trouble is on_divergence, "),
    (["generate", "fill"], "strategy", "generate.fill is now generate.strategy: rename it (even is uniform, "),
    (["generate", "share"], "synthetic_fraction", "generate.share is now generate.synthetic_fraction: rename it"),
    (["generate", "level_to"], "balance_to", "generate.level_to is now generate.balance_to: rename it"),
    (["generate", "max_per_real"], "max_synthetic_ratio", "generate.max_per_real is now generate.max_synthetic_ratio"),
    (["data", "largest_group"], "max_group_fraction", "data.largest_group is now data.max_group_fraction: rename it"),
    (["compute", "together"], "replicates_per_program", "compute.together is now compute.replicates_per_program"),
]


@pytest.mark.parametrize(("old", "new", "line"), OLD_NAMES, ids=str)
def test_a_renamed_parameter_is_one_line_with_its_new_name(old: list[str], new: str, line: str, tmp_path: Path) -> None:
    values = YAML(typ="safe").load(write_params(tmp_path / "params.yaml"))
    group = values
    for part in old[:-1]:
        group = group[part]
    group[old[-1]] = group.pop(new)
    YAML(typ="safe").dump(values, tmp_path / "params.yaml")
    with pytest.raises(BadInput) as raised:
        read_parameters(tmp_path / "params.yaml")
    assert str(raised.value).startswith(line)
    assert "\n" not in str(raised.value)


def test_the_former_switch_of_runs_with_one_generator_is_one_line_that_names_the_list(tmp_path: Path) -> None:
    values = YAML(typ="safe").load(write_params(tmp_path / "params.yaml"))
    del values["one_generator"]
    values["compare"]["variance"] = True
    YAML(typ="safe").dump(values, tmp_path / "params.yaml")
    assert errors(tmp_path / "params.yaml") == [
        "compare.variance is now one_generator: rename it (a list of families at the top level: true is that of "
        "`generators`, false is [])"
    ]


def test_a_renamed_parameter_of_a_family_is_one_line_with_its_new_name(tmp_path: Path) -> None:
    values = YAML(typ="safe").load(write_params(tmp_path / "params.yaml"))
    for old, new in (("mismatch", "matching_aware_weight"), ("average_decay", "ema_decay")):
        settings = {**values["families"]["cgan"]}
        settings[old] = settings.pop(new)
        with pytest.raises(BadInput) as raised:
            find_family("cgan", {"cgan": settings})
        assert str(raised.value) == f"families.cgan.{old} is now families.cgan.{new}: rename it"


def test_budgets_are_one_number_or_a_list(tmp_path: Path) -> None:
    for steps, budgets in ((5, (5,)), ([5], (5,)), ([5, 7], (5, 7))):
        settings = read_parameters(write_params(tmp_path / "params.yaml", {"classifier": {"steps": steps}})).classifier
        assert settings.budgets == budgets
        assert settings.with_budget(9).budgets == (9,)
