"""Threads, workers and devices."""

from __future__ import annotations

import pytest
import torch

from makeweight.core.errors import BadInput
from makeweight.runtime.machine import fixed_threads, machine, workers
from tests.support.replicates import compute


def test_threads_are_fixed_inside_the_block_and_restored_after_it() -> None:
    before = torch.get_num_threads()
    with fixed_threads(1):
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before


def test_there_are_never_more_workers_than_replicates() -> None:
    assert workers(compute(workers=8), 3) == 3
    assert workers(compute(workers="auto", threads_per_replicate=1000), 3) == 1


def test_a_missing_gpu_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(BadInput, match=r"compute\.device is cuda"):
        machine(compute(device="cuda"))
    assert machine(compute(device="auto")).device == "cpu"
