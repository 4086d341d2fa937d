"""Documents that agree with the code: links, commands, parameters, the page of parameters, two READMEs."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from ruamel.yaml import YAML

from tests.conftest import PROJECT

DOCUMENTS = sorted(
    [*PROJECT.glob("*.md"), *(PROJECT / "docs").rglob("*.md"), *(PROJECT / "examples").rglob("*.md"),
     PROJECT / "benchmarks" / "results.md"]
)  # fmt: skip
TASKS = [path for path in DOCUMENTS if path.parent == PROJECT / "docs" or path.name.startswith("README")]
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"`([^`\n]+)`|^ {4}(.+)$", re.MULTILINE)


def name(path: Path) -> str:
    """The path below the project, as a test's name."""
    return str(path.relative_to(PROJECT))


def code(path: Path) -> Iterator[str]:
    """Inline code and lines of code blocks."""
    return (inline or line for inline, line in CODE.findall(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_links_lead_to_files(path: Path) -> None:
    links = [link.partition("#")[0] for link in LINK.findall(path.read_text(encoding="utf-8"))]
    missing = [link for link in links if link and "://" not in link and not (path.parent / link).exists()]
    assert not missing


@pytest.mark.parametrize("path", TASKS, ids=name)
def test_commands_and_their_options_exist(path: Path) -> None:
    from makeweight.commands.__main__ import makeweight

    commands = typer.main.get_command(makeweight).commands  # type: ignore[attr-defined]
    for text in code(path):
        for command, arguments in re.findall(r"\bmakeweight (?!= )([a-z][a-z-]+)((?: +[^#\n]*)?)", text):
            if command == "import":  # of the Python package
                continue
            assert command in commands, text
            known = {option for parameter in commands[command].params for option in parameter.opts}
            assert set(re.findall(r"(?<!\S)--[a-z-]+", arguments)) <= known | {"--help"}, text


@pytest.mark.parametrize("path", TASKS, ids=name)
def test_parameters_exist(path: Path) -> None:
    values = YAML(typ="safe").load(PROJECT / "params.yaml")
    groups = "|".join(key for key, value in values.items() if isinstance(value, dict))
    for text in code(path):
        for key in re.findall(rf"(?<![\w./-])((?:{groups})(?:\.[a-z_0-9]+)+)(?![\w/]|\.(?:py|md|npy|csv))", text):
            group, *parts = key.split(".")
            if parts[-1] in {"json", "py"}:
                continue
            value = values[group]
            for part in parts:
                assert isinstance(value, dict), text
                assert part in value, text
                value = value[part]


def test_the_page_of_parameters_is_up_to_date(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = importlib.util.spec_from_file_location("make_parameters", PROJECT / "docs" / "make_parameters.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    assert module.PAGE.read_text(encoding="utf-8") == module.page(), "run make docs"


def test_both_readmes_have_the_same_links_and_commands() -> None:
    english, chinese = (PROJECT / name for name in ("README.md", "README.zh-CN.md"))
    other = {"README.md", "README.zh-CN.md"}
    links = [
        [link for link in LINK.findall(path.read_text(encoding="utf-8")) if link not in other]
        for path in (english, chinese)
    ]
    assert set(links[0]) == set(links[1])
    blocks = [
        [
            line.partition("#")[0].strip()
            for line in re.findall(r"^ {4}(.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
        ]
        for path in (english, chinese)
    ]
    assert blocks[0] == blocks[1]
