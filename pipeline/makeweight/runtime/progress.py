"""Progress of replicated work: progress bar, log lines, counters."""

from __future__ import annotations

import sys
import threading
import time

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

ProgressCounters = np.ndarray[tuple[int, int], np.dtype[np.int64]]
LINE_EVERY = 10.0  # seconds between two lines where there is no terminal


def log_line(line: str) -> None:
    """Write a line to standard error in one call: `print` writes the line end separately, so lines could mix."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


class ProgressReporter:
    """A progress bar while the block lasts; without a terminal, a log line from time to time.

    Args:
        title: of the work.
        counters: for each replicate, the number of steps done, and how many of them an earlier run did; written by
            others.
        total: number of steps.
        images_per_step: for the rate in images per second.
        unit: what is counted, if not steps.
    """

    def __init__(
        self, title: str, counters: ProgressCounters, total: int, images_per_step: int, unit: str = "steps"
    ) -> None:
        self.title, self.counters, self.total, self.images_per_step = title, counters, total, images_per_step
        self.unit = unit
        self.finished = threading.Event()
        self.thread = threading.Thread(target=self._report, daemon=True)

    def __enter__(self) -> None:
        self.start = time.monotonic()
        self.thread.start()

    def __exit__(self, *_: object) -> None:
        self.finished.set()
        self.thread.join()

    def _report(self) -> None:
        console = Console(stderr=True)
        if console.is_terminal:
            self._show_bar(console)
            return
        while not self.finished.wait(LINE_EVERY):
            done, rate = self._done(), self._rate()
            left = f", about {(self.total - done) / rate:.0f} s left" if rate else ""
            console.print(
                f"{self.title}: {done} of {self.total} {self.unit}, {rate * self.images_per_step:.0f} images/s{left}",
                soft_wrap=True,
                highlight=False,
            )

    def _show_bar(self, console: Console) -> None:
        columns = (
            "[progress.description]{task.description}",
            f"{{task.completed}}/{{task.total}} {self.unit}",
            "{task.fields[rate]:.0f} images/s",
        )
        first, *others = (TextColumn(column) for column in columns)
        with Progress(first, BarColumn(), *others, TimeRemainingColumn(), console=console, transient=True) as bar:
            task = bar.add_task(self.title, total=self.total, rate=0.0)
            while not self.finished.wait(0.25):
                bar.update(task, completed=self._done(), rate=self._rate() * self.images_per_step)

    def _done(self) -> int:
        return int(self.counters[:, 0].sum())

    def _rate(self) -> float:
        """Steps per second of this run."""
        return float(self.counters[:, 0].sum() - self.counters[:, 1].sum()) / (time.monotonic() - self.start)
