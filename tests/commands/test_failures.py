"""Failures of the machine: a full disk, memory that runs out, another operating system."""

from __future__ import annotations

import errno
import resource
import subprocess
import sys
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from safetensors import SafetensorError
from safetensors.torch import save_file

from makeweight.commands.command import command


def run_failing(error: Exception) -> None:
    """Run a command `train_baseline` whose work raises `error`."""

    def train_baseline() -> str:
        raise error

    with pytest.raises(typer.Exit) as caught:
        command(train_baseline)()
    assert caught.value.exit_code == 2


def incomplete_write() -> OSError:
    with pytest.raises(OSError, match="requested and") as caught:
        np.zeros(1 << 20).tofile("/dev/full")
    return caught.value


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has a device that is always full")
@pytest.mark.parametrize("named", [True, False])
def test_a_full_disk_is_one_line(named: bool, capsys: pytest.CaptureFixture[str]) -> None:
    run_failing(OSError(errno.ENOSPC, "No space left on device", "out.npy") if named else incomplete_write())
    line = capsys.readouterr().err
    assert line.startswith(f"train-baseline: {'out.npy' if named else 'a file'} could not be written, the disk ")
    assert line.count("\n") == 1


def test_weights_that_fill_the_disk_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 12, limits[1]))  # writing then fails, as on a full disk
    try:
        with pytest.raises(SafetensorError) as caught:
            save_file({"weight": torch.zeros(1 << 16)}, tmp_path / "weights.safetensors")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    run_failing(caught.value)
    line = capsys.readouterr().err
    assert line.startswith("train-baseline: a file could not be written, the disk or the quota is full: free some ")
    assert line.count("\n") == 1


def test_a_closed_pipe_is_left_to_click_which_ends_without_a_message(capsys: pytest.CaptureFixture[str]) -> None:
    def check() -> str:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    with pytest.raises(BrokenPipeError):
        command(check)()
    assert capsys.readouterr().err == ""


def test_damaged_weights_are_no_error_of_the_system() -> None:
    def train_baseline() -> str:
        raise SafetensorError("Error while deserializing header: header too large")

    with pytest.raises(SafetensorError):
        command(train_baseline)()


@pytest.mark.parametrize("error", [BrokenProcessPool("two\nlines"), MemoryError()])
def test_memory_that_runs_out_is_one_line(error: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    run_failing(error)
    line = capsys.readouterr().err
    assert line.startswith("train-baseline: a worker process was killed, probably because memory ran out: lower ")
    assert line.count("\n") == 1


def test_windows_is_refused_in_one_line() -> None:
    code = (
        "import sys; sys.platform, sys.modules['fcntl'] = 'win32', None\n"  # as if it could not be imported
        "import makeweight.commands.__main__"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "makeweight runs on Linux and macOS only; on Windows use WSL 2\n"
