"""Device, precision, threads, workers and package versions."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import cv2
import torch
from threadpoolctl import threadpool_limits

from makeweight.core.errors import BadInput
from makeweight.core.parameters import ComputeSettings
from makeweight.runtime import distributed
from makeweight.runtime.processes import cores

RESULT_PACKAGES = (
    "albumentations",
    "imbalanced-learn",
    "numpy",
    "opencv-python-headless",
    "scikit-learn",
    "torch",
    "torchvision",
)  # different versions give different results
GPU_MEMORY_PER_WORKER = 4 * 2**30  # bytes: the CUDA context, a network with its optimizer, and a batch's activations
CUBLAS_WORKSPACE = ":4096:8"  # read by cuBLAS at its first use: 8 buffers of 4 MiB make its results deterministic
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # of malloc.h


@dataclass(frozen=True, slots=True)
class Machine:
    """The settings `compute`, resolved. Every field changes rounding, so all are part of fingerprints."""

    device: str
    precision: str
    threads: int
    processes: int = 1

    @property
    def autocast(self) -> torch.dtype | None:
        """The type for mixed precision; None: plain float32."""
        return torch.bfloat16 if self.precision == "bfloat16" else None


def mixed_precision(device: str, dtype: torch.dtype | None) -> torch.autocast:
    """The context in which networks compute in `dtype` where that is safe; None: in float32 throughout."""
    # Without the cache of converted weights: a loop may reuse one context while its optimizer changes them.
    return torch.autocast(device, dtype, enabled=dtype is not None, cache_enabled=False)


def versions() -> dict[str, str]:
    """Installed versions of the packages that change results."""
    return {name: version(name) for name in RESULT_PACKAGES}


def machine(compute: ComputeSettings) -> Machine:
    """Resolve `auto`: the GPU if there is one, and bfloat16 if the device supports it natively.

    Raises:
        BadInput: `compute.device` is cuda, and there is no GPU.
    """
    if compute.device == "cuda" and not torch.cuda.is_available():
        raise BadInput("compute.device is cuda, but torch sees no GPU here: set it to auto or cpu")
    device = ("cuda" if torch.cuda.is_available() else "cpu") if compute.device == "auto" else compute.device
    precision = compute.precision
    if precision == "auto":
        native = torch.cuda.is_bf16_supported(False) if device == "cuda" else _processor_has_bfloat16()
        precision = "bfloat16" if native else "float32"
    return Machine(device, precision, compute.threads_per_replicate, distributed.world_size())


def _processor_has_bfloat16() -> bool:
    # Without AVX-512-BF16 or AMX, oneDNN emulates bfloat16 and is slower than in float32.
    # The oldest supported torch has no get_capabilities, and computes in float32.
    capabilities: Callable[[], dict[str, object]] = getattr(torch.cpu, "get_capabilities", dict)
    return bool(capabilities().get("avx512_bf16", False))


def workers(compute: ComputeSettings, tasks: int) -> int:
    """Number of worker processes: `compute.workers`, or a number that suits the machine; at most the number of tasks.

    `auto` fills the cores, and on a GPU at most its free memory, with `GPU_MEMORY_PER_WORKER` for each process.
    """
    if distributed.world_size() > 1:
        return 1
    most = _automatic_workers(compute) if compute.workers == "auto" else compute.workers
    return min(most, tasks)


def _automatic_workers(compute: ComputeSettings) -> int:
    most = cores() // compute.threads_per_replicate
    if machine(compute).device == "cuda":
        free, _ = torch.cuda.mem_get_info()
        most = min(most, free // GPU_MEMORY_PER_WORKER)
    return max(1, most)


@contextmanager
def fixed_threads(threads: int) -> Iterator[None]:
    """A fixed number of threads, deterministic algorithms and full float32 in all libraries while the block lasts.

    An operation that has no deterministic implementation on the device raises a `RuntimeError` that names it. bfloat16
    is chosen by `Machine.autocast` alone: what stays in float32 is never rounded to TF32.
    """
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = torch.get_num_threads(), cv2.getNumThreads()
    backends_before = cudnn.deterministic, cudnn.allow_tf32, matmul.allow_tf32
    torch.set_num_threads(threads)
    cv2.setNumThreads(0)  # a thread pool of OpenCV in each worker would compete for the cores
    cudnn.deterministic, cudnn.allow_tf32, matmul.allow_tf32 = True, False, False
    try:
        with threadpool_limits(threads), _deterministic_algorithms():  # threads of NumPy's and scikit-learn's libraries
            yield
    finally:
        torch.set_num_threads(before[0])
        cv2.setNumThreads(before[1])
        cudnn.deterministic, cudnn.allow_tf32, matmul.allow_tf32 = backends_before


@contextmanager
def _deterministic_algorithms() -> Iterator[None]:
    options: Any = torch.utils.deterministic
    mode, warn_only = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    filled = options.fill_uninitialized_memory
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", CUBLAS_WORKSPACE)
    torch.use_deterministic_algorithms(True)
    options.fill_uninitialized_memory = False  # with NaN, which takes time and changes no result of a correct program
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(mode, warn_only=warn_only)
        options.fill_uninitialized_memory = filled


def retain_heap() -> None:
    """Make glibc retain freed memory: the next step needs as much again, and each new page costs a page fault.

    It lasts until the process ends, and does nothing without glibc.
    """
    mallopt: Callable[[int, int], int] | None = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(MMAP_THRESHOLD, 2**25)  # the largest allowed value: larger blocks are returned to the system
        mallopt(TRIM_THRESHOLD, 2**30)
