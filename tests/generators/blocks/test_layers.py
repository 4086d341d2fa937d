"""Layers against their formulas."""

from __future__ import annotations

import pytest
import torch

from makeweight.generators.blocks.layers import (
    ConditionalBatchNorm,
    FromImage,
    SelfAttention,
    ToImage,
    depth_to_space,
    space_to_depth,
)
from makeweight.generators.blocks.networks import conditions


def test_conditional_batch_norm_scales_each_image_by_its_own_class() -> None:
    norm = ConditionalBatchNorm(2, classes=3)
    features = torch.randn(50, 2, 4, 4)
    labels = torch.arange(50) % 3
    plain = torch.nn.functional.batch_norm(features, None, None, training=True)
    gain, bias = (table[labels][:, :, None, None] for table in (1 + norm.gain, norm.bias))
    torch.testing.assert_close(norm(features, conditions(labels, 3)), gain * plain + bias)
    torch.testing.assert_close(norm(features, conditions(labels, 3, scale=0.0)), plain)


def test_self_attention_is_initially_the_identity_and_follows_its_formula() -> None:
    block = SelfAttention(16)
    features = torch.randn(2, 16, 4, 4)
    assert torch.equal(block(features), features)
    torch.nn.init.constant_(block.weight, 0.5)
    pooled = [torch.nn.functional.max_pool2d(layer(features), 2).flatten(2) for layer in (block.key, block.value)]
    weights = torch.einsum("bcq,bck->bqk", block.query(features).flatten(2), pooled[0]).softmax(2)
    attended = torch.einsum("bqk,bck->bcq", weights, pooled[1]).unflatten(2, (4, 4))
    torch.testing.assert_close(block(features), features + 0.5 * block.out(attended))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("side", [8, 28, 33])
def test_space_to_depth_convolutions_are_the_ordinary_ones(channels: int, side: int) -> None:
    images, maps = torch.randn(2, channels, side, side).double(), torch.randn(2, 5, side, side).double()
    from_image, to_image = FromImage(channels, 5).double(), ToImage(5, channels).double()
    torch.testing.assert_close(from_image(images), torch.nn.Conv2d.forward(from_image, images))
    torch.testing.assert_close(to_image(maps), torch.nn.ConvTranspose2d.forward(to_image, maps))


def test_space_to_depth_moves_four_pixels_into_channels() -> None:
    maps = torch.tensor([[[[1, 2], [3, 4]], [[5, 6], [7, 8]]]])  # two channels
    assert space_to_depth(maps).flatten().tolist() == [1, 5, 2, 6, 3, 7, 4, 8]
    assert depth_to_space(space_to_depth(maps)).tolist() == maps.tolist()
