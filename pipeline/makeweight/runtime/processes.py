"""Processes that end when they should, and do not get in each other's way."""

from __future__ import annotations

import fcntl
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

import psutil

from makeweight.core.errors import BadInput

POLL_INTERVAL = 0.5  # seconds
SHELLS = {"sh", "ash", "bash", "dash", "ksh", "zsh"}
LOCK_TIMEOUT = 10.0  # seconds in which the workers of a killed process notice that, and let go of their locks


@cache
def end_with_parent(parent: int | None = None) -> None:
    """End this process, at once, when the one that started it is gone: a killed `dvc` leaves its stage running.

    Args:
        parent: whose child this process is, and for whom alone it works; it may be gone already. None: that of this
            moment, also where a shell stands between the two; but not under `nohup`, which says that the process shall
            outlive its terminal.
    """
    ties = {psutil.Process(): parent} if parent is not None else _ties()

    def watch() -> None:
        with suppress(psutil.NoSuchProcess):
            while all(child.ppid() == expected for child, expected in ties.items()):
                time.sleep(POLL_INTERVAL)
        os._exit(1)

    if parent is not None or signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        threading.Thread(target=watch, name="end-with-parent", daemon=True).start()


def _ties() -> dict[psutil.Process, int]:
    """Children and their parents: this process, and the shells above it that do nothing but run it.

    dvc starts a stage as `sh -c COMMAND`, and not every shell lets the command take its place.
    """
    ties = {}
    child: psutil.Process | None = psutil.Process()
    while child is not None:
        ties[child] = child.ppid()
        above = child.parent()
        child = above if above is not None and _only_runs_a_command(above) else None
    return ties


def _only_runs_a_command(process: psutil.Process) -> bool:
    try:
        name, *arguments = process.cmdline() or [""]
    except psutil.Error:
        return False
    return Path(name).name in SHELLS and "-c" in arguments[:1]


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def locked(path: Path, what: str, *, shared: bool = False, patience: float = LOCK_TIMEOUT) -> Iterator[None]:
    """Hold the lock `path` while the block lasts. It dies with its holder, however that ends.

    Args:
        path: of the lock's file, made if need be.
        what: the work that the lock stands for, in the message.
        shared: whether others may share it at the same time; nobody may share one that is held otherwise.
        patience: seconds to wait for it, by default for longer than the workers of a killed process would hold it.

    Raises:
        BadInput: another process holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        for attempt in range(int(patience / POLL_INTERVAL) + 1):
            try:
                fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if attempt == int(patience / POLL_INTERVAL):
                    raise BadInput(f"{what} is at work in another process: wait for that one, or stop it") from None
                time.sleep(POLL_INTERVAL)
        yield
