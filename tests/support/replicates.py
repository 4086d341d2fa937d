"""Jobs for tests of replicates."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch

from makeweight.core.parameters import ComputeSettings
from makeweight.runtime.replicates import Job, Replicate


@dataclass(frozen=True)
class Multiply:
    """Writes a random product, and a line into a log by which runs are counted."""

    log: Path
    fail_at: int | None = None
    size: int = field(default=300)

    def __call__(self, replicates: Sequence[Replicate]) -> None:
        (replicate,) = replicates
        with self.log.open("a") as log:
            log.write(f"{replicate.number}\n")
        (replicate.folder / "half").write_text("half")
        if replicate.number == self.fail_at:
            raise RuntimeError("broken")
        rng = torch.Generator().manual_seed(replicate.number)
        a = torch.randn(self.size, self.size, generator=rng)
        np.save(replicate.folder / "product.npy", (a @ a).numpy())
        replicate.progress(1)


def compute(**changes: object) -> ComputeSettings:
    values = {
        "device": "cpu",
        "precision": "float32",
        "workers": 1,
        "threads_per_replicate": 1,
        "replicates_per_program": "auto",
        "checkpoint_seconds": 5.0,
        **changes,
    }
    return ComputeSettings.model_validate(values)


def job(log: Path, setting: int = 0, fail_at: int | None = None) -> Job:
    work = Multiply(log, fail_at)
    return Job("multiply", work, lambda k: {"setting": setting, "replicate": k}, steps=1, images_per_step=1)


def products(folders: list[Path]) -> list[bytes]:
    return [(folder / "product.npy").read_bytes() for folder in folders]


def ran(log: Path) -> list[int]:
    return sorted(int(line) for line in log.read_text().split())


@dataclass(frozen=True)
class Grouped:
    """Writes into each replicate's folder the numbers of its group."""

    def __call__(self, replicates: Sequence[Replicate]) -> None:
        numbers = " ".join(str(replicate.number) for replicate in replicates)
        for replicate in replicates:
            replicate.progress(1)
            (replicate.folder / "beside").write_text(numbers)


def grouped(batched: bool) -> Job:
    return Job("group", Grouped(), lambda k: {"replicate": k}, steps=1, images_per_step=1, batched=batched)


def beside(folders: list[Path]) -> list[str]:
    return [(folder / "beside").read_text() for folder in folders]


class Endless:
    """Writes step numbers into a file until it is ended."""

    def __call__(self, replicates: Sequence[Replicate]) -> None:
        (replicate,) = replicates
        for step in range(1200):
            Path(f"steps_{replicate.number}").write_text(str(step))
            replicate.progress(step)
            time.sleep(0.05)


class Growing:
    """Keeps more memory than loky lets a worker keep."""

    kept: ClassVar[list[np.ndarray[tuple[int], np.dtype[np.uint8]]]] = []

    def __call__(self, replicates: Sequence[Replicate]) -> None:
        (replicate,) = replicates
        self.kept.append(np.ones(400 * 2**20, np.uint8))
        time.sleep(1.5)  # loky looks once a second
        np.save(replicate.folder / "product.npy", replicate.number)


@dataclass(frozen=True)
class Killed:
    """Is killed in replicate 2, as by a system that runs out of memory, when the others are in `cache`."""

    cache: Path

    def __call__(self, replicates: Sequence[Replicate]) -> None:
        (replicate,) = replicates
        replicate.progress(1)
        if replicate.number == 2:
            for _ in range(200):
                if len(list(self.cache.glob("[!.]*/record.json"))) == 2:
                    break
                time.sleep(0.05)
            os.kill(os.getpid(), signal.SIGKILL)
