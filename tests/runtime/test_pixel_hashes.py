"""Hashes of pixels are reused while the file is the same, and only then."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from makeweight.core.data import Split
from makeweight.runtime import fingerprints, pixel_hashes
from makeweight.runtime.artifacts import PIXEL_HASHES
from makeweight.runtime.splits import read_split, write_split
from tests.conftest import Invoke, write_params
from tests.support.study import split

FOLDER = Path("data/train")
IMAGES = FOLDER / "images.npy"


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_split(FOLDER, split(0, (3, 3, 3)), {})


def fingerprint() -> str:
    return fingerprints.of_split(read_split(FOLDER))


def unreadable(split: Split) -> str:
    pytest.fail("pixels were read")


@pytest.fixture
def trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that have just been written count as unchanged since long ago."""
    monkeypatch.setattr(pixel_hashes, "RECENT", -(10**9))


@pytest.mark.usefixtures("trusted")
def test_pixels_are_read_once_and_their_hash_is_that_of_pixels_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    first, stored = fingerprint(), read_split(FOLDER)
    assert first == fingerprints.of_split(Split(stored.images.copy(), stored.labels, stored.classes))
    monkeypatch.setattr(pixel_hashes, "_compute", unreadable)
    assert fingerprint() == first


@pytest.mark.usefixtures("trusted")
def test_an_edit_of_the_same_size_with_the_time_set_back_changes_the_fingerprint() -> None:
    first, mapped, status = fingerprint(), read_split(FOLDER), IMAGES.stat()
    pixels = np.load(IMAGES, mmap_mode="r+")
    pixels[0, 0, 0, 0] ^= 255
    pixels.flush()
    os.utime(IMAGES, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert IMAGES.stat().st_size == status.st_size
    edited = fingerprints.of_split(mapped)  # which shows the edited pixels
    assert edited != first
    assert fingerprint() == edited


@pytest.mark.usefixtures("trusted")
def test_a_split_whose_file_was_replaced_has_the_fingerprint_of_the_pixels_that_it_maps() -> None:
    first, mapped = fingerprint(), read_split(FOLDER)
    write_split(Path("other"), split(1, (3, 3, 3)), {})
    os.replace("other/images.npy", IMAGES)
    assert fingerprint() != first
    assert fingerprints.of_split(mapped) == first


def test_a_hash_of_a_file_that_has_just_changed_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pixel_hashes, "RECENT", 3600 * 10**9)
    first = fingerprint()
    assert not PIXEL_HASHES.exists()
    assert fingerprint() == first


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("content", ["", "[]", "{}", '{"hash": 1}'])
def test_a_damaged_entry_is_computed_again(content: str) -> None:
    first = fingerprint()
    (entry,) = PIXEL_HASHES.iterdir()
    good = entry.read_text(encoding="utf-8")
    entry.write_text(content, encoding="utf-8")
    assert fingerprint() == first
    assert entry.read_text(encoding="utf-8") == good


@pytest.mark.usefixtures("trusted")
def test_a_second_stage_reads_no_pixels_for_its_fingerprints(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    write_params(Path("params.yaml"), {"compute": {"workers": 1}})
    for number, name in enumerate(("train", "validation", "test")):
        images = split(number, (20, 20), ("a", "b"))
        write_split(Path("data", name), images, {"group": range(len(images))})
    assert invoke("train-baseline", "--source", "none", "--transform", "plain")[0] == 0
    assert len(list(PIXEL_HASHES.iterdir())) == 3
    monkeypatch.setattr(pixel_hashes, "_compute", unreadable)
    code, output = invoke("train-baseline", "--source", "oversample", "--transform", "plain")
    assert code == 0, output
    assert invoke("clean")[0] == 0
    assert not PIXEL_HASHES.exists()
