"""Training sets as PNG files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from torchvision.datasets import ImageFolder

from makeweight.core.data import Split
from makeweight.core.parameters import read_parameters
from makeweight.intake.readers.tables import HuggingFace
from makeweight.integrations.export import TrainingSet, export
from makeweight.runtime.splits import write_split
from tests.conftest import Invoke, write_params
from tests.support.data_settings import settings

CLASSES = ("cat", "a/b", "=NA")
COUNTS, DRAWN = (9, 2, 3), 4


def split(counts: tuple[int, ...], seed: int) -> Split:
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(counts)), counts)
    return Split(rng.integers(0, 256, (len(labels), 8, 8, 3), dtype=np.uint8), labels, CLASSES)


@pytest.fixture
def study(workspace: Path) -> tuple[Split, Split]:
    """The folders that `prepare` and `generate` leave."""
    train, synthetic = split(COUNTS, 0), split((DRAWN,) * 3, 1)
    write_split(workspace / "data/train", train, {})
    for k in range(2):
        write_split(workspace / f"data/synthetic/cgan/replicate_{k}", synthetic, {})
    return train, synthetic


def exported(invoke: Invoke, form: str, *more: object) -> Path:
    code, output = invoke("export", "--format", form, "--family", "cgan", "--out", "out", *more)
    assert code == 0, output
    return Path("out")


def rows_of(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "train/metadata.jsonl").read_text(encoding="utf-8").splitlines()]


def pixels(path: Path) -> np.ndarray[Any, Any]:
    with Image.open(path) as picture:
        return np.asarray(picture)


def test_an_image_folder_opens_in_torchvision_balanced(study: tuple[Split, Split], invoke: Invoke) -> None:
    train, synthetic = study
    out = exported(invoke, "imagefolder")
    opened = ImageFolder(out)
    assert opened.classes == sorted(["cat", "a%2Fb", "=NA"])
    assert np.bincount(opened.targets).tolist() == [12, 12, 12]  # 9 real ones, and 3 synthetic ones: a quarter
    for folder, label in (("cat", 0), ("a%2Fb", 1), ("=NA", 2)):
        drawn = sorted((out / folder).glob("synthetic_*.png"))
        assert len(drawn) == 3
        for path in drawn:
            index = int(path.stem.split("_")[1])
            assert synthetic.labels[index] == label
            assert np.array_equal(pixels(path), synthetic.images[index])
            with Image.open(path) as picture:
                facts = {
                    key: picture.info[key] for key in ("synthetic", "family", "replicate", "seed", "class", "index")
                }
            assert facts == {
                "synthetic": "true", "family": "cgan", "replicate": "0", "seed": "0", "class": CLASSES[label],
                "index": str(index),
            }  # fmt: skip
        real = sorted((out / folder).glob("real_*.png"))
        assert {int(path.stem.split("_")[1]) for path in real} == {*np.flatnonzero(train.labels == label).tolist()}
        assert all(np.array_equal(pixels(path), train.images[int(path.stem.split("_")[1])]) for path in real)
        for path in real:
            with Image.open(path) as picture:
                assert "synthetic" not in picture.info
    card = (out / "README.md").read_text(encoding="utf-8")
    assert "25% is synthetic, the same fraction in every class" in " ".join(card.split())
    assert "data/train/metadata.csv" in card
    assert sorted(path.name for path in Path().iterdir() if path.name.startswith(".")) == []


def test_a_folder_for_datasets_has_its_rows_in_metadata(study: tuple[Split, Split], invoke: Invoke) -> None:
    out = exported(invoke, "huggingface", "--replicate", "1")
    rows = rows_of(out)
    assert {row["file_name"] for row in rows} == {path.name for path in (out / "train").glob("*.png")}
    assert len(rows) == 36
    assert {row["label"] for row in rows} == {*CLASSES}
    for row in rows:
        drawn = row["file_name"].startswith("synthetic_")
        origin = (row["synthetic"], row["family"], row["seed"], row["replicate"])
        assert origin == ((True, "cgan", 0, 1) if drawn else (False, None, None, None))
    assert rows[0]["synthetic"]  # `datasets` takes the types of columns from the first rows


@pytest.mark.parametrize("classes", [("0", "007", "1"), ("NA", "null", "nan"), ("None", "true", "=1")])
def test_class_names_that_look_like_other_values_stay_text(
    classes: tuple[str, ...], study: tuple[Split, Split], invoke: Invoke
) -> None:
    train, synthetic = (replace(split, classes=classes) for split in study)
    write_split(Path("data/train"), train, {})
    write_split(Path("data/synthetic/cgan/replicate_0"), synthetic, {})
    assert {row["label"] for row in rows_of(exported(invoke, "huggingface"))} == {*classes}


def test_the_reader_of_such_folders_reads_it(study: tuple[Split, Split], invoke: Invoke) -> None:
    out = exported(invoke, "huggingface")
    listing = HuggingFace().read(settings(reader="huggingface", path=str(out)))
    assert {*listing.classes} == {*CLASSES}
    assert not listing.bad
    assert len(listing.labels) == 36


def test_classes_are_filled_up_under_the_other_strategy(study: tuple[Split, Split], invoke: Invoke) -> None:
    write_params(Path("params.yaml"), {"generate": {"strategy": "balance"}})
    out = exported(invoke, "imagefolder")
    assert np.bincount(ImageFolder(out).targets).tolist() == [13, 13, 13]
    assert len(list(out.glob("a%2Fb/synthetic_*.png"))) >= DRAWN


def test_real_images_can_be_left_out(study: tuple[Split, Split], invoke: Invoke) -> None:
    out = exported(invoke, "imagefolder", "--only", "synthetic")
    assert len(list(out.glob("*/*.png"))) == len(list(out.glob("*/synthetic_*.png"))) == 3 * DRAWN


def test_the_same_study_gives_the_same_bytes(study: tuple[Split, Split], invoke: Invoke, tmp_path: Path) -> None:
    first = exported(invoke, "huggingface").rename("first")
    second = exported(invoke, "huggingface")
    names = sorted(str(path.relative_to(first)) for path in first.rglob("*.*"))
    assert names == sorted(str(path.relative_to(second)) for path in second.rglob("*.*"))
    assert all((first / name).read_bytes() == (second / name).read_bytes() for name in names)


def test_a_union_gives_equal_parts_of_each_family(study: tuple[Split, Split], invoke: Invoke, workspace: Path) -> None:
    other = split((DRAWN,) * 3, 2)
    write_split(workspace / "data/synthetic/warp/replicate_0", other, {})
    out = exported(invoke, "huggingface", "--family", "cgan+warp", "--only", "synthetic")
    rows = rows_of(out)
    assert [row["family"] for row in rows].count("cgan") == [row["family"] for row in rows].count("warp") == 6
    drawn = {"cgan": study[1], "warp": other}
    for row in rows:
        source, index = drawn[row["family"]], int(row["index"])
        assert np.array_equal(pixels(out / "train" / row["file_name"]), source.images[index])
        assert CLASSES[source.labels[index]] == row["label"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--out", "full"), "full is not empty: name a new folder, or an empty one"),
        (("--out", "params.yaml"), "params.yaml is a file: name a new folder, or an empty one"),
        (("--out", "new", "--replicate", "7"), "data/synthetic/cgan/replicate_7 holds no images"),
        (("--out", "new", "--family", "smote"), "data/synthetic/smote/replicate_0 holds no images"),
    ],
)
def test_a_refused_export_touches_nothing(
    arguments: tuple[str, ...], message: str, study: tuple[Split, Split], invoke: Invoke
) -> None:
    Path("full").mkdir()
    Path("full/mine").touch()
    before = sorted(Path().rglob("*"))
    code, output = invoke("export", "--format", "imagefolder", "--family", "cgan", *arguments)
    assert (code, len(output.splitlines())) == (2, 1)
    assert output.startswith(message)
    assert sorted(Path().rglob("*")) == before


def test_an_interrupted_export_leaves_nothing(
    study: tuple[Split, Split], invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr("makeweight.integrations.export._card", fail)
    before = sorted(Path().rglob("*"))
    code, _ = invoke("export", "--format", "imagefolder", "--family", "cgan", "--out", "new")
    assert code == 130
    assert sorted(Path().rglob("*")) == before


@pytest.mark.parametrize(("family", "altered"), [("cgan", False), ("smote", True), ("warp", True)])
def test_the_readme_says_where_synthetic_images_are_altered_real_ones(
    family: str, altered: bool, workspace: Path
) -> None:
    settings = read_parameters(workspace / "params.yaml").generate
    images = TrainingSet(split(COUNTS, 0), {family: split((DRAWN,) * 3, 1)}, 0, settings, seed=0, scores={})
    export(images, images.only_synthetic()[:2], "imagefolder", Path("out"))
    assert ("altered real ones" in Path("out/README.md").read_text(encoding="utf-8")) is altered


def test_scores_of_filtered_images_are_handed_on(study: tuple[Split, Split], invoke: Invoke, workspace: Path) -> None:
    scores: list[float | None] = [None, *(number / 8 for number in range(1, 3 * DRAWN))]  # None: undefined
    cells = ["" if score is None else score for score in scores]
    write_split(workspace / "data/synthetic/cgan/replicate_0", study[1], {"density": cells})
    out = exported(invoke, "huggingface")
    for row in rows_of(out):
        assert row["density"] == (scores[row["index"]] if row["synthetic"] else None)
        with Image.open(out / "train" / row["file_name"]) as picture:
            assert picture.info.get("density") == (None if row["density"] is None else str(row["density"]))
