"""Classifiers for every size of image."""

from __future__ import annotations

import pytest
import torch

from makeweight.core.plugins import find, names


@pytest.mark.parametrize("name", names("classifiers"))
@pytest.mark.parametrize(("size", "channels"), [(8, 1), (28, 1), (33, 3), (128, 3)])
def test_classifiers_take_every_size_and_give_a_logit_for_each_class(name: str, size: int, channels: int) -> None:
    network = find("classifiers", name)(channels, size, 7)
    assert network(torch.randn(2, channels, size, size)).shape == (2, 7)
