"""An installation: one package, whose public names are imported lazily."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import makeweight
from tests.conftest import PROJECT


def test_importing_it_imports_no_other_library(tmp_path: Path) -> None:
    code = (
        "import sys; before = set(sys.modules); import makeweight\n"
        "new = {name.split('.')[0] for name in set(sys.modules) - before}\n"
        "print(sorted(new - set(sys.stdlib_module_names)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "['makeweight']\n"


@pytest.mark.parametrize("name", makeweight.__all__)
def test_every_public_name_can_be_imported(name: str) -> None:
    assert getattr(makeweight, name).__name__ == name
    assert name in dir(makeweight)


def test_other_names_are_none_of_its() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = makeweight.nothing


def test_a_wheel_holds_nothing_but_makeweight(tmp_path: Path) -> None:
    pytest.importorskip("setuptools", minversion="77")
    build = "import sys, setuptools.build_meta as build; print(build.build_wheel(sys.argv[1]))"
    copy = tmp_path / "copy"
    tracked = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "pipeline", "pyproject.toml", "README.md", "LICENSE"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in tracked.stdout.splitlines():
        if (PROJECT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            (copy / name).write_bytes((PROJECT / name).read_bytes())
    subprocess.run([sys.executable, "-c", build, str(tmp_path)], cwd=copy, capture_output=True, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names} == {"makeweight", "makeweight-0.2.0.dist-info"}
    modules = {str(path.relative_to(PROJECT / "pipeline")) for path in (PROJECT / "pipeline").rglob("*.py")}
    assert modules <= set(names)
    assert {"makeweight/py.typed", "makeweight/reporting/templates/report.html"} <= set(names)
