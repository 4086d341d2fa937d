"""Families with small settings, small splits, and functions that fit and draw."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from ruamel.yaml import YAML

from makeweight.core import plugins
from makeweight.core.data import Split
from makeweight.core.validation import validate
from makeweight.generators.interface import Family
from makeweight.runtime.machine import fixed_threads
from makeweight.training.loop import Sampler, TrainingContext
from tests.conftest import PROJECT, SMALL, merge

CLASSES = ("a", "b", "c")


def split(size: int, channels: int, counts: tuple[int, ...] = (9, 5, 2), seed: int = 0) -> Split:
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(counts)), counts).astype(np.int64)
    return Split(rng.integers(0, 256, (len(labels), size, size, channels), dtype=np.uint8), labels, CLASSES)


def family(name: str) -> Family:
    values: dict[str, Any] = merge(YAML(typ="safe").load(PROJECT / "params.yaml")["families"], SMALL["families"])
    built: Family = validate(plugins.find("families", name), values[name], key=name)
    return built


def run(steps: list[int] | None = None) -> TrainingContext:
    return TrainingContext(torch.device("cpu"), None, (lambda step: None) if steps is None else steps.append)


def fitted(name: str, train: Split, seed: int = 3) -> Sampler:
    with fixed_threads(1):  # deterministic algorithms, as in every training
        (sampler,) = family(name).fit(train, monitor=train, seeds=[seed], run=run())
    return sampler


def draw(sampler: Sampler, labels: list[int], seed: int = 0) -> torch.Tensor:
    return sampler.sample(torch.tensor(labels, dtype=torch.int64), rng=torch.Generator().manual_seed(seed))
