"""`makeweight plugins`."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import pytest

from tests.conftest import Invoke


def install(site: Path, name: str, points: str, code: str) -> None:
    """Lay out a package as pip does."""
    metadata = site / f"{name}-1.2.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
    (metadata / "entry_points.txt").write_text(points)
    (site / f"{name}.py").write_text(code)


def test_everything_is_listed_with_its_package(invoke: Invoke) -> None:
    code, output = invoke("plugins")
    assert code == 0
    lines = [line.split() for line in output.splitlines()]
    assert [line[0] for line in lines if len(line) == 1] == [
        "families", "readers", "transforms", "classifiers", "controls"
    ]  # fmt: skip
    own = version("makeweight")
    assert ["gaussian", "makeweight", own, "makeweight.generators.families.gaussian:Gaussian"] in lines
    assert "error" not in output


def test_a_broken_one_is_named_and_does_not_affect_the_others(
    tmp_path: Path, workspace: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site"
    install(site, "guest", "[makeweight.controls]\nguest_control = guest:control\n", "control = object()\n")
    install(site, "faulty", "[makeweight.readers]\nfaulty = faulty:Reader\n", "import nothing_of_that_name\n")
    install(site, "rival", "[makeweight.families]\nsmote = rival:Family\n", "Family = object\n")
    monkeypatch.syspath_prepend(str(site))
    code, output = invoke("plugins")
    assert code == 0
    assert "guest 1.2" in output
    warnings = [line for line in output.splitlines() if line.startswith("warning: ")]
    assert len(warnings) == 2
    assert "'faulty' of faulty (faulty:Reader) cannot be loaded: ModuleNotFoundError" in " ".join(warnings)
    assert "'smote' is registered twice among the families" in " ".join(warnings)
    assert ", 2 with an error" in output
    assert invoke("check")[0] == 0
