"""Trainings that are killed, through the commands themselves."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import PROJECT, write_params

COMMAND = [sys.executable, "-m", "makeweight", "train-generator", "--family", "cgan"]
LONG = {"families": {"cgan": {"steps": 400}}, "compute": {"checkpoint_seconds": 0.01}}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the splits of the default images."""
    path = tmp_path_factory.mktemp("prepared")
    write_params(path / "params.yaml", LONG)
    subprocess.run([sys.executable, "-m", "makeweight", "prepare"], cwd=path, check=True, capture_output=True)
    return path


def folder(path: Path, prepared: Path, *changes: dict[str, Any]) -> Path:
    """A folder with the prepared splits and a small configuration."""
    shutil.copytree(prepared / "data", path / "data")
    write_params(path / "params.yaml", LONG, *changes)
    return path


def start(path: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(COMMAND, cwd=path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(path: Path) -> str:
    """Run it to its end; return its output."""
    process = start(path)
    output, errors = process.communicate()
    assert process.returncode == 0, errors
    return output + errors


def wait_for_a_checkpoint(path: Path) -> None:
    for _ in range(600):
        if list((path / ".makeweight/checkpoints").glob("*/*/0")):
            return
        time.sleep(0.1)
    raise AssertionError("no checkpoint was written")


def digests(path: Path) -> dict[str, str]:
    models = path / "models"
    files = (file for file in sorted(models.rglob("*")) if file.is_file())
    return {str(file.relative_to(models)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory, prepared: Path) -> dict[str, str]:
    path = folder(tmp_path_factory.mktemp("whole") / "project", prepared)
    finish(path)
    return digests(path)


def test_one_that_is_killed_at_any_moment_goes_on_bit_for_bit(
    tmp_path: Path, prepared: Path, uninterrupted: dict[str, str]
) -> None:
    path = folder(tmp_path / "project", prepared)
    rng = random.Random()
    waits = [rng.uniform(0.0, 0.8) for _ in range(3)]
    for number, wait in enumerate(waits):
        process = start(path)
        wait_for_a_checkpoint(path)
        # Importing torch takes seconds, in which a later one has not come to its first step.
        time.sleep(wait + (3.0 if number else 0.0))
        process.kill()
        process.communicate()
    finish(path)
    assert digests(path) == uninterrupted, f"killed {waits} seconds after the first checkpoint"
    assert not list((path / ".makeweight/checkpoints").glob("*/*/0"))


def test_changed_settings_start_afresh_and_say_what_differed(
    tmp_path: Path, prepared: Path, uninterrupted: dict[str, str]
) -> None:
    path = folder(tmp_path / "project", prepared, {"families": {"cgan": {"beta1": 0.4}}})
    process = start(path)
    wait_for_a_checkpoint(path)
    process.kill()
    process.communicate()
    write_params(path / "params.yaml", LONG)
    output = finish(path)
    assert (
        "replicate 0 was not finished, but starts again with changed inputs: settings.beta1 was 0.4 and is 0.5\n"
        in output
    )
    assert digests(path) == uninterrupted


def test_a_second_process_on_the_same_work_is_refused_and_the_first_goes_on(
    tmp_path: Path, prepared: Path, uninterrupted: dict[str, str]
) -> None:
    path = folder(tmp_path / "project", prepared)
    first = start(path)
    wait_for_a_checkpoint(path)
    first.send_signal(signal.SIGSTOP)  # else it might be done before the second one has given up
    workers = Path(f"/proc/{first.pid}/task/{first.pid}/children").read_text().split()
    for worker in workers:
        subprocess.run(["kill", "-STOP", worker], check=False)
    second = subprocess.run(COMMAND, cwd=path, capture_output=True, text=True, check=False)
    for worker in (*workers, str(first.pid)):
        subprocess.run(["kill", "-CONT", worker], check=False)
    assert second.returncode == 2
    assert "is running in another process: wait for that one, or stop it\n" in second.stderr
    first.communicate()
    assert first.returncode == 0
    assert digests(path) == uninterrupted


@pytest.mark.parametrize("shell", ["/bin/sh", "/bin/bash"])  # dvc takes the user's; each starts commands in its own way
def test_a_stage_ends_when_dvc_is_killed(shell: str, tmp_path: Path, prepared: Path) -> None:
    path = folder(tmp_path / "project", prepared, {"families": {"cgan": {"steps": 100000}}})
    subprocess.run(["git", "init", "-q"], cwd=path, check=True)
    # Not `dvc init`, which would report to its makers through a daemon, and may wait for that without end.
    shutil.copytree(PROJECT / ".dvc", path / ".dvc", ignore=shutil.ignore_patterns("cache", "tmp"))
    dvc = f"{sys.prefix}/bin/dvc"
    stage = f"stages:\n  train:\n    cmd: {' '.join(COMMAND)}\n    always_changed: true\n"
    (path / "dvc.yaml").write_text(stage)
    running = subprocess.Popen(
        [dvc, "repro"], cwd=path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env={**os.environ, "SHELL": shell},
    )  # fmt: skip
    wait_for_a_checkpoint(path)
    running.kill()
    running.wait()
    time.sleep(3)
    (checkpoint,) = (path / ".makeweight/checkpoints").glob("*/replicate_0/0")
    # Times, not bytes: pytest would take hours to say in what these differ.
    before = checkpoint.stat().st_mtime_ns
    time.sleep(2)
    assert checkpoint.stat().st_mtime_ns == before
