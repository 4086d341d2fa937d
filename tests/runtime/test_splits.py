"""Splits on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from makeweight.core.errors import BadInput
from makeweight.runtime import splits
from tests.support.splits import split


def test_a_split_comes_back_as_it_was_without_being_loaded(tmp_path: Path) -> None:
    splits.write_split(tmp_path / "new", split(), {"origin": ["x", "y", "z"]})
    back = splits.read_split(tmp_path / "new")
    assert np.array_equal(back.images, split().images)
    assert back.labels.tolist() == [1, 0, 1]
    assert back.classes == split().classes
    assert isinstance(back.images, np.memmap)
    rows = pd.read_csv(tmp_path / "new" / "metadata.csv")
    assert rows.to_numpy().tolist() == [[0, "b", "x"], [1, split().classes[0], "y"], [2, "b", "z"]]


def test_a_split_without_groups_or_with_too_few_is_refused(tmp_path: Path) -> None:
    splits.write_split(tmp_path, split(), {"origin": ["x", "y", "z"]})
    with pytest.raises(BadInput, match=r"metadata\.csv has no column 'group'.*: run prepare again"):
        splits.read_groups(tmp_path)
    splits.write_split(tmp_path, split(), {"group": [1, 2, 3]})
    np.save(tmp_path / "labels.npy", np.array([0, 1]))
    with pytest.raises(BadInput, match=r"metadata\.csv has 3 rows for 2 images"):
        splits.read_groups(tmp_path)


def test_a_folder_without_a_split_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(
        BadInput, match=r"nowhere holds no images \(images.npy is missing\): run dvc repro, or the command"
    ):
        splits.read_split(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["images.npy", "labels.npy", "classes.json"])
@pytest.mark.parametrize("size", [0, 1, 100])
def test_a_damaged_split_is_one_line(name: str, size: int, tmp_path: Path) -> None:
    splits.write_split(tmp_path, split(), {})
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[: min(size, (tmp_path / name).stat().st_size - 3)])
    with pytest.raises(BadInput, match=r"holds damaged files \(.*\): run the command again") as caught:
        splits.read_split(str(tmp_path))
    assert "\n" not in str(caught.value)
