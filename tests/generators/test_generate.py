"""Quotas and synthetic images."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from makeweight.core.data import Split
from makeweight.core.parameters import GenerateSettings
from makeweight.generators.cards import COLUMNS
from makeweight.generators.generate import Generation, generate, quota
from makeweight.runtime.splits import read_split
from tests.support.generating import generate_settings
from tests.support.machine import COMPUTE
from tests.support.replicates import ran


def settings(**changes: object) -> GenerateSettings:
    return generate_settings(**{"per_class": 4, **changes})


class Ramp:
    """Draws the label as brightness: -1 for label 0, then upwards; beyond 1 for label 3."""

    def sample(self, labels: torch.Tensor, *, rng: torch.Generator) -> torch.Tensor:
        return (labels - 1.0)[:, None, None, None] * torch.ones(1, 1, 8, 8)

    def save(self, folder: Path) -> None: ...


def train(*counts: int) -> Split:
    labels = np.repeat(np.arange(len(counts)), counts).astype(np.int64)
    return Split(np.zeros((len(labels), 8, 8, 1), np.uint8), labels, tuple("abcdef"[: len(counts)]))


def test_uniform_draws_the_same_number_of_every_class() -> None:
    assert quota(np.array([40, 7, 2]), settings(per_class=9)).tolist() == [9, 9, 9]


@pytest.mark.parametrize(
    ("balance_to", "max_synthetic_ratio", "expected"),
    [(None, 100.0, [0, 33, 38]), (30, 100.0, [0, 23, 28]), (50, 100.0, [10, 43, 48]), (None, 1.5, [0, 10, 3])],
)
def test_balance_adds_what_a_class_lacks_within_the_cap(
    balance_to: int | None, max_synthetic_ratio: float, expected: list[int]
) -> None:
    chosen = settings(strategy="balance", balance_to=balance_to, max_synthetic_ratio=max_synthetic_ratio)
    assert quota(np.array([40, 7, 2]), chosen).tolist() == expected


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def drawn_in(folder: Path, replicates: int = 2, per_class: int = 2) -> Path:
    """Images that ramps draw of four classes, two images each; each load of a ramp is a line in a log."""
    samplers = [folder / "samplers" / f"replicate_{k}" for k in range(replicates)]
    for sampler in samplers:
        sampler.mkdir(parents=True, exist_ok=True)

    def load(sampler: Path) -> Ramp:
        with (folder / "log").open("a") as log:
            log.write(f"{sampler.name[-1]}\n")
        return Ramp()

    generate(
        Generation("ramp", load, samplers, train(3, 2, 1, 1), settings(per_class=per_class), 0, 4),
        folder / "out",
        folder / "some.png",
        compute=COMPUTE,
        card=lambda quota, _: f"{quota.tolist()}\n",
    )
    return folder / "out"


def test_only_what_has_changed_is_drawn_again(tmp_path: Path) -> None:
    drawn_in(tmp_path)
    drawn_in(tmp_path)
    assert ran(tmp_path / "log") == [0, 1]
    drawn_in(tmp_path, replicates=3)
    assert ran(tmp_path / "log") == [0, 1, 2]
    (tmp_path / "samplers/replicate_1/weights").write_text("trained again")
    drawn_in(tmp_path, replicates=3)
    assert ran(tmp_path / "log") == [0, 1, 1, 2]
    assert len(read_split(drawn_in(tmp_path, per_class=3) / "replicate_0")) == 12
    assert ran(tmp_path / "log") == [0, 0, 1, 1, 1, 2]


def test_finished_replicates_are_taken_from_the_output_folder(tmp_path: Path) -> None:
    drawn_in(tmp_path)
    shutil.rmtree(".makeweight")
    drawn_in(tmp_path)
    assert ran(tmp_path / "log") == [0, 1]


def test_images_are_scaled_from_minus_one_to_one_and_clipped(tmp_path: Path) -> None:
    drawn = read_split(drawn_in(tmp_path) / "replicate_1")
    assert drawn.images[:, 0, 0, 0].tolist() == [0, 0, 128, 128, 255, 255, 255, 255]
    assert drawn.labels.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]


def test_every_image_is_marked_as_synthetic_and_knows_its_generator(tmp_path: Path) -> None:
    folder = drawn_in(tmp_path)
    rows = [(folder / f"replicate_{k}" / "metadata.csv").read_text().splitlines() for k in range(2)]
    assert rows[0][0] == ",".join(COLUMNS)
    assert rows[0][1] == "0,a,0,true,ramp,0"
    assert rows[1][8] == "7,d,3,true,ramp,1"
    assert all(",true,ramp," in row for metadata in rows for row in metadata[1:])
    assert [path.name for path in sorted(folder.iterdir())] == ["README.md", "replicate_0", "replicate_1"]
    assert (folder / "README.md").read_text() == "[2, 2, 2, 2]\n"
