"""Fingerprints change with what they stand for, and with nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from makeweight.classification.networks import small_cnn
from makeweight.classification.transforms import Recipe
from makeweight.core.data import Split
from makeweight.generators.families.cgan.family import ConditionalGAN
from makeweight.runtime import fingerprints, plugin_code
from makeweight.runtime.plugin_code import Plugin


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
    view, copy = (Split(part, np.zeros(2, np.int64), ("a",)) for part in (images[::2], images[::2].copy()))
    assert fingerprints.of_split(view) == fingerprints.of_split(copy)


def test_the_order_of_keys_does_not_count() -> None:
    assert fingerprints.of_values({"a": 1, "b": [2]}) == fingerprints.of_values({"b": [2], "a": 1})
    assert fingerprints.of_values({"a": 1}) != fingerprints.of_values({"a": 2})


def test_code_is_followed_through_every_kind_of_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "visitor"
    (package / "inner").mkdir(parents=True)
    for name, text in {
        "__init__.py": "",
        "first.py": "import numpy\nfrom . import second\nfrom makeweight.core import seeds\n",
        "second.py": "def later():\n    from .inner.third import x\n",
        "inner/__init__.py": "",
        "inner/third.py": "import visitor.fourth\nx = 1\n",
        "fourth.py": "",
        "unused.py": "",
    }.items():
        (package / name).write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    found = fingerprints.sources("visitor.first")
    assert set(found) == {
        "visitor", "visitor.first", "visitor.second", "visitor.inner", "visitor.inner.third",
        "visitor.fourth", "makeweight", "makeweight.core", "makeweight.core.seeds",
    }  # fmt: skip
    before = fingerprints.of_code("visitor.first")
    (package / "unused.py").write_text("changed = 1")
    assert fingerprints.of_code("visitor.first") == before
    (package / "fourth.py").write_text("changed = 1")
    assert fingerprints.of_code("visitor.first") != before


def test_a_module_is_read_once_for_many_fingerprints(monkeypatch: pytest.MonkeyPatch) -> None:
    first = fingerprints.of_code("makeweight.classification.fit")
    monkeypatch.setattr("ast.parse", lambda *_: pytest.fail("a module was read again"))
    assert fingerprints.of_code("makeweight.classification.fit") == first


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


EDITS = [  # module, a piece of its code, what takes its place, and what is retrained
    ("runtime/progress.py", "LINE_EVERY = 10.0", "LINE_EVERY = 20.0", ()),
    ("runtime/processes.py", "POLL_INTERVAL = 0.5", "POLL_INTERVAL = 0.6", ()),
    ("generators/cards.py", "import annotations", "import annotations\nimport os", ()),
    ("generators/previews.py", "import annotations", "import annotations\nimport os", ()),
    ("reporting/report.py", "import annotations", "import annotations\nimport os", ()),
    ("training/loop.py", '"""', '"""Edited. ', ()),  # a docstring
    ("training/loop.py", "MAX_ROLLBACKS = 3", "MAX_ROLLBACKS = 3  # an edited comment,", ()),
    ("training/loop.py", "MAX_ROLLBACKS = 3", "MAX_ROLLBACKS = 4", ("generator", "classifier")),
    ("training/loop.py", 'raise BadInput(f"', 'raise BadInput(f"Edited. ', ()),  # a message
    ("training/monitors.py", 'TrainingFailure(\n        f"', 'TrainingFailure(\n        f"Edited. ', ()),
    ("training/monitors.py", "COMPARED = 50", "COMPARED = 51", ("generator",)),
    ("generators/blocks/losses.py", "import annotations", "import annotations\nimport os", ("generator",)),
    ("classification/networks.py", "import annotations", "import annotations\nimport os", ("classifier",)),
    ("classification/transforms.py", "import annotations", "import annotations\nimport os", ("classifier",)),
    ("core/seeds.py", '"big") >> 1', '"big") >> 2', ("generator", "classifier")),
]


@pytest.mark.parametrize(("module", "before", "after", "retrained"), EDITS)
def test_an_edit_retrains_only_what_it_may_change(
    module: str, before: str, after: str, retrained: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def codes() -> dict[str, str]:
        return {
            "generator": plugin_code.of_code("makeweight.generators.fit", Plugin("families", "cgan", ConditionalGAN)),
            "classifier": plugin_code.of_code(
                "makeweight.classification.fit",
                Plugin("transforms", "classical", Recipe),
                Plugin("classifiers", "small_cnn", small_cnn),
            ),
        }

    known = codes()
    source = fingerprints._source
    name = f"makeweight.{module.removesuffix('.py').replace('/', '.')}"
    original = source(name)
    assert original is not None
    text = original.read_text(encoding="utf-8")
    assert before in text
    edited = tmp_path / original.name
    edited.write_text(text.replace(before, after, 1), encoding="utf-8")
    monkeypatch.setattr(fingerprints, "_source", lambda module: edited if module == name else source(module))
    assert {kind for kind, code in codes().items() if code != known[kind]} == set(retrained)
