"""Time of `prepare` on a folder of real files, and its memory as the number of images grows.

python -m benchmarks.intake CIFAR10_FOLDER

The folder holds `train/` and `test/` with a sub-folder for each class. Memory: 64×64 RGB images of noise in `.npy`
files, all different; the peak resident memory of the main process and of a worker, and an extrapolation to a million
images from the slope.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.workspace import write_params

SIZES = (25_000, 50_000, 100_000)
SIDE = 64
SCRIPT = """
import os, re
from pathlib import Path
from makeweight.commands.prepare import prepare
from makeweight.commands.command import app

def peak(status):  # MiB
    return int(re.search(r"VmHWM:\\s+(\\d+)", status)[1]) // 1024

try:
    app(prepare)()
finally:
    states = [path.read_text() for path in Path("/proc").glob("[0-9]*/status")]
    workers = [state for state in states if re.search(rf"PPid:\\s+{os.getpid()}\\n", state)]
    print("PEAK", peak(Path("/proc/self/status").read_text()))
    print("PEAK", max(map(peak, workers), default=0), flush=True)
"""


def noise(folder: Path, n: int) -> None:
    """Write `n` smooth images of noise in ten classes, in parts to save memory."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    images = np.lib.format.open_memmap(folder / "images.npy", mode="w+", dtype=np.uint8, shape=(n, SIDE, SIDE, 3))
    for start in range(0, n, 5000):
        coarse = rng.integers(0, 256, (min(5000, n - start), 8, 8, 3), dtype=np.uint8)
        images[start : start + len(coarse)] = coarse.repeat(SIDE // 8, axis=1).repeat(SIDE // 8, axis=2)
    np.save(folder / "labels.npy", np.arange(n) % 10)


def measured(folder: Path) -> tuple[float, float, float]:
    """Run `prepare` in `folder`: seconds, and peak memory in MiB of the main process and of a worker."""
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", SCRIPT], cwd=folder, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - start
    found = [float(mib) for mib in re.findall(r"PEAK (\d+)", done.stdout)]
    if done.returncode or len(found) != 2:
        raise SystemExit(done.stdout + done.stderr)
    return seconds, found[0], found[1]


def main(cifar10: Path) -> None:
    """Print time and memory for real files, then for arrays of increasing size."""
    with tempfile.TemporaryDirectory() as name:
        changes = {"data.reader": "folder", "data.path": str(cifar10.absolute()), "data.imbalance": None}
        write_params(Path(name), changes)
        seconds, own, worker = measured(Path(name))
        print(f"60,000 files: {seconds:.1f} s, {own:.0f} MiB, a worker {worker:.0f} MiB", flush=True)
    peaks = []
    for n in SIZES:
        with tempfile.TemporaryDirectory() as name:
            noise(Path(name, "arrays"), n)
            write_params(Path(name), {"data.reader": "arrays", "data.path": "arrays", "data.imbalance": None})
            seconds, own, worker = measured(Path(name))
        peaks.append(own)
        print(f"{n:,} arrays: {seconds:.1f} s, {own:.0f} MiB, a worker {worker:.0f} MiB", flush=True)
    slope, start = np.polyfit(SIZES, peaks, 1)
    print(f"a million by the slope: {start + 1e6 * slope:.0f} MiB ({slope * 1024:.2f} KiB an image)")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
