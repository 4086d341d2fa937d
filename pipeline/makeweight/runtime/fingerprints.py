"""Hashes of settings, data and code: all that a result depends on, and nothing else."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import json
import re
from collections.abc import Iterator, Mapping, Set
from functools import cache
from pathlib import Path

from makeweight.core.data import FileState, Split
from makeweight.runtime.files import file_state
from makeweight.runtime.pixel_hashes import pixel_hash

HASH = re.compile(r"[0-9a-f]{64}")  # matches every hash of this module
# Modules that print, lock or start processes: no edit of them changes a result.
WITHOUT_INFLUENCE = {
    "makeweight.core.renamed",
    "makeweight.runtime.executors",
    "makeweight.runtime.processes",
    "makeweight.runtime.progress",
}
MESSAGES = {"TrainingFailure", "log_line"}  # calls whose arguments are text for people, like those of `raise`


def of_values(values: Mapping[str, object]) -> str:
    """Hash of plain values, in hexadecimal digits."""
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()


def of_split(split: Split) -> str:
    """Hash of a split's pixels, labels and class names."""
    digest = hashlib.sha256(json.dumps([split.classes, split.images.shape]).encode())
    digest.update(pixel_hash(split).encode())
    digest.update(split.labels.tobytes())
    return digest.hexdigest()


def of_files(*paths: Path) -> str:
    """Hash of files, and of all files in folders with their paths relative to the folder's parent."""
    digest = hashlib.sha256()
    for path in paths:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file():
                digest.update(file.relative_to(path.parent).as_posix().encode() + b"\0")
                with file.open("rb") as content:
                    digest.update(hashlib.file_digest(content, "sha256").digest())
    return digest.hexdigest()


def of_code(*modules: str) -> str:
    """Hash of the code of `modules` and of all that they import from their own packages and from Makeweight.

    It does not depend on comments, docstrings, formatting and messages, nor on modules `WITHOUT_INFLUENCE`.
    """
    found = sources(*modules)
    return of_values({name: _parsed(name, path)[0] for name, path in found.items() if name not in WITHOUT_INFLUENCE})


def sources(*modules: str) -> dict[str, Path]:
    """Names and files of `modules` and of what they import, directly or not, from their own top-level packages.

    Static: imports are read from the source, at any place in it. Plug-ins that are found by name are not seen; pass
    their modules too.
    """
    found: dict[str, Path] = {}
    packages = {module.split(".")[0] for module in modules} | {"makeweight"}  # on which third-party plug-ins may build
    pending = list(modules)
    while pending:
        name = pending.pop()
        path = _source(name)
        if name not in found and path is not None:
            found[name] = path
            if name not in WITHOUT_INFLUENCE:
                pending += [inner for inner in _parsed(name, path)[1] if inner.split(".")[0] in packages]
    return found


def _parsed(module: str, path: Path) -> tuple[str, Set[str]]:
    """Hash of the code of a module, and the names of all modules that it imports."""
    return _parsed_in_state(module, path, file_state(path))


@cache  # every training of a study asks for the same modules
def _parsed_in_state(module: str, path: Path, state: FileState | None) -> tuple[str, Set[str]]:
    """As `_parsed`; `state` is that of the file, as the key of the cache: an edit is noticed."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    return of_values({"code": _essence(tree)}), _imports(tree, package)


def _essence(value: object, message: bool = False) -> object:
    """A syntax tree as nested lists, without docstrings and, inside a `message`, without text.

    Not `ast.dump`, whose output for the same code differs between versions of Python.
    """
    if isinstance(value, list):
        return [_essence(item, message) for item in value]
    if not isinstance(value, ast.AST):
        return repr(value)
    if message and (isinstance(value, ast.JoinedStr) or (isinstance(value, ast.Constant) and _is_text(value))):
        return "text"
    fields = {name: inner for name, inner in ast.iter_fields(value) if inner not in (None, [])}
    if isinstance(value, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and _has_docstring(value):
        fields["body"] = fields["body"][1:]
    called = value.func if isinstance(value, ast.Call) else None
    message = message or isinstance(value, ast.Raise) or (isinstance(called, ast.Name) and called.id in MESSAGES)
    return [type(value).__name__, *([name, _essence(inner, message)] for name, inner in fields.items())]


def _is_text(constant: ast.Constant) -> bool:
    return isinstance(constant.value, str)


def _has_docstring(node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    first = node.body[0] if node.body else None
    return isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and _is_text(first.value)


@cache
def _source(name: str) -> Path | None:
    try:
        spec = importlib.util.find_spec(name)
    except ModuleNotFoundError:  # the parent is a module: `name` is something inside it
        return None
    return Path(spec.origin) if spec and spec.origin and spec.origin.endswith(".py") else None


def _imports(tree: ast.Module, package: str) -> set[str]:
    names: set[str] = set()
    for node in _executed(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            names |= {base} | {f"{base}.{alias.name}" for alias in node.names}
    # Importing a.b.c runs a and a.b as well.
    return {".".join(parts[: end + 1]) for parts in (name.split(".") for name in names) for end in range(len(parts))}


def _executed(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes below `node`, except those under `if TYPE_CHECKING:`, which are never executed."""
    for inner in ast.iter_child_nodes(node):
        if isinstance(inner, ast.If) and ast.unparse(inner.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            for other in inner.orelse:
                yield other
                yield from _executed(other)
        else:
            yield inner
            yield from _executed(inner)
