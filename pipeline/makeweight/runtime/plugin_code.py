"""Hashes of the code of plug-ins: their distribution, their arguments, and the versions of their requirements."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, partial
from importlib.metadata import (
    Distribution,
    EntryPoints,
    PackageNotFoundError,
    distribution,
    entry_points,
    packages_distributions,
)
from importlib.util import find_spec
from pathlib import Path
from types import MethodType

from makeweight.runtime import fingerprints

OWN_PACKAGE, OWN_DISTRIBUTION = "makeweight", "makeweight"
BYTECODE = {".pyc", ".pyo"}
METADATA = (".dist-info", ".egg-info")


@dataclass(frozen=True)
class Plugin:
    """A plug-in: a class, a function, an instance, or a `functools.partial` of one.

    Attributes:
        group: "families", "readers", "transforms", "classifiers" or "controls".
        name: its name in the group, if it is registered.
        loaded: the object itself.
    """

    group: str
    name: str
    loaded: object

    def third_party(self) -> str | None:
        """Hash of its arguments and of all code outside Makeweight that it may run; None for a built-in plug-in.

        The code is every file of the distribution that registers it, and the state of that distribution's requirements.
        Other parts, such as the class in a `partial`, count by the state of their distribution, or by the files of
        their package if it is in no distribution.
        """
        owners, packages = self._owners(), self._other_packages()
        if not owners and not packages:
            return None
        known = _distributions(tuple(sys.path))
        elsewhere = {name for package in packages for name in known.get(package, ())} - {*owners}
        return fingerprints.of_values(
            {
                "arguments": self.arguments(),
                "files": {name: _hash(_files(owner)) for name, owner in owners.items()},
                "states": {name: _state(name) for name in elsewhere.union(*map(_requirements, owners.values()))},
                "packages": {package: _hash(_files_of(package)) for package in packages - {*known}},
            }
        )

    def modules(self) -> set[str]:
        """The modules from which imports are followed into Makeweight, which `third_party` does not cover."""
        if not self._other_packages():
            return self._modules()
        owners, known = {*self._owners()}, _distributions(tuple(sys.path))
        packages = {package for package, names in known.items() if not owners.isdisjoint(names)}
        loose = self._other_packages() - {*known}
        return packages | {module for module in self._modules() if _package(module) in {OWN_PACKAGE, *packages, *loose}}

    def arguments(self) -> list[str]:
        """The qualified names of its parts, and the values of its arguments, in order."""
        return [text for _, text in _parts(self.loaded)]

    def _modules(self) -> set[str]:
        return {point.module for point in self._entry_points} | {module for module, _ in _parts(self.loaded) if module}

    def _other_packages(self) -> set[str]:
        return {_package(module) for module in self._modules()} - {OWN_PACKAGE, *sys.stdlib_module_names}

    def _owners(self) -> dict[str, Distribution]:
        """The distributions that register it, by name, without Makeweight."""
        found = {str(point.dist.name): point.dist for point in self._entry_points if point.dist is not None}
        return {name: owner for name, owner in found.items() if name != OWN_DISTRIBUTION}

    @cached_property
    def _entry_points(self) -> EntryPoints:
        return _registered(tuple(sys.path), self.group).select(name=self.name)


def of_code(module: str, *plugins: Plugin) -> str:
    """Hash of the code of `module` and of all that it imports, and of all code of `plugins`."""
    modules = {module}.union(*(plugin.modules() for plugin in plugins))
    return fingerprints.of_values(
        {
            "code": fingerprints.of_code(module, *sorted(modules - {module})),
            "plugins": [[plugin.arguments(), plugin.third_party()] for plugin in plugins],
        }
    )


def _parts(value: object) -> Iterator[tuple[str, str]]:
    """Module and name of each class and function in `value`, and "" and text of each plain value."""
    if isinstance(value, partial):
        yield "", f"partial of {len(value.args)} arguments and {len(value.keywords)} keywords"
        yield from _parts(value.func)
        for argument in value.args:
            yield from _parts_of_argument(argument)
        for keyword, argument in sorted(value.keywords.items()):
            yield "", keyword
            yield from _parts_of_argument(argument)
    elif isinstance(value, MethodType):
        yield "", value.__func__.__qualname__
        yield from _parts(value.__self__)
    elif hasattr(value, "__qualname__"):
        module = str(getattr(value, "__module__", None) or "builtins")
        yield module, f"{module}:{value.__qualname__}"
    else:
        yield from _parts(type(value))


def _parts_of_argument(value: object) -> Iterator[tuple[str, str]]:
    if isinstance(value, list | tuple | set | frozenset | Mapping):
        items: Iterable[object] = value.items() if isinstance(value, Mapping) else value
        yield "", f"{type(value).__name__} of {len(value)}"
        ordered = sorted(items, key=repr) if isinstance(value, set | frozenset) else items
        for item in ordered:
            yield from _parts_of_argument(item)
        return
    yield from _parts(value)
    if not isinstance(value, partial | MethodType) and not hasattr(value, "__qualname__"):
        yield "", re.sub(r" at 0x[0-9a-f]+", "", repr(value))  # memory addresses differ from run to run


@cache
def _registered(path: tuple[str, ...], group: str) -> EntryPoints:
    """The entry points of a group. `path` is `sys.path`, as the key of the cache."""
    return entry_points(group=f"makeweight.{group}")


@cache
def _distributions(path: tuple[str, ...]) -> Mapping[str, Sequence[str]]:
    """The names of the distributions of each top-level package. `path` is `sys.path`, as the key of the cache."""
    return packages_distributions()


def _package(module: str) -> str:
    return module.partition(".")[0]


def _state(name: str) -> str | None:
    """The version of a distribution; the hash of its files if its install is editable; None if it is not installed."""
    try:
        found = distribution(name)
    except PackageNotFoundError:
        return None
    return _hash(_files(found)) if _is_editable(found) else found.version


def _is_editable(owner: Distribution) -> bool:
    installed_from = json.loads(owner.read_text("direct_url.json") or "{}")
    return bool(installed_from.get("dir_info", {}).get("editable", False))


def _requirements(owner: Distribution) -> set[str]:
    """The names of all distributions that `owner` may require, including its extras."""
    names = (re.match(r"[\w.-]+", requirement) for requirement in owner.requires or ())
    return {re.sub(r"[-_.]+", "-", name[0]).lower() for name in names if name} - {OWN_DISTRIBUTION}


def _files(owner: Distribution) -> dict[str, Path]:
    """The installed files of a distribution, by name, without bytecode, scripts and metadata.

    Editable installs and those without a record do not list their files; for these, all files of their packages.
    """
    listed = {
        path.as_posix(): Path(str(path.locate()))
        for path in owner.files or ()
        if path.suffix not in BYTECODE and path.parts[0] != ".." and not path.parts[0].endswith(METADATA)
    }
    recorded = owner.read_text("RECORD") is not None
    if recorded and not _is_editable(owner) and any(name.endswith(".py") for name in listed):
        return {name: path for name, path in listed.items() if path.is_file()}
    packages = {*(owner.read_text("top_level.txt") or "").split()} or _packages_beside(owner, listed.values())
    return {name: path for package in packages for name, path in _files_of(package).items()}


def _packages_beside(owner: Distribution, listed: Iterable[Path]) -> set[str]:
    """All packages and modules in the folders that an editable install without a list of them adds to the path."""
    packages = {_package(point.module) for point in owner.entry_points}
    folders = {Path(line) for path in listed if path.suffix == ".pth" for line in path.read_text().splitlines()}
    found = {file.stem for folder in folders if folder.is_dir() for file in folder.glob("*.py")}
    return packages | found | {init.parent.name for folder in folders for init in folder.glob("*/__init__.py")}


def _files_of(package: str) -> dict[str, Path]:
    """All files of a top-level package or module, by name, without bytecode."""
    spec = find_spec(package) if package != "__main__" else None
    origin = spec.origin if spec else getattr(sys.modules.get(package), "__file__", None)
    places = [*spec.submodule_search_locations] if spec and spec.submodule_search_locations else [origin or ""]
    found = {}
    for place in map(Path, places):
        for path in place.rglob("*") if place.is_dir() else [place]:
            if path.is_file() and path.suffix not in BYTECODE:
                found[path.relative_to(place.parent).as_posix()] = path
    return found


def _hash(files: Mapping[str, Path]) -> str:
    return fingerprints.of_values({name: fingerprints.of_files(path) for name, path in files.items()})
