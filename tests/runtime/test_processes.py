"""Processes end with the one that started them, and locks with their holders."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from makeweight.core.errors import BadInput
from makeweight.runtime import processes
from makeweight.runtime.processes import locked
from tests.conftest import PROJECT

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(PROJECT)}
HOLD = """
import sys, time
from pathlib import Path
from makeweight.runtime.processes import locked
with locked(Path(sys.argv[1]), "it"):
    print("held", flush=True)
    time.sleep(60)
"""
CHILD = """
import os, time
from makeweight.runtime.processes import end_with_parent
end_with_parent()
print(os.getpid(), flush=True)
time.sleep(60)
"""
PARENT = "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', sys.argv[1]]); time.sleep(60)"
# A shell that does not let its command take its place, as Debian's does.
ABOVE_A_SHELL = """
import subprocess, sys, time
subprocess.Popen(["sh", "-c", '"$0" -c "$1"; exit $?', sys.executable, sys.argv[1]])
time.sleep(60)
"""


def runs(process: int) -> bool:
    """Whether it is there, and not only waiting for somebody to take notice of its end."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_lock_is_refused_while_another_process_holds_it_and_free_when_that_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "folder" / "lock"
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        monkeypatch.setattr(processes, "LOCK_TIMEOUT", 0.6)
        with pytest.raises(BadInput, match="this work is running in another process"), locked(path, "this work"):
            pass
        holder.kill()
    with locked(path, "this work"):
        pass


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes as Linux shows them")
@pytest.mark.parametrize("nohup", [False, True])
@pytest.mark.parametrize("parent", [PARENT, ABOVE_A_SHELL])
def test_a_process_ends_with_its_parent_unless_started_with_nohup(parent: str, nohup: bool) -> None:
    command = [*(["nohup"] if nohup else []), sys.executable, "-c", parent, CHILD]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT) as started:
        assert started.stdout is not None
        child = int(started.stdout.readline())
        started.send_signal(signal.SIGKILL)
        started.wait()
        time.sleep(2)
        assert runs(child) == nohup
        if nohup:
            os.kill(child, signal.SIGKILL)
