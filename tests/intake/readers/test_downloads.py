"""Data sets that torchvision downloads."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from makeweight.core.data import SPLITS
from makeweight.core.errors import BadInput
from makeweight.intake.interface import UNASSIGNED
from makeweight.intake.readers.downloads import CIFAR10, MNIST
from tests.support.data_settings import settings
from tests.support.readers import decoded


def write_idx(path: Path, values: np.ndarray[Any, np.dtype[np.uint8]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    header = struct.pack(f">I{values.ndim}I", 0x0800 + values.ndim, *values.shape)
    path.write_bytes(header + values.tobytes())


def write_mnist(root: Path) -> None:
    for name, n in (("train", 6), ("t10k", 4)):
        images = np.zeros((n, 28, 28), np.uint8)
        images[:, 0, 0] = np.arange(n) + (100 if name == "t10k" else 0)
        write_idx(root / "MNIST" / "raw" / f"{name}-images-idx3-ubyte", images)
        write_idx(root / "MNIST" / "raw" / f"{name}-labels-idx1-ubyte", (np.arange(n) % 3).astype(np.uint8))


def test_a_predefined_test_set_is_marked(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    listing = MNIST().read(settings(reader="mnist", path=str(tmp_path), download=False))
    assert decoded(listing)[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4, 5, 100, 101, 102, 103]
    assert listing.predefined.tolist() == [UNASSIGNED] * 6 + [SPLITS.index("test")] * 4
    assert listing.origins[5:7] == ["train[5]", "test[0]"]
    assert len(listing.classes) == 10


def test_a_data_set_can_be_resized_and_coloured(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    listing = MNIST().read(settings(reader="mnist", path=str(tmp_path), download=False))
    assert decoded(listing, image_size=16, channels=3).shape == (10, 16, 16, 3)


@pytest.mark.parametrize("reader", [MNIST, CIFAR10])
def test_a_data_set_that_is_missing_and_may_not_be_downloaded_is_a_clear_error(reader: Any, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"set data\.download to true"):
        reader().read(settings(reader="mnist", path=str(tmp_path), download=False))
