"""Every command, as a person types it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from makeweight.generators import previews, train
from makeweight.runtime.files import read_json
from makeweight.runtime.splits import read_split
from tests.conftest import PROJECT, Invoke, write_params

WALK = (
    ("check",),
    ("prepare",),
    ("train-generator", "--family", "cgan"),
    ("generate", "--family", "cgan"),
    ("train-baseline", "--source", "none", "--transform", "plain"),
    ("train-augmented", "--family", "cgan", "--transform", "plain"),
)
FAMILY_COMMANDS = ("train-generator", "generate")
NARROW = {"controls": ["none"], "transforms": ["plain"], "compare": {"control": "none-plain"}}


def test_all_commands_in_order(workspace: Path, invoke: Invoke) -> None:
    write_params(workspace / "params.yaml", NARROW)
    for arguments in WALK:
        code, output = invoke(*arguments)
        assert code == 0, output
        assert "wrote" in output.splitlines()[-1]
    # Constant as long as no plug-in is another's: else every valid edit of the parameters would stale all stages.
    assert Path(".makeweight/checked").read_text() == "The parameters are in order.\n"
    code, output = invoke("compare")
    assert code == 0, output
    assert "GAN images" in output.splitlines()[0]
    assert "(none-plain, the control)" in output
    assert output.splitlines()[-1] == "wrote comparison.json, metrics.json, three tables and a plot to results"
    for picture in ("results/arms.png", "results/samples/cgan.png"):
        Image.open(workspace / picture).verify()
    code, output = invoke("report")
    assert (code, output) == (0, "wrote report.html and report.md to results\n")
    for card in ("models/cgan/README.md", "data/synthetic/cgan/README.md"):
        text = (workspace / card).read_text(encoding="utf-8")
        assert text.startswith("---\n")
        assert str(workspace) not in text
    code, output = invoke("clean")
    assert "removed 8 finished replicates" in output  # of two generators, two drawings, two arms
    assert not (workspace / ".makeweight" / "cache").exists()


def test_outputs_alone_spare_all_training_and_stay_byte_for_byte(
    workspace: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_params(workspace / "params.yaml", NARROW)
    for arguments in WALK:
        assert invoke(*arguments)[0] == 0
    before = {path: path.read_bytes() for name in ("models", "runs") for path in Path(name).rglob("*.*")}
    shutil.rmtree(".makeweight")
    monkeypatch.setattr(
        "makeweight.runtime.replicates.run_groups", lambda *arguments: pytest.fail("something was trained")
    )
    for arguments in (WALK[2], *WALK[4:]):
        code, output = invoke(*arguments)
        assert code == 0, output
        assert "2 finished replicates taken from " in output
    assert {path: path.read_bytes() for name in ("models", "runs") for path in Path(name).rglob("*.*")} == before


def test_inputs_and_outputs_can_be_named(workspace: Path, invoke: Invoke) -> None:
    params = (workspace / "params.yaml").rename(workspace / "other.yaml")
    assert invoke("prepare", "--params", params, "--out", "elsewhere", "--report", "report")[0] == 0
    code, output = invoke(
        "train-generator", "--family", "cgan", "--params", params, "--train", "elsewhere/train",
        "--validation", "elsewhere/validation", "--out", "fitted",
    )  # fmt: skip
    assert code == 0, output
    code, output = invoke(
        "generate", "--family", "cgan", "--params", params, "--train", "elsewhere/train",
        "--samplers", "fitted/samplers", "--out", "drawn", "--preview", "some.png",
    )  # fmt: skip
    assert code == 0, output
    assert read_split(Path("drawn/replicate_1")).counts.tolist() == [12] * 10
    assert Path("fitted/README.md").exists()
    assert sorted(path.name for path in workspace.iterdir() if not path.name.startswith(".")) == [
        "drawn", "elsewhere", "fitted", "logs", "other.yaml", "report", "some.png"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("mixed", "arguments", "message"),
    [
        (
            "validation",
            WALK[2],
            "data/train and data/validation come from different runs of prepare: run prepare again\n",
        ),
        ("test", WALK[4], "data/train and data/test come from different runs of prepare: run prepare again\n"),
    ],
)
def test_splits_of_different_runs_of_prepare_are_refused(
    mixed: str, arguments: tuple[str, ...], message: str, workspace: Path, invoke: Invoke
) -> None:
    assert invoke("prepare")[0] == 0
    shutil.move(f"data/{mixed}", "kept")
    write_params(workspace / "params.yaml", {"seed": 1})
    assert invoke("prepare")[0] == 0
    shutil.rmtree(f"data/{mixed}")
    shutil.move("kept", f"data/{mixed}")
    assert invoke(*arguments) == (2, message)


def test_clean_removes_nothing_while_a_training_is_at_work(
    workspace: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_params(workspace / "params.yaml", {"generators": ["gaussian"], "compute": {"workers": 1}})
    assert invoke("prepare")[0] == 0
    results = []

    def draw(*arguments: object) -> Figure:  # as the replicates are finished and being copied
        command = [sys.executable, "-m", "makeweight", "clean"]
        results.append(subprocess.run(command, capture_output=True, text=True, check=False))
        return strip(*arguments)  # type: ignore[arg-type]

    strip = previews.strip
    monkeypatch.setattr(train, "strip", draw)
    assert invoke("train-generator", "--family", "gaussian")[0] == 0
    (done,) = results
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "a training is running in another process: wait for that one, or stop it\n"
    assert len(list(Path(".makeweight/cache").iterdir())) == 2
    assert invoke("clean")[0] == 0
    assert not Path(".makeweight/cache").exists()


@pytest.mark.parametrize("stage", ["check", "prepare"])
def test_a_stage_runs_as_a_script(stage: str, workspace: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-P", str(PROJECT / f"stages/{stage}.py")],
        cwd=workspace,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "wrote" in done.stdout


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"data": {"readr": "digits"}},
            "data.readr is not a parameter (did you mean reader?); allowed here: background, ",
        ),
        (
            {"families": {"cgan": {"stepz": 5}}},
            "families.cgan.stepz is not a parameter (did you mean steps?); allowed here: attention, augment, ",
        ),
        ({"families": {"cgan": {"steps": "many"}}}, "families.cgan.steps is 'many'"),
        ({"families": {"cgan": {"augment": ["blur"]}}}, "families.cgan.augment.0 is 'blur'"),
        ({"replicates": 1}, "replicates is 1"),
        ({"generators": []}, "generators is []"),
        ({"transforms": []}, "transforms is []"),
        (
            {"controls": ["nothing"]},
            "controls: 'nothing' is not among the registered controls: deferred, logit_adjusted, none, ",
        ),
        ({"generators": ["cgam"]}, "'cgam' is not among the registered families: autoencoder, cgan"),
        (
            {"transforms": ["classical", "fancy"]},
            "'fancy' is neither a key of recipes nor registered (aug_mix, ",
        ),
        ({"classifier": {"name": "vgg"}}, "'vgg' is not among the registered classifiers: resnet18, small_cnn"),
        ({"data": {"reader": "photos"}}, "'photos' is not among the registered readers: "),
        ({"data": {"path": "here"}}, "data.path must be null: the reader digits does not use it"),
        ({"data": {"reader": "folder"}}, "data.path is null, but the reader folder needs it"),
        ({"data": {"counts": [1] * 10, "imbalance": 2.0}}, "data: counts and imbalance cannot both be given"),
        ({"data": {"reader": "folder", "path": "nowhere"}}, "data.path: nowhere does not exist (current folder: "),
        ({"recipes": {"plain": [1]}}, "recipes.plain is [1], but should be empty: []"),
        ({"classifier": {"name": "vgg"}}, "classifier.name: 'vgg' is not among"),
        ({"recipes": {"classical": [{"Afine": {}}]}}, "Albumentations has no transform named 'Afine'"),
        ({"recipes": {"classical": [{"Affine": {"rotat": 5}}]}}, "rotat"),
        ({"recipes": {"classical": [{"Normalize": {}}]}}, "use transforms that keep size, channels and type"),
        ({"recipes": {"classical": [{"MaskDropout": {"p": 1.0}}]}}, "no mask for instance"),
        ({"compute": {"workers": 0}}, "compute.workers"),
        ({"classifier": {"steps": [5, 3]}}, "steps is [5, 3], but a list of budgets must increase strictly"),
        ({"choice": {"replicates": 0}}, "choice.replicates is 0"),
        ({"unions": ["cgan+nothing"]}, "unions: 'cgan+nothing' names 'nothing', which is not among the generators"),
        (
            {"compare": {"control": "auto", "primary": "cgan-plain_vs_none-plain"}},
            "compare.primary is 'cgan-plain_vs_none-plain', but compare.control is auto",
        ),
        (
            {"compare": {"control": "oversample-fancy"}},
            "compare.control is 'oversample-fancy', which is not a control arm of this study: "
            "set it to one of none-plain, ",
        ),
        (
            {"controls": ["none"], "compare": {"control": "oversample-classical"}},
            "compare.control is 'oversample-classical', which is not a control arm of this study",
        ),
        (
            {"compare": {"primary": "cgan-plain_vs_none-plain"}},
            "compare.primary is 'cgan-plain_vs_none-plain', which is not a tested contrast: set it to one of "
            "cgan-plain_vs_oversample-classical, cgan-classical_vs_oversample-classical, to auto or to null",
        ),
    ],
)
def test_an_error_in_the_parameters_is_one_line_that_names_it(
    change: dict[str, object], message: str, workspace: Path, invoke: Invoke
) -> None:
    write_params(workspace / "params.yaml", change)
    code, output = invoke("check")
    assert code == 2
    assert message in output
    assert len(output.splitlines()) == 1, output
    assert not (workspace / ".makeweight").exists()


@pytest.mark.parametrize("step", [{"RandomCrop": {"height": 9, "width": 9}}, {"RandomRain": {"p": 1.0}}])
def test_a_recipe_that_does_not_suit_the_images_ends_prepare(step: object, workspace: Path, invoke: Invoke) -> None:
    assert invoke("prepare")[0] == 0
    recipes = {"recipes": {"classical": [step]}}
    write_params(workspace / "params.yaml", recipes)
    code, output = invoke("check")  # the prepared images tell their size and channels
    assert (code, len(output.splitlines())) == (2, 1), output
    shutil.rmtree("logs")
    assert invoke("check")[0] == 0
    code, output = invoke("prepare")
    assert code == 2
    assert output.splitlines()[-1].startswith("recipes.classical ")


def photos(folder: Path, counts: dict[str, int]) -> Path:
    rng = np.random.default_rng(0)
    for name, count in counts.items():
        (folder / name).mkdir(parents=True)
        for index in range(count):
            pixels = rng.integers(0, 256, (14, 10, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{index}.png")
    return folder


def test_an_image_folder_is_taken_in_by_its_name_in_the_parameters(workspace: Path, invoke: Invoke) -> None:
    photos(workspace / "photos", {"cat": 20, "dog": 10, "eel": 5})
    write_params(workspace / "params.yaml", {"data": {"reader": "folder", "path": "photos", "imbalance": None}})
    code, output = invoke("prepare")
    assert code == 0, output
    assert output.splitlines()[-1] == "wrote 21 train, 7 validation, 7 test images (10×10 RGB, 3 classes) to data"
    assert "| not square: padded" in output
    assert Path("results/data_report.md").read_text(encoding="utf-8").strip() in output
    assert read_split(Path("data/test")).classes == ("cat", "dog", "eel")


def test_a_path_that_does_not_exist_names_a_similar_one(workspace: Path, invoke: Invoke) -> None:
    (workspace / "photos").mkdir()
    write_params(workspace / "params.yaml", {"data": {"reader": "folder", "path": "photso"}})
    code, output = invoke("check")
    assert (code, len(output.splitlines())) == (2, 1)
    assert output.startswith("data.path: photso does not exist (current folder: ")
    assert output.endswith(" (did you mean photos?)\n")


@pytest.mark.parametrize(
    ("counts", "message"),
    [(None, "data.path: there is no folder photos"), ({"cat": 9, "dog": 2}, "class 'dog' has 2 images, too few")],
)
def test_images_that_cannot_be_used_leave_the_earlier_ones(
    counts: dict[str, int] | None, message: str, workspace: Path, invoke: Invoke
) -> None:
    assert invoke("prepare")[0] == 0
    before = {path: path.read_bytes() for path in sorted(Path("data").rglob("*.*"))}
    if counts:
        photos(workspace / "photos", counts)
    write_params(workspace / "params.yaml", {"data": {"reader": "folder", "path": "photos", "imbalance": None}})
    code, output = invoke("prepare")
    assert code == 2
    assert message in output.splitlines()[-1]
    assert output.count(message) == 1
    assert bool(counts) == ("# Data report: folder, photos" in output)
    assert message in Path("results/data_report.md").read_text(encoding="utf-8")
    assert {path: path.read_bytes() for path in sorted(Path("data").rglob("*.*"))} == before


def test_a_refusal_is_short_however_much_is_wrong(workspace: Path, invoke: Invoke) -> None:
    photos(workspace / "photos", {f"class {index}": 1 for index in range(200)})
    write_params(workspace / "params.yaml", {"data": {"reader": "folder", "path": "photos"}})
    code, output = invoke("prepare")
    assert code == 2
    assert output.splitlines()[-1] == "… and 190 more: results/data_report.md lists them all"
    assert len(output) < 4000
    assert "class 199" in Path("results/data_report.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "command", [name for name, *_ in WALK] + ["choose", "train-union", "train-auto", "compare", "report", "clean"]
)
def test_every_command_has_the_option_debug(command: str, invoke: Invoke) -> None:
    code, output = invoke(command, "--help")
    assert code == 0
    assert "--debug" in output
    assert "MAKEWEIGHT_DEBUG" in output


def test_debug_shows_the_traceback_above_the_line(
    workspace: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, line = invoke("compare")
    assert (code, len(line.splitlines())) == (2, 1)
    code, output = invoke("compare", "--debug")
    assert code == 2
    assert output.startswith("Traceback (most recent call last):")
    assert "comparison/compare.py" in output
    assert output.endswith("\n" + line)
    monkeypatch.setenv("MAKEWEIGHT_DEBUG", "1")
    assert invoke("compare") == (code, output)


def test_generating_before_training_says_so(workspace: Path, invoke: Invoke) -> None:
    assert invoke("prepare")[0] == 0
    code, output = invoke("generate", "--family", "cgan")
    assert code == 2
    assert output.strip() == (
        "models/cgan/samplers holds no generator of replicate 0: run train-generator --family cgan"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("train-generator", "--family", "cgan"), "data/train holds no images"),
        (("generate", "--family", "cgan"), "data/train holds no images"),
        (("compare",), "none-plain/scores.csv is missing"),
        (("choose",), "data/train holds no images"),
        (("train-union", "--union", "cgan+cvae", "--transform", "plain"), "data/synthetic/cgan/replicate_0"),
        (("prepare", "--params", "nowhere.yaml"), "nowhere.yaml cannot be read"),
        (("train-augmented", "--family", "smote", "--transform", "plain"), "data/synthetic/smote/replicate_0"),
    ],
)
def test_a_missing_input_is_one_line_that_says_what_to_do(
    arguments: tuple[str, ...], message: str, workspace: Path, invoke: Invoke
) -> None:
    code, output = invoke(*arguments)
    assert code == 2
    assert message in output
    assert len(output.splitlines()) == 1


CHOSEN: dict[str, object] = {
    "controls": ["none", "oversample"], "generators": ["gaussian", "smote"], "unions": ["gaussian+smote"],
    "transforms": ["plain"], "classifier": {"steps": [4, 8]}, "compare": {"control": "auto"},
}  # fmt: skip


@pytest.mark.parametrize("command", ["train-baseline", "compare", "report"])
def test_what_depends_on_choices_says_that_they_are_missing(command: str, workspace: Path, invoke: Invoke) -> None:
    write_params(workspace / "params.yaml", CHOSEN)
    options = ("--source", "none", "--transform", "plain") if command == "train-baseline" else ()
    code, output = invoke(command, *options)
    assert (code, output) == (2, "results/choices.json is missing: run choose first\n")


def test_budgets_and_control_are_chosen_and_a_union_is_compared(workspace: Path, invoke: Invoke) -> None:
    write_params(workspace / "params.yaml", CHOSEN)
    families = [(command, "--family", name) for name in ("gaussian", "smote") for command in FAMILY_COMMANDS]
    controls = [("train-baseline", "--source", name, "--transform", "plain") for name in ("none", "oversample")]
    arms = [("train-augmented", "--family", name, "--transform", "plain") for name in ("gaussian", "smote")]
    union = ("train-union", "--union", "gaussian+smote", "--transform", "plain")
    outputs = []
    for arguments in (("prepare",), ("choose",), *families, *controls, *arms, union, ("compare",), ("report",)):
        code, output = invoke(*arguments)
        assert code == 0, output
        outputs.append(output)
    choices = read_json(Path("results/choices.json"))
    assert outputs[1].splitlines()[-2:] == [f"control: {choices['control']}", "wrote results/choices.json"]
    for arm, steps in choices["steps"].items():
        for table in ("scores.csv", "history.csv"):
            assert set(pd.read_csv(Path("runs", arm, table))["steps"]) == {steps}
    said = " ".join(outputs[-2].split())
    assert f"The control, {choices['control']}, was chosen among 2 arms without synthetic images on validation" in said
    assert "gaussian+smote-plain: " in said
    html = Path("results/report.html").read_text(encoding="utf-8")
    assert "gaussian+smote-plain: " in html
    assert "← chosen" in html
