"""The hash of a plug-in's code changes with all that it may run, and with nothing else."""

from __future__ import annotations

import json
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, cast

import pytest

from makeweight.classification.networks import small_cnn
from makeweight.core import plugins as registry
from makeweight.runtime import fingerprints, plugin_code
from makeweight.runtime.plugin_code import Plugin


def build(channels: Any, size: int, classes: int, width: Any = 4) -> None:
    """Stand for a classifier that no distribution registers."""


class Builder:
    """Stand for an argument without a value with a readable repr."""


FILES = {
    "guest/__init__.py": "from guest_core import WIDTH\ndef net(channels, size, classes): ...\n",
    "guest/second.py": "DEPTH = 1\n",
    "guest/defaults.yaml": "width: 4\n",
    "guest_core.py": "WIDTH = 4\n",
}
NET = {"group": "classifiers", "name": "guest_net"}


@pytest.fixture(params=["installed", "editable", "editable without a list", "egg-info"])
def site(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A distribution with two top-level packages in a folder on the path; its files lie in the folder `source`."""
    source = tmp_path / "source"
    metadata = tmp_path / ("source/guest.egg-info" if request.param == "egg-info" else "guest-1.0.dist-info")
    metadata.mkdir(parents=True)
    requires = "".join(f"Requires-Dist: {name}\n" for name in ("makeweight", "Helping.Hand>=1 ; extra == 'fast'"))
    text = f"Metadata-Version: 2.1\nName: guest\nVersion: 1.0\n{requires}"
    (metadata / ("PKG-INFO" if request.param == "egg-info" else "METADATA")).write_text(text)
    (metadata / "entry_points.txt").write_text("[makeweight.classifiers]\nguest_net = guest:net\n")
    for name, content in FILES.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(content)
    if request.param == "installed":
        record = [f"source/{name},," for name in FILES] + ["source/guest/__pycache__/second.pyc,,"]
        (metadata / "RECORD").write_text("\n".join(record))
    else:
        (tmp_path / "guest.pth").write_text(f"{source}\n")
        (metadata / "RECORD").write_text("guest.pth,,\n")
        direct = {"url": "file:///anywhere", "dir_info": {"editable": True}}
        (metadata / "direct_url.json").write_text(json.dumps(direct))
        if request.param != "editable without a list":
            (metadata / "top_level.txt").write_text("guest\nguest_core\n")
    if request.param == "egg-info":
        for name in ("RECORD", "direct_url.json"):
            (metadata / name).unlink()
        (metadata / "SOURCES.txt").write_text("guest/__init__.py\n")
    for folder in (tmp_path, source):
        monkeypatch.syspath_prepend(str(folder))
    return tmp_path


def guest_net() -> str:
    code = Plugin(**NET, loaded=build).third_party()
    assert code is not None
    return code


@pytest.mark.parametrize("name", FILES)
def test_every_file_of_its_distribution_counts(name: str, site: Path) -> None:
    before = guest_net()
    assert guest_net() == before
    file = site / "source" / name
    file.write_text(file.read_text() + "# changed\n")
    assert guest_net() != before


def test_bytecode_does_not_count(site: Path) -> None:
    before = guest_net()
    (site / "source/guest/__pycache__").mkdir()
    (site / "source/guest/__pycache__/second.pyc").write_bytes(b"compiled")
    assert guest_net() == before


def test_versions_of_what_it_requires_count(site: Path) -> None:
    codes = [guest_net()]
    metadata = site / "helping_hand-1.dist-info"
    metadata.mkdir()
    for version in ("1.0", "1.1"):
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: helping-hand\nVersion: {version}\n")
        codes.append(guest_net())
    assert len(set(codes)) == 3


def test_imports_of_makeweight_are_followed_from_it(site: Path) -> None:
    modules = Plugin(**NET, loaded=small_cnn).modules()
    assert {"guest", "makeweight.classification.networks"} <= modules
    (site / "source/guest/__init__.py").write_text("from makeweight.generators.blocks import losses\n")
    assert "makeweight.generators.blocks.losses" in fingerprints.sources(*sorted(modules))


@pytest.mark.parametrize("group", ["families", "transforms", "classifiers", "readers"])
def test_built_in_plugins_have_no_third_party_code(group: str) -> None:
    for name in registry.names(group):
        plugin = Plugin(group, name, registry.find(group, name))
        assert plugin.third_party() is None
        assert all(module.startswith("makeweight.") for module in plugin.modules())


def test_arguments_and_functions_of_a_partial_count() -> None:
    loaded = [
        build,
        partial(build),
        partial(build, 1),
        partial(build, [1]),
        partial(build, width=1),
        partial(build, width=2),
        partial(cast("Any", small_cnn), width=2),
        partial(partial(build, width=2), 1),
        partial(build, width=build),
        partial(build, width={"a": 1}),
        partial(build, width=Builder()),
    ]
    found = [
        plugin_code.of_code("makeweight.core.seeds", Plugin("classifiers", "unregistered", item)) for item in loaded
    ]
    assert len(set(found)) == len(loaded)
    again = Plugin("classifiers", "unregistered", partial(build, width=Builder()))
    assert plugin_code.of_code("makeweight.core.seeds", again) == found[-1]


@pytest.mark.parametrize("kind", ["class", "instance", "method", "partial"])
def test_a_plugin_in_no_distribution_counts_by_its_top_level_package(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / f"loose_{kind}"
    package.mkdir()
    (package / "__init__.py").write_text("class Builder:\n    def method(self): ...\n    def __call__(self): ...\n")
    (package / "second.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    builder = import_module(package.name).Builder
    loaded = {"class": builder, "instance": builder(), "method": builder().method, "partial": partial(builder())}
    plugin = Plugin("classifiers", "unregistered", loaded[kind])
    before = plugin.third_party()
    assert before is not None
    assert plugin.modules() == {package.name}
    (package / "second.py").write_text("changed = 1")
    assert plugin.third_party() != before


def test_an_installed_release_counts_by_its_version() -> None:
    from torch import nn

    plugin = Plugin("classifiers", "unregistered", partial(nn.Linear, 3))
    assert plugin.third_party() is not None
    assert not plugin.modules()  # else the source of all of torch would be read
