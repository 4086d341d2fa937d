"""Threads, workers and devices."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import torch

from makeweight.core.errors import BadInput
from makeweight.runtime.machine import fixed_threads, machine, workers
from makeweight.runtime.processes import cores
from tests.support.replicates import compute


def test_threads_are_fixed_inside_the_block_and_restored_after_it() -> None:
    before = torch.get_num_threads()
    with fixed_threads(1):
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before


def test_algorithms_are_deterministic_inside_and_the_mode_is_restored_after_an_error() -> None:
    assert not torch.are_deterministic_algorithms_enabled()
    with pytest.raises(RuntimeError, match="does not have a deterministic implementation"), fixed_threads(1):
        torch.zeros(3).put_(torch.tensor([0, 0]), torch.tensor([1.0, 2.0]))
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"]
    assert not torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    with fixed_threads(1):
        assert not torch.is_deterministic_algorithms_warn_only_enabled()
    assert torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(False)


@pytest.fixture
def _tf32_allowed() -> Iterator[None]:
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.allow_tf32, matmul.allow_tf32
    cudnn.allow_tf32 = matmul.allow_tf32 = True
    yield
    cudnn.allow_tf32, matmul.allow_tf32 = before


@pytest.mark.usefixtures("_tf32_allowed")
def test_float32_is_never_rounded_to_tf32_inside() -> None:
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    with fixed_threads(1):
        assert (cudnn.allow_tf32, matmul.allow_tf32) == (False, False)
    assert (cudnn.allow_tf32, matmul.allow_tf32) == (True, True)


def test_there_are_never_more_workers_than_replicates() -> None:
    assert workers(compute(workers=8), 3) == 3
    assert workers(compute(workers="auto", threads_per_replicate=1000), 3) == 1


def test_automatic_workers_respect_limits_on_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")  # loky applies it where it applies the quota of a container
    monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(16)), raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: 16)
    assert cores() == 1
    assert workers(compute(workers="auto", device="cpu"), 8) == 1


@pytest.mark.parametrize(("free_gib", "expected"), [(80, 16), (31.9, 7), (8, 2), (1, 1)])
def test_automatic_workers_fit_the_free_memory_of_the_gpu(
    free_gib: float, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (int(free_gib * 2**30), 80 * 2**30))
    monkeypatch.setattr("makeweight.runtime.machine.cores", lambda: 16)
    automatic = compute(workers="auto", device="cuda", precision="float32")
    assert workers(automatic, 100) == expected
    assert workers(automatic, 1) == 1
    assert workers(compute(workers="auto", device="cpu"), 100) == 16
    assert workers(compute(workers=9, device="cuda"), 100) == 9


def test_a_missing_gpu_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(BadInput, match=r"compute\.device is cuda"):
        machine(compute(device="cuda"))
    assert machine(compute(device="auto")).device == "cpu"
