"""Filters of drawn images: their scores, how many images are drawn and dropped, and what is written about it."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from makeweight.core.data import Images, Split
from makeweight.core.errors import BadInput
from makeweight.generators import filters as module
from makeweight.generators.cards import CardFacts, data_card
from makeweight.generators.filters import FILTERS, Filter, FilterCounts, TrainingImages, read_scores
from makeweight.generators.generate import Generation, drawing_job, filter_counts, require_images, warn_of_shortages
from makeweight.runtime.files import read_json
from makeweight.runtime.machine import Machine, fixed_threads
from makeweight.runtime.replicates import Replicate
from makeweight.runtime.splits import read_split
from makeweight.training import scorer as scorer_module
from tests.support.generating import generate_settings

CPU = torch.device("cpu")


def bright(counts: tuple[int, ...], seed: int = 0) -> Split:
    """Classes that are bright at different rows, with noise."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(counts)), counts).astype(np.int64)
    images = rng.integers(0, 80, (len(labels), 8, 8, 1), dtype=np.uint8)
    for label in range(len(counts)):
        images[labels == label, 2 * label : 2 * label + 2] += 150
    return Split(images, labels, tuple("abcd"[: len(counts)]))


def training_images(split: Split, steps: int = 60) -> TrainingImages:
    return TrainingImages(split, steps, 0, CPU)


def fitted(name: str, train: TrainingImages, **limits: float) -> Filter:
    return FILTERS[name](train, generate_settings(filtering=limits).filtering)  # type: ignore[index]


def test_images_of_the_class_agree_and_those_of_another_class_do_not() -> None:
    own = fitted("agreement", training_images(bright((20, 20, 20))))
    others = bright((8, 8, 8), seed=1)
    for label in range(3):
        scores = own.score(others.images, label)
        assert ((scores > own.minimum) == (others.labels == label)).all()
        assert (np.abs(scores) <= 1).all()


def test_density_counts_the_balls_of_training_images_around_an_image(monkeypatch: pytest.MonkeyPatch) -> None:
    # On a line, with k = 1: balls around 0, 1, 2 and 10 of radius 1, 1, 1 and 8.
    monkeypatch.setattr(module, "features", lambda scorer, images: images.reshape(len(images), -1)[:, :1] / 10)
    train = Split(np.zeros((8, 8, 8, 1), np.uint8), np.repeat([0, 1], 4), ("a", "b"))
    train.images[:4, 0, 0, 0] = [0, 10, 20, 100]
    own = fitted("density", training_images(train, 1), neighbours=1)
    drawn = np.zeros((4, 8, 8, 1), np.uint8)
    drawn[:, 0, 0, 0] = [5, 29, 200, 0]
    assert own.score(drawn, 0).tolist() == [2.0, 2.0, 0.0, 2.0]
    assert own.minimum == 1.0
    two = fitted("density", training_images(train, 1), neighbours=2)  # radii 2, 1, 2 and 9
    assert two.score(drawn, 0).tolist() == [1.5, 1.0, 0.0, 1.5]


def test_real_images_of_the_class_are_among_the_training_images_and_noise_is_not() -> None:
    own = fitted("density", training_images(bright((30, 30))), neighbours=5)
    real = own.score(bright((20, 0), seed=1).images, 0)
    noise = own.score(np.random.default_rng(0).integers(0, 256, (20, 8, 8, 1), dtype=np.uint8), 0)
    assert (real >= own.minimum).mean() > 0.8
    assert (noise >= own.minimum).mean() < 0.2


def test_novelty_is_zero_for_copies_about_one_for_real_images_and_larger_for_noise() -> None:
    train = bright((40, 1))
    own = fitted("novelty", training_images(train), min_novelty=0.5)
    assert np.allclose(own.score(train.images[:5], 0), 0, atol=0.01)
    assert np.median(own.score(bright((20, 0), seed=1).images, 0)) == pytest.approx(1, abs=0.1)
    assert own.score(np.full((1, 8, 8, 1), 255, np.uint8), 0)[0] > 2
    assert own.minimum == 0.5
    assert np.isnan(own.score(train.images[:5], 1)).all()  # a single training image has no distances


def test_the_scorer_is_trained_once_and_only_if_a_filter_needs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    trained: list[int] = []

    def train_scorer(train: Split, *inputs: Any) -> nn.Sequential:
        trained.append(1)
        return scorer_module.train_scorer(train, *inputs)

    monkeypatch.setattr(module, "train_scorer", train_scorer)
    train = training_images(bright((8, 8)), 2)
    for expected, name in ((0, "novelty"), (1, "agreement"), (1, "density")):
        fitted(name, train, neighbours=2).score(train.split.images[:2], 0)
        assert len(trained) == expected


class Numbered:
    """Draws images whose brightness counts up from 0, the same for all classes."""

    def __init__(self) -> None:
        self.drawn = 0

    def sample(self, labels: torch.Tensor, *, rng: torch.Generator) -> torch.Tensor:
        values = torch.arange(self.drawn, self.drawn + len(labels)) % 256
        self.drawn += len(labels)
        return (values / 127.5 - 1)[:, None, None, None] * torch.ones(1, 1, 8, 8)

    def save(self, folder: Path) -> None: ...


def brightness(images: Images) -> NDArray[np.float64]:
    values: NDArray[np.float64] = images[:, 0, 0, 0].astype(np.float64)
    return values


def multiple_of(n: int) -> Filter:
    return Filter(lambda images, label: (brightness(images) % n == 0).astype(np.float64), 1.0)


def drawn(folder: Path, filters: dict[str, Filter], max_drawn: float = 5.0, per_class: int = 6) -> Split:
    settings = generate_settings(per_class=per_class, filtering={"max_drawn": max_drawn})
    generation = Generation("numbered", lambda _: Numbered(), [Path("s")], bright((4, 0, 4)), settings, 0, 4)
    return generation.draw(0, generation.labels, folder, filters)


def counts_of(folder: Path) -> FilterCounts:
    return FilterCounts.of(read_json(folder / "filters.json"))


def test_images_are_drawn_until_the_quota_of_each_class_is_filled(tmp_path: Path) -> None:
    split = drawn(tmp_path, {"even": multiple_of(2), "third": multiple_of(3)}, max_drawn=100.0)
    assert split.counts.tolist() == [6, 0, 6]
    assert (split.images[:, 0, 0, 0] % 6 == 0).all()
    counts = counts_of(tmp_path)
    assert counts.kept.tolist() == counts.quota.tolist() == [6, 0, 6]
    assert (counts.drawn == counts.kept + counts.dropped["even"] + counts.dropped["third"]).all()
    # Of six images three are odd, which the first filter drops; of the others the second one drops two.
    assert counts.dropped["even"].sum() > counts.dropped["third"].sum() > 0
    assert not (tmp_path / "images.with_gaps").exists()


def test_what_cannot_be_filled_stays_missing_and_is_warned_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    split = drawn(tmp_path, {"fifth": multiple_of(5)}, max_drawn=2.5)
    counts = counts_of(tmp_path)
    assert counts.drawn.tolist() == [15, 0, 15]
    assert 1 < counts.kept[0] < 6
    assert split.counts.tolist() == counts.kept.tolist()
    assert (split.images[:, 0, 0, 0] % 5 == 0).all()
    generation = Generation("numbered", lambda _: Numbered(), [], bright((4, 0, 4)), generate_settings(), 0, 4)
    warn_of_shortages(generation, filter_counts([tmp_path]))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert lines[0] == (
        f"warning: numbered: filters left {counts.kept[0]} images of class 'a', fewer than the 6 wanted, of 15 that "
        "were drawn (generate.filtering.max_drawn)"
    )


def test_a_class_without_images_is_an_error_that_names_class_and_filter(tmp_path: Path) -> None:
    never = Filter(lambda images, label: np.full(len(images), float(label)), 1.0)
    assert drawn(tmp_path, {"never": never}).counts.tolist()[0] == 0
    generation = Generation("numbered", lambda _: Numbered(), [], bright((4, 0, 4)), generate_settings(), 0, 4)
    with pytest.raises(
        BadInput,
        match=r"numbered, replicate 0: .* class 'a' without images: of 30 that were drawn, never 30 were dropped",
    ):
        require_images(generation, filter_counts([tmp_path]))


def test_each_image_keeps_its_scores(tmp_path: Path) -> None:
    bright_ones = Filter(lambda images, label: brightness(images) / 256, 0.02)
    undefined = Filter(lambda images, label: np.full(len(images), np.nan), 1.0)
    split = drawn(tmp_path, {"density": bright_ones, "novelty": undefined}, max_drawn=2.0)
    with (tmp_path / "metadata.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["density"]) for row in rows] == (split.images[:, 0, 0, 0] / 256).round(6).tolist()
    assert {row["novelty"] for row in rows} == {""}  # undefined, and kept
    assert read_scores(tmp_path) == {
        "density": [float(row["density"]) for row in rows], "novelty": [None] * len(rows)
    }  # fmt: skip


def finished(folder: Path, train: Split, filters: tuple[str, ...], seed: int = 0) -> Path:
    """Images of noise in the brightness of any class, drawn as `generate` draws them."""

    class Noise(Numbered):
        def sample(self, labels: torch.Tensor, *, rng: torch.Generator) -> torch.Tensor:
            shown = torch.randint(len(train), (len(labels),), generator=rng)
            images = torch.from_numpy(train.images[shown.numpy()]).permute(0, 3, 1, 2) / 127.5 - 1
            return images + 0.1 * torch.randn(images.shape, generator=rng)

    settings = generate_settings(per_class=9, filters=list(filters), filtering={"neighbours": 3, "max_drawn": 20.0})
    generation = Generation("noise", lambda _: Noise(), [Path("s")], train, settings, seed, 60)
    with fixed_threads(1):
        generation([Replicate(0, folder, folder / "unfinished", Machine("cpu", "float32", 1))])
    return folder


def test_filters_of_the_settings_are_applied_and_reproducible(tmp_path: Path) -> None:
    train, names = bright((12, 12, 12)), ("agreement", "density", "novelty")
    folders = [finished(tmp_path / name, train, names) for name in "ab"]
    files = [{path.name: path.read_bytes() for path in sorted(folder.iterdir())} for folder in folders]
    assert files[0] == files[1]
    assert set(files[0]) == {"images.npy", "labels.npy", "classes.json", "metadata.csv", "filters.json"}
    split = read_split(folders[0])
    assert split.counts.tolist() == [9, 9, 9]
    rows = [row.mean((1, 2, 3)) for row in (split.images[:, :2], split.images[:, 2:4], split.images[:, 4:6])]
    assert (np.argmax(rows, 0) == split.labels).all()  # images of the wrong class were dropped
    assert counts_of(folders[0]).dropped["agreement"].sum() > 9
    unfiltered = finished(tmp_path / "c", train, ())
    assert not (unfiltered / "filters.json").exists()
    assert "agreement" not in (unfiltered / "metadata.csv").read_text(encoding="utf-8")
    assert read_scores(unfiltered) == {}


def test_filters_and_their_limits_are_part_of_the_fingerprint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("makeweight.runtime.plugin_code.of_code", lambda *_: "code")  # takes seconds

    def inputs(steps: int = 4, **changes: object) -> object:
        sampler = tmp_path / "s"
        sampler.mkdir(exist_ok=True)
        settings = generate_settings(**changes)
        generation = Generation("smote", lambda _: Numbered(), [sampler], bright((9, 9)), settings, 0, steps)
        return drawing_job(generation, "draw").inputs(0)["filters"]

    unfiltered, filtered = inputs(), inputs(filters=["agreement"])
    assert unfiltered == inputs(steps=5) == inputs(filtering={"neighbours": 2})
    assert filtered not in (
        unfiltered, inputs(steps=5, filters=["agreement"]), inputs(filters=["agreement", "novelty"]),
        inputs(filters=["agreement"], filtering={"max_drawn": 2.0}),
    )  # fmt: skip


def test_fewer_training_images_than_neighbours_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"neighbours is 3, but class 'b' has only 3 training images.*lower neighbours"):
        finished(tmp_path, bright((9, 3, 4)), ("density",))
    finished(tmp_path, bright((9, 3, 4)), ("agreement",))


def test_the_card_states_what_was_drawn_and_dropped() -> None:
    quota, drawn = np.array([5, 5]), np.array([9, 12])
    counts = [
        FilterCounts(quota, drawn, np.array(kept), {"density": drawn - np.array(kept)}) for kept in ([5, 4], [5, 3])
    ]
    facts = CardFacts("cgan", ("a", "b"), (9, 8), 8, 1, replicates=2, seed=0)
    card = data_card(facts, np.array([5, 5]), counts)
    assert "drew 8 to 9 images each, 17 in total" in card
    assert "| 1 | b | 8 | 3 to 4 |" in card
    assert "| class | wanted | drawn | dropped by `density` | kept |" in card
    assert "| b | 10 | 24 | 17 | 7 |" in card
    assert "uint8 [9, 8, 8, 1]" in card
    assert re.search(r"- name: density\s+dtype: float64", card)
    assert "## Filters" not in data_card(facts, np.array([5, 5]))
