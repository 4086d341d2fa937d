"""Fingerprints change with what they stand for, and with nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from makeweight.core.data import Split
from makeweight.runtime import fingerprints


def split(pixel: int = 0, label: int = 0, name: str = "a") -> Split:
    images = np.zeros((2, 8, 8, 1), np.uint8)
    images[1, 3, 3] = pixel
    return Split(images, np.array([0, label]), (name, "b"))


def test_a_split_is_its_pixels_labels_and_names() -> None:
    known = fingerprints.of_split(split())
    assert fingerprints.of_split(split()) == known
    others = {fingerprints.of_split(other) for other in (split(pixel=1), split(label=1), split(name="c"))}
    assert len(others | {known}) == 4


def test_a_view_has_the_fingerprint_of_its_copy() -> None:
    images = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 1), dtype=np.uint8)
    view, copy = (Split(each, np.zeros(2, np.int64), ("a",)) for each in (images[::2], images[::2].copy()))
    assert fingerprints.of_split(view) == fingerprints.of_split(copy)


def test_values_are_known_whatever_their_order() -> None:
    assert fingerprints.of_values({"a": 1, "b": [2]}) == fingerprints.of_values({"b": [2], "a": 1})
    assert fingerprints.of_values({"a": 1}) != fingerprints.of_values({"a": 2})


def test_code_is_followed_through_every_kind_of_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "stranger"
    (package / "inner").mkdir(parents=True)
    for name, text in {
        "__init__.py": "",
        "first.py": "import numpy\nfrom . import second\nfrom makeweight.core import seeds\n",
        "second.py": "def later():\n    from .inner.third import x\n",
        "inner/__init__.py": "",
        "inner/third.py": "import stranger.fourth\nx = 1\n",
        "fourth.py": "",
        "unused.py": "",
    }.items():
        (package / name).write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    found = fingerprints.sources("stranger.first")
    assert set(found) == {
        "stranger", "stranger.first", "stranger.second", "stranger.inner", "stranger.inner.third",
        "stranger.fourth", "makeweight", "makeweight.core", "makeweight.core.seeds",
    }  # fmt: skip
    before = fingerprints.of_code("stranger.first")
    (package / "unused.py").write_text("changed = 1")
    assert fingerprints.of_code("stranger.first") == before
    (package / "fourth.py").write_text("changed = 1")
    assert fingerprints.of_code("stranger.first") != before


def test_training_a_generator_does_not_depend_on_how_arms_are_compared() -> None:
    found = fingerprints.sources("makeweight.generators.fit", "makeweight.generators.families.cgan.family")
    assert {
        "makeweight.generators.blocks.losses",
        "makeweight.generators.blocks.networks",
        "makeweight.runtime.replicates",
    } < set(found)
    assert not {
        "makeweight.comparison.compare",
        "makeweight.comparison.inference",
        "makeweight.classification.train",
    } & set(found)
