"""Tables of image files."""

from __future__ import annotations

from pathlib import Path

import pytest

from makeweight.core.errors import BadInput
from makeweight.intake.interface import UNASSIGNED, FileIssue
from makeweight.intake.readers.tables import HuggingFace
from tests.support.data_settings import settings
from tests.support.readers import TEST, TRAIN, VALIDATION, decoded, grey, labelled, read_csv, save, table


def test_a_table_gives_labels_splits_and_groups(tmp_path: Path) -> None:
    for name in ("1", "2", "3", "ü,4"):
        save(tmp_path / "img" / f"{name}.png", grey(5))
    path = table(
        tmp_path / "all.csv", "Group,path,label,split,remark", "p1,img/1.png,cat,train,", ",img/2.png,dog,train,x",
        "p1,img/3.png,dog,val,", '"p,2","img/ü,4.png",cat,TEST,',
    )  # fmt: skip
    listing = read_csv(path)
    assert labelled(listing) == {"img/1.png": "cat", "img/2.png": "dog", "img/3.png": "dog", "img/ü,4.png": "cat"}
    assert listing.predefined.tolist() == [TRAIN, TRAIN, VALIDATION, TEST]
    assert listing.groups == ["p1", "", "p1", "p,2"]
    assert decoded(listing)[3, 0, 0, 0] == 5


def test_a_table_without_splits_and_groups_leaves_both_open(tmp_path: Path) -> None:
    for name in ("1", "2"):
        save(tmp_path / f"{name}.png", grey(5))
    listing = read_csv(table(tmp_path / "all.csv", "path,label", "1.png,0", "2.png,1"))
    assert listing.predefined.tolist() == [UNASSIGNED, UNASSIGNED]
    assert listing.groups == ()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"path,label\n1.png,a\n\xff.png,b\n", "line 3: is not UTF-8"),
        ("path,label\n".encode("utf-16"), "line 1: is UTF-16"),
        (b"file,label\n1.png,a\n", "line 1: there is no column path among file, label: rename file to path"),
        (b"name,dx\n1.png,a\n", "rename dx to label and name the one that holds the paths path"),
        (b"image,MEL,NV\n1.png,0,1\n", "rename image to path and name .* if classes are columns of 0 and 1"),
        (b"a\tlabel\n1.png\ta\n", "line 1: there is no column path among a, label: name the one that holds the paths"),
        (b"path|label\n1.png|a\n", "seem to be separated by '|': save the table with commas"),
        (b"path;label,split\n1.png;a,train\n", "no column path .* seem to be separated by ';': save"),
        (b"path;label\tsplit\n1.png;a\ttrain\n", r"seem to be separated by ';' or '\\t': save"),
        (b"", "there is no column path and no column label among none"),
        (b'path,label\n1.png,a\n"2.png,b\n', "line 3: is not valid CSV"),
        (b"path,label,Label\n1.png,a,b\n", "line 1: there are several columns label: keep one"),
        (b"path,label,split, Split\n1.png,a,train,test\n", "line 1: there are several columns split: keep one"),
    ],
)
def test_an_invalid_table_is_named_with_its_line(content: bytes, message: str, tmp_path: Path) -> None:
    save(tmp_path / "1.png", grey(5))
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(BadInput, match=message) as caught:
        read_csv(tmp_path / "t.csv")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_a_table_with_another_delimiter_is_read_if_its_first_line_contains_no_other(
    delimiter: str, tmp_path: Path
) -> None:
    for name in ("1", "2,5"):
        save(tmp_path / f"{name}.png", grey(5))
    lines = ("path;label;score", "1.png;a;0,5", "2,5.png;b;1,5")
    listing = read_csv(table(tmp_path / "t.csv", *(line.replace(";", delimiter) for line in lines)))
    assert labelled(listing) == {"1.png": "a", "2,5.png": "b"}
    assert any(f"separated by {delimiter!r}" in remark for remark in listing.remarks)


def test_one_image_under_two_labels_in_a_table_is_used_under_neither(tmp_path: Path) -> None:
    for name in "123":
        save(tmp_path / f"{name}.png", grey(int(name)))
    listing = read_csv(table(tmp_path / "t.csv", "path,label", "1.png,a", "2.png,b", "3.png,a", "./1.png,b"))
    assert labelled(listing) == {"2.png": "b", "3.png": "a"}
    assert listing.bad == (
        FileIssue(
            "t.csv, line 5: ./1.png", "is already named in t.csv, line 2, as 'a', but here as 'b': neither is used"
        ),
    )


def test_hugging_face_tables_are_beside_the_images_or_in_each_split(tmp_path: Path) -> None:
    for split in ("train", "test"):
        for name, label in (("1", "a"), ("2", "b")):
            save(tmp_path / split / "deep" / f"{name}{label}.png", grey(int(name)))
        table(tmp_path / split / "metadata.csv", "file_name,label", "deep/1a.png,a", "deep/2b.png,b")
    listing = HuggingFace().read(settings(reader="huggingface", path=str(tmp_path)))
    assert labelled(listing) == {
        "test/deep/1a.png": "a", "test/deep/2b.png": "b", "train/deep/1a.png": "a", "train/deep/2b.png": "b"
    }  # fmt: skip
    assert listing.predefined.tolist() == [TEST, TEST, TRAIN, TRAIN]
    assert decoded(listing)[:, 0, 0, 0].tolist() == [1, 2, 1, 2]
    table(
        tmp_path / "metadata.csv", "file_name,label", "train/deep/1a.png,a", "test/deep/2b.png,b", "train/deep/2b.png,b"
    )
    whole = HuggingFace().read(settings(reader="huggingface", path=str(tmp_path)))
    assert whole.predefined.tolist() == [TRAIN, TEST, TRAIN]


def test_a_hugging_face_table_may_be_json_lines(tmp_path: Path) -> None:
    for name in ("1", "2"):
        save(tmp_path / "train" / f"{name}.png", grey(int(name)))
    rows = ['{"label": "007", "file_name": "1.png", "seed": null}', "", '{"file_name": "2.png", "label": 7}']
    path = tmp_path / "train/metadata.jsonl"
    path.write_text("\n".join([*rows, '{"file_name": "3.png", "label": "007"}\n']))
    listing = HuggingFace().read(settings(reader="huggingface", path=str(tmp_path)))
    assert labelled(listing) == {"train/1.png": "007", "train/2.png": "7"}
    assert [issue.path for issue in listing.bad] == ["train/metadata.jsonl, line 4: 3.png"]
    for text, message in (("{", "line 1: is not valid JSON"), ("[1]", "line 1: is no JSON object"), ("", "no column")):
        path.write_text(text)
        with pytest.raises(BadInput, match=message):
            HuggingFace().read(settings(reader="huggingface", path=str(tmp_path)))


def test_hugging_faces_folder_without_a_table_says_which_reader_to_take(tmp_path: Path) -> None:
    save(tmp_path / "train" / "a" / "1.png", grey(1))
    with pytest.raises(BadInput, match=r"no metadata\.csv or metadata\.jsonl in .* set data\.reader to folder"):
        HuggingFace().read(settings(reader="huggingface", path=str(tmp_path)))
