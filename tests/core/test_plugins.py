"""Plug-ins by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from makeweight.core import plugins
from makeweight.core.errors import BadInput


def test_unknown_plugins_are_errors_that_list_the_registered_ones() -> None:
    with pytest.raises(BadInput, match="'vae' is not among the registered families: autoencoder, cgan"):
        plugins.find("families", "vae")
    with pytest.raises(BadInput, match=r"'\.\./cgan' is not a valid name"):
        plugins.find("families", "../cgan")


def install(folder: Path, group: str, source: str) -> None:
    """Install a distribution `guest` that registers a family `theirs`."""
    metadata = folder / "guest-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: guest\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[{group}]\ntheirs = guest_family:Theirs\n")
    (folder / "guest_family.py").write_text(source)


def test_a_plugin_that_registers_in_the_former_group_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, "pipeline.families", "class Theirs: ...\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(
        BadInput, match=r"^guest registers 'theirs' in .* pipeline\.families, .* makeweight\.families: [^\n]*$"
    ):
        plugins.find("families", "theirs")


def test_a_plugin_that_imports_the_former_package_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "makeweight.families", "from pipeline.core import Split\nclass Theirs: ...\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        BadInput, match=r"^guest \(module guest_family\) imports pipeline.*: install a newer version[^\n]*$"
    ):
        plugins.find("families", "theirs")


def test_another_missing_module_of_a_plugin_keeps_its_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, "makeweight.families", "import absent_module\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ModuleNotFoundError, match="absent_module"):
        plugins.find("families", "theirs")
