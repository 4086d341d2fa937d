"""An installation: one package, whose public names are imported lazily, and which needs nothing of the repository."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest
from PIL import Image

import makeweight
from tests.conftest import PROJECT, merge, write_params

GENERATED = {"generators": ["gaussian"], "controls": ["none"], "transforms": ["plain"], "compute": {"workers": 1}}


def run(*command: str | Path, folder: Path, **environment: str) -> str:
    done = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_importing_it_imports_no_other_library(tmp_path: Path) -> None:
    code = (
        "import sys; before = set(sys.modules); import makeweight\n"
        "new = {name.split('.')[0] for name in set(sys.modules) - before}\n"
        "print(sorted(new - set(sys.stdlib_module_names)))"
    )
    assert run(sys.executable, "-c", code, folder=tmp_path) == "['makeweight']\n"


@pytest.mark.parametrize("name", makeweight.__all__)
def test_every_public_name_can_be_imported(name: str) -> None:
    assert getattr(makeweight, name).__name__ == name
    assert name in dir(makeweight)


def test_other_names_are_none_of_its() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = makeweight.nothing


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The source distribution, and the wheel that is built from it, as `python -m build` makes them."""
    pytest.importorskip("setuptools", minversion="77")
    folder = tmp_path_factory.mktemp("build")
    copy, unpacked = folder / "copy", folder / "unpacked"
    names = ["pipeline", "tests", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE", "CHANGELOG.md"]
    names += ["dvc.yaml", "params.yaml"]
    for name in run("git", "ls-files", "-co", "--exclude-standard", *names, folder=PROJECT).splitlines():
        if (PROJECT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            if (PROJECT / name).is_symlink():
                (copy / name).symlink_to((PROJECT / name).readlink())
            else:
                (copy / name).write_bytes((PROJECT / name).read_bytes())
    build = "import sys, setuptools.build_meta as build; print(getattr(build, sys.argv[1])(sys.argv[2]))"
    run(sys.executable, "-c", build, "build_sdist", folder, folder=copy)
    (sdist,) = folder.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(unpacked, filter="data")
    (source,) = unpacked.iterdir()
    run(sys.executable, "-c", build, "build_wheel", folder, folder=source)
    (wheel,) = folder.glob("*.whl")
    return sdist, wheel


def test_a_wheel_holds_nothing_but_makeweight(distributions: tuple[Path, Path]) -> None:
    sdist, wheel = distributions
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names} == {"makeweight", f"makeweight-{version('makeweight')}.dist-info"}
    modules = {str(path.relative_to(PROJECT / "pipeline")) for path in (PROJECT / "pipeline").rglob("*.py")}
    assert modules <= set(names)
    assert {"makeweight/py.typed", "makeweight/reporting/templates/report.html"} <= set(names)
    for name in ("dvc.yaml", "params.yaml"):  # links in the repository
        content = zipfile.ZipFile(wheel).read(f"makeweight/project/templates/{name}")
        assert content == (PROJECT / name).read_bytes()
    with tarfile.open(sdist) as archive:
        assert all(member.isfile() or member.isdir() for member in archive)
        assert not any("/tests/" in name for name in archive.getnames())


def test_an_installed_wheel_runs_a_project_whose_outputs_others_can_use(
    distributions: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site, root = tmp_path / "site", tmp_path / "a study"
    root.mkdir()
    pip = ("-m", "pip", "install", "-q", "--no-index", "--no-deps", "--no-compile", "--target")
    run(sys.executable, *pip, site, distributions[1], folder=tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(site))
    monkeypatch.setenv("MAKEWEIGHT_PYTHON", sys.executable)
    dvc = (sys.executable, "-m", "dvc")
    where = run(sys.executable, "-c", "import makeweight; print(makeweight.__file__)", folder=root)
    assert where.startswith(str(site))

    assert "dvc repro augment/dvc.yaml" in run(sys.executable, "-m", "makeweight", "init", "--git", folder=root)
    write_params(root / "augment/params.yaml", merge(GENERATED, {"makeweight": version("makeweight")}))
    run(*dvc, "repro", "-q", "augment/dvc.yaml", folder=root)
    assert (root / "augment/results/report.html").exists()
    lock = (root / "augment/dvc.lock").read_text()
    assert """cmd: '"${MAKEWEIGHT_PYTHON:-python}" -m makeweight prepare""" in lock
    assert str(tmp_path) not in lock
    assert sys.executable not in lock

    run(*dvc, "remote", "add", "-q", "--default", "storage", str(tmp_path / "storage"), folder=root)
    run(*dvc, "push", "-q", folder=root)
    run("git", "add", "-A", folder=root)
    run("git", "-c", "user.name=T", "-c", "user.email=t@example.org", "commit", "-qm", "study", folder=root)
    consumer = tmp_path / "consumer"
    consumer.mkdir()
    run(*dvc, "init", "-q", "--no-scm", folder=consumer)
    run(*dvc, "get", "-q", root, "augment/models/gaussian", folder=consumer)
    run(*dvc, "import", "-q", root, "augment/data/synthetic/gaussian", "-o", "synthetic", folder=consumer)
    sample = ("-m", "makeweight", "sample", "gaussian", "--labels", "3,8", "--count", "4", "--out", "some.png")
    run(sys.executable, *sample, folder=consumer)
    with Image.open(consumer / "some.png") as picture:
        assert picture.info["synthetic"] == "true"
    assert (consumer / "synthetic/replicate_1/images.npy").exists()
    assert (consumer / "synthetic.dvc").exists()
