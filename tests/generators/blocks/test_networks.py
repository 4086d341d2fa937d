"""Decoders, encoders and the encoding of labels."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from makeweight.generators.blocks.layers import SelfAttention
from makeweight.generators.blocks.networks import CONFIG, Decoder, Encoder, Shape, conditions


def test_conditions_are_one_hot_times_the_scale() -> None:
    assert conditions(torch.tensor([2, 0]), 3, 0.5).tolist() == [[0, 0, 0.5], [0.5, 0, 0]]


@pytest.mark.parametrize(("size", "attention", "sides"), [(28, 14, (14, 14)), (30, 15, (16, 15)), (100, 25, (28, 25))])
def test_attention_is_at_the_feature_map_nearest_to_the_requested_side(
    size: int, attention: int, sides: tuple[int, int]
) -> None:
    shape, attended = Shape(size, 1, 3), []

    def record(block: torch.nn.Module, inputs: tuple[torch.Tensor], _: torch.Tensor) -> None:
        attended.append(inputs[0].shape[-1])

    decoder, encoder = Decoder(shape, 4, 1, attention=attention), Encoder(shape, 1, attention=attention, normed=True)
    for network in (decoder, encoder):
        (block,) = (block for block in network.attentions if isinstance(block, SelfAttention))
        block.register_forward_hook(record)
    encoder(decoder(torch.randn(2, 4), conditions(torch.tensor([0, 1]), 3)))
    assert tuple(attended) == sides


@pytest.mark.parametrize("size", [8, 11, 28, 33, 64])
def test_decoders_and_encoders_fit_every_size(size: int) -> None:
    shape = Shape(size, 3, 4)
    encoder = Encoder(shape, width=2)
    features = encoder(torch.randn(2, 3, size, size))
    assert features.shape == (2, encoder.channels, encoder.side, encoder.side)
    for label_input in ("norms", "input", "nothing"):
        decoder = Decoder(shape, 5, 2, label_input)
        images = Decoder.from_config(decoder.config)(torch.randn(2, 5), conditions(torch.tensor([0, 3]), 4))
        assert images.shape == (2, 3, size, size)


def test_networks_under_spectral_norm_have_convolutions_of_norm_one() -> None:
    network = Encoder(Shape(8, 1, 3), width=8, normed=True).train()
    for _ in range(50):  # one power iteration each
        network(torch.zeros(1, 1, 8, 8))
    network.eval()
    for layer in (*network.halves, network.last):
        assert isinstance(layer.weight, torch.Tensor)
        assert abs(float(torch.linalg.matrix_norm(layer.weight.detach().flatten(1), 2)) - 1) < 0.02


def test_widths_double_with_each_halving_up_to_eight_times() -> None:
    for size, expected in ((8, [4]), (64, [32, 16, 8, 4]), (128, [32, 32, 16, 8, 4])):
        doubles = Decoder(Shape(size, 1, 2), latent=4, width=4).doubles
        assert [weights.shape[0] for weights in doubles.parameters() if weights.ndim == 4] == expected


def test_a_decoder_loads_with_the_configuration_key_of_earlier_versions(tmp_path: Path) -> None:
    decoder = Decoder(Shape(8, 1, 3), 5, 2, "input").eval()
    decoder.save(tmp_path)
    config = (tmp_path / CONFIG).read_text()
    assert '"label_input"' in config
    (tmp_path / CONFIG).write_text(config.replace('"label_input"', '"hearing"'))
    codes, labels = torch.randn(2, 5), torch.tensor([0, 2])
    drawn = [torch.cat(list(network.draw(codes, labels))) for network in (Decoder.load(tmp_path), decoder)]
    assert torch.equal(*drawn)
