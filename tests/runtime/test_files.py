"""Reading and writing: round trips, stable bytes, atomic replacement."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from makeweight.runtime import files, splits
from tests.conftest import PROJECT
from tests.support.splits import split


def test_groups_are_numbered_in_order_of_first_appearance_and_an_empty_cell_is_a_group_of_its_own(
    tmp_path: Path,
) -> None:
    splits.write_split(tmp_path, split(), {"group": ["9", "NA", "9"]})
    groups = splits.read_groups(tmp_path)
    assert groups.dtype == np.int64
    assert groups.tolist() == [0, 1, 0]
    splits.write_split(tmp_path, split(), {"group": ["", "0", ""]})
    assert splits.read_groups(tmp_path).tolist() == [0, 1, 2]


def test_the_same_values_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        splits.write_split(tmp_path / name, split(), {"origin": [1, 2, 3]})
        files.write_arrays(tmp_path / name / "arrays.npz", {"a": np.arange(3), "b": np.ones(2)})
        files.save_picture(Figure(), tmp_path / name / "picture.png")
    one, two = ({p.name: p.read_bytes() for p in (tmp_path / name).iterdir()} for name in ("one", "two"))
    assert one == two
    assert len(one) == 6


def fill(context: AbstractContextManager[Path], name: str, *, fail: bool = False) -> None:
    with context as folder:
        (folder / name).write_text("half" if fail else "new")
        if fail:
            raise RuntimeError


def test_a_folder_is_replaced_only_by_a_whole_one(tmp_path: Path) -> None:
    target = tmp_path / "data"
    fill(files.atomic_directory(target), "old")
    with pytest.raises(RuntimeError):
        fill(files.atomic_directory(target), "half", fail=True)
    assert [path.name for path in target.iterdir()] == ["old"]
    fill(files.atomic_directory(target), "new")
    assert [path.name for path in target.iterdir()] == ["new"]
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_files_are_replaced_all_or_none_beside_others(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("kept")
    (tmp_path / "a").write_text("old")
    with pytest.raises(RuntimeError):
        fill(files.atomic_files(tmp_path), "a", fail=True)
    assert (tmp_path / "a").read_text() == "old"
    fill(files.atomic_files(tmp_path), "a")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"kept": "kept", "a": "new"}


def test_pickles_are_neither_written_nor_read(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="allow_pickle"):
        files.write_arrays(tmp_path / "a.npz", {"a": np.array([object()])})
    np.savez(tmp_path / "b.npz", a=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match="allow_pickle"):
        files.read_arrays(tmp_path / "b.npz")


def test_tables_of_replicates_are_joined_in_order(tmp_path: Path) -> None:
    for k in range(2):
        files.write_csv(tmp_path / f"{k}.csv", pd.DataFrame({"step": [1, 2], "loss": [0.5, 0.25 * k]}))
    table = files.joined(tmp_path / f"{k}.csv" for k in range(2))
    assert table.columns.tolist() == ["replicate", "step", "loss"]
    assert table.to_numpy().tolist() == [[0, 1, 0.5], [0, 2, 0], [1, 1, 0.5], [1, 2, 0.25]]


def write_and_die(target: str) -> None:
    """Leave a temporary folder behind, as a killed process does."""
    code = (
        "import os; from pathlib import Path; from makeweight.runtime.files import atomic_directory\n"
        f"with atomic_directory(Path({target!r})) as folder: (folder / 'half').touch(); os._exit(1)"
    )
    subprocess.run([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": str(PROJECT)}, check=False)


def test_leftovers_of_a_killed_process_are_not_beside_the_target_and_are_removed_when_no_process_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_and_die("data/synthetic/cgan")
    assert list(Path("data/synthetic").iterdir()) == []
    (left,) = files.TEMPORARY.iterdir()
    with files.in_use():  # as another process would
        fill(files.atomic_directory(Path("data/other")), "new")
        assert left.exists()
    fill(files.atomic_directory(Path("data/synthetic/cgan")), "new")
    assert list(files.TEMPORARY.iterdir()) == []
    assert [path.name for path in Path("data/synthetic").iterdir()] == ["cgan"]


def test_on_another_file_system_the_temporary_folder_is_beside_its_target(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    def rename(source: Path, target: Path) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    monkeypatch.setattr(os, "rename", rename)
    with files.atomic_directory(Path("data/cgan")) as folder:
        assert folder.parent == Path("data")
        (folder / "new").touch()
    assert [path.name for path in Path("data/cgan").iterdir()] == ["new"]
    assert list(files.TEMPORARY.iterdir()) == []
