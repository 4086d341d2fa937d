"""A project that `makeweight init` writes, and its upgrade."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from makeweight.core.parameters import read_parameters
from makeweight.project.additions import DEPS
from makeweight.project.rendering import CODE, DVC_YAML, PARAMS, render_pipeline, template
from tests.conftest import PROJECT, Invoke

DVC = f"{sys.prefix}/bin/dvc"


def load(text: str) -> dict[str, Any]:
    values: dict[str, Any] = YAML(typ="safe", pure=True).load(text)
    return values


def run(*command: str, folder: Path | None = None) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that DVC takes for a repository; DVC itself would need a second to make it."""
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# ── One template ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("images", [None, "../my photos", "../a ${b} #c"])
def test_commands_and_code_are_all_that_differs_from_the_repositorys_own_pipeline(images: str | None) -> None:
    text = (PROJECT / DVC_YAML).read_text(encoding="utf-8")
    assert template(DVC_YAML) == text
    own, rendered = load(text), load(render_pipeline(text, images))
    assert own.keys() == rendered.keys()
    assert list(own["stages"]) == list(rendered["stages"])
    expected = [] if images is None else [images.replace("${", r"\${")]
    for name, stage in own["stages"].items():
        other = rendered["stages"][name]
        assert {key: value for key, value in other.items() if key not in ("cmd", "deps")} == {
            key: value for key, value in stage.items() if key not in ("cmd", "deps")
        }
        arguments = stage["cmd"].removeprefix(rf'"\${{MAKEWEIGHT_PYTHON:-.venv/bin/python}}" -P stages/{name}.py')
        command = name.replace("_", "-")
        assert other["cmd"] == rf'"\${{MAKEWEIGHT_PYTHON:-python}}" -m makeweight {command}{arguments}'
        added = expected if name in ("check", "prepare") else []
        kept = [dep for dep in stage["deps"] if not dep.startswith(CODE)]
        assert sorted(other["deps"]) == sorted([*kept, *added])
    assert not re.search("pipeline/|stages/|[.]venv", render_pipeline(text, images))


def test_the_templates_are_the_repositorys_own_files() -> None:
    for name in (DVC_YAML, PARAMS):
        assert template(name) == (PROJECT / name).read_text(encoding="utf-8")
    ignored = (PROJECT / ".dvcignore").read_text(encoding="utf-8").splitlines()
    assert "/pipeline/makeweight/project/templates/" in ignored  # DVC would take it for a second project
    rules = template("gitignore").splitlines()
    assert {*rules} - {"/downloads/"} <= {*(PROJECT / ".gitignore").read_text(encoding="utf-8").splitlines()}


# ── Writing ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_it_writes_a_project_and_prints_the_next_two_commands(repository: Path, invoke: Invoke) -> None:
    code, output = invoke("init")
    assert code == 0, output
    assert sorted(path.name for path in (repository / "augment").iterdir()) == [".gitignore", DVC_YAML, PARAMS]
    assert output.splitlines()[0] == "wrote dvc.yaml, params.yaml, .gitignore to augment"
    assert "cd augment && makeweight check" in output
    assert "dvc repro augment/dvc.yaml" in output
    assert "export MAKEWEIGHT_PYTHON=" in output
    parameters = read_parameters(repository / "augment" / PARAMS)
    own = read_parameters(PROJECT / PARAMS)
    assert parameters == own.model_copy(update={"makeweight": version("makeweight")})
    comments = (line for line in (PROJECT / PARAMS).read_text().splitlines() if line.startswith("#"))
    assert all(line in (repository / "augment" / PARAMS).read_text() for line in comments)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--data", "my photos"), {"reader": "folder", "path": "../my photos"}),
        (("--data", "lists/a.csv"), {"reader": "csv", "path": "../lists/a.csv"}),
        (("--data", "a.npz"), {"reader": "arrays", "path": "../a.npz"}),
        (("--data", "arrays"), {"reader": "arrays", "path": "../arrays"}),
        (("--preset", "folder", "--data", "arrays"), {"reader": "folder", "path": "../arrays"}),
        (("--preset", "digits"), {"reader": "digits", "path": None}),
        (("--preset", "mnist"), {"reader": "mnist", "path": "downloads", "download": True}),
        (("--preset", "cifar10", "--data", "c"), {"reader": "cifar10", "path": "../c", "download": True}),
    ],
)
def test_reader_path_and_dependency_are_filled_in(
    arguments: tuple[str, ...], expected: dict[str, object], repository: Path, invoke: Invoke
) -> None:
    (repository / "arrays").mkdir()
    (repository / "arrays/images.npy").touch()
    code, output = invoke("init", *arguments)
    assert code == 0, output
    data = read_parameters(repository / "augment" / PARAMS).data.model_dump()
    assert {key: data[key] for key in expected} == expected
    stages = load((repository / "augment" / DVC_YAML).read_text())["stages"]
    depends = expected["path"] is not None and not expected.get("download")
    for stage in ("check", "prepare"):
        assert (expected["path"] in stages[stage]["deps"]) == depends
    assert str(repository) not in (repository / "augment" / DVC_YAML).read_text()
    assert ("does not exist yet" in output) == ("--data" in arguments and "arrays" not in arguments)


@pytest.mark.parametrize("name", [DVC_YAML, PARAMS])
def test_no_file_is_overwritten(name: str, repository: Path, invoke: Invoke) -> None:
    (repository / "augment").mkdir()
    (repository / "augment" / name).write_text("mine")
    before = tree(repository)
    code, output = invoke("init")
    assert (code, len(output.splitlines())) == (2, 1)
    assert output.startswith(f"augment holds {name}: nothing was written")
    assert tree(repository) == before


def test_a_gitignore_that_is_there_stays(repository: Path, invoke: Invoke) -> None:
    (repository / ".gitignore").write_text("mine\n")
    code, output = invoke("init", ".")
    assert code == 0, output
    assert (repository / ".gitignore").read_text() == "mine\n"
    assert output.splitlines()[0] == "wrote dvc.yaml, params.yaml to ."
    assert ".gitignore exists and was not changed: add /.makeweight/ and /logs/ to it" in output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--preset", "digits", "--data", "photos"), "--preset digits has images of its own"),
        (("--preset", "folder"), "--preset folder needs the images: add --data PATH"),
        (("--data", "."), ". holds augment, and DVC refuses a stage whose results lie in its dependency"),
        (("--upgrade", "--data", "photos"), "--upgrade takes no other option than the folder"),
        (("--upgrade",), "augment/params.yaml cannot be read"),
        (("a file",), "a file is a file: name a folder"),
    ],
)
def test_wrong_options_are_one_line_and_nothing_is_written(
    arguments: tuple[str, ...], message: str, repository: Path, invoke: Invoke
) -> None:
    (repository / "a file").touch()
    before = tree(repository)
    code, output = invoke("init", *arguments)
    assert (code, len(output.splitlines())) == (2, 1)
    assert output.startswith(message)
    assert tree(repository) == before


def test_a_folder_beside_the_current_one_is_in_no_repository_of_it(
    repository: Path, invoke: Invoke, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = tmp_path_factory.mktemp("outside")
    (outside / "here/.dvc").mkdir(parents=True)
    monkeypatch.chdir(outside / "here")
    code, output = invoke("init", "../beside")
    assert (code, len(output.splitlines())) == (2, 1)
    assert "../beside is not in a DVC repository" in output


def test_an_interpreter_in_a_folder_with_spaces_is_quoted(
    repository: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/my env/bin/python")
    _, output = invoke("init")
    assert output.splitlines()[-1] == "    export MAKEWEIGHT_PYTHON='/my env/bin/python'"


def test_a_stage_runs_with_an_interpreter_in_a_folder_with_spaces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(DVC, "init", "-q", "--no-scm", folder=tmp_path)
    check = load(render_pipeline(template(DVC_YAML), None))["stages"]["check"]
    YAML().dump({"stages": {"check": {"cmd": check["cmd"], "outs": ["arguments"]}}}, tmp_path / DVC_YAML)
    interpreter = tmp_path / "my env" / "python"
    interpreter.parent.mkdir()
    interpreter.write_text('#!/bin/sh\necho "$@" > arguments\n')
    interpreter.chmod(0o755)
    monkeypatch.setenv("MAKEWEIGHT_PYTHON", str(interpreter))
    run(DVC, "repro", "-q", folder=tmp_path)
    assert (tmp_path / "arguments").read_text() == "-m makeweight check\n"
    assert "my env" not in (tmp_path / "dvc.lock").read_text()


# ── Repositories ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_outside_a_repository_it_offers_to_make_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, invoke: Invoke
) -> None:
    monkeypatch.chdir(tmp_path)
    code, output = invoke("init", "my study")
    assert (code, len(output.splitlines())) == (2, 1)
    assert "my study is not in a DVC repository: add --git to create one here" in output
    assert list(tmp_path.iterdir()) == []
    code, output = invoke("init", "my study", "--git")
    assert code == 0, output
    assert "dvc repro 'my study/dvc.yaml'" in output
    assert "prepare" in run(DVC, "stage", "list", "my study/dvc.yaml", folder=tmp_path)


@pytest.mark.parametrize("kind", ["subdir", "no-scm", "worktree"])
def test_dvc_reads_the_project_in_repositories_of_every_kind(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, invoke: Invoke
) -> None:
    root = tmp_path / "the root"
    root.mkdir()
    if kind == "no-scm":
        run(DVC, "init", "-q", "--no-scm", folder=root)
    else:
        run("git", "init", "-q", folder=root)
        inner = root / "inner" if kind == "subdir" else root
        inner.mkdir(exist_ok=True)
        run(DVC, "init", "-q", *(["--subdir"] if kind == "subdir" else []), folder=inner)
        if kind == "worktree":
            run("git", "-c", "user.name=T", "-c", "user.email=t@example.org", "commit", "-qm", "start", folder=root)
            run("git", "worktree", "add", "-q", str(tmp_path / "tree"), folder=root)
            inner = tmp_path / "tree"
        root = inner
    monkeypatch.chdir(root)
    (root / "photos").mkdir()
    code, output = invoke("init", "--data", "photos")
    assert code == 0, output
    status = run(DVC, "status", "augment/dvc.yaml:check", folder=root)
    assert "changed deps" in status
    assert "photos" in status


def test_a_repository_is_made_in_the_current_folder_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, invoke: Invoke
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    code, output = invoke("init", "../beside", "--git")
    assert (code, len(output.splitlines())) == (2, 1)
    assert "../beside is outside the repository created in " in output
    assert not (tmp_path / "beside").exists()


def test_a_folder_that_git_ignores_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, invoke: Invoke) -> None:
    run("git", "init", "-q", folder=tmp_path)
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".gitignore").write_text("augment\n")
    monkeypatch.chdir(tmp_path)
    code, output = invoke("init")
    assert (code, output) == (
        2, "Git ignores augment/dvc.yaml, so DVC refuses it: change .gitignore first\n"
    )  # fmt: skip
    assert not (tmp_path / "augment").exists()


def test_a_stage_of_the_parent_repository_feeds_it_and_uses_its_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, invoke: Invoke
) -> None:
    run(DVC, "init", "-q", "--no-scm", folder=tmp_path)
    (tmp_path / DVC_YAML).write_text(
        "stages:\n"
        "  scan:\n    cmd: mkdir photos\n    outs: [photos]\n"
        "  use:\n    cmd: cat augment/results/metrics.json\n    deps: [augment/results/metrics.json]\n"
    )
    monkeypatch.chdir(tmp_path)
    assert invoke("init", "--data", "photos")[0] == 0
    graph = run(DVC, "dag", "--dot", folder=tmp_path)
    for before, after in (("scan", "augment/dvc.yaml:check"), ("augment/dvc.yaml:compare", "use")):
        assert f'"{before}" -> "{after}"' in graph


# ── Versions ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def written_for(project: Path, other: str) -> None:
    path = project / PARAMS
    path.write_text(path.read_text().replace(f"makeweight: {version('makeweight')}", f"makeweight: {other}"))


def test_every_command_refuses_the_parameters_of_another_version(
    repository: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert invoke("init")[0] == 0
    monkeypatch.chdir(repository / "augment")
    assert invoke("check")[0] == 0
    assert f"makeweight {version('makeweight')}\n" in Path(".makeweight/checked").read_text()
    written_for(repository / "augment", "0.1.9")
    for arguments in (
        ("check",), ("prepare",), ("train-generator", "--family", "cgan"), ("generate", "--family", "cgan"),
        ("train-baseline", "--source", "none", "--transform", "plain"), ("compare",), ("report",),
    ):  # fmt: skip
        code, output = invoke(*arguments)
        assert (code, len(output.splitlines())) == (2, 1)
        assert f"params.yaml is for makeweight 0.1.9, and {version('makeweight')} is installed" in output
        assert "makeweight init --upgrade" in output


def test_an_upgrade_keeps_edits_and_says_what_is_new(
    repository: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert invoke("init", "--data", "photos")[0] == 0
    project = repository / "augment"
    written = (project / PARAMS).read_text()
    pipeline = (project / DVC_YAML).read_text()
    edited = re.sub(r"replicates: 5 .*", "replicates: 7  # mine", written)
    edited = edited.replace("preset: null ", "preset: classic ")
    (project / PARAMS).write_text(edited)
    older = re.sub(r"\n  bands: .*", "", edited)
    older = re.sub(r"\n    beta: .*", "", older)  # of the family cvae
    older = re.sub(r"\n  smote: .*\n.*", "", older)
    older = re.sub(r"(cgan:[\s\S]*?)\n    steps: .*", r"\1", older, count=1)  # which its preset fills in
    (project / PARAMS).write_text(older)
    written_for(project, "0.1.9")
    (project / DVC_YAML).write_text("stages: {}  # gone\n")
    monkeypatch.chdir(project)
    code, output = invoke("init", "--upgrade")
    assert code == 0, output
    assert output.splitlines()[0] == "new in params.yaml: data.bands, families.cvae.beta, families.smote"
    assert "from 0.1.9 to" in output
    expected = re.sub(r"(cgan:[\s\S]*?)\n    steps: .*", r"\1", edited, count=1)
    assert (project / PARAMS).read_text() == expected
    assert (project / DVC_YAML).read_text() == pipeline
    assert sorted(path.name for path in project.iterdir()) == [".gitignore", DVC_YAML, f"{DVC_YAML}.bak", PARAMS]
    assert (project / f"{DVC_YAML}.bak").read_text() == "stages: {}  # gone\n"


OWN_STAGE = """\
  # Mine, for the boss
  deploy-it:
    cmd: cp results/report.html /srv  # everywhere
    deps: [results/report.html]

    frozen: true
"""
OWN_SECTION = "# of mine\nplots:\n  - results/arms.csv:\n      x: arm\n"


def test_an_upgrade_keeps_stages_and_dependencies_of_the_user_and_the_line_ends(
    repository: Path, invoke: Invoke
) -> None:
    assert invoke("init", "--data", "photos")[0] == 0
    project = repository / "augment"
    original = (project / DVC_YAML).read_text()
    edited = original.replace("      - params.yaml\n", "      - ../my_package\n      - params.yaml\n", 1)
    edited = re.sub(r"(  report:\n.*\n.*\n    deps: \[)", r"\1../logo.png, ", edited)
    edited = edited.replace("results/choices.json, runs", '"../a, b", results/choices.json, runs', 1)
    edited = edited.replace("  prepare:\n", f"{OWN_STAGE}\n  prepare:\n", 1) + OWN_SECTION
    edited = edited.replace("  check:\n", "  # about check\n  check:\n    always_changed: true\n", 1)
    (project / DVC_YAML).write_text(edited, newline="\r\n")
    written_for(project, "0.1.9")
    (project / PARAMS).write_text((project / PARAMS).read_text(), newline="\r\n")
    code, output = invoke("init", "--upgrade")
    assert code == 0, output
    assert output.splitlines()[1:3] == [
        "kept in augment/dvc.yaml: stages deploy-it; sections plots; dependencies ../my_package of check; "
        "dependencies ../a, b of compare; dependencies ../logo.png of report",
        "augment/dvc.yaml was rewritten; the previous file, with any other edits of yours, is kept as dvc.yaml.bak",
    ]
    assert (project / "dvc.yaml.bak").read_text() == edited
    content = (project / DVC_YAML).read_bytes()
    assert content.count(b"\r\n") == content.count(b"\n")
    assert b"\r\n" in (project / PARAMS).read_bytes()
    text = (project / DVC_YAML).read_text()
    assert text.endswith(f"\n{OWN_STAGE}\n{OWN_SECTION}")
    before, after = load(original)["stages"], load(text)["stages"]
    assert list(after) == [*before, "deploy-it"]
    own = {"check": ["../my_package"], "report": ["../logo.png"], "compare": ["../a, b"]}
    for name, stage in before.items():
        assert after[name] == {**stage, DEPS: [*own.get(name, []), *stage[DEPS]]}
    code, output = invoke("init", "--upgrade")
    assert output.splitlines()[1] == "augment/dvc.yaml is unchanged"
    assert (project / DVC_YAML).read_bytes() == content
    assert (project / "dvc.yaml.bak").read_text() == edited


@pytest.mark.parametrize(
    ("text", "message"),
    [("stages: {a: {cmd: b}}\n", "has stages in flow style"), ("stages: [\n", "is not valid YAML")],
)
def test_an_upgrade_of_a_pipeline_that_cannot_be_read_changes_nothing(
    text: str, message: str, repository: Path, invoke: Invoke
) -> None:
    assert invoke("init")[0] == 0
    (repository / "augment" / DVC_YAML).write_text(text)
    before = tree(repository)
    code, output = invoke("init", "--upgrade")
    assert (code, len(output.splitlines())) == (2, 1)
    assert f"augment/dvc.yaml {message}" in output
    assert tree(repository) == before


@pytest.mark.parametrize("former", ["makeweight: null", "# a version without this key"])
def test_a_checkout_is_not_upgraded(former: str, repository: Path, invoke: Invoke) -> None:
    (repository / PARAMS).write_text((PROJECT / PARAMS).read_text().replace("makeweight: null", former))
    (repository / DVC_YAML).write_text((PROJECT / DVC_YAML).read_text())
    before = tree(repository)
    code, output = invoke("init", "--upgrade")
    assert (code, output) == (2, "params.yaml belongs to a checkout of Makeweight: upgrade it with `git pull`\n")
    assert tree(repository) == before


def test_an_upgrade_that_cannot_add_a_key_changes_nothing(repository: Path, invoke: Invoke) -> None:
    assert invoke("init")[0] == 0
    path = repository / "augment" / PARAMS
    text = path.read_text()
    start, end = text.index("monitor:\n"), text.index("# ── Synthetic images")
    path.write_text(text[:start] + "monitor: {on_divergence: stop}\n\n" + text[end:])
    before = tree(repository)
    code, output = invoke("init", "--upgrade")
    assert (code, len(output.splitlines())) == (2, 1)
    assert "augment/params.yaml is not in block style at monitor: add its new keys by hand" in output
    assert tree(repository) == before
