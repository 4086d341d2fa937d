"""Learned deformations: the mathematics, the pairs, the components and what is drawn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from makeweight.core.data import Split
from makeweight.core.errors import BadInput
from makeweight.core.images import from_uint8
from makeweight.generators.blocks.bilinear import warp
from makeweight.generators.families.warp import family as warp_family
from makeweight.generators.families.warp.family import LearnedDeformations
from makeweight.generators.families.warp.flows import (
    deform,
    displacements,
    displacements_without_folds,
    smallest_determinants,
)
from makeweight.generators.families.warp.pairs import draw_pairs
from makeweight.generators.families.warp.registration import Registration, squared_distances
from makeweight.generators.families.warp.sampler import Components, WarpSampler
from makeweight.training.checkpoints import Checkpoints
from makeweight.training.loop import TrainingContext
from tests.support.families import draw, family, run, split


def random_fields(n: int, scale: float, grid: int = 5) -> Tensor:
    return scale * torch.randn(n, 2, grid, grid, generator=torch.Generator().manual_seed(0))


def blobs(n: int, size: int = 16, channels: int = 1) -> Tensor:
    """Smooth spots at random places, float [n, c, size, size] in [0, 1]."""
    rng = np.random.default_rng(0)
    ticks = np.arange(size)
    centres = rng.uniform(size / 3, 2 * size / 3, (n, channels, 2, 1))
    x, y = (np.exp(-(((ticks - centres[:, :, axis]) / (size / 6)) ** 2)) for axis in (0, 1))
    return torch.from_numpy((y[..., :, None] * x[..., None, :]).astype(np.float32))


def warp_settings(**changes: Any) -> LearnedDeformations:
    return LearnedDeformations.model_validate({**family("warp").model_dump(), **changes})


def test_no_velocity_deforms_nothing() -> None:
    images = blobs(2)
    torch.testing.assert_close(deform(images, displacements(torch.zeros(2, 2, 4, 4), 16)), images)


def test_a_constant_velocity_translates_and_repeats_the_border() -> None:
    images = torch.rand(1, 3, 16, 16)
    two_pixels = torch.zeros(1, 2, 4, 4)
    two_pixels[:, 0] = 2 * 2 / 16
    moved = deform(images, displacements(two_pixels, 16))
    torch.testing.assert_close(moved[..., :-2], images[..., 2:])
    torch.testing.assert_close(moved[..., -2:], images[..., -1:].expand(-1, -1, -1, 2))


def test_the_negative_field_deforms_back() -> None:
    fields = random_fields(4, 0.1)
    there, back = (displacements(sign * fields, 32) for sign in (1, -1))
    round_trip = (there + deform(back, there))[..., 6:-6, 6:-6]  # beyond the border, values are repeated
    assert round_trip.abs().max() < 0.1 * there.abs().max()


def test_a_gpu_would_deform_alike() -> None:
    images, flow = blobs(3, channels=3), displacements(random_fields(3, 0.3), 16)
    centres = (2 * torch.arange(16) + 1) / 16 - 1
    identity = torch.stack(torch.meshgrid(centres, centres, indexing="xy"))
    deterministic = warp(images, (identity + flow).permute(0, 2, 3, 1), "border")
    torch.testing.assert_close(deform(images, flow), deterministic)


def test_the_determinant_of_a_magnification() -> None:
    centres = (2 * torch.arange(16) + 1) / 16 - 1
    magnified = 0.25 * torch.stack(torch.meshgrid(centres, centres, indexing="xy"))[None]
    torch.testing.assert_close(smallest_determinants(magnified), torch.tensor([1.25**2]))


def test_a_field_that_folds_is_damped_and_the_others_are_not() -> None:
    fields = torch.cat([random_fields(20, 0.05), random_fields(20, 2.0)])
    before = smallest_determinants(displacements(fields, 16))
    assert (before[:20] > 0).all()
    assert (before[20:] <= 0).any()
    damped = displacements_without_folds(fields, 16)
    assert (smallest_determinants(damped) > 0).all()
    unfolded = before > 0
    assert torch.equal(damped[unfolded], displacements(fields, 16)[unfolded])
    assert damped[~unfolded].abs().amax() > 0


@pytest.mark.parametrize("channels", [1, 3])
def test_a_registration_finds_most_of_a_deformation(channels: int) -> None:
    moving = blobs(6, channels=channels)
    fixed = deform(moving, displacements(random_fields(6, 0.15, grid=4), 16))
    fields = Registration(grid=4, iterations=60, learning_rate=0.03, smoothness=0.01).register(moving, fixed)
    left = squared_distances(deform(moving, displacements(fields, 16)), fixed)
    assert (left / squared_distances(moving, fixed)).median() < 0.1


def test_pairs_are_registered_independently_of_each_other() -> None:
    moving, fixed = blobs(6), blobs(6).flip(0)
    registration = Registration(grid=4, iterations=9, learning_rate=0.03, smoothness=0.2)
    together, alone = registration.register(moving, fixed), registration.register(moving[2:3], fixed[2:3])
    torch.testing.assert_close(together[2:3], alone, atol=1e-4, rtol=0)


def test_pairs_are_neighbours_of_one_class_and_follow_the_square_roots_of_the_counts() -> None:
    counts = (64, 16, 1)
    labels = np.repeat([0, 1, 2], counts).astype(np.int64)
    ranks = np.concatenate([np.arange(64), 100 + np.arange(16), [200]])  # brightness identifies an image
    images = np.broadcast_to(ranks[:, None, None, None], (81, 8, 8, 1)).astype(np.uint8)
    first, second = ((255 * side[:, 0, 0, 0]).round().int() for side in draw_pairs(
        Split(images, labels, ("a", "b", "c")), 300, neighbours=3, seed=0
    ))  # fmt: skip
    assert torch.bincount(first // 100).tolist() == [200, 100]
    assert ((first // 100) == (second // 100)).all()
    distances = (first - second).abs()
    assert distances.min() == 1
    assert distances.max() == 3  # at the darkest and the brightest image
    assert len(first.unique()) == 80  # every image, before one comes again


def test_pairs_of_a_large_class_are_sought_among_some_of_its_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("makeweight.generators.families.warp.pairs.SEARCHED", 3)
    pairs = torch.cat(draw_pairs(split(8, 1, counts=(9, 1, 1)), 30, neighbours=10, seed=0))
    assert len(pairs.flatten(1).unique(dim=0)) == 3


def test_equal_images_are_neighbours() -> None:
    train = Split(np.full((2, 8, 8, 1), 7, np.uint8), np.zeros(2, np.int64), ("a",))
    first, second = draw_pairs(train, 4, neighbours=10, seed=0)
    assert first.shape == second.shape == (4, 1, 8, 8)
    (sampler,) = warp_settings(pairs=4).fit(train, monitor=train, seeds=[0], run=run())
    assert torch.equal(draw(sampler, [0]), from_uint8(torch.full((1, 1, 8, 8), 7)))


def test_large_images_are_registered_at_a_smaller_size() -> None:
    first, _ = draw_pairs(split(64, 3), 5, neighbours=2, seed=0)
    assert first.shape == (5, 3, 32, 32)


def test_components_and_draws_have_the_variances_of_the_fields_and_their_negatives() -> None:
    scales = torch.tensor([3.0, 2.0, 1.0, 0.5, 0.0, 0.0, 0.0, 0.0])
    fields = (torch.randn(200, 8, generator=torch.Generator().manual_seed(0)) * scales).view(-1, 2, 2, 2)
    symmetric = torch.cat([fields, -fields]).flatten(1)
    covariance = symmetric.T @ symmetric / len(symmetric)
    assert Components.of(fields, limit=3).directions.shape == (3, 2, 2, 2)
    components = Components.of(fields, limit=30)
    drawn = components.draw(20000, torch.Generator().manual_seed(0)).flatten(1)
    torch.testing.assert_close(drawn.T @ drawn / len(drawn), covariance, atol=0.3, rtol=0)
    assert components.deviations[0] == pytest.approx(float(torch.linalg.eigvalsh(covariance)[-1]) ** 0.5, rel=1e-4)


def test_draws_move_away_from_the_training_images_with_the_amplitude() -> None:
    train = split(8, 1, counts=(1, 1, 1))
    components = Components.of(random_fields(50, 0.1, grid=4), 30)
    originals = from_uint8(torch.from_numpy(train.images[[0, 1, 2, 2]])).permute(0, 3, 1, 2)
    distances = []
    for amplitude in (0.0, 0.5, 1.0):
        drawn = draw(WarpSampler(components, train.images, train.labels, amplitude), [0, 1, 2, 2])
        distances.append(float(squared_distances(drawn, originals).mean()))
    assert distances[0] == pytest.approx(0, abs=1e-9)
    assert distances[0] < distances[1] < distances[2]


def test_classes_of_one_image_alone_give_these_images() -> None:
    train, context = split(8, 1, counts=(1, 1, 1)), run()
    (sampler,) = warp_settings().fit(train, monitor=train, seeds=[0], run=context)
    assert torch.equal(draw(sampler, [2]), from_uint8(torch.from_numpy(train.images[2:])).permute(0, 3, 1, 2))
    assert context.histories[0][-1] == {"step": 1, "pairs": 0, "residual": 1.0}


@pytest.mark.parametrize(("size", "nodes"), [(8, 4), (16, 4), (28, 7), (32, 8), (33, 8)])
def test_the_grid_follows_the_size_of_the_images(size: int, nodes: int) -> None:
    train = split(size, 1, counts=(2, 2, 2))
    (sampler,) = warp_settings(pairs=2, iterations=1).fit(train, monitor=train, seeds=[0], run=run())
    assert sampler.components.directions.shape[1:] == (2, nodes, nodes)


@pytest.mark.parametrize(("size", "side"), [(8, 8), (64, 32)])
def test_images_smaller_than_the_grid_are_refused_in_one_line(size: int, side: int) -> None:
    message = rf"^families\.warp\.grid is 33, but .* only {side} pixels a side: choose at most {side}"
    train = split(size, 1)
    with pytest.raises(BadInput, match=message):
        warp_settings(grid=33).fit(train, monitor=train, seeds=[0], run=run())


class Killed(Exception): ...


def test_a_killed_fit_continues_bit_for_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warp_family, "BLOCK", 4)
    train, registered = split(8, 1), []

    def fit(until: int, folder: Path) -> WarpSampler:
        def progress(step: int) -> None:
            registered.append(step)
            if step == until:
                raise Killed

        context = TrainingContext(torch.device("cpu"), None, progress, checkpoints=Checkpoints(folder, 1e-9))
        (sampler,) = warp_settings().fit(train, monitor=train, seeds=[0], run=context)
        assert len(context.histories[0]) == 3
        return sampler

    whole = fit(99, tmp_path / "whole")
    with pytest.raises(Killed):
        fit(3, tmp_path / "killed")
    registered.clear()
    resumed = fit(99, tmp_path / "killed")
    assert registered == [1, 2, 3]  # resumes after the first
    assert torch.equal(resumed.components.directions, whole.components.directions)
    assert torch.equal(draw(resumed, [0, 1, 2]), draw(whole, [0, 1, 2]))
