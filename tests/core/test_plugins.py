"""Plug-ins by name."""

from __future__ import annotations

import sys
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


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("import absent_module\n", "ModuleNotFoundError: No module named 'absent_module'"),
        ("class Other: ...\n", "AttributeError: .*'Theirs'"),
        ("class Theirs(\n", "SyntaxError: "),
        ("raise RuntimeError('two\\nlines')\n", "RuntimeError: two lines"),
    ],
)
def test_a_plugin_that_cannot_be_loaded_is_one_line(
    source: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, "makeweight.families", source)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "guest_family", raising=False)
    with pytest.raises(BadInput, match=rf"^generators: 'theirs' of guest .* cannot be loaded: {message}[^\n]*$"):
        plugins.find("families", "theirs")
