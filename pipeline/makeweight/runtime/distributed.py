"""Data-parallel training of one replicate in several processes, started by `torchrun`; no-ops in a single process.

Each process computes the gradients of its shard of every batch. The gradients are averaged, so that all processes hold
the same weights. Plain collectives: `docs/decisions/0007-spread.md` says why.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist

from makeweight.core.errors import BadInput


def init(device: str) -> None:
    """Initialise the process group if `torchrun` has started several processes and this has not been done yet.

    Raises:
        BadInput: there are fewer GPUs than processes.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or dist.is_initialized():
        return
    if device == "cuda":
        if int(os.environ["LOCAL_RANK"]) >= torch.cuda.device_count():
            raise BadInput(f"torchrun has started more processes than there are GPUs ({torch.cuda.device_count()})")
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if device == "cuda" else "gloo")
    # If this is left to the interpreter's exit, gloo's threads are sometimes destroyed while they run, which aborts.
    atexit.register(dist.destroy_process_group)


def world_size() -> int:
    """Number of processes."""
    return dist.get_world_size() if dist.is_initialized() else 1


def is_main_process() -> bool:
    """Whether this process is the one that writes."""
    return not dist.is_initialized() or dist.get_rank() == 0


def barrier() -> None:
    """Wait until all processes have reached this call."""
    if world_size() > 1:
        dist.barrier()


def shard(batch: Tensor) -> Tensor:
    """This process's shard of a batch [1, n, …] that is the same in all processes.

    Raises:
        BadInput: the batch cannot be divided evenly.
    """
    if world_size() == 1:
        return batch
    n = batch.shape[1]
    if n % world_size():
        raise BadInput(f"a batch of {n} cannot be divided among {world_size()} processes: choose a multiple")
    return batch.chunk(world_size(), 1)[dist.get_rank()]


def all_reduce_mean(values: Tensor) -> Tensor:
    """The mean over all processes, differentiable with respect to the values of each."""
    if world_size() == 1:
        return values
    averaged: Tensor = _Sum.apply(values) / world_size()
    return averaged


class _Sum(torch.autograd.Function):
    """The sum over all processes. Since each process uses it, its gradient is the sum of all gradients."""

    @staticmethod
    def forward(context: Any, values: Tensor) -> Tensor:
        return _sum(values)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        return _sum(gradient)


def _sum(values: Tensor) -> Tensor:
    summed = values.clone(memory_format=torch.contiguous_format)
    dist.all_reduce(summed)
    return summed


def average_gradients(network: nn.Module) -> None:
    """Replace each gradient by its mean over all processes."""
    if world_size() > 1:
        gradients = [weight.grad for weight in network.parameters() if weight.grad is not None]
        means = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(means)
        means /= world_size()
        for gradient, mean in zip(gradients, means.split([gradient.numel() for gradient in gradients]), strict=True):
            gradient.copy_(mean.view_as(gradient))


def average_row(row: dict[str, float]) -> dict[str, float]:
    """The mean of each value over all processes."""
    if world_size() == 1:
        return row
    values: Iterable[float] = all_reduce_mean(
        torch.tensor(list(row.values()), dtype=torch.float64, device=_device())
    ).tolist()
    return dict(zip(row, values, strict=True))


def _device() -> torch.device:
    return torch.device("cuda" if dist.get_backend() == "nccl" else "cpu")
