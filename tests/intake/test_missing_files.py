"""If no image can be used, the terminal shows the reasons; for paths that name no file, the file probably meant."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Invoke, write_params
from tests.support.preparing import noise_image, photos
from tests.support.readers import read_csv, table


def written(folder: Path, change: Callable[[str], str]) -> Path:
    """A table of all photos below `folder`, with their paths changed."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    lines = [f"{change(str(path.relative_to(folder)))},{path.parent.name}" for path in paths]
    return table(folder / "all.csv", "path,label", *lines)


@pytest.mark.parametrize(
    ("change", "repair"),
    [
        (lambda path: path.replace("/", "\\"), "write / instead of \\"),
        (lambda path: path.removesuffix(".png"), "add .png"),
        (lambda path: path.replace(".png", ".PNG"), "write .png instead of .PNG"),
        (lambda path: path.replace(".png", ".jpg"), "write .png instead of .jpg"),
        (lambda path: path.upper().replace(".PNG", ".png"), "use the same capital letters"),
        (lambda path: unicodedata.normalize("NFD", path), "use the Unicode form of the file's name (NFC)"),
        (lambda path: path.removeprefix("deep/"), "put deep/ before it"),
        (lambda path: f"photos/{path}", "leave out photos/"),
        (lambda path: f"C:\\{path}".replace("/", "\\").replace(".png", ""), "leave out C:/"),
    ],
)
def test_one_repair_for_paths_with_the_same_fault(change: Callable[[str], str], repair: str, tmp_path: Path) -> None:
    photos(tmp_path / "deep", ("crème", "épine"), count=3)
    listing = read_csv(written(tmp_path, change))
    assert "the nearest file is 'deep/crème/0.png'" in listing.bad[0].reason
    line = next(line for line in listing.errors if "have the same fault" in line)
    assert "all 6 paths that name no file" in line
    assert repair in line


def test_no_file_is_guessed_where_several_may_be_meant(tmp_path: Path) -> None:
    photos(tmp_path, ("a", "b"), count=2)
    listing = read_csv(table(tmp_path / "all.csv", "path,label", "0.png,a", "a/9.png,a", "a/0.png,a", "b/0.png,b"))
    assert [issue.reason for issue in listing.bad] == ["does not exist", "does not exist"]
    assert not any("same fault" in line for line in (*listing.remarks, *listing.errors))


def all_links(folder: Path) -> None:
    photos(folder.parent / "cache")
    for path in (folder.parent / "cache").rglob("*.png"):
        link = folder / path.parent.name / path.name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(path)


def all_damaged(folder: Path) -> None:
    for path in photos(folder).rglob("*.png"):
        path.write_bytes(b"text")


@pytest.mark.parametrize(
    ("plant", "reason"), [(all_links, "is a link out of the folder, to "), (all_damaged, "is text, not an image")]
)
@pytest.mark.parametrize("on_bad_file", ["refuse", "quarantine"])
def test_where_all_is_bad_the_terminal_shows_why_and_where_the_report_is(
    plant: Callable[[Path], None], reason: str, on_bad_file: str, workspace: Path, invoke: Invoke
) -> None:
    plant(workspace / "photos")
    data = {"reader": "folder", "path": "photos", "on_bad_file": on_bad_file}
    write_params(workspace / "params.yaml", {"data": data})
    code, output = invoke("prepare")
    assert code == 2
    assert f"| cat/0.png | {reason}" in output
    last = output.splitlines()[-1]
    assert "12 files cannot be used" in last
    assert f"all for the same reason, the first: 'cat/0.png' ({reason}" in last
    assert "results/data_report.json" in last


def test_the_reason_of_a_table_without_a_good_line_reaches_the_terminal(workspace: Path, invoke: Invoke) -> None:
    written(photos(workspace / "photos"), lambda path: path.replace("/", "\\"))
    noise_image().save(workspace / "photos" / "cat" / "other.png")
    write_params(workspace / "params.yaml", {"data": {"reader": "csv", "path": "photos/all.csv"}})
    code, output = invoke("prepare")
    assert code == 2
    assert "all 12 paths that name no file have the same fault: write / instead of \\" in output
    assert "the nearest file is 'cat/0.png'" in output
