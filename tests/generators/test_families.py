"""The contract of families, tested for every registered one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from makeweight.core import plugins
from makeweight.generators.blocks.bilinear import Border, warp
from tests.support.determinism import NONDETERMINISTIC, OperationRecorder
from tests.support.families import draw, family, fitted, run, split


@pytest.fixture(params=plugins.names("families"))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize(("size", "channels"), [(8, 1), (11, 3), (28, 1), (33, 1), (64, 3)])
def test_images_have_the_shape_and_range_of_the_training_images(name: str, size: int, channels: int) -> None:
    images = draw(fitted(name, split(size, channels)), [0, 1, 2, 2, 0])
    assert images.shape == (5, channels, size, size)
    assert images.dtype == torch.float32
    assert images.abs().max() <= 1


def test_the_same_seed_gives_the_same_images_and_another_seed_others(name: str) -> None:
    train = split(8, 1)
    # Families fitted in closed form differ only in the sampling seed.
    first, again, other = (draw(fitted(name, train, seed), [0, 1, 2], seed) for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_what_is_saved_draws_the_same_images_when_it_is_read_back(name: str, tmp_path: Path) -> None:
    sampler = fitted(name, split(8, 1))
    sampler.save(tmp_path)
    assert torch.equal(draw(sampler, [0, 1, 2]), draw(family(name).load(tmp_path), [0, 1, 2]))
    assert {path.suffix for path in tmp_path.iterdir()} <= {".safetensors", ".json", ".npy", ".npz"}


def test_draws_follow_their_own_random_stream(name: str) -> None:
    sampler = fitted(name, split(8, 1))
    torch.manual_seed(1)
    first = draw(sampler, [0, 1])
    torch.manual_seed(2)
    assert torch.equal(first, draw(sampler, [0, 1]))
    assert not torch.equal(first, draw(sampler, [0, 1], seed=1))


def test_nothing_is_learned_from_the_images_that_are_only_monitored(name: str) -> None:
    train, monitors = split(8, 1), (split(8, 1, seed=1), split(8, 1, seed=2))
    first, second = (family(name).fit(train, monitor=monitor, seeds=[0], run=run())[0] for monitor in monitors)
    assert torch.equal(draw(first, [0, 1, 2]), draw(second, [0, 1, 2]))


def test_several_seeds_give_the_samplers_of_each_alone(name: str) -> None:
    train = split(8, 1)
    samplers = family(name).fit(train, monitor=train, seeds=[5, 6], run=run())
    for seed, sampler in zip((5, 6), samplers, strict=True):
        torch.testing.assert_close(draw(sampler, [0, 1, 2]), draw(fitted(name, train, seed), [0, 1, 2]))


def test_a_class_without_images_and_a_class_with_one_do_no_harm(name: str) -> None:
    images = draw(fitted(name, split(8, 1, counts=(9, 0, 1))), [0, 2])
    assert images.isfinite().all()


def test_without_labels_there_are_no_images(name: str) -> None:
    assert draw(fitted(name, split(8, 3)), []).shape == (0, 3, 8, 8)


def test_progress_and_history_reach_the_last_step(name: str) -> None:
    steps: list[int] = []
    model, context = family(name), run(steps)
    model.fit(split(8, 1), monitor=split(8, 1), seeds=[0], run=context)
    assert steps[-1] == model.total_steps == context.histories[0][-1]["step"]
    assert all(np.isfinite(list(row.values())).all() for row in context.histories[0])


def test_no_operation_of_the_training_is_nondeterministic_on_a_gpu(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def as_on_a_gpu(
        images: torch.Tensor, grid: torch.Tensor, *, padding_mode: Border, align_corners: bool
    ) -> torch.Tensor:
        return warp(images, grid, padding_mode)

    monkeypatch.setattr("makeweight.generators.families.warp.flows.grid_sample", as_on_a_gpu)
    with OperationRecorder() as recorder:
        fitted(name, split(8, 3))
    assert not recorder.names & NONDETERMINISTIC
