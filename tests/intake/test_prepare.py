"""From folders, tables and arrays to splits: a table of bad inputs and their handling, and no leaks."""

from __future__ import annotations

import fcntl
import json
import os
import re
import resource
import subprocess
import sys
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from makeweight.core.data import SPLITS
from makeweight.core.text import in_markdown
from makeweight.intake.interface import ImageSpec
from makeweight.intake.prepare import prepare
from makeweight.intake.readers.folder import Folder
from makeweight.intake.report import Report
from makeweight.runtime.splits import read_groups
from tests.conftest import Invoke
from tests.support.data_settings import settings
from tests.support.preparing import READERS, RNG, noise_image, photos, run


def table_of(folder: Path, *lines: str, mark: str = "") -> None:
    """Write a table of all photos, with further lines."""
    paths = sorted(path.relative_to(folder) for path in folder.rglob("*.png"))
    rows = ["path,label,split", *(f"{path},{path.parent},train" for path in paths), *lines]
    (folder / "all.csv").write_text(mark + "\n".join(rows) + "\n", encoding="utf-8")


def manifest(data: Path) -> pd.DataFrame:
    return pd.concat([pd.read_csv(data / name / "metadata.csv", keep_default_na=False) for name in SPLITS])


@dataclass(frozen=True)
class Case:
    """A bad input, and what the report must contain."""

    name: str
    plant: Callable[[Path], object]
    bad: dict[str, str] = field(default_factory=dict)
    ignored: dict[str, str] = field(default_factory=dict)
    errors: tuple[str, ...] = ()
    conversions: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    conflicts: tuple[tuple[str, ...], ...] = ()
    changes: dict[str, Any] = field(default_factory=dict)
    quarantine_helps: bool = True

    def __str__(self) -> str:
        return self.name


def write(name: str, content: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / "cat" / name).write_bytes(content)


def cut(folder: Path) -> None:
    for suffix in ("png", "jpg", "webp", "bmp", "tiff"):
        path = folder / "cat" / f"cut.{suffix}"
        noise_image(32).save(path)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def deep(top: float, kind: Any, name: str) -> Callable[[Path], object]:
    pixels = np.linspace(0, top, 64).astype(kind).reshape(8, 8)
    return lambda folder: Image.fromarray(pixels).save(folder / "cat" / name)


def bomb(folder: Path) -> None:
    Image.new("1", (20_000, 20_000)).save(folder / "cat" / "bomb.png", optimize=True)


def link_out(folder: Path) -> None:
    noise_image().save(folder.parent / "outside.png")
    (folder / "cat" / "link.png").symlink_to(folder.parent / "outside.png")


def litter(folder: Path) -> None:
    for name in (".hidden", ".ipynb_checkpoints", "__MACOSX"):
        photos(folder / "cat", (name,), count=1)
    (folder / "Thumbs.db").write_bytes(b"x")


def twins(folder: Path) -> None:
    Image.open(folder / "cat" / "0.png").save(folder / "dog" / "same.bmp")


def bad_table(folder: Path) -> None:
    noise_image().save(folder.parent / "above.png")
    table_of(
        folder, "cat/none.png,cat,train", "cat/0.png,cat,train", "cat/1.png,dog,train", "../above.png,cat,train",
        "extra.png,eel,test", "cat/2.png,,train", "cat/3.png,cat,trian", "cat/4.png,cat", mark="\ufeff",
    )  # fmt: skip
    noise_image().save(folder / "extra.png")


CASES = (
    Case("an empty file", write("x.png", b""), bad={"cat/x.png": "is empty: 0 bytes"}),
    Case("text named .png", write("x.png", b"not an image"), bad={"cat/x.png": "is text, not an image"}),
    Case("what macOS leaves", write("._x.png", b"\0\5\x16\7"), ignored={"cat/._x.png": "hidden"}),
    Case(
        "truncated files", cut,
        bad={f"cat/cut.{suffix}": "cannot be|damaged" for suffix in ("png", "jpg", "webp", "bmp", "tiff")},
    ),
    Case(
        "an image beside the classes", lambda folder: noise_image().save(folder / "x.png"),
        bad={"x.png": "lies beside"},
    ),
    Case(
        "a JPEG named .png", lambda folder: noise_image().save(folder / "cat" / "x.png", "JPEG"),
        conversions=("a JPEG named .png: read by its content",),
    ),
    Case(
        "a float TIFF without a range", deep(1.0, np.float32, "x.tiff"),
        bad={"cat/x.tiff": r"32-bit float from 0 to 1: set data\.value_range"},
    ),
    Case(
        "a float TIFF within the range", deep(1.0, np.float32, "x.tiff"), changes={"value_range": (0.0, 1.0)},
        conversions=("32-bit float scaled to 8 bits",),
    ),
    Case(
        "a TIFF out of range", deep(1.5, np.float32, "x.tiff"), changes={"value_range": (0.0, 1.0)},
        bad={"cat/x.tiff": r"values from 0 to 1\.5, outside data\.value_range"},
    ),
    Case("16 bits", deep(65535, np.uint16, "x.png"), conversions=("16-bit grey scaled to 8 bits",)),
    Case("12 bits in 16", deep(4095, np.uint16, "x.png"), bad={"cat/x.png": "would turn black"}),
    Case("a decompression bomb", bomb, bad={"cat/bomb.png": "more pixels than the 89,478,485 that are allowed"}),
    Case("a link out of the folder", link_out, bad={"cat/link.png": "is a link out of the folder"}),
    Case("a link that may be followed", link_out, changes={"follow_links": True}),
    Case(
        "litter", litter,
        ignored={
            "cat/.hidden": "hidden", "cat/.ipynb_checkpoints": "hidden",
            "cat/__MACOSX": "created by the operating system",
            "Thumbs.db": "created by the operating system",
        },
    ),
    Case(
        "Dog beside dog", lambda folder: photos(folder, ("Dog",)), quarantine_helps=False,
        errors=(r"the classes 'Dog' and 'dog' differ only in case",),
    ),
    Case(
        "a name in two Unicode forms", quarantine_helps=False,
        plant=lambda folder: photos(folder, tuple(unicodedata.normalize(spec, "bébé") for spec in ("NFC", "NFD"))),
        errors=(r"'b\S+' \(U\+0301 U\+0301\) and 'b\S+' \(U\+00E9 U\+00E9\) differ only in case or in",),
    ),
    Case(
        "an empty class", lambda folder: (folder / "eel").mkdir(), quarantine_helps=False,
        errors=(r"no images in \S+eel: fill or remove the folder",),
    ),
    Case(
        "a class too small", lambda folder: photos(folder, ("eel",), count=2), quarantine_helps=False,
        errors=(r"class 'eel' has 2 images, too few .* add images, join it with another class, or leave",),
    ),
    Case(
        "a bad table", bad_table, changes={"reader": "csv"},
        bad={
            "all.csv, line 14: cat/none.png": "does not exist",
            "all.csv, line 15: cat/0.png": "is already named in all.csv, line 2",
            "all.csv, line 16: cat/1.png": "line 3, as 'cat', but here as 'dog': neither is used",
            "all.csv, line 17: ../above.png": "leads out of the folder",
            "all.csv, line 18: extra.png": "has a label that no training line has: 'eel'",
            "all.csv, line 19: cat/2.png": "has no label",
            "all.csv, line 20: cat/3.png": "has the unknown split 'trian'",
            "all.csv, line 21": "has 2 cells instead of 3",
        },
        remarks=("all.csv, line 1: begins with a byte-order mark",),
    ),
    Case("one image under two labels", twins, conflicts=(("cat/0.png", "dog/same.bmp"),)),
)  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_bad_input_is_handled_as_the_table_says(case: Case, tmp_path: Path) -> None:
    folder = photos(tmp_path / "photos")
    case.plant(folder)
    path = folder / "all.csv" if case.changes.get("reader") == "csv" else folder
    for on_bad_file in ("refuse", "quarantine"):
        _, errors = run(folder, path=path, on_bad_file=on_bad_file, **case.changes)
        written = json.loads((tmp_path / "results" / "data_report.json").read_text(encoding="utf-8"))
        bad = {issue["path"]: issue["reason"] for issue in written["bad"]}
        assert bad.keys() == case.bad.keys()
        assert all(re.search(case.bad[name], bad[name]) for name in bad), bad
        assert {issue["path"]: issue["reason"] for issue in written["ignored"]} == case.ignored
        assert tuple(tuple(issue["path"] for issue in group) for group in written["conflicts"]) == case.conflicts
        assert {conversion["what"] for conversion in written["conversions"]} - {"grey to RGB"} == set(case.conversions)
        assert all(any(words in remark for remark in written["remarks"]) for words in case.remarks)
        assert all(re.search(words, errors) for words in case.errors), errors
        table = (tmp_path / "results" / "data_report.md").read_text(encoding="utf-8")
        conflicting = [name for pair in case.conflicts for name in pair]
        assert all(in_markdown(name) in table for name in [*bad, *case.ignored, *conflicting])
        refused = bool(case.errors) or (on_bad_file == "refuse" and bool(case.bad or case.conflicts))
        assert bool(errors) == refused, errors
        assert written["ended"] == ("refused" if refused else "split")
        assert (tmp_path / "data" / "train").exists() == (not refused)
        if not refused:
            used = set(manifest(tmp_path / "data")["path"])
            assert not used & {name for pair in case.conflicts for name in pair}
            assert not used & bad.keys()


def test_all_errors_are_reported_at_once(tmp_path: Path) -> None:
    folder = photos(tmp_path / "photos", ("cat", "dog", "Dog"))
    (folder / "eel").mkdir()
    photos(folder, ("fox",), count=2)
    write("x.png", b"text")(folder)
    write("y.png", b"")(folder)
    cut(folder)
    twins(folder)
    report, errors = run(folder)
    assert len(report.bad) == 7
    lines = errors.splitlines()
    assert len(lines) == 5
    for words in ("'Dog' and 'dog'", "no images in", "7 files cannot", "1 image under several labels", "class 'fox'"):
        assert len([line for line in lines if words in line]) == 1


def test_of_an_image_under_several_labels_one_of_each_label_is_shown(tmp_path: Path) -> None:
    folder = photos(tmp_path / "photos")
    twins(folder)
    Image.open(folder / "cat" / "0.png").save(folder / "cat" / "1.png")
    assert "'cat/0.png' (cat) and 'dog/same.bmp' (dog)" in run(folder)[1]


def deep_photos(folder: Path, top: int, *, darkest: int = 0, channels: int = 1) -> Path:
    """Twelve PNG files of 16 bits in two classes, with values from `darkest` to `top`; a third only to an eighth."""
    for name in ("cat", "dog"):
        (folder / name).mkdir(parents=True)
        for index in range(6):
            highest = darkest + (top - darkest) // (1 if index % 3 else 8)
            values = RNG.integers(darkest, highest, (8, 8, channels), endpoint=True, dtype=np.uint16)
            values.flat[:2] = darkest, highest
            (folder / name / f"{index}.png").write_bytes(imagecodecs.png_encode(values.squeeze()))
    return folder


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("darkest", "top", "words"),
    [
        (0, 1000, r"uses 0 to 1000 of 65535 and would turn black: .*, for instance \[0, 1023\]"),
        (
            0,
            16383,
            r"uses 0 to 16383 of 65535 and would turn black: .*, for instance \[0, 16383\], or data for \[0, 16383\]",
        ),
        (0, 32767, r"for instance \[0, 32767\]"),
        (40000, 48000, r"would lose its contrast: .*, for instance \[40000, 48000\]"),
    ],
)
def test_the_range_of_all_images_is_checked_before_any_is_converted(
    darkest: int, top: int, words: str, channels: int, tmp_path: Path
) -> None:
    folder = deep_photos(tmp_path / "photos", top, darkest=darkest, channels=channels)
    _, errors = run(folder)
    written = json.loads((tmp_path / "results" / "data_report.json").read_text(encoding="utf-8"))
    assert len(written["bad"]) == 12
    assert len({issue["reason"] for issue in written["bad"]}) == 1
    assert re.search(words, written["bad"][0]["reason"])
    assert re.search(words, errors)
    report, errors = run(folder, value_range="data")
    assert not errors
    assert report.remarks[0].endswith(f"{darkest} is black and {top} white, the joint range of 12 images")
    images = np.concatenate([np.load(tmp_path / "data" / name / "images.npy") for name in SPLITS])
    assert (images.min(), images.max()) == (0, 255)
    assert sorted(image.max() > 40 for image in images) == [False] * 4 + [True] * 8  # dark images stay dark


def test_16_bits_that_all_images_together_use_fully_are_accepted_though_some_are_dark(tmp_path: Path) -> None:
    assert not run(deep_photos(tmp_path / "photos", 65535))[1]


@pytest.mark.parametrize("dtype", ["u2", "i2", "f4"])
def test_arrays_are_checked_by_their_joint_range(dtype: str, tmp_path: Path) -> None:
    images = RNG.integers(0, 4095, (20, 8, 8), endpoint=True).astype(dtype)
    images[0, 0, :2] = 0, 4095
    np.savez(tmp_path / "a.npz", images=images, labels=np.arange(20) % 2)
    chosen = {"reader": "arrays", "path": tmp_path / "a.npz"}
    assert "for instance [0, 4095], or data for" in run(tmp_path / "x", **chosen)[1]  # type: ignore[arg-type]
    assert not run(tmp_path / "x", value_range="data", **chosen)[1]  # type: ignore[arg-type]
    written = np.concatenate([np.load(tmp_path / "data" / name / "images.npy") for name in SPLITS])
    assert sorted(written.sum(axis=(1, 2, 3)).tolist()) == sorted(
        np.round(images.astype(float) / 4095 * 255).astype(int).sum(axis=(1, 2)).tolist()
    )


def test_bytes_that_are_nearly_black_in_all_images_are_a_warning(tmp_path: Path) -> None:
    for top, warned in ((16, True), (255, False)):
        images = RNG.integers(0, top, (20, 40, 40), endpoint=True, dtype=np.uint8)
        np.savez(tmp_path / "a.npz", images=images, labels=np.arange(20) % 2)
        report, _ = run(tmp_path / "x", "arrays", tmp_path / "a.npz")
        assert [warning[:45] for warning in report.warnings] == [
            "no pixel of any image is above 16 of 255, so "
        ] * warned


def test_images_of_8_bits_are_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[str] = []

    def span_of(path: str, spec: ImageSpec) -> tuple[float, float]:
        measured.append(path)
        return 0.0, 65535.0

    monkeypatch.setattr("makeweight.intake.decoding.sources.span_of", span_of)
    folder = photos(tmp_path / "photos")
    deep(65535, np.uint16, "deep.png")(folder)
    assert not run(folder, value_range="data")[1]
    assert [Path(path).name for path in measured] == ["deep.png"]


def test_large_images_are_decoded_one_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("makeweight.intake.decoding.parallel.LARGE", 100)
    held: list[bool] = []
    ordinary = fcntl.flock

    def flock(file: Any, operation: int) -> None:
        ordinary(file, operation)
        if not str(file.name).endswith("large.lock"):
            return
        with Path(file.name).open("ab") as other:
            try:
                ordinary(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                held.append(True)

    monkeypatch.setattr("makeweight.intake.decoding.parallel.fcntl.flock", flock)
    folder = photos(tmp_path / "photos")
    noise_image(64).save(folder / "cat" / "large.png")
    assert not run(folder)[1]
    assert held == [True]


def test_near_infrared_called_opacity_is_refused_as_a_whole_and_real_opacity_is_not(tmp_path: Path) -> None:
    folder = photos(tmp_path / "photos", channels=4)
    report, errors = run(folder)
    assert "half transparent in most of their pixels" in errors
    assert not run(folder, bands=(1, 2, 3))[1]
    assert not run(folder, bands=(1, 2, 3, 4))[1]
    for path in folder.rglob("*.png"):
        pixels = np.asarray(Image.open(path)).copy()
        pixels[..., 3] = np.where(pixels[..., 3] > 99, 255, 0)
        Image.fromarray(pixels).save(path)
    report, errors = run(folder)
    assert not errors
    assert {
        "what": "transparency composited over data.background",
        "images": 12,
        "example": "cat/0.png",
    } in report.conversions


@pytest.mark.parametrize("side", [8, 24, 64])
def test_copies_are_found_at_any_image_size(side: int, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    for name in ("cat", "dog"):
        (folder / name).mkdir(parents=True)
        for index in range(20):
            coarse = RNG.integers(0, 256, (10, 10, 3), dtype=np.uint8)
            photo = Image.fromarray(coarse).resize((100, 100), Image.Resampling.BICUBIC)
            photo.save(folder / name / f"{index}.png")
            if index < 3:
                photo.save(folder / name / f"copy{index}.jpg", quality=30)
            if index == 3:
                pale = np.asarray(photo) / 8 + np.asarray(photo.convert("L"))[..., None] * (7 / 8)
                Image.fromarray(pale.astype(np.uint8)).save(folder / name / "3.png")
                photo.convert("L").save(folder / name / "copy3.png")
    report, errors = run(folder, image_size=side)
    assert not errors
    pairs = sorted(tuple(sorted(group)) for group in report.duplicates["near"])
    copies = ("copy0.jpg", "copy1.jpg", "copy2.jpg", "copy3.png")
    assert pairs == [(f"{name}/{i}.png", f"{name}/{copy}") for name in ("cat", "dog") for i, copy in enumerate(copies)]
    assert report.warnings == []


def test_predefined_splits_are_kept_and_their_leaks_are_reported_or_dropped(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    for name in ("train", "test"):
        photos(folder / name, count=10, side=40)
    for index in range(3):
        Image.open(folder / "test" / "cat" / f"{index}.png").save(folder / "train" / "cat" / f"leak{index}.bmp")
    report, errors = run(folder)
    assert not errors
    assert report.leaks["test_images"] == 3
    assert report.leaks["of_test"] == 0.15
    shared = {path for group in report.leaks["groups"] for path in group["train"] + group["validation"]}
    assert shared == {f"train/cat/leak{index}.bmp" for index in range(3)}
    assert any("LEAK" in remark and "3 test images (15.00%)" in remark for remark in report.remarks)
    rows = manifest(tmp_path / "data")
    assert set(rows["path"][rows["split"] == "test"]) == {
        f"test/{c}/{i}.png" for c in ("cat", "dog") for i in range(10)
    }
    report, _ = run(folder, on_leak="drop")
    assert report.leaks["groups"] == []
    assert {issue.path for issue in report.ignored} == shared
    assert not [path for path in manifest(tmp_path / "data")["path"] if "leak" in path]


def nearly(source: Image.Image) -> Image.Image:
    """A near-duplicate: a little darker, with less contrast and some noise."""
    pixels = np.asarray(source).astype(float) * 0.9 + RNG.normal(0, 3, np.asarray(source).shape)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def smooth(side: int = 48) -> Image.Image:
    return Image.fromarray(RNG.integers(0, 256, (6, 6, 3), dtype=np.uint8)).resize(
        (side, side), Image.Resampling.BICUBIC
    )


@pytest.mark.parametrize("seed", range(3))
def test_planted_duplicates_never_lie_in_two_splits(seed: int, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    for name in ("cat", "dog"):
        (folder / name / "copies").mkdir(parents=True)
        for index in range(40):
            original = smooth()
            original.save(folder / name / f"{index}.png")
            if index % 4 == 0:
                original.save(folder / name / "copies" / f"{index}.bmp")
            if index % 4 == 1:
                nearly(original).save(folder / name / "copies" / f"{index}.png")
            if index % 4 == 2:
                original.save(folder / name / "copies" / f"{index}.jpg", quality=60)
    chosen = settings(reader="folder", path=str(folder))
    report, refused = prepare(Folder(), chosen, seed, workers=1, out=tmp_path / "data", report=tmp_path / "results")
    assert refused is None
    rows = manifest(tmp_path / "data")
    assert len(rows) == 140
    stems = rows["path"].str.replace("copies/", "").str.replace(r"\.\w+$", "", regex=True)
    assert (rows.groupby(stems)["split"].nunique() == 1).all()
    assert (rows.groupby(stems)["group"].nunique() == 1).all()
    assert rows["group"].nunique() == 80
    assert (rows["split"] == "test").sum() in range(24, 33)
    assert len(report.duplicates["equal"]) == 20
    assert len(report.duplicates["near"]) == 40
    assert report.leaks["groups"] == []


def test_different_images_are_not_duplicates_and_small_ones_are_not_searched(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    for name in ("cat", "dog"):
        (folder / name).mkdir(parents=True)
        for index in range(30):
            smooth().save(folder / name / f"{index}.png")
    assert run(folder)[0].duplicates == {"equal": [], "near": []}
    for index in range(10):
        nearly(Image.open(folder / "cat" / "0.png")).save(folder / "cat" / f"near{index}.png")
    assert "count as near-duplicates of" in run(folder)[1]
    assert "count as near-duplicates of" in run(folder, image_size=24)[1]
    for path in folder.rglob("*.png"):
        Image.open(path).resize((24, 24)).save(path)
    small = run(folder)[0]
    assert small.duplicates["near"] == []
    assert "near-duplicates were NOT searched for in 70 of 70 images" in small.warnings[0]
    assert small.text().splitlines()[2].startswith("- WARNING: near-duplicates were NOT searched for")
    assert run(folder, near_duplicates=None)[0].duplicates["near"] == []


def test_a_group_that_is_too_large_a_part_of_a_class_is_an_error_unless_it_is_small(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    for name in ("cat", "dog"):
        (folder / name).mkdir(parents=True)
        for index in range(12):
            smooth().save(folder / name / f"{index}.png")
    original = Image.open(folder / "cat" / "0.png")
    for index in range(4):
        nearly(original).save(folder / "cat" / f"near{index}.png")
    report, errors = run(folder)  # five of sixteen: more than 2%, but at most MIN_GROUP_LIMIT
    assert not errors
    assert [len(group) for group in report.duplicates["near"]] == [5]
    nearly(original).save(folder / "cat" / "one_more.png")
    _, errors = run(folder)
    assert re.fullmatch(
        r"data: 6 images of class 'cat' \(35\.3% of it\) count as near-duplicates of 'cat/\S+', among them 'cat/.*: "
        r"if they differ, lower data\.near_duplicates \(0\.4\) or set it to null; if not, remove some or raise "
        r"data\.max_group_fraction \(0\.02\)",
        errors,
    )
    assert not run(folder, max_group_fraction=0.4)[1]


def test_groups_of_a_table_are_joined_with_duplicates(tmp_path: Path) -> None:
    folder = photos(tmp_path / "photos", count=12)
    Image.open(folder / "cat" / "0.png").save(folder / "cat" / "copy.bmp")
    lines = [f"{path.relative_to(folder)},{path.parent.name}," for path in sorted(folder.rglob("*.*"))]
    patient = {"cat/1.png": "p", "cat/copy.bmp": "p", "dog/3.png": "p"}
    lines = [line + patient.get(line.split(",")[0], "") for line in lines]
    (folder / "all.csv").write_text("\n".join(["path,label,group", *lines]))
    _, errors = run(folder, "csv", folder / "all.csv")
    assert not errors
    rows = manifest(tmp_path / "data").set_index("path")
    together = rows.loc[["cat/0.png", "cat/copy.bmp", "cat/1.png", "dog/3.png"]]
    assert together["group"].nunique() == together["split"].nunique() == 1
    assert rows["group"].nunique() == 25 - 3


def test_groups_of_test_images_are_kept_in_predefined_splits_and_where_near_duplicates_are_not_searched(
    tmp_path: Path,
) -> None:
    folder = photos(tmp_path / "photos", count=12)
    Image.open(folder / "cat" / "9.png").save(folder / "cat" / "copy.bmp")
    patients = {"cat/8.png": "p", "dog/8.png": "p", "cat/10.png": "q", "cat/11.png": "q", "dog/2.png": "r"}
    rows = ["path,label,split,group"]
    for path in sorted(folder.rglob("*.*")):
        name = str(path.relative_to(folder))
        number = int(path.stem) if path.stem.isdigit() else 9
        split = "test" if number > 7 else "validation" if number > 5 else "train"
        rows.append(f"{name},{path.parent.name},{split},{patients.get(name, '')}")
    (folder / "all.csv").write_text("\n".join(rows))
    _, errors = run(folder, "csv", folder / "all.csv", near_duplicates=None)
    assert not errors
    test = tmp_path / "data" / "test"
    groups = dict(zip(pd.read_csv(test / "metadata.csv")["path"], read_groups(test), strict=True))
    assert groups["cat/8.png"] == groups["dog/8.png"]
    assert groups["cat/9.png"] == groups["cat/copy.bmp"]
    assert groups["cat/10.png"] == groups["cat/11.png"]
    assert len(groups) == 9
    assert len(set(groups.values())) == 6


def test_grey_images_that_are_stored_as_rgb_are_converted_to_grey_and_reported(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    for name in ("cat", "dog"):
        (folder / name).mkdir(parents=True)
        for index in range(6):
            noise_image(channels=1).convert("RGB").save(folder / name / f"{index}.png")
    report, _ = run(folder)
    assert report.spec["channels"] == 1
    assert "no image has any colour, though 12 are stored with it" in report.spec["channels_because"]
    images = np.load(tmp_path / "data" / "train" / "images.npy")
    assert images.shape[3] == 1
    rows = manifest(tmp_path / "data")
    import hashlib

    written = np.concatenate([np.load(tmp_path / "data" / name / "images.npy") for name in SPLITS])
    assert [hashlib.blake2b(image.tobytes(), digest_size=16).hexdigest() for image in written] == rows["hash"].tolist()
    assert run(folder, channels=3)[0].spec["channels"] == 3


def test_images_of_the_splits_are_those_that_the_metadata_names(tmp_path: Path) -> None:
    folder = photos(tmp_path / "photos", count=12)
    run(folder)
    for name in SPLITS:
        rows = pd.read_csv(tmp_path / "data" / name / "metadata.csv")
        images, labels = (np.load(tmp_path / "data" / name / f"{what}.npy") for what in ("images", "labels"))
        for row, image, label in zip(rows.itertuples(), images, labels, strict=True):
            assert np.array_equal(np.asarray(Image.open(folder / str(row.path))), image)
            assert str(row.path).split("/")[0] == ("cat", "dog")[label] == row[2]


@pytest.mark.parametrize("reader", ["folder", "digits"])
def test_any_number_of_workers_writes_the_same_bytes(reader: str, tmp_path: Path) -> None:
    folder = photos(tmp_path / "photos", count=600)
    path = None if reader == "digits" else str(folder)
    written = []
    for workers in (1, 2):
        out = tmp_path / f"data{workers}"
        _, refused = prepare(
            READERS[reader](), settings(reader=reader, path=path), 0, workers=workers, out=out, report=out / "report"
        )
        assert refused is None
        written.append({p.relative_to(out): p.read_bytes() for p in sorted(out.rglob("*.*")) if p.is_file()})
    assert written[0] == written[1]
    assert len(written[0]) == 5 * 3 + 2 + 1


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_near_duplicates_with_two_labels_are_reported(tmp_path: Path) -> None:
    folder = photos(tmp_path / "photos", count=10, side=40)
    nearly(Image.open(folder / "cat" / "0.png")).save(folder / "dog" / "again.png")
    assert "1 pair of near-duplicates with two labels, among them cat/0.png and dog/again.png: are both right?" in (
        run(folder)[0].remarks
    )


def test_a_disk_too_full_for_the_report_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = photos(tmp_path / "photos")

    def refuse(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Report, "write", refuse)
    assert run(folder)[1].endswith("No space left on device: the data report could not be written: free some space")


@pytest.mark.parametrize("limit", [10_000, 100_000])  # decoded images do not fit; or they do, but metadata.csv does not
def test_a_full_disk_leaves_the_earlier_images(limit: int, tmp_path: Path) -> None:
    folder = photos(tmp_path / "photos", count=12)
    assert not run(folder)[1]
    before = contents(tmp_path / "data")
    photos(folder, ("eel" * 40,), count=1200)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))  # writing then fails, as on a full disk
    try:
        _, errors = run(folder, channels=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert re.search(r"data: File too large: preparing the images takes up to 0\.\d+ GiB there", errors)
    assert "\n" not in errors
    assert contents(tmp_path / "data") == before
    assert not list((tmp_path / "data").glob(".prepare-*"))


def test_a_folder_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = photos(tmp_path / "photos", ("cat", "dog", "eel"))
    scandir = os.scandir

    def refuse(path: Any) -> Any:  # as for any user but root, who may run the tests
        if str(path).endswith("eel"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    report, errors = run(folder)
    assert {issue.path: issue.reason for issue in report.bad} == {"eel": "cannot be read: Permission denied"}
    assert "1 file cannot be used" in errors


def test_a_folder_that_cannot_be_read_at_all_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = photos(tmp_path / "photos")
    scandir = os.scandir

    def refuse(path: Any) -> Any:
        if path == folder:
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert re.fullmatch(r"data\.path: \S+ cannot be read \(Permission denied\): .*", run(folder)[1])


INTERRUPTED = """
import os, signal, sys
from makeweight.runtime import files
signal.signal(signal.SIGINT, signal.default_int_handler)  # processes in the background start without it
replace, done = os.replace, []
def interrupted(source, target):
    done.append(target)
    replace(source, target)
    if len(done) == int(sys.argv.pop()):
        signal.raise_signal(signal.SIGINT)
files.os.replace = interrupted
from makeweight.commands.prepare import prepare
from makeweight.commands.command import app
app(prepare)()
"""


@pytest.mark.parametrize("moves", [1, 3, 5])
def test_an_interruption_in_the_middle_of_the_exchange_leaves_the_earlier_images(
    moves: int, workspace: Path, invoke: Invoke
) -> None:
    assert invoke("prepare")[0] == 0
    before = contents(workspace / "data")
    code = INTERRUPTED.replace("int(sys.argv.pop())", str(moves))
    done = subprocess.run([sys.executable, "-c", code], cwd=workspace, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, "interrupted; nothing is lost: run the same command again\n")
    assert contents(workspace / "data") == before
    assert not list((workspace / "data").glob(".prepare-*"))


def test_what_a_killed_run_leaves_is_removed_by_the_next(tmp_path: Path) -> None:
    folder = photos(tmp_path / "photos")
    (tmp_path / "data" / ".prepare-killed" / "train").mkdir(parents=True)
    assert not run(folder)[1]
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == [
        ".prepare.lock",
        "test",
        "train",
        "validation",
    ]


def test_the_home_directory_is_expanded_in_the_path_and_stays_out_of_the_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos(tmp_path / "home" / "photos")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    report, refused = run(tmp_path / "elsewhere", path=Path("~/photos"))
    assert (refused, report.path) == ("", "~/photos")


def test_drawings_that_vanish_into_the_background_are_told_from_equal_images(tmp_path: Path) -> None:
    folder = photos(tmp_path / "photos")
    for name in ("cat", "dog"):
        alpha = np.where(RNG.random((8, 8)) < 0.5, 255, 0).astype(np.uint8)
        black = np.zeros((8, 8, 3), np.uint8)
        Image.fromarray(np.dstack([black, alpha])).save(folder / name / "drawing.png")
    _, errors = run(folder)
    assert "or change data.background (0, 0, 0) if they differ only in transparency" in errors
    assert not run(folder, background=(255, 255, 255))[1]
