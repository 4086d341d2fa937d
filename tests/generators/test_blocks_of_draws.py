"""Synthetic images drawn in blocks: the same bytes with less memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from makeweight.core import plugins
from makeweight.core.images import as_images
from makeweight.core.seeds import derive
from makeweight.generators.generate import Generation
from makeweight.generators.interface import BlockSampler
from makeweight.runtime.machine import Machine
from makeweight.runtime.replicates import Replicate
from makeweight.training.loop import Sampler
from tests.support.families import fitted, split
from tests.support.generating import generate_settings

SETTINGS = generate_settings()
LABELS = np.repeat([0, 1, 2], [7, 0, 12]).astype(np.int64)


def generation(name: str, sampler: Sampler, channels: int = 3) -> Generation:
    return Generation(name, lambda folder: sampler, [Path("samplers")] * 2, split(11, channels), SETTINGS, 4, 4)


def stream() -> torch.Generator:
    return torch.Generator().manual_seed(derive(4, "synthetic", 1))


@pytest.fixture(params=plugins.names("families"))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_every_family_writes_the_bytes_of_one_draw(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sampler = fitted(name, split(11, 3))
    expected = as_images(sampler.sample(torch.from_numpy(LABELS), rng=stream()))
    monkeypatch.setattr("makeweight.generators.blocks.networks.SAMPLING_BATCH", 5)
    monkeypatch.setattr("makeweight.generators.families.gaussian.SAMPLED_AT_ONCE", 5 * 11 * 11 * 3)
    monkeypatch.setattr("makeweight.generators.families.warp.sampler.SAMPLED_AT_ONCE", 5 * 11 * 11 * 3)
    blocks: list[int] = []

    def counting(images: torch.Tensor) -> np.ndarray:
        blocks.append(len(images))
        return as_images(images)

    monkeypatch.setattr("makeweight.generators.generate.as_images", counting)
    drawn = generation(name, sampler).draw(1, LABELS, tmp_path / "drawn", {})
    np.save(tmp_path / "expected.npy", expected)
    assert (tmp_path / "drawn" / "images.npy").read_bytes() == (tmp_path / "expected.npy").read_bytes()
    assert drawn.labels.tolist() == LABELS.tolist()
    assert len(blocks) > 1


def test_no_draws_make_an_empty_split(name: str, tmp_path: Path) -> None:
    drawn = generation(name, fitted(name, split(11, 3))).draw(0, LABELS[:0], tmp_path / "drawn", {})
    assert drawn.images.shape == (0, 11, 11, 3)


class Wrong:
    """Draws `images` whatever the labels are; no `BlockSampler`."""

    def __init__(self, *shape: int) -> None:
        self.images = torch.zeros(shape)

    def sample(self, labels: torch.Tensor, *, rng: torch.Generator) -> torch.Tensor:
        return self.images

    def save(self, folder: Path) -> None: ...


@pytest.mark.parametrize(
    ("shape", "message"),
    [((19, 1, 11, 11), r"shape \(11, 11, 1\), not \(11, 11, 3\)"), ((18, 3, 11, 11), "18 images for 19 labels")],
)
def test_a_sampler_that_draws_something_else_is_an_error(shape: tuple[int, ...], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        generation("wrong", Wrong(*shape)).draw(0, LABELS, tmp_path / "drawn", {})


class Moved(BlockSampler):
    """Draws black images, and notes the devices that it is moved to."""

    def __init__(self) -> None:
        self.devices: list[torch.device] = []

    def to(self, device: torch.device) -> None:
        self.devices.append(device)

    def sample_blocks(self, labels: torch.Tensor, *, rng: torch.Generator) -> Iterator[torch.Tensor]:
        yield self.sample(labels, rng=rng)

    def sample(self, labels: torch.Tensor, *, rng: torch.Generator) -> torch.Tensor:
        return torch.zeros(len(labels), 3, 11, 11)

    def save(self, folder: Path) -> None: ...


def test_images_are_drawn_on_the_device_of_the_replicate(tmp_path: Path) -> None:
    sampler = Moved()
    machine = Machine("meta", "float32", 1, 1)  # stands for a GPU
    generation("moved", sampler)([Replicate(0, tmp_path / "drawn", tmp_path, machine, lambda step: None)])
    assert sampler.devices == [torch.device("meta")]


@pytest.mark.parametrize(
    ("family", "network"), [("cgan", "generator"), ("cvae", "decoder"), ("autoencoder", "decoder")]
)
def test_families_with_networks_move_them(family: str, network: str) -> None:
    sampler = fitted(family, split(11, 3))
    assert isinstance(sampler, BlockSampler)
    sampler.to(torch.device("meta"))
    assert {weight.device.type for weight in getattr(sampler, network).parameters()} == {"meta"}
