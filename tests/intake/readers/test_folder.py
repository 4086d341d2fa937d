"""Image folders: what the reader finds, before anything is decoded."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from makeweight.core.errors import BadInput
from makeweight.intake.interface import FileIssue
from tests.support.readers import TEST, TRAIN, VALIDATION, decoded, grey, labelled, read, read_csv, save, table


def test_a_folder_gives_classes_by_name_and_images_from_any_depth(tmp_path: Path) -> None:
    save(tmp_path / "b" / "deep" / "er" / "1.png", grey(10))
    save(tmp_path / "a" / "2.PNG", grey(20))
    save(tmp_path / ".hidden" / "3.png", grey(30))
    (tmp_path / "a" / "notes.txt").write_text("no image")
    listing = read(tmp_path)
    assert listing.classes == ("a", "b")
    assert decoded(listing)[:, 0, 0, 0].tolist() == [20, 10]
    assert listing.origins == ["a/2.PNG", "b/deep/er/1.png"]
    assert listing.ignored == (FileIssue(".hidden", "hidden"), FileIssue("a/notes.txt", "not an image, by its name"))
    assert listing.bad == ()


@pytest.mark.parametrize("validation", ["validation", "val", "Valid"])
def test_ready_made_splits_are_kept_by_the_names_of_their_folders(validation: str, tmp_path: Path) -> None:
    for name in ("train", validation, "test"):
        for label in ("cat", "dog"):
            save(tmp_path / name / label / "1.png", grey(5))
    listing = read(tmp_path)
    assert listing.classes == ("cat", "dog")
    split_of = dict(zip(listing.origins, listing.predefined.tolist(), strict=True))
    assert split_of["train/cat/1.png"] == TRAIN
    assert split_of[f"{validation}/dog/1.png"] == VALIDATION
    assert split_of["test/dog/1.png"] == TEST


def test_classes_named_like_splits_are_classes_unless_this_is_ambiguous(tmp_path: Path) -> None:
    for name in ("train", "car"):
        save(tmp_path / name / "1.png", grey(5))
    assert read(tmp_path).classes == ("car", "train")
    save(tmp_path / "test" / "1.png", grey(5))
    with pytest.raises(BadInput, match=r"holds 'car' beside predefined splits"):
        read(tmp_path)


def test_two_folders_for_one_split_are_refused(tmp_path: Path) -> None:
    for name in ("train", "val", "validation"):
        save(tmp_path / name / "a" / "1.png", grey(5))
    with pytest.raises(BadInput, match="two folders mean the same split: train, val, validation"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda folder: folder.rename(folder.with_name("gone")), "there is no folder"),
        (lambda folder: folder.rename(folder.with_name("x")) and folder.write_text("zip"), "is a file"),
    ],
)
def test_a_folder_in_which_there_is_nothing_to_read_is_named(break_it: Any, message: str, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    save(folder / "a" / "1.png", grey(1))
    save(folder / "b" / "2.png", grey(20))
    break_it(folder)
    with pytest.raises(BadInput, match=message) as caught:
        read(folder)
    assert "\n" not in str(caught.value)


def test_fewer_than_two_classes_are_an_error_in_addition_to_all_bad_files(tmp_path: Path) -> None:
    save(tmp_path / "a" / "1.png", grey(1))
    save(tmp_path / "2.png", grey(1))
    listing = read(tmp_path)
    assert "has 1 sub-folder;" in listing.errors[0]
    assert [issue.path for issue in listing.bad] == ["2.png"]
    listing = read_csv(table(tmp_path / "all.csv", "path,label", "a/1.png,x", "gone.png,y", f"{tmp_path}/2.png,y"))
    assert listing.errors == (
        "data.path: the table names images of 1 classes; there must be two or more (2 lines cannot be used)",
    )
    assert [issue.reason for issue in listing.bad] == [
        "does not exist",
        "is an absolute path: write it relative to the table's folder",
    ]


def test_an_image_without_a_suffix_is_bad_with_a_remedy(tmp_path: Path) -> None:
    save(tmp_path / "b" / "1.png", grey(1))
    save(tmp_path / "a" / "1.png", grey(1)).rename(tmp_path / "a" / "1")
    listing = read(tmp_path)
    assert "give it the suffix .png" in listing.bad[0].reason
    assert "no images in" in listing.errors[0]
    assert "1 file there cannot be used" in listing.errors[0]


@pytest.mark.parametrize(("above", "suspected"), [(("learn", "exam"), True), (("training_set", "test_set"), False)])
def test_splits_by_another_name_are_known_or_suspected(above: tuple[str, str], suspected: bool, tmp_path: Path) -> None:
    for name in above:
        for label in ("cat", "dog"):
            save(tmp_path / name / label / "1.png", grey(5))
    listing = read(tmp_path)
    assert listing.classes == (("exam", "learn") if suspected else ("cat", "dog"))
    assert any("holds the same sub-folders, cat, dog" in remark for remark in listing.remarks) == suspected


def test_the_folder_that_was_probably_meant_is_named(tmp_path: Path) -> None:
    for label in ("cat", "dog"):
        save(tmp_path / "PetImages" / label / "1.png", grey(1))
    assert f"if they are PetImages/cat, PetImages/dog, name {tmp_path / 'PetImages'}" in read(tmp_path).errors[0]
    for label in ("cat", "dog"):
        save(tmp_path / label / "1.png", grey(1))
    assert "'PetImages' holds folders of other classes (cat, dog) again" in read(tmp_path).errors[0]


def test_a_class_without_images_names_no_file_of_another_folder(tmp_path: Path) -> None:
    save(tmp_path / "crack" / "1.png", grey(1))
    (tmp_path / "crack" / "labels.xlsx").write_bytes(b"x")
    (tmp_path / "new folder").mkdir()
    assert read(tmp_path).errors == (f"data.path: no images in {tmp_path}/new folder: fill or remove the folder",)


def test_links_in_a_ring_end(tmp_path: Path) -> None:
    outside, folder = tmp_path / "outside", tmp_path / "photos"
    for name, other in (("a", "b"), ("b", "a")):
        save(folder / name / "1.png", grey(5))
        (folder / name / "inside").symlink_to(folder / other)
        save(outside / name / "2.png", grey(5))
        for link in ("one", "two"):
            (outside / name / link).symlink_to(outside / other)
    (folder / "a" / "out").symlink_to(outside / "a")
    listing = read(folder, follow_links=True)
    assert listing.origins == ["a/1.png", "a/out/2.png", "a/out/one/2.png", "b/1.png"]
    assert {issue.reason for issue in listing.bad} == {"is a link to a folder that is read anyway: remove it"}


def test_names_that_are_not_unicode_are_shown_by_their_bytes(tmp_path: Path) -> None:
    save(tmp_path / "a" / "1.png", grey(1))
    try:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/b\xff")).mkdir()
    except OSError:
        pytest.skip("this file system takes Unicode alone")
    save(tmp_path / "a" / "2.png", grey(7)).rename(os.fsdecode(os.fsencode(tmp_path) + b"/b\xff/\xfe.png"))
    listing = read(tmp_path)
    assert labelled(listing) == {"a/1.png": "a", "b\\xff/\\xfe.png": "b\\xff"}
    assert decoded(listing)[1, 0, 0, 0] == 7


def test_links_are_followed_inside_the_folder_and_never_in_circles(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    inside = save(folder / "a" / "1.png", grey(1))
    save(folder / "b" / "2.png", grey(2))
    (folder / "b" / "again.png").symlink_to(inside)
    (folder / "b" / "round").symlink_to(folder)
    (folder / "b" / "gone.png").symlink_to(folder / "nothing.png")
    listing = read(folder, follow_links=True)
    assert listing.origins == ["a/1.png", "b/2.png", "b/again.png"]
    assert listing.bad == (
        FileIssue("b/gone.png", "is a link to nothing: remove it"),
        FileIssue("b/round", "is a link to a folder that holds it: remove it"),
    )


def test_images_of_an_unlabelled_test_folder_are_not_to_be_moved_into_a_class(tmp_path: Path) -> None:
    for label in ("cat", "dog"):
        save(tmp_path / "train" / label / "1.png", grey(1))
    save(tmp_path / "test" / "1.png", grey(2))
    (issue,) = read(tmp_path).bad
    assert issue.reason.endswith("the folder of its class, or away if its class is unknown")
