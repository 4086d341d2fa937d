"""Settings of `data`, and inputs of splitting, for tests."""

from __future__ import annotations

from typing import Any

import numpy as np

from makeweight.core.data import SPLITS
from makeweight.core.parameters import DataSettings
from makeweight.intake.grouping.splitting import SplitInput
from makeweight.intake.interface import UNASSIGNED


def settings(**changes: Any) -> DataSettings:
    values = {
        "reader": "digits", "path": None, "download": None, "image_size": None, "fit": "pad", "channels": None,
        "background": (0, 0, 0), "bands": None, "value_range": None, "first_frame": False, "follow_links": False,
        "on_bad_file": "refuse", "near_duplicates": 0.4, "max_group_fraction": 0.02, "on_leak": "keep",
        "test_fraction": 0.2, "validation_fraction": 0.1, "counts": None, "imbalance": None,
    }  # fmt: skip
    return DataSettings.model_validate({**values, **changes})


def split_input(*counts: int, test: int = 0, validation: int = 0, groups: Any = None) -> SplitInput:
    """`counts` images of each class, then `test` test images of each, then `validation` ones."""
    sizes = (*counts, *[test] * len(counts), *[validation] * len(counts))
    labels = np.repeat(np.tile(np.arange(len(counts)), 3), sizes).astype(np.int64)
    predefined = np.repeat([UNASSIGNED, SPLITS.index("test"), SPLITS.index("validation")],
                         [sum(counts), test * len(counts), validation * len(counts)])  # fmt: skip
    group_of = np.arange(len(labels)) if groups is None else np.asarray(groups)
    return SplitInput(labels, tuple("abcdef"[: len(counts)]), predefined.astype(np.int8), group_of.astype(np.int64))


def counts_of(images: SplitInput, indices: dict[str, Any]) -> dict[str, list[int]]:
    return {
        name: np.bincount(images.labels[rows], minlength=len(images.classes)).tolist() for name, rows in indices.items()
    }
