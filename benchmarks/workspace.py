"""Folders for measurements, with the project's parameters and some changes, and splits for them."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
from ruamel.yaml import YAML

from makeweight.core.data import Labels, Split
from makeweight.core.parameters import Parameters, read_parameters
from makeweight.intake.decoding.parallel import read_headers, spec_of
from makeweight.intake.grouping.splitting import SplitInput, split_images
from makeweight.intake.interface import DatasetListing, find_reader

PROJECT = Path(__file__).parent.parent


def write_params(folder: Path, changes: dict[str, Any]) -> Path:
    """Write the project's params.yaml with `changes` (keys with dots) into `folder`."""
    values = YAML(typ="safe").load(PROJECT / "params.yaml")
    for key, value in changes.items():
        *groups, last = key.split(".")
        group = values
        for name in groups:
            group = group[name]
        group[last] = value
    folder.mkdir(parents=True, exist_ok=True)
    YAML(typ="safe").dump(values, folder / "params.yaml")
    return folder / "params.yaml"


def register_family(folder: Path, name: str, target: str) -> None:
    """Register `target` (module:class) as the family `name`, for this process and those that it starts.

    As for an installed plug-in, an entry point says so: in the metadata of a distribution in `folder`.
    """
    metadata = folder / f"{name}-1.dist-info"
    metadata.mkdir(parents=True, exist_ok=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
    (metadata / "RECORD").write_text("")
    (metadata / "entry_points.txt").write_text(f"[makeweight.families]\n{name} = {target}\n")
    sys.path.append(str(folder.absolute()))
    os.environ["PYTHONPATH"] = os.pathsep.join(
        [str(folder.absolute()), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    )


def timed(*command: str, cwd: Path) -> float:
    """Run a command with its output shown, and return the seconds; a failure ends the measurement."""
    start = time.perf_counter()
    done = subprocess.run([f"{sys.prefix}/bin/{command[0]}", *command[1:]], cwd=cwd, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed")
    return time.perf_counter() - start


def peak_gib() -> float:
    """Peak resident memory of any child process that has ended, in GiB."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20


def splits(parameters: Parameters) -> tuple[Split, Split, Split]:
    """Training images, validation images, and all images but those of validation and test. No test image is decoded."""
    listing = _listing(parameters)
    split_input = SplitInput(listing.labels, listing.classes, listing.predefined, np.arange(len(listing.labels)))
    indices = split_images(split_input, parameters.data, parameters.seed)
    held_out = np.concatenate([indices["validation"], indices["test"]])
    rest = np.setdiff1d(np.arange(len(listing.labels)), held_out)
    train, validation, everything = (
        _decoded(listing, rows, parameters) for rows in (indices["train"], indices["validation"], rest)
    )
    return train, validation, everything


def all_but(parameters: Parameters, origins: Collection[str]) -> Split:
    """All images but those whose origin (the column `path` of metadata.csv) is among `origins`."""
    listing, excluded = _listing(parameters), set(origins)
    rows = np.array([row for row, origin in enumerate(listing.origins) if origin not in excluded])
    if len(listing.origins) - len(rows) != len(excluded):
        raise SystemExit("some of the images to be left out are not among those of data.path")
    return _decoded(listing, rows, parameters)


def _listing(parameters: Parameters) -> DatasetListing:
    return find_reader(parameters.data).read(parameters.data)


def _decoded(listing: DatasetListing, rows: Labels, parameters: Parameters) -> Split:
    spec = spec_of(read_headers(listing.source, 1), parameters.data)
    images = np.stack([listing.source.squares(int(row), spec, (spec.side,))[0][0] for row in rows])
    return Split(images, listing.labels[rows], listing.classes)


def mnist(root: Path, counts: list[int]) -> tuple[Split, Split, Split]:
    """MNIST subsampled to `counts`, its validation images, and all other training images. No test image is read."""
    parameters = read_parameters(PROJECT / "params.yaml")
    data = parameters.data.model_copy(
        update={
            "reader": "mnist", "path": str(root), "download": False, "counts": tuple(counts), "imbalance": None,
            "validation_fraction": 0.1,
        }
    )  # fmt: skip
    return splits(parameters.model_copy(update={"data": data, "seed": 0}))
