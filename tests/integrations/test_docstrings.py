"""The examples in docstrings of the Python interface."""

from __future__ import annotations

import doctest
from importlib import import_module

import pytest


@pytest.mark.parametrize("name", ["datasets", "own_training", "resampling"])
def test_examples_give_what_they_say(name: str) -> None:
    result = doctest.testmod(import_module(f"makeweight.integrations.{name}"))
    assert result.attempted > 0
    assert result.failed == 0
