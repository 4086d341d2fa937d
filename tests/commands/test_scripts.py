"""The scripts that DVC runs, and the ways to start a command."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from makeweight.commands.__main__ import makeweight
from tests.conftest import PROJECT, Invoke

SCRIPTS = sorted((PROJECT / "stages").glob("*.py"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_a_script_imports_only_the_command_of_its_name(script: Path) -> None:
    tree = ast.parse(script.read_text(encoding="utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    own = [text for node in imports if "makeweight" in (text := ast.unparse(node))]
    assert own == [f"from makeweight.commands.{script.stem} import main"]
    assert {ast.unparse(node) for node in imports} - set(own) == {"import sys", "from pathlib import Path"}
    assert script.stem in {command.callback.__name__ for command in makeweight.registered_commands if command.callback}


def test_no_script_is_called_like_a_module_of_the_standard_library() -> None:
    assert {script.stem for script in SCRIPTS} == set(YAML(typ="safe").load(PROJECT / "dvc.yaml")["stages"])
    assert {script.stem for script in SCRIPTS} & set(sys.stdlib_module_names) == set()


@pytest.mark.parametrize("start", [("-m", "makeweight", "check"), ("-P", str(PROJECT / "stages/check.py"))])
def test_module_and_script_are_the_same_command(start: tuple[str, ...], workspace: Path) -> None:
    done = subprocess.run([sys.executable, *start], cwd=workspace, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "params.yaml is valid; wrote .makeweight/checked"


def test_the_version_is_that_of_the_package(invoke: Invoke) -> None:
    assert invoke("--version") == (0, f"makeweight {version('makeweight')}\n")


def test_a_control_is_no_family_and_a_family_no_control(workspace: Path, invoke: Invoke) -> None:
    code, output = invoke("train-baseline", "--source", "cgan", "--transform", "plain")
    controls = "deferred, logit_adjusted, none, oversample, weighted"
    assert (code, output) == (2, f"'cgan' is not a control ({controls}): run train-augmented for a family\n")
    code, output = invoke("train-augmented", "--family", "none", "--transform", "plain")
    assert (code, output) == (2, "'none' is a control, not a family: run train-baseline for it\n")
    code, output = invoke("train-augmented", "--family", "cgan+warp", "--transform", "plain")
    assert (code, output) == (2, "'cgan+warp' is a union, not a family: run train-union for it\n")
    code, output = invoke("train-union", "--union", "cgan", "--transform", "plain")
    assert code == 2
    assert output == "'cgan' is not a union of families, such as cgan+cvae: run train-augmented for one family\n"
