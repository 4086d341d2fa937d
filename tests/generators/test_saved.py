"""Samplers in folders: images by class name, without the project that trained them."""

from __future__ import annotations

import json
import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import makeweight
from makeweight.core import plugins
from makeweight.core.data import Split
from makeweight.core.errors import BadInput
from makeweight.generators.fit import description
from makeweight.generators.pngs import file_name
from makeweight.generators.saved import load_sampler
from makeweight.runtime.files import write_json
from tests.conftest import Invoke
from tests.support.families import fitted, split


def save(folder: Path, name: str = "gaussian", train: Split | None = None, replicates: int = 2) -> Path:
    """The part of `models/<family>` that is needed to draw images."""
    train = train or split(8, 1)
    for k in range(replicates):
        replicate = folder / f"samplers/replicate_{k}"
        replicate.mkdir(parents=True)
        fitted(name, train, seed=k).save(replicate)
        write_json(replicate / "makeweight.json", description(name, train))
    return folder


@pytest.mark.parametrize("name", plugins.names("families"))
def test_images_come_in_the_order_of_the_labels_whatever_it_is(name: str, tmp_path: Path) -> None:
    saved = load_sampler(save(tmp_path / "models", name, split(9, 3)))
    assert (saved.family, saved.classes, saved.size, saved.channels) == (name, ("a", "b", "c"), 9, 3)
    images = saved.sample(["c", "a"], 2, seed=5)
    assert images.shape == (4, 9, 9, 3)
    assert images.dtype == np.uint8
    labels = torch.tensor([0, 0, 2, 2])
    drawn = makeweight.as_images(saved.sampler.sample(labels, rng=torch.Generator().manual_seed(5)))
    assert np.array_equal(images, drawn[[2, 3, 0, 1]])
    assert np.array_equal(images, saved.sample([2, 0], 2, seed=5))
    assert saved.sample([]).shape == (0, 9, 9, 3)


def test_each_of_the_folders_that_hold_a_generator_can_be_named(tmp_path: Path) -> None:
    folder = save(tmp_path / "models", "cgan")
    first = load_sampler(str(folder)).sample("a", seed=1)
    assert np.array_equal(first, load_sampler(folder / "samplers").sample("a", seed=1))
    second = load_sampler(folder, 1).sample("a", seed=1)
    assert np.array_equal(second, load_sampler(folder / "samplers/replicate_1").sample("a", seed=1))
    assert not np.array_equal(first, second)


def test_labels_may_be_a_single_one_an_array_or_a_tensor(tmp_path: Path) -> None:
    sampler = load_sampler(save(tmp_path, "smote"))
    expected = sampler.sample([1], 2)
    forms: list[Any] = [1, "b", np.array([1]), torch.tensor([1]), (np.int64(1),)]
    for labels in forms:
        np.testing.assert_array_equal(sampler.sample(labels, 2), expected)
    with pytest.raises(BadInput, match="count is -1"):
        sampler.sample(1, -1)


def test_a_label_that_the_generator_does_not_know_is_refused(tmp_path: Path) -> None:
    saved = load_sampler(save(tmp_path, train=split(8, 1, counts=(5, 0, 4))))
    with pytest.raises(BadInput, match="knows no class abc; "):
        saved.sample("abc")
    for label in ("d", 3, -1):
        with pytest.raises(BadInput, match=f"^the generator knows no class {label}; its classes: a, b, c$"):
            saved.sample(["a", label])
    with pytest.raises(BadInput, match=r"^the generator was fitted without images of class 'b'$"):
        saved.sample(["b"])


def damage_version(folder: Path) -> None:
    facts = json.loads((folder / "makeweight.json").read_text())
    write_json(folder / "makeweight.json", {**facts, "makeweight": "999.1.0"})


def add_archive(folder: Path) -> None:
    torch.save({"a": torch.zeros(1)}, folder / "weights.dat")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (damage_version, "was written by makeweight 999.1.0, and "),
        (lambda folder: (folder / "a.dat").write_bytes(pickle.dumps([1])), "a.dat is a pickle, which can run any "),
        (lambda folder: (folder / "inner.pt").touch(), "inner.pt is a pickle"),
        (add_archive, "weights.dat is a pickle"),
        (lambda folder: (folder / "makeweight.json").write_text("{}"), "makeweight.json is damaged"),
        (lambda folder: (folder / "gaussian.safetensors").write_text(""), "cannot be loaded as gaussian: "),
        (lambda folder: (folder / "gaussian.safetensors").unlink(), "cannot be loaded as gaussian: "),
        (shutil.rmtree, "holds no replicate_0: one of replicate_1"),
    ],
)
def test_a_folder_that_cannot_be_used_is_one_line(damage: object, message: str, tmp_path: Path, invoke: Invoke) -> None:
    folder = save(tmp_path / "models")
    damage(folder / "samplers/replicate_0")  # type: ignore[operator]
    code, output = invoke("sample", folder, "--out", tmp_path / "a.png")
    assert (code, len(output.splitlines())) == (2, 1), output
    assert message in output
    assert not (tmp_path / "a.png").exists()


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"^there is no folder .*/cgan: train the generator first"):
        load_sampler(tmp_path / "cgan")


def test_a_safetensors_file_whose_size_of_header_looks_like_a_pickle_is_loaded(tmp_path: Path) -> None:
    path = save(tmp_path) / "samplers/replicate_0/gaussian.safetensors"
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    padded = content[8 : 8 + length].ljust(0x280)  # 640 bytes: the file begins with 0x80 0x02
    path.write_bytes(len(padded).to_bytes(8, "little") + padded + content[8 + length :])
    assert path.read_bytes()[:2] == b"\x80\x02"
    assert load_sampler(tmp_path).sample("a").shape == (1, 8, 8, 1)


def test_the_command_writes_a_picture_that_says_that_it_is_synthetic(tmp_path: Path, invoke: Invoke) -> None:
    folder, out = save(tmp_path / "models"), tmp_path / "new/cats.png"
    code, output = invoke("sample", folder, "--labels", "b, a", "--count", "20", "--out", out)
    assert (code, output) == (0, f"wrote 2 × 20 synthetic images of gaussian to {out}\n")
    with Image.open(out) as picture:
        assert picture.size == (16 * 9 + 1, 4 * 9 + 1)
        assert picture.info["synthetic"] == "true"
        pixels = np.asarray(picture)
    assert np.array_equal(pixels[1:9, 1:9], load_sampler(folder).sample(["b", "a"], 20, seed=0)[0].squeeze(2))
    before = out.read_bytes()
    code, output = invoke("sample", folder, "--out", out)
    assert (code, output) == (2, f"{out} is there already: name another file\n")
    assert out.read_bytes() == before


def test_the_command_writes_a_folder_of_files(tmp_path: Path, invoke: Invoke) -> None:
    names = ("a/b", "ü, x", ".")
    train = split(8, 3)
    folder = save(tmp_path / "models", train=Split(train.images, train.labels, names))
    code, output = invoke("sample", folder, "--count", "11", "--labels", '"ü, x",a/b,a/b', "--out", tmp_path / "out")
    assert (code, output.split(" synthetic")[0]) == (0, "wrote 2 × 11")
    written = sorted((tmp_path / "out").iterdir())
    assert [path.name for path in written] == [f"{name}_{k:02}.png" for name in ("a%2Fb", "ü, x") for k in range(11)]
    with Image.open(written[-1]) as picture:
        assert picture.info["class"] == "ü, x"
        assert (picture.info["synthetic"], picture.info["family"], picture.info["seed"]) == ("true", "gaussian", "0")
    before = sorted(tmp_path.rglob("*"))
    code, output = invoke("sample", folder, "--out", tmp_path / "out")
    assert (code, output) == (2, f"{tmp_path / 'out'} is not empty: name a new folder, or an empty one\n")
    code, output = invoke("sample", folder, "--labels", "cow", "--out", tmp_path / "other")
    assert (code, len(output.splitlines())) == (2, 1)
    assert sorted(tmp_path.rglob("*")) == before


def test_names_of_files_stay_different() -> None:
    names = ("", ".", "..", "a/b", "a%2Fb", "a b", " a", "a\n", "%")
    assert len({file_name(name) for name in names}) == len(names)
    assert all("/" not in file_name(name) and not file_name(name).startswith(".") for name in names)


def test_it_needs_no_project(tmp_path: Path) -> None:
    save(tmp_path / "models")
    code = "import makeweight; print(makeweight.load_sampler('models').sample(['a'] * 3).shape)"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "(3, 8, 8, 1)\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["models"]
