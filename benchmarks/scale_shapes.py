"""Peak memory of each stage on synthetic data of extreme shapes, with trainings of a few steps.

python -m benchmarks.scale_shapes [SHAPE ...]

Memory is the resident set: that of the largest process of a stage, and the sum over its processes, in which pages of a
file that several processes map count several times. Target: at most 4 GiB for each stage.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from benchmarks.workspace import write_params

INTERVAL = 0.05  # seconds between two looks at the memory
SETTINGS: dict[str, Any] = {
    "controls": ["none"], "transforms": ["plain"], "unions": [], "compare.control": "none-plain",
    "data.reader": "arrays", "data.path": "images", "classifier.steps": 2, "classifier.batch": 16, "compute.workers": 2,
    "monitor.scorer_steps": 2,
}  # fmt: skip
GAN = {"steps": 2, "batch": 16, "generator_width": 8, "discriminator_width": 8}


@dataclass(frozen=True)
class Shape:
    """A data set of noise, and a study of it."""

    classes: int
    images: int  # of each class
    side: int
    channels: int
    replicates: int
    per_class: int  # synthetic images
    families: tuple[str, ...]


SHAPES = {
    "500 classes": Shape(500, 12, 32, 3, 2, 20, ("cgan",)),  # half of the next one, for the slope; likewise below
    "1,000 classes": Shape(1000, 12, 32, 3, 2, 20, ("cgan",)),
    "100 classes of 128 pixels": Shape(100, 20, 128, 3, 2, 20, ("cgan",)),
    "200 classes of 128 pixels": Shape(200, 20, 128, 3, 2, 20, ("cgan", "smote")),
    "50 replicates": Shape(10, 100, 8, 1, 50, 50, ("cgan",)),
    "100 replicates": Shape(10, 100, 8, 1, 100, 50, ("cgan",)),
}


def write_images(folder: Path, shape: Shape) -> None:
    """Write noise images as arrays, class by class."""
    folder.mkdir(parents=True)
    n = shape.classes * shape.images
    size = (n, shape.side, shape.side, shape.channels)
    images = np.lib.format.open_memmap(folder / "images.npy", mode="w+", dtype=np.uint8, shape=size)
    rng = np.random.default_rng(0)
    for start in range(0, n, shape.images):
        images[start : start + shape.images] = rng.integers(0, 256, (shape.images, *size[1:]), dtype=np.uint8)
    np.save(folder / "labels.npy", np.arange(n) // shape.images)


def commands(shape: Shape) -> list[list[str]]:
    """The stages of the study, with their options."""
    stages = [["prepare"], ["train-baseline", "--source", "none", "--transform", "plain"]]
    for family in shape.families:
        stages += [["train-generator", "--family", family], ["generate", "--family", family]]
        stages += [["train-augmented", "--family", family, "--transform", "plain"]]
    return [*stages, ["compare"], ["report"]]


def measured(command: list[str], folder: Path) -> tuple[float, float, float]:
    """Seconds of a stage, and the peaks of its largest process and of the sum of its processes in GiB."""
    start = time.perf_counter()
    with (folder / "output").open("w") as output:
        stage = psutil.Popen(
            [sys.executable, "-m", "makeweight", *command], cwd=folder, stdout=output, stderr=subprocess.STDOUT
        )
        largest = total = 0
        while stage.poll() is None:
            sizes = []
            with suppress(psutil.NoSuchProcess):
                for process in [stage, *stage.children(recursive=True)]:
                    with suppress(psutil.NoSuchProcess):
                        sizes.append(process.memory_info().rss)
            largest, total = max([largest, *sizes]), max(total, sum(sizes))
            time.sleep(INTERVAL)
    if stage.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{(folder / 'output').read_text()}")
    return time.perf_counter() - start, largest / 2**30, total / 2**30


def main(names: list[str]) -> None:
    """Print a row for each shape and stage."""
    print("| shape | stage | seconds | largest process, GiB | all processes, GiB |\n|---|---|---|---|---|")
    for name in names:
        shape = SHAPES[name]
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            write_images(folder / "images", shape)
            gan = {f"families.cgan.{key}": value for key, value in GAN.items()}
            changes = {"generators": list(shape.families), "replicates": shape.replicates, **gan}
            write_params(folder, {**SETTINGS, **changes, "generate.per_class": shape.per_class})
            for command in commands(shape):
                stage = " ".join(part for part in command if not part.startswith("--"))
                seconds, largest, total = measured(command, folder)
                print(f"| {name} | {stage} | {seconds:.0f} | {largest:.2f} | {total:.2f} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:] or list(SHAPES))
