"""Property test of `prepare` with folders and files as users, cameras and broken disks produce them.

`prepare` must end with splits or with clear errors: never with another exception, an image under another label, a group
in two splits, or a file that is ignored without notice. `MAKEWEIGHT_CASES=50000` tries more cases, and others in each
run.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import struct
import tempfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, event, given, strategies
from hypothesis import settings as examples
from PIL import Image

from makeweight.core.data import SPLITS
from makeweight.core.parameters import DataSettings
from makeweight.core.text import from_cell, valid_unicode
from makeweight.intake.prepare import prepare
from makeweight.intake.readers.folder import Folder
from makeweight.intake.readers.tables import CSV
from tests.support.data_settings import settings

LONGER = int(os.environ.get("MAKEWEIGHT_CASES", "0"))
CASES = 2000

# What each mode can be saved as.
KINDS: dict[str, tuple[str, ...]] = {
    "1": ("PNG", "BMP", "TIFF", "GIF", "PPM"), "L": ("PNG", "JPEG", "BMP", "TIFF", "GIF", "PPM"),
    "P": ("PNG", "BMP", "TIFF", "GIF"), "LA": ("PNG", "TIFF"), "RGB": ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "PPM"),
    "RGBA": ("PNG", "WEBP", "TIFF"), "CMYK": ("JPEG", "TIFF"), "I;16": ("PNG", "TIFF"), "I": ("TIFF",),
    "F": ("TIFF",), "LAB": ("TIFF",),
}  # fmt: skip
SUFFIX = {"PNG": ".png", "JPEG": ".jpg", "WEBP": ".webp", "BMP": ".bmp", "TIFF": ".tiff", "GIF": ".gif", "PPM": ".ppm"}
FORMATS = sorted({(mode, kind) for mode, kinds in KINDS.items() for kind in kinds})
ODD_NAMES = (
    "a b", "-rf", "CON", "a\nb", "\x1b[31mred", "e\u0301", "é", "\udcff\udcfe", "Z", "z", "猫", "😀", "\u202egnp", "%s",
    "{x}",
    "a,b", 'a"b', "a|b", "[b]", "~", "*", "train", "test", "val", ".hidden", "._x", "Thumbs.db", "\u2028", "1", "01",
)  # fmt: skip


@cache
def encoded(mode: str, kind: str, size: tuple[int, int], seed: int, frames: int) -> bytes:
    """A file of noise."""
    width, height = size
    noise = np.random.default_rng(seed)
    if mode in {"I;16", "I", "F"}:
        values = noise.integers(0, 65536, (height, width)).astype({"I;16": "u2", "I": "i4", "F": "f4"}[mode])
        images = [Image.fromarray(values)]
    elif mode == "LAB":
        images = [Image.new("LAB", size, (seed % 256, 128, 128))]
    else:
        channels = noise.integers(0, 256, (frames, height, width, 4), dtype=np.uint8)
        images = [Image.fromarray(pixels).convert("RGB" if mode == "CMYK" else mode) for pixels in channels]
        images = [image.convert(mode) for image in images]
    file = io.BytesIO()
    several = {"save_all": True, "append_images": images[1:]} if frames > 1 and kind in {"GIF", "WEBP", "TIFF"} else {}
    exif = Image.Exif()
    exif[0x0112] = seed % 9
    turned = {"exif": exif} if kind in {"PNG", "JPEG", "WEBP"} and seed % 3 == 0 else {}
    images[0].save(file, kind, **several, **turned)
    return file.getvalue()


def bomb(_: bytes, seed: int) -> bytes:
    """A PNG whose header declares more pixels than fit into memory."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 2**31 - 1 - seed % 9, 2**20, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))


def flipped(content: bytes, seed: int) -> bytes:
    """With some bytes changed, most of them near the start, where headers are."""
    changed, noise = bytearray(content), np.random.default_rng(seed)
    for _ in range(1 + seed % 5):
        changed[int(len(changed) * noise.random() ** 2)] = noise.integers(256)
    return bytes(changed)


def spliced(content: bytes, seed: int) -> bytes:
    """With a piece cut out of the middle."""
    start = seed % len(content)
    return content[:start] + content[start + 1 + seed % 50 :]


DAMAGES: dict[str, Callable[[bytes, int], bytes]] = {
    "none": lambda content, seed: content,
    "cut": lambda content, seed: content[: seed % len(content)],
    "flipped": flipped,
    "spliced": spliced,
    "longer": lambda content, seed: content + bytes(seed % 100) + content[: seed % 30],
    "empty": lambda content, seed: b"",
    "text": lambda content, seed: b"path,label\n" * (1 + seed % 9),
    "zeros": lambda content, seed: bytes(len(content)),
    "mac": lambda content, seed: b"\0\5\x16\7" + content[4:],
    "bomb": bomb,
}
PLACES = ("file", "file", "file", "folder", "link", "link out", "link to nothing", "link round", "pipe", "copy")


@dataclass(frozen=True)
class Planted:
    """A file to add to a folder."""

    name: str
    encoding: tuple[str, str]  # mode and format
    size: tuple[int, int]
    seed: int
    frames: int
    damage: str
    suffix: str
    place: str


name_parts = strategies.one_of(
    strategies.sampled_from(ODD_NAMES),
    strategies.text(strategies.characters(exclude_characters="/\0", codec="utf-8"), min_size=1, max_size=6),
).filter(lambda name: name not in {".", ".."})
sound = strategies.builds(
    Planted, name=strategies.just("n"), encoding=strategies.sampled_from(FORMATS),
    size=strategies.sampled_from([(8, 8), (8, 8), (9, 12), (33, 33)]), seed=strategies.integers(0, 40),
    frames=strategies.just(1),
    damage=strategies.just("none"), suffix=strategies.just(""), place=strategies.just("file"),
)  # fmt: skip
anything = strategies.builds(
    Planted, name=name_parts, encoding=strategies.sampled_from(FORMATS),
    size=strategies.tuples(strategies.sampled_from([1, 2, 8, 13, 40]), strategies.sampled_from([1, 3, 8, 32])),
    seed=strategies.integers(0, 2**31), frames=strategies.sampled_from([1, 1, 1, 2]),
    damage=strategies.sampled_from(sorted(DAMAGES)),
    suffix=strategies.sampled_from(["", "", "", ".PNG", ".jpg", ".txt", "."]),
    place=strategies.sampled_from(PLACES),
)  # fmt: skip
choices = strategies.fixed_dictionaries(
    {
        "fit": strategies.sampled_from(["pad", "crop", "stretch"]),
        "channels": strategies.sampled_from([None, None, 1, 3]),
        "image_size": strategies.sampled_from([None, 8, 32, 33]),
        "on_bad_file": strategies.sampled_from(["quarantine", "quarantine", "refuse"]),
        "first_frame": strategies.booleans(),
        "follow_links": strategies.booleans(),
        "value_range": strategies.sampled_from([None, (0.0, 65535.0), (-1.0, 10.0)]),
        "background": strategies.sampled_from([(0, 0, 0), (255, 0, 7)]),
        "near_duplicates": strategies.sampled_from([0.4, None, 0.9]),
        "on_leak": strategies.sampled_from(["keep", "drop"]),
        "imbalance": strategies.sampled_from([None, None, 2.0]),
    }
)


@dataclass(frozen=True)
class World:
    """A folder as a user may have it."""

    layout: str
    classes: tuple[str, ...]
    sound: tuple[Planted, ...]
    odd: tuple[Planted, ...]


worlds = strategies.builds(
    World,
    layout=strategies.sampled_from(["classes", "classes", "nested", "splits", "table"]),
    classes=strategies.lists(name_parts, min_size=2, max_size=3).map(tuple),
    sound=strategies.lists(sound, min_size=1, max_size=3).map(tuple),
    odd=strategies.lists(anything, min_size=0, max_size=6).map(tuple),
)


def write_new(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)


def put(planted: Planted, path: Path, root: Path) -> bool:
    """Create the file, unless the path exists already or the file system does not allow the name."""
    content = DAMAGES[planted.damage](
        encoded(*planted.encoding, planted.size, planted.seed % 97, planted.frames), planted.seed
    )
    others = sorted(path for path in root.rglob("*.png") if path.is_file())  # not a pipe, reading which would never end
    places: dict[str, Callable[[], object]] = {
        "file": lambda: write_new(path, content),
        "folder": path.mkdir,
        "link": lambda: path.symlink_to(others[planted.seed % len(others)] if others else root),
        "link out": lambda: path.symlink_to(root.parent / "outside.png"),
        "link to nothing": lambda: path.symlink_to("nothing"),
        "link round": lambda: path.symlink_to(root),
        "pipe": lambda: os.mkfifo(path),
        "copy": lambda: write_new(path, others[planted.seed % len(others)].read_bytes() if others else content),
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        places[planted.place]()
    except (OSError, UnicodeEncodeError):
        return False
    return True


def build(world: World, root: Path) -> None:
    """Create `world` below `root`: valid images in every class, mostly enough for three splits, and odd files."""
    tops = {"splits": ("train", "test"), "nested": ("", "")}.get(world.layout, ("",))
    (root.parent / "outside.png").write_bytes(encoded("RGB", "PNG", (8, 8), 99, 1))
    for number, name in enumerate(world.classes):
        for top in tops:
            for copy, planted in enumerate(world.sound * 4):
                seed = 1000 * number + 100 * len(top) + copy  # different in each class
                encoding = planted.encoding if planted.encoding[0] not in {"I", "F", "LAB"} else ("RGB", "PNG")
                path = (
                    root
                    / top
                    / name
                    / ("deep/er" if world.layout == "nested" and copy % 2 else "")
                    / f"s{copy}{SUFFIX[encoding[1]]}"
                )
                content = encoded(*encoding, planted.size, seed + planted.seed, 1)
                try:
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(content)
                except (OSError, UnicodeEncodeError):
                    continue
    for number, planted in enumerate(world.odd):
        name = world.classes[number % len(world.classes)]
        suffix = planted.suffix or SUFFIX[planted.encoding[1]]
        put(planted, root / tops[number % len(tops)] / name / f"{planted.name}{suffix}", root)


def tabled(root: Path) -> Path:
    """Write a table of all files, labelled by their folders."""
    table = root / "all.csv"
    with table.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label", "group"])
        for index, path in enumerate(sorted(path for path in root.rglob("*") if path.suffix and path != table)):
            inside = path.relative_to(root)
            writer.writerow([str(inside), inside.parts[0], f"g{index // 2}" if index % 3 else ""])
    return table


def label_of(path: str, layout: str) -> str:
    """The class whose folder an image came from."""
    return path.split("/")[1 if layout == "splits" else 0]


def rows_of(data: Path) -> list[dict[str, str]]:
    rows = []
    for name in SPLITS:
        with (data / name / "metadata.csv").open(encoding="utf-8", newline="") as file:
            rows += [{name: from_cell(cell) for name, cell in row.items()} for row in csv.DictReader(file)]
    return rows


def check_splits(data: Path, written: dict[str, Any], layout: str, chosen: DataSettings) -> None:
    """Every image has its own label and hash, groups are whole, and nothing is counted twice."""
    rows = rows_of(data)
    assert len(rows) == written["used"] == len({row["path"] for row in rows})
    images = [image for name in SPLITS for image in np.load(data / name / "images.npy")]
    classes = json.loads((data / "train" / "classes.json").read_text(encoding="utf-8"))
    labels = np.concatenate([np.load(data / name / "labels.npy") for name in SPLITS])
    for row, image, label in zip(rows, images, labels, strict=True):
        assert row["class"] == classes[label]
        if layout != "table":
            assert row["class"] == label_of(row["path"], layout)
        assert row["hash"] == hashlib.blake2b(image.tobytes(), digest_size=16).hexdigest()
    by_hash = {row["hash"]: row["class"] for row in rows}
    assert all(by_hash[row["hash"]] == row["class"] for row in rows)
    if layout != "splits" or chosen.on_leak == "drop":
        places: dict[str, str] = {}
        assert all(places.setdefault(row["group"], row["split"]) == row["split"] for row in rows)
        assert not written["leaks"]["groups"]
    assert all(min(counts.values()) >= 1 for counts in written["classes"].values())


def check_every_file_is_listed(root: Path, data: Path, written: dict[str, Any], chosen: DataSettings) -> None:
    """Every file is in a split or listed in the report."""
    listed = {issue["path"] for kind in ("bad", "ignored") for issue in written[kind]}
    listed |= {issue["path"] for group in written["conflicts"] for issue in group}
    used = {row["path"] for row in rows_of(data)}
    assert not used & listed
    if chosen.imbalance is None and chosen.on_leak == "keep":
        for folder, _, names in os.walk(root):
            for name in names:
                path = valid_unicode(str(Path(folder, name).relative_to(root)))
                above = {path[:end] for end, letter in enumerate(path) if letter == "/"}
                assert path in used or path in listed or above & listed, path


@pytest.mark.timeout(0 if LONGER else 1500)  # all cases are one test
@examples(
    max_examples=LONGER or CASES, derandomize=not LONGER, deadline=None, database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)  # fmt: skip
@given(world=worlds, changes=choices, seed=strategies.integers(0, 3))
def test_anything_ends_with_splits_or_with_clear_errors(world: World, changes: dict[str, Any], seed: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name, "photos")
        build(world, root)
        table = world.layout == "table" and root.is_dir()
        chosen = settings(reader="csv" if table else "folder", path=str(tabled(root) if table else root), **changes)
        report, refused = prepare(
            CSV() if table else Folder(), chosen, seed, workers=1, out=Path(name, "data"), report=Path(name, "results")
        )
        written = json.loads(Path(name, "results", "data_report.json").read_text(encoding="utf-8"))
        assert written == json.loads(json.dumps(report.values()))
        readable = Path(name, "results", "data_report.md").read_text(encoding="utf-8")
        assert all(letter.isprintable() or letter == "\n" for letter in readable)
        event(f"{world.layout}: {written['ended']}")  # --hypothesis-show-statistics shows that neither is rare
        if refused:
            assert written["ended"] == "refused"
            assert str(refused).splitlines() == written["errors"]
            assert all(line.startswith("data") for line in written["errors"])
            assert not Path(name, "data", "train").exists()
        else:
            assert written["ended"] == "split"
            check_splits(Path(name, "data"), written, world.layout, chosen)
            if not table:
                check_every_file_is_listed(root, Path(name, "data"), written, chosen)
