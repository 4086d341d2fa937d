"""Policies of torchvision: seeded by place, of one shape, independent of the global stream."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from ruamel.yaml import YAML
from torchvision.transforms import v2

from makeweight.classification.interface import Transform, find_transform
from makeweight.core.errors import BadInput
from makeweight.core.seeds import derive
from tests.conftest import PROJECT

RECIPES: dict[str, Any] = YAML(typ="safe").load(PROJECT / "params.yaml")["recipes"]
POLICIES = ["trivial_augment_wide", "rand_augment", "aug_mix"]


def policy(name: str, **changes: Any) -> Transform:
    return find_transform(name, {name: {**RECIPES[name], **changes}})


def images(channels: int, n: int = 6) -> Any:
    return np.random.default_rng(0).integers(0, 256, (n, 12, 12, channels), dtype=np.uint8)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", POLICIES)
def test_the_seed_alone_decides_and_shape_and_type_stay(name: str, channels: int) -> None:
    before = images(channels)
    after = policy(name).apply(before, seed=1)
    assert after.shape == before.shape
    assert after.dtype == np.uint8
    torch.rand(3)
    assert np.array_equal(policy(name).apply(before, seed=1), after)
    assert not np.array_equal(policy(name).apply(before, seed=2), after)


@pytest.mark.parametrize("name", POLICIES)
def test_the_global_stream_stays_as_it_is(name: str) -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    policy(name).apply(images(1), seed=1)
    assert torch.equal(torch.rand(2), expected)


@pytest.mark.parametrize("name", POLICIES)
def test_a_place_of_the_batch_is_augmented_in_the_same_way_whatever_is_beside_it(name: str) -> None:
    batch, other = images(3), images(3)
    other[:5] = 255 - other[:5]
    assert np.array_equal(policy(name).apply(batch, 1)[5], policy(name).apply(other, 1)[5])
    same = np.repeat(batch[:1], 20, axis=0)
    assert len({image.tobytes() for image in policy(name).apply(same, 1)}) > 5


def test_grey_images_are_augmented_as_grey_rgb_images_are() -> None:
    grey = images(1, n=40)
    rgb = np.repeat(grey, 3, axis=3)
    for name in POLICIES:
        expected, found = policy(name).apply(rgb, 5), policy(name).apply(grey, 5)
        assert np.array_equal(expected[..., 0], expected[..., 2])
        assert (
            np.abs(expected[..., :1].astype(int) - found).max() <= 3
        )  # torchvision's weights of R, G, B add up to 0.9999


def test_it_is_torchvisions_policy() -> None:
    image = images(3, n=1)
    found = policy("rand_augment", magnitude=4).apply(image, 7)
    torch.manual_seed(derive(7, "policy", 0))
    expected = v2.RandAugment(2, 4, 31)(torch.from_numpy(image[0]).permute(2, 0, 1)).permute(1, 2, 0)
    assert np.array_equal(found[0], expected.numpy())


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("rand_augment", {"magnitude": 31}, r"recipes\.rand_augment: magnitude must be below num_magnitude_bins"),
        ("rand_augment", {"num_op": 1}, r"recipes\.rand_augment\.num_op is not a parameter"),
        ("aug_mix", {"severity": 11}, r"recipes\.aug_mix\.severity is 11"),
        ("aug_mix", {"chain_depth": 0}, r"recipes\.aug_mix\.chain_depth is 0"),
        ("trivial_augment_wide", {"num_magnitude_bins": 1}, "num_magnitude_bins is 1"),
    ],
)
def test_an_error_in_the_settings_is_one_line(name: str, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message) as caught:
        policy(name, **changes)
    assert len(caught.value.errors) == 1
