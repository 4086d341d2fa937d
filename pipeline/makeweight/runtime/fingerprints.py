"""Hashes of settings, data and code: what a result depends on, and nothing else."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from makeweight.core.data import Split

HASH = re.compile(r"[0-9a-f]{64}")  # what all of them look like


def of_values(values: Mapping[str, object]) -> str:
    """Hash of plain values, in hexadecimal digits."""
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()


def of_split(split: Split) -> str:
    """Hash of a split's pixels, labels and class names."""
    digest = hashlib.sha256(json.dumps([split.classes, split.images.shape]).encode())
    digest.update(split.images.data if split.images.flags.c_contiguous else split.images.tobytes())
    digest.update(split.labels.tobytes())
    return digest.hexdigest()


def of_files(*paths: Path) -> str:
    """Hash of files, and of all files in folders with the names that they have there."""
    digest = hashlib.sha256()
    for path in paths:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file():
                digest.update(file.relative_to(path.parent).as_posix().encode() + b"\0")
                with file.open("rb") as content:
                    digest.update(hashlib.file_digest(content, "sha256").digest())
    return digest.hexdigest()


def of_code(*modules: str) -> str:
    """Hash of the source of `modules` and of all that they import from their own packages."""
    digest = hashlib.sha256()
    for name, path in sorted(sources(*modules).items()):
        digest.update(name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def sources(*modules: str) -> dict[str, Path]:
    """Names and files of `modules` and of what they import, directly or not, from their own top-level packages.

    Static: imports are read off the source, wherever in it they stand. Plugins found by name are not seen; pass
    their modules too.
    """
    found: dict[str, Path] = {}
    open_ends = list(modules)
    while open_ends:
        name = open_ends.pop()
        path = _source(name)
        if name not in found and path is not None:
            found[name] = path
            open_ends += [inner for inner in _imports(name, path) if inner.split(".")[0] in _tops(modules)]
    return found


def _tops(modules: tuple[str, ...]) -> set[str]:
    # Strangers may build on the house's own floors, and commands on the library.
    return {module.split(".")[0] for module in modules} | {"makeweight"}


@cache
def _source(name: str) -> Path | None:
    try:
        spec = importlib.util.find_spec(name)
    except ModuleNotFoundError:  # the parent is a module: `name` is something inside it
        return None
    return Path(spec.origin) if spec and spec.origin and spec.origin.endswith(".py") else None


def _imports(module: str, path: Path) -> set[str]:
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    names: set[str] = set()
    for node in _running(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            names |= {base} | {f"{base}.{alias.name}" for alias in node.names}
    # Importing a.b.c runs a and a.b as well.
    return {".".join(parts[: end + 1]) for parts in (name.split(".") for name in names) for end in range(len(parts))}


def _running(node: ast.AST) -> Iterator[ast.AST]:
    """Everything below `node` but what stands under `if TYPE_CHECKING:`, which never runs."""
    for inner in ast.iter_child_nodes(node):
        if isinstance(inner, ast.If) and ast.unparse(inner.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            for other in inner.orelse:
                yield other
                yield from _running(other)
        else:
            yield inner
            yield from _running(inner)
