"""Classifiers for every size of image."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cross_entropy

from makeweight.core.plugins import find, names
from tests.support.determinism import NONDETERMINISTIC, OperationRecorder


@pytest.mark.parametrize("name", names("classifiers"))
@pytest.mark.parametrize(("size", "channels"), [(8, 1), (28, 1), (33, 3), (128, 3)])
def test_classifiers_take_every_size_and_give_a_logit_for_each_class(name: str, size: int, channels: int) -> None:
    network = find("classifiers", name)(channels, size, 7)
    assert network(torch.randn(2, channels, size, size)).shape == (2, 7)


@pytest.mark.parametrize("name", names("classifiers"))
def test_no_operation_of_the_training_is_nondeterministic_on_a_gpu(name: str) -> None:
    network = find("classifiers", name)(3, 28, 7)
    with OperationRecorder() as recorder:
        cross_entropy(network(torch.randn(4, 3, 28, 28)), torch.arange(4)).backward()
    assert "convolution_backward" in recorder.names
    assert not recorder.names & NONDETERMINISTIC
