"""Suggestions for paths in tables that do not exist: the nearest file, and how to change the path."""

from __future__ import annotations

import os
import unicodedata
from collections import defaultdict
from itertools import takewhile
from pathlib import Path


class Files:
    """All files below a folder, to be found by names that differ in folder, suffix, case or Unicode form."""

    def __init__(self, root: Path) -> None:
        self._by_name: dict[str, list[str]] = defaultdict(list)
        self._by_stem: dict[str, list[str]] = defaultdict(list)
        for folder, _, names in os.walk(root):
            for name in names:
                path = os.path.relpath(os.path.join(folder, name), root)
                self._by_name[_key(name)].append(path)
                self._by_stem[_key(os.path.splitext(name)[0])].append(path)

    def nearest(self, written: str) -> str | None:
        """The file that matches `written` in its name, with or without suffix, and in most folders, if it is unique."""
        parts = written.replace("\\", "/").split("/")
        stem = _key(os.path.splitext(parts[-1])[0])
        candidates = self._by_name.get(_key(parts[-1])) or self._by_stem.get(_key(parts[-1])) or self._by_stem.get(stem)
        scored = sorted((_folders_shared(parts, path.split("/")), path) for path in candidates or ())
        unique = len(scored) == 1 or (len(scored) > 1 and scored[-1][0] > scored[-2][0])
        return scored[-1][1] if unique else None


def changes(written: str, path: str) -> str:
    """How to change the path `written` into `path`, in words that are the same for all paths with the same fault."""
    words = ["write / instead of \\"] if "\\" in written else []
    old, new = written.replace("\\", "/").split("/"), path.split("/")
    (stem, suffix), (true_stem, true_suffix) = (os.path.splitext(parts[-1]) for parts in (old, new))
    if _key(old[-1]) == _key(true_stem):
        words.append(f"add {true_suffix}")
        stem = old[-1]
    elif suffix != true_suffix:
        words.append(f"write {true_suffix} instead of {suffix}")
    words += _folder_changes(old[:-1], new[:-1])
    pairs = [*zip(reversed(old[:-1]), reversed(new[:-1]), strict=False), (stem, true_stem)]
    if any(_nfc(a) != _nfc(b) and _key(a) == _key(b) for a, b in pairs):
        words.append("use the same capital letters")
    if any(a != b and _nfc(a) == _nfc(b) for a, b in pairs):
        form = "NFD" if unicodedata.is_normalized("NFD", path) else "NFC"
        words.append(f"use the Unicode form of the file's name ({form})")
    return " and ".join(words)


def _folder_changes(old: list[str], new: list[str]) -> list[str]:
    shared = _folders_shared([*old, ""], [*new, ""])
    missing, surplus = "/".join(new[: len(new) - shared]), "/".join(old[: len(old) - shared])
    if surplus and missing:
        return [f"write {missing}/ instead of {surplus}/"]
    return [f"put {missing}/ before it"] if missing else [f"leave out {surplus}/"] if surplus else []


def _folders_shared(one: list[str], other: list[str]) -> int:
    """How many of the innermost folders of two paths agree."""
    pairs = zip(reversed(one[:-1]), reversed(other[:-1]), strict=False)
    return sum(1 for _ in takewhile(lambda pair: _key(pair[0]) == _key(pair[1]), pairs))


def _nfc(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _key(text: str) -> str:
    return _nfc(_nfc(text).casefold())
