"""The classifier of an arm to take home."""

from __future__ import annotations

import re
import shutil
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import makeweight
from makeweight.classification.train import train_classifiers
from makeweight.runtime.files import read_arrays, read_json, write_csv
from tests.classification.test_train import TEST, training
from tests.conftest import Invoke
from tests.support.machine import COMPUTE

ARM = "none-plain"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An arm of two replicates, of which the second one is better on validation images."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        table = train_classifiers(training(), Path("runs", ARM), stage="train-baseline", replicates=2, compute=COMPUTE)
    better = (table["replicate"] == 1) & (table["split"] == "validation")
    table["value"] = np.where(better, 0.9, np.where(table["split"] == "validation", 0.8, 0.5))
    write_csv(folder / "runs" / ARM / "scores.csv", table)
    return folder / "runs"


@pytest.fixture
def runs(trained: Path, workspace: Path) -> Path:
    return Path(shutil.copytree(trained, workspace / "runs"))


def test_the_best_on_validation_images_predicts_as_it_did_in_the_study(runs: Path, invoke: Invoke) -> None:
    code, output = invoke("export-classifier", "--arm", ARM, "--out", "taken")
    assert code == 0, output
    assert output.splitlines()[-1] == (
        "wrote the classifier to taken: replicate 1 of none-plain, balanced accuracy on validation images: 90.0%"
    )
    classifier = makeweight.load_classifier("taken")
    recorded = read_arrays(runs / ARM / "replicates/replicate_1/test.npz")["probabilities"]
    np.testing.assert_allclose(classifier.predict_proba(TEST.images), recorded, atol=1e-5)
    assert classifier.predict(TEST.images[:2]) == ["left", "right"]
    facts = read_json(Path("taken/classifier.json"))
    assert (facts["classes"], facts["size"], facts["channels"]) == (["left", "right"], 8, 1)
    normalised = (TEST.images[:1] - facts["normalisation"]["mean"]) / facts["normalisation"]["standard_deviation"]
    assert normalised.min() >= -1
    assert normalised.max() <= 1
    assert [
        path.suffix for path in Path("taken").iterdir() if path.suffix not in (".json", ".safetensors", ".md", ".onnx")
    ] == []


def test_four_lines_in_the_readme_load_it(runs: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    assert invoke("export-classifier", "--arm", ARM, "--out", "taken")[0] == 0
    code = re.search(r"```python\n(.*?)```", Path("taken/README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert code
    assert len(code[1].splitlines()) == 4
    monkeypatch.chdir("taken")
    names: dict[str, object] = {"images": TEST.images}
    exec(code[1], names)
    assert names["names"] == makeweight.load_classifier(".").predict(TEST.images)


@pytest.mark.skipif(find_spec("onnxscript") is not None, reason="ONNX can be written")
def test_what_onnx_would_need_is_one_line(runs: Path, invoke: Invoke) -> None:
    _, output = invoke("export-classifier", "--arm", ARM, "--out", "taken")
    first, *others = output.splitlines()
    assert first.startswith("classifier.onnx was not written: torch.onnx needs ")
    assert "onnxscript" in first
    assert len(others) == 1


@pytest.mark.skipif(find_spec("onnxscript") is None, reason="needs onnxscript")
@pytest.mark.filterwarnings("ignore")
def test_onnx_gives_the_same_logits(runs: Path, invoke: Invoke) -> None:
    reference = pytest.importorskip("onnx.reference")
    _, output = invoke("export-classifier", "--arm", ARM, "--out", "taken")
    assert len(output.splitlines()) == 1, output
    images = (TEST.images.transpose(0, 3, 1, 2) / 127.5 - 1).astype(np.float32)
    (logits,) = reference.ReferenceEvaluator("taken/classifier.onnx").run(None, {"images": images})
    probabilities = makeweight.load_classifier("taken").predict_proba(TEST.images)
    exponentials = np.exp(logits - logits.max(1, keepdims=True))
    np.testing.assert_allclose(exponentials / exponentials.sum(1, keepdims=True), probabilities, atol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--arm", "cgan-plain", "--out", "new"), "runs holds no arm 'cgan-plain': one of none-plain"),
        (("--arm", "cgan-plain", "--out", "new", "--runs", "nowhere"), "nowhere holds no arm 'cgan-plain': run dvc "),
        (("--arm", ARM, "--out", "runs"), "runs is not empty: name a new folder, or an empty one"),
    ],
)
def test_a_refused_export_touches_nothing(arguments: tuple[str, ...], message: str, runs: Path, invoke: Invoke) -> None:
    before = sorted(Path().rglob("*"))
    code, output = invoke("export-classifier", *arguments)
    assert (code, len(output.splitlines())) == (2, 1)
    assert output.startswith(message)
    assert sorted(Path().rglob("*")) == before


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("classifier.safetensors", None, "runs/none-plain holds no weights, which earlier versions did not keep: "),
        (
            "classifier.safetensors",
            "",
            "runs/none-plain/replicates/replicate_1/classifier.safetensors cannot be loaded",
        ),
        ("classifier.json", None, "runs/none-plain/replicates/replicate_1 holds no classifier (classifier.json is "),
        ("classifier.json", "{}", "runs/none-plain/replicates/replicate_1/classifier.json is damaged"),
    ],
)
def test_weights_that_cannot_be_used_are_one_line(
    name: str, content: str | None, message: str, runs: Path, invoke: Invoke
) -> None:
    path = runs / ARM / "replicates/replicate_1" / name
    path.unlink()
    if content is not None:
        path.write_text(content)
    code, output = invoke("export-classifier", "--arm", ARM, "--out", "taken")
    assert (code, len(output.splitlines())) == (2, 1)
    assert output.startswith(message)
    assert not Path("taken").exists()


def test_images_of_another_shape_are_refused(runs: Path, invoke: Invoke) -> None:
    classifier = makeweight.load_classifier(runs / ARM / "replicates/replicate_0")
    with pytest.raises(
        makeweight.BadInput, match=r"images are float64 \(2, 8, 8, 1\), but should be uint8 \(n, 8, 8, 1\)"
    ):
        classifier.predict_proba(np.zeros((2, 8, 8, 1)))  # type: ignore[arg-type]
    assert classifier.predict_proba(TEST.images[:0]).shape == (0, 2)
