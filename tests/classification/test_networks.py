"""Classifiers for every size of image, and the fast forms of the layers of `small_cnn`."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from benchmarks.plain import small_cnn as reference_cnn
from makeweight.classification.networks import DropoutLinear, small_cnn
from makeweight.core.plugins import find, names
from tests.support.determinism import NONDETERMINISTIC, OperationRecorder


@pytest.mark.parametrize("name", names("classifiers"))
@pytest.mark.parametrize(("size", "channels"), [(8, 1), (28, 1), (33, 3), (128, 3)])
def test_classifiers_take_every_size_and_give_a_logit_for_each_class(name: str, size: int, channels: int) -> None:
    network = find("classifiers", name)(channels, size, 7)
    assert network(torch.randn(2, channels, size, size)).shape == (2, 7)


@pytest.mark.parametrize(("size", "channels"), [(8, 1), (13, 3), (28, 1)])
@pytest.mark.parametrize("training", [True, False])
def test_small_cnn_is_the_plain_network_of_the_same_seed(size: int, channels: int, training: bool) -> None:
    torch.manual_seed(0)
    expected = reference_cnn(channels, size, 7).train(training)
    torch.manual_seed(0)
    actual = small_cnn(channels, size, 7).to(memory_format=torch.channels_last).train(training)
    with torch.no_grad():  # negative gains, too: they reverse the order of the pixels that are pooled
        for network in (expected, actual):
            torch.manual_seed(1)
            for layer in network.modules():
                if isinstance(layer, nn.BatchNorm2d):
                    layer.weight.normal_()
                    layer.bias.normal_()
    # Without dropout, since the two draw different masks.
    next(layer for layer in expected.modules() if isinstance(layer, nn.Dropout)).p = 0
    next(layer for layer in actual.modules() if isinstance(layer, DropoutLinear)).kept = 2**16
    images = torch.randn(16, channels, size, size)
    logits = [network(images) for network in (expected, actual)]
    torch.testing.assert_close(logits[1], logits[0])
    for values in logits:
        (values.softmax(1)[:, 0] * torch.arange(16)).sum().backward()
    for (name, tensor), (_, found) in zip(_state(expected), _state(actual), strict=True):
        torch.testing.assert_close(found, tensor, rtol=1e-3, atol=1e-5 * tensor.abs().max().item(), msg=name)


def _state(network: nn.Module) -> list[tuple[str, Tensor]]:
    """Gradients and running statistics."""
    gradients = [(name, parameter.grad) for name, parameter in network.named_parameters() if parameter.grad is not None]
    return gradients + [(name, buffer) for name, buffer in network.named_buffers() if buffer.is_floating_point()]


def _dropped(head: DropoutLinear, seed: int) -> Tensor:
    torch.manual_seed(seed)
    logits: Tensor = head(torch.ones(50, *head.maps))
    return logits.detach()


@pytest.fixture
def head() -> DropoutLinear:
    """A layer whose single logit is the scaled number of elements that are kept."""
    layer = DropoutLinear(40, 5, 1, dropout=0.3)
    nn.init.ones_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def test_dropout_keeps_the_expected_fraction_and_its_scale_keeps_the_mean(head: DropoutLinear) -> None:
    elements = 1000
    kept = _dropped(head, seed=0) * 0.7 / elements  # fractions of each of 50 images
    assert kept.mean().item() == pytest.approx(0.7, abs=4 * (0.21 / elements / 50) ** 0.5)
    assert kept.std().item() == pytest.approx((0.21 / elements) ** 0.5, rel=0.4)  # binomial: elements are independent
    assert head.eval()(torch.ones(1, *head.maps)).item() == elements


def test_all_elements_of_a_dropout_mask_are_kept_equally_often(head: DropoutLinear) -> None:
    torch.manual_seed(0)
    maps = torch.ones(2000, *head.maps, requires_grad=True)
    head(maps).sum().backward()
    assert maps.grad is not None
    values = maps.grad.unique()
    assert values.tolist() == [0, pytest.approx(1 / 0.7, rel=1e-5)]
    frequencies = (maps.grad > 0).float().mean(0)
    assert (frequencies - 0.7).abs().max() < 6 * (0.21 / 2000) ** 0.5


def test_the_dropout_mask_follows_from_the_global_seed(head: DropoutLinear) -> None:
    assert torch.equal(_dropped(head, seed=3), _dropped(head, seed=3))
    assert not torch.equal(_dropped(head, seed=3), _dropped(head, seed=4))


@pytest.mark.parametrize("name", names("classifiers"))
def test_no_operation_of_the_training_is_nondeterministic_on_a_gpu(name: str) -> None:
    network = find("classifiers", name)(3, 28, 7)
    with OperationRecorder() as recorder:
        cross_entropy(network(torch.randn(4, 3, 28, 28)), torch.arange(4)).backward()
    assert "convolution_backward" in recorder.names
    assert not recorder.names & NONDETERMINISTIC
