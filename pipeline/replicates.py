"""Running K independent repetitions of one piece of work: side by side, each once and for all."""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import cv2
import joblib
import numpy as np
import torch
from joblib.externals.loky import process_executor
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from pipeline import fingerprints
from pipeline.core import BadInput
from pipeline.params import ComputeSettings
from pipeline.storage import CACHE, LOGS, replaced_folder, write_json

COMPUTING = (
    "albumentations",
    "numpy",
    "opencv-python-headless",
    "torch",
    "torchvision",
)  # whose releases change results
LINE_EVERY = 10.0  # seconds between two lines of progress where there is no terminal


@dataclass(frozen=True, slots=True)
class Machine:
    """What `compute` comes to on this machine. Part of every fingerprint, since each of it changes rounding."""

    device: str
    precision: str
    threads: int

    @property
    def autocast(self) -> torch.dtype | None:
        """The type for mixed precision, or None for plain float32."""
        return torch.bfloat16 if self.precision == "bfloat16" else None


Work = Callable[[int, Path, Machine, Callable[[int], None]], None]


@dataclass(frozen=True, slots=True)
class Job:
    """One piece of work that is repeated.

    Attributes:
        name: what progress is called by.
        work: called as `work(replicate, folder, machine, progress)`; writes its results into `folder`, calls
            `progress(steps done)` now and then. Sent to other processes, so it must be picklable.
        inputs: of a replicate, plain values and fingerprints: all that its result depends on besides the machine.
        steps: steps of one replicate.
        images_per_step: to tell images a second.
    """

    name: str
    work: Work
    inputs: Callable[[int], Mapping[str, object]]
    steps: int
    images_per_step: int


def machine(compute: ComputeSettings) -> Machine:
    """Resolve `auto`: the GPU where there is one, bfloat16 where the processor computes in it.

    Raises:
        BadInput: a GPU is asked for and there is none.
    """
    if compute.device == "cuda" and not torch.cuda.is_available():
        raise BadInput("compute.device is cuda, but torch sees no GPU here: set it to auto or cpu")
    device = ("cuda" if torch.cuda.is_available() else "cpu") if compute.device == "auto" else compute.device
    precision = compute.precision
    if precision == "auto":
        native = torch.cuda.is_bf16_supported(False) if device == "cuda" else _processor_has_bfloat16()
        precision = "bfloat16" if native else "float32"
    return Machine(device, precision, compute.threads_per_replicate)


def _processor_has_bfloat16() -> bool:
    # Without AVX-512-BF16 or AMX, oneDNN emulates bfloat16 and is slower than in float32.
    # Newer than the oldest torch that is allowed, which then computes in float32.
    capabilities: Callable[[], dict[str, object]] = getattr(torch.cpu, "get_capabilities", dict)
    return bool(capabilities().get("avx512_bf16", False))


def workers(compute: ComputeSettings, replicates: int) -> int:
    """How many processes to run: `compute.workers`, or as many as the cores carry; never more than replicates."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    wanted = max(1, cores // compute.threads_per_replicate) if compute.workers == "auto" else compute.workers
    return min(wanted, replicates)


def run_replicates(job: Job, replicates: int, compute: ComputeSettings, *, cache: Path = CACHE) -> list[Path]:
    """Run the replicates 0 … `replicates` - 1 of `job` that are not finished yet; return every replicate's folder.

    A finished replicate stays in `cache`, under the hash of what it depends on, so that more replicates cost only
    the new ones. Each runs in `compute.threads_per_replicate` threads: their number changes rounding, that of the
    workers changes nothing.
    """
    resolved = machine(compute)
    versions = {name: version(name) for name in COMPUTING}
    inputs = [{**job.inputs(k), "machine": str(resolved), "versions": versions} for k in range(replicates)]
    cache = cache.absolute()  # workers may stand in another folder
    folders = [cache / fingerprints.of_values(values) for values in inputs]
    missing = [k for k in range(replicates) if not folders[k].exists()]
    if not missing:
        return folders
    with tempfile.TemporaryDirectory() as scratch:
        board = np.lib.format.open_memmap(Path(scratch, "steps.npy"), mode="w+", dtype=np.int64, shape=(replicates,))
        start = time.monotonic()
        with _shown(job, board, missing):
            joblib.Parallel(n_jobs=workers(compute, len(missing)))(
                joblib.delayed(_replicate)(job.work, k, folders[k], Path(scratch, "steps.npy"), resolved, os.getpid())
                for k in missing
            )
        _log(job, len(missing), time.monotonic() - start)
    return folders


def _log(job: Job, replicates: int, seconds: float) -> None:
    """What is never twice the same stays out of the outputs."""
    LOGS.mkdir(exist_ok=True)
    images = job.steps * replicates * job.images_per_step
    figures = {"replicates": replicates, "seconds": round(seconds, 1), "images_per_second": round(images / seconds)}
    write_json(LOGS / f"{job.name.replace(' ', '-')}.json", figures)


def _replicate(work: Work, replicate: int, folder: Path, board: Path, resolved: Machine, owner: int) -> None:
    # loky retires a worker that has grown by 300 MB since its first task, and then waited for ever for it (joblib 1.6).
    process_executor._MAX_MEMORY_LEAK_SIZE = sys.maxsize
    steps = np.load(board, mmap_mode="r+")

    def progress(done: int) -> None:
        steps[replicate] = done
        if owner not in (os.getpid(), os.getppid()):
            os._exit(1)  # whoever waited for this was killed; without this, a worker would train on for nobody

    with settled(resolved.threads), replaced_folder(folder) as temporary:
        work(replicate, temporary, resolved, progress)


@contextmanager
def settled(threads: int) -> Iterator[None]:
    """Libraries with a fixed number of threads and repeatable kernels, for as long as the block lasts."""
    before = torch.get_num_threads(), cv2.getNumThreads(), torch.backends.cudnn.deterministic
    torch.set_num_threads(threads)
    cv2.setNumThreads(0)  # a pool of OpenCV's own in each worker fights the others for the cores
    torch.backends.cudnn.deterministic = True
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        cv2.setNumThreads(before[1])
        torch.backends.cudnn.deterministic = before[2]


class _shown:
    """A progress bar while the block lasts; without a terminal, a plain line now and then."""

    def __init__(self, job: Job, board: np.ndarray[tuple[int], np.dtype[np.int64]], running: Sequence[int]) -> None:
        self.job, self.board, self.total = job, board, job.steps * len(running)
        self.title = f"{job.name}, {len(running)} replicate{'s' if len(running) > 1 else ''}"
        self.finished = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> None:
        self.start = time.monotonic()
        self.thread.start()

    def __exit__(self, *_: object) -> None:
        self.finished.set()
        self.thread.join()

    def _watch(self) -> None:
        console = Console(stderr=True)
        if console.is_terminal:
            self._draw(console)
            return
        while not self.finished.wait(LINE_EVERY):
            seconds = time.monotonic() - self.start
            done, rate = int(self.board.sum()), self._rate()
            left = f", about {seconds / done * (self.total - done):.0f} s left" if done else ""
            console.print(
                f"{self.title}: {done} of {self.total} steps, {rate:.0f} images/s{left}",
                soft_wrap=True,
                highlight=False,
            )

    def _draw(self, console: Console) -> None:
        columns = (
            "[progress.description]{task.description}",
            "{task.completed}/{task.total} steps",
            "{task.fields[rate]:.0f} images/s",
        )
        first, *others = (TextColumn(column) for column in columns)
        with Progress(first, BarColumn(), *others, TimeRemainingColumn(), console=console, transient=True) as bar:
            task = bar.add_task(self.title, total=self.total, rate=0.0)
            while not self.finished.wait(0.25):
                bar.update(task, completed=int(self.board.sum()), rate=self._rate())

    def _rate(self) -> float:
        return float(self.board.sum()) * self.job.images_per_step / (time.monotonic() - self.start)
