"""The architecture: import layers, dependencies that stages declare to DVC, fast commands, documented parameters."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from makeweight.core import plugins as plugins_module
from makeweight.core.parameters import Parameters, read_parameters
from makeweight.core.validation import Settings
from makeweight.runtime import fingerprints
from tests.conftest import PROJECT, Invoke

DVC: dict[str, Any] = YAML(typ="safe").load(PROJECT / "dvc.yaml")
STAGES: dict[str, Any] = DVC["stages"]

# Groups of plug-ins that a stage finds by name, without an import.
PLUGINS = {
    "check": ("readers", "families", "transforms", "classifiers", "controls"),
    "prepare": ("readers",),
    "train_generator": ("families",),
    "generate": ("families",),
    "assess": ("families",),
    "choose": ("families", "transforms", "classifiers", "controls"),
    "train_baseline": ("transforms", "classifiers", "controls"),
    "train_augmented": ("transforms", "classifiers", "controls"),
    "train_union": ("transforms", "classifiers", "controls"),
    "train_auto": ("families", "transforms", "classifiers", "controls"),
    "train_one_generator": ("transforms", "classifiers", "controls"),
    "compare": ("controls",),
    "report": ("families",),
}
# Modules that a stage imports without declaring them, with all that these import: their results are printed and
# enter no output (`test_the_plan_changes_no_output`). Declared, they would make `prepare` run again after each change
# of a family's or the classifier's code.
PRINTED = {"check": {"makeweight.project.plan"}, "prepare": {"makeweight.project.plan"}}
# Parameters that a stage may read without declaring them: they change no byte of an output.
UNDECLARED = {"compute.workers", "compute.checkpoint_seconds"}


def command_of(stage: str) -> str:
    """The module of the command that a stage's script runs: its namesake."""
    match = re.search(r"-P stages/(\w+)\.py", STAGES[stage]["cmd"])
    assert match
    assert match[1] == stage
    return f"makeweight.commands.{match[1]}"


def test_imports_go_down_only() -> None:
    done = subprocess.run(
        [f"{sys.prefix}/bin/lint-imports", "--no-cache"], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_declares_the_code_that_it_imports(stage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    imports = fingerprints._imports
    monkeypatch.setattr(fingerprints, "_imports", lambda *module: imports(*module) - PRINTED.get(stage, set()))
    plugins = {point.module for group in PLUGINS[stage] for point in entry_points(group=f"makeweight.{group}")}
    files = fingerprints.sources(command_of(stage), *(module for module in plugins if module.startswith("makeweight.")))
    imported = {str(path.relative_to(PROJECT)) for path in files.values() if path.name != "__init__.py"}
    imported.add(f"stages/{stage}.py")
    declared = {dep for dep in STAGES[stage]["deps"] if dep.startswith(("pipeline/", "stages/"))}
    inside = {
        name: next((dep for dep in declared if name == dep or name.startswith(f"{dep}/")), None) for name in imported
    }
    assert [name for name, dep in inside.items() if dep is None] == []
    assert declared - set(inside.values()) == set()


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_names_no_interpreter_of_one_machine(stage: str) -> None:
    # The backslash keeps DVC from expanding it: the shell does, and dvc.lock holds it as it stands here. The quotes are
    # for a path with spaces.
    assert STAGES[stage]["cmd"].startswith(r'"\${MAKEWEIGHT_PYTHON:-.venv/bin/python}" -P stages/')


class Spy:
    """Parameters that record which of their values are read."""

    def __init__(self, inner: Any, prefix: str, seen: set[str]) -> None:
        self._inner, self._prefix, self._seen = inner, prefix, seen

    def __getattr__(self, name: str) -> Any:
        key = f"{self._prefix}{name}"
        if name == "model_dump":
            self._seen.add(self._prefix.rstrip("."))
            return self._inner.model_dump
        value = getattr(self._inner, name)
        if isinstance(value, Settings):
            return Spy(value, f"{key}.", self._seen)
        if isinstance(value, dict):
            return SpyDict(value, key, self._seen)
        self._seen.add(key)
        return value


class SpyDict(dict[str, Any]):
    """A mapping that records which of its keys are read."""

    def __init__(self, values: dict[str, Any], key: str, seen: set[str]) -> None:
        super().__init__(values)
        self._key, self._seen = key, seen

    def __getitem__(self, name: str) -> Any:
        self._seen.add(f"{self._key}.{name}")
        return super().__getitem__(name)


RUNS = {
    "prepare": ("prepare",),
    "train_generator": ("train-generator", "--family", "cgan"),
    "generate": ("generate", "--family", "cgan"),
    "assess": ("assess", "--family", "cgan"),
    "choose": ("choose",),
    "train_baseline": ("train-baseline", "--source", "none", "--transform", "plain"),
    "train_augmented": ("train-augmented", "--family", "cgan", "--transform", "plain"),
    "train_union": ("train-union", "--union", "cgan+gaussian", "--transform", "plain"),
    "train_auto": ("train-auto", "--transform", "plain"),
    "train_one_generator": ("train-one-generator", "--family", "cgan", "--transform", "plain"),
    "compare": ("compare",),
    "report": ("report",),
}
EARLIER = {
    "train_union": (
        ("train-generator", "--family", "gaussian"),
        ("generate", "--family", "gaussian"),
        ("train-augmented", "--family", "gaussian", "--transform", "plain"),
    ),
}
ITEM = {"family": "cgan", "union": "cgan+gaussian", "source": "none", "transform": "plain"}


def covers(declared: str, key: str) -> bool:
    return key == declared or key.startswith(f"{declared}.")


def test_a_stage_declares_the_parameters_that_it_reads(
    workspace: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    import makeweight.core.parameters
    import makeweight.runtime.replicates
    from tests.conftest import write_params

    narrow = {
        "controls": ["none"], "transforms": ["plain"], "compare": {"control": "none-plain"},
        "generators": ["cgan", "gaussian"], "unions": ["cgan+gaussian"], "classifier": {"steps": [6, 12]},
        "choice": {"replicates": 2}, "auto": {"candidates": 2},
    }  # fmt: skip
    # In this process, so that what the replicates read is seen as well.
    monkeypatch.setattr(makeweight.runtime.replicates, "workers", lambda compute, replicates: 1)
    monkeypatch.setattr("makeweight.studies.choose.best_candidate", lambda scores, _: (list(scores)[-1], 12))
    seen: set[str] = set()
    for printed in ("measure", "lines", "try_settings"):  # see PRINTED
        monkeypatch.setattr(f"makeweight.project.plan.{printed}", lambda *arguments: [])
    monkeypatch.setattr(
        makeweight.core.parameters, "read_parameters", lambda path: Spy(read_parameters(path), "", seen)
    )
    for stage, arguments in RUNS.items():
        for earlier in EARLIER.get(stage, ()):
            assert invoke(*earlier)[0] == 0
        seen.clear()
        # Each strategy reads parameters of its own; automatic arms are refused under `balance`.
        for strategy in ("uniform",) if stage == "train_auto" else ("balance", "uniform"):
            automatic = ["auto"] if strategy == "uniform" and stage in {"choose", "train_auto"} else []
            write_params(
                workspace / "params.yaml", {**narrow, "generate": {"strategy": strategy}, "automatic": automatic}
            )
            code, output = invoke(*arguments)
            assert code == 0, output
        declared = {re.sub(r"\$\{item\.(\w+)\}", lambda m: ITEM[m[1]], key) for key in STAGES[stage]["params"]}
        assert {key for key in seen - UNDECLARED if not any(covers(d, key) for d in declared)} == set(), stage
        assert {d for d in declared if not any(covers(d, key) or covers(key, d) for key in seen)} == set(), stage


@pytest.mark.parametrize(
    ("option", "stage", "written"),
    [
        ("out", "prepare", {"data/train", "data/validation", "data/test"}),
        ("out", "train_generator", {"models/${item.family}/samplers", "models/${item.family}/README.md"}),
        ("out", "generate", {"data/synthetic/${item.family}"}),
        ("out", "assess", {"results/assessment/${item.family}/assessment.json"}),
        ("preview", "generate", {"results/samples/${item.family}.png"}),
        ("out", "report", {"results/report.html", "results/report.md"}),
        ("out", "compare", {"results/metrics.json", "results/arms.csv", "results/contrasts.csv", "results/arms.png"}),
    ],
)
def test_defaults_of_options_are_the_paths_in_dvc_yaml(option: str, stage: str, written: set[str]) -> None:
    source = Path(PROJECT, "pipeline", command_of(stage).replace(".", "/") + ".py").read_text(encoding="utf-8")
    match = re.search(rf'\b{option}: .*?(?:default: (\S+)\]|= Path\("(\S+)"\))', source, re.DOTALL)
    assert match
    default = (match[1] or match[2]).replace("FAMILY", "${item.family}")
    assert all(path.startswith(default) for path in written)
    listed = {
        entry if isinstance(entry, str) else next(iter(entry))
        for key in ("outs", "plots", "metrics")
        for entry in STAGES[stage].get(key, [])
    }
    assert written <= listed


@pytest.mark.parametrize(
    "arguments",
    [["--help"], *([name, "--help"] for name in ("check", "prepare", "train-generator", "train-baseline"))],
)
def test_help_imports_no_heavy_library(arguments: list[str]) -> None:
    code = (
        "import sys; from makeweight.commands.__main__ import makeweight; sys.argv[1:] = sys.argv[1:]\n"
        "try: makeweight()\n"
        "except SystemExit: pass\n"
        "print('HEAVY', sorted({'torch', 'torchvision', 'albumentations', 'sklearn', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    assert "Usage" in done.stdout
    assert done.stdout.rstrip().endswith("HEAVY []")


def leaves(values: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


def test_every_parameter_has_a_comment() -> None:
    lines = (PROJECT / "params.yaml").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if re.match(r" *[a-z_0-9]+: +\S", line) and "#" not in line] == []


def test_the_default_parameters_are_in_order() -> None:
    from makeweight.project.check import check

    parameters = read_parameters(PROJECT / "params.yaml")
    check(parameters)
    assert isinstance(parameters, Parameters)


@pytest.mark.parametrize("group", ["families", "readers", "transforms", "classifiers", "controls"])
def test_names_of_plugins_are_valid_in_names_of_arms(group: str) -> None:
    assert plugins_module.names(group)
    assert all(plugins_module.NAME.fullmatch(name) for name in plugins_module.names(group))
