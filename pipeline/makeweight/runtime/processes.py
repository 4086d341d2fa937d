"""Processes that end with their parent, and locks between processes."""

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
LOCK_TIMEOUT = 10.0  # seconds; the workers of a killed process end earlier, and release their locks


@cache
def end_with_parent(parent: int | None = None) -> None:
    """End this process at once when its parent has ended: a killed `dvc` leaves its stage running.

    Args:
        parent: id of the parent; it may have ended already. None: the current parent, also through a shell between the
            two processes; but not under `nohup`, which means that the process is to outlive its terminal.
    """
    parents = {psutil.Process(): parent} if parent is not None else _parents()

    def watch() -> None:
        with suppress(psutil.NoSuchProcess):
            while all(child.ppid() == expected for child, expected in parents.items()):
                time.sleep(POLL_INTERVAL)
        os._exit(1)

    if parent is not None or signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        threading.Thread(target=watch, name="end-with-parent", daemon=True).start()


def _parents() -> dict[psutil.Process, int]:
    """The parents of this process and of the shells above it that only run it.

    dvc starts a stage as `sh -c COMMAND`, and not every shell replaces itself by the command.
    """
    parents = {}
    child: psutil.Process | None = psutil.Process()
    while child is not None:
        parents[child] = child.ppid()
        above = child.parent()
        child = above if above is not None and _only_runs_a_command(above) else None
    return parents


def _only_runs_a_command(process: psutil.Process) -> bool:
    try:
        name, *arguments = process.cmdline() or [""]
    except psutil.Error:
        return False
    return Path(name).name in SHELLS and "-c" in arguments[:1]


def cores() -> int:
    """Number of cores that this process may use, within its affinity and the quota of its container."""
    from joblib import cpu_count  # slow to import, and most commands that import this module do not need it

    return int(cpu_count())


@contextmanager
def locked(path: Path, what: str, *, shared: bool = False, timeout: float = LOCK_TIMEOUT) -> Iterator[None]:
    """Hold the lock `path` while the block lasts. The system releases it when its holder ends, in whatever way.

    Args:
        path: of the lock file; created if necessary.
        what: the locked work, in the message.
        shared: whether other processes may hold the lock at the same time, if all of them share it.
        timeout: seconds to wait for the lock.

    Raises:
        BadInput: another process holds the lock.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        for attempt in range(int(timeout / POLL_INTERVAL) + 1):
            try:
                fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if attempt == int(timeout / POLL_INTERVAL):
                    raise BadInput(f"{what} is running in another process: wait for that one, or stop it") from None
                time.sleep(POLL_INTERVAL)
        yield
