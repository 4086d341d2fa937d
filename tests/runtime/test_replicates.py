"""Replicates: each runs once, side by side, with the same bytes for any number of workers."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from makeweight.core.errors import BadInput
from makeweight.runtime.executors import replicates_per_program
from makeweight.runtime.replicates import (
    LINKED,
    Job,
    Replicate,
    copy_all_finished,
    copy_finished,
    recorded,
    run_jobs,
    run_replicates,
)
from tests.conftest import PROJECT
from tests.support.replicates import Growing, Killed, beside, compute, grouped, job, products, ran


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_more_replicates_run_only_the_new_ones(tmp_path: Path) -> None:
    log = tmp_path / "log"
    few = run_replicates(job(log), 2, compute(), cache=tmp_path / "cache")
    more = run_replicates(job(log), 4, compute(), cache=tmp_path / "cache")
    assert ran(log) == [0, 1, 2, 3]
    assert more[:2] == few


def test_another_input_or_machine_setting_runs_anew(tmp_path: Path) -> None:
    log = tmp_path / "log"
    first, other, threads = (
        run_replicates(job(log, setting), 1, settings, cache=tmp_path / "cache")
        for setting, settings in ((0, compute()), (1, compute()), (0, compute(threads_per_replicate=2)))
    )
    assert len({*first, *other, *threads}) == 3


def test_one_worker_and_two_write_the_same_bytes(tmp_path: Path) -> None:
    one = run_replicates(job(tmp_path / "log"), 3, compute(workers=1), cache=tmp_path / "one")
    two = run_replicates(job(tmp_path / "log"), 3, compute(workers=2), cache=tmp_path / "two")
    assert products(one) == products(two)


def test_work_that_takes_several_gets_those_that_are_missing_in_groups(tmp_path: Path) -> None:
    some, more = (
        run_replicates(grouped(True), replicates, compute(replicates_per_program=3), cache=tmp_path / "cache")
        for replicates in (4, 7)
    )
    assert beside(some) == ["0 1 2", "0 1 2", "0 1 2", "3"]
    assert beside(more) == [*beside(some), "4 5 6", "4 5 6", "4 5 6"]


def test_work_that_takes_one_gets_one_and_by_itself_only_a_gpu_makes_groups(tmp_path: Path) -> None:
    one = run_replicates(grouped(False), 2, compute(replicates_per_program=3), cache=tmp_path / "one")
    assert beside(one) == ["0", "1"]
    by_itself = run_replicates(grouped(True), 2, compute(), cache=tmp_path / "auto")
    assert beside(by_itself) == ["0", "1"]
    assert replicates_per_program(True, compute(), "cuda") > 1
    assert replicates_per_program(False, compute(), "cuda") == 1


def test_work_without_steps_runs_as_any_other(tmp_path: Path) -> None:
    without = replace(job(tmp_path / "log"), steps=0)
    few = run_replicates(without, 2, compute())
    assert ran(tmp_path / "log") == [0, 1]
    assert all((folder / "product.npy").exists() for folder in few)
    assert json.loads(Path("logs/multiply.json").read_text())["replicates"] == 2


def test_a_replicate_that_fails_leaves_nothing_and_those_before_it_stay(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    with pytest.raises(RuntimeError, match="broken"):
        run_replicates(job(tmp_path / "log", fail_at=1), 3, compute(), cache=cache)
    assert len(list(cache.iterdir())) == 1
    run_replicates(job(tmp_path / "log"), 3, compute(), cache=cache)
    assert ran(tmp_path / "log") == [0, 1, 1, 2]


def test_workers_end_when_the_process_that_waits_for_them_is_killed(tmp_path: Path) -> None:
    code = (
        "from makeweight.runtime.replicates import Job, run_replicates\n"
        "from tests.support.replicates import Endless, compute\n"
        "job = Job('endless', Endless(), lambda k: {'replicate': k}, steps=1200, images_per_step=1)\n"
        "run_replicates(job, 2, compute(workers=2))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    waiting = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, env=environment)
    files = [tmp_path / f"steps_{k}" for k in range(2)]
    for _ in range(600):
        if all(file.exists() for file in files):
            break
        time.sleep(0.1)
    waiting.kill()
    waiting.wait()
    time.sleep(1)
    after = [file.read_text() for file in files]
    time.sleep(1)
    assert [file.read_text() for file in files] == after


def test_workers_that_grow_finish_their_work(tmp_path: Path) -> None:
    growing = Job("grow", Growing(), lambda k: {"replicate": k}, steps=1, images_per_step=1)
    folders = run_replicates(growing, 6, compute(workers=2), cache=tmp_path / "cache")
    assert [int(np.load(folder / "product.npy")) for folder in folders] == list(range(6))


class Looking:
    """Records what it finds from an earlier run."""

    def __call__(self, replicates: Sequence[Replicate]) -> None:
        (replicate,) = replicates
        found = sorted(path.name for path in replicate.unfinished.iterdir())
        (replicate.folder / "found").write_text(" ".join(found))
        (replicate.unfinished / "state").write_text("half")
        if found == ["inputs.json"]:
            raise RuntimeError("killed")


def test_what_an_unfinished_replicate_has_kept_is_there_next_time_unless_an_input_has_changed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(setting: int) -> str:
        looking = Job("look", Looking(), lambda k: {"setting": setting, "data": 64 * str(setting)}, 1, 1)
        return (run_replicates(looking, 1, compute())[0] / "found").read_text()

    with pytest.raises(RuntimeError, match="killed"):
        run(1)
    with pytest.raises(RuntimeError, match="killed"):
        run(2)
    start = "look, replicate 0 was not finished, but starts again with changed inputs: "
    assert capsys.readouterr().err == f"{start}setting was 1 and is 2; data has changed\n"
    assert run(2) == "inputs.json state"
    kept = tmp_path / ".makeweight/checkpoints/look"
    assert [path.name for path in kept.iterdir()] == ["replicate_0.lock"]

    (kept / "replicate_0").mkdir()
    (kept / "replicate_0" / "state").write_text("of something unknown")
    with pytest.raises(RuntimeError, match="killed"):
        run(3)


@pytest.fixture
def outputs(tmp_path: Path) -> Path:
    """Copies of two finished replicates, whose cache is gone."""
    for k, folder in enumerate(run_replicates(job(tmp_path / "log"), 2, compute())):
        copy_finished(folder, tmp_path / f"outputs/replicate_{k}")
    shutil.rmtree(".makeweight")
    return tmp_path / "outputs"


def test_finished_replicates_are_adopted_from_outputs_byte_for_byte(outputs: Path, tmp_path: Path) -> None:
    folders = run_replicates(job(tmp_path / "log"), 3, compute(), outputs=outputs)
    assert ran(tmp_path / "log") == [0, 1, 2]
    for k in range(2):
        kept, adopted = (
            {path.name: path.read_bytes() for path in folder.iterdir()}
            for folder in (outputs / f"replicate_{k}", folders[k])
        )
        assert adopted == kept
        assert set(kept) == {"half", "product.npy", "record.json"}
    record = json.loads((outputs / "replicate_1/record.json").read_text())
    assert record["fingerprint"] == folders[1].name
    assert record["machine"]["device"] == "cpu"
    assert "torch" in record["versions"]


def test_the_machine_and_versions_of_outputs_are_those_recorded_not_those_of_the_reader(
    outputs: Path, tmp_path: Path
) -> None:
    path = outputs / "replicate_0/record.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "versions": {"torch": "1.2.3"}}))
    assert recorded(tmp_path / "outputs") == {"machine": record["machine"], "versions": {"torch": "1.2.3"}}
    assert recorded(tmp_path / "nowhere") == {"machine": {}, "versions": {}}


def test_outputs_of_another_fingerprint_are_not_adopted(outputs: Path, tmp_path: Path) -> None:
    run_replicates(job(tmp_path / "log", setting=1), 2, compute(), outputs=outputs)
    assert ran(tmp_path / "log") == [0, 0, 1, 1]


def test_a_finished_replicate_is_on_the_disk_before_it_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: set[int] = set()
    counted: list[set[int]] = []
    replace, fsync = os.replace, os.fsync

    def syncing(file: int) -> None:
        synced.add(os.fstat(file).st_ino)
        fsync(file)

    def watching(source: Path, target: Path) -> None:
        if Path(target).parent.name == "cache":
            counted.append({path.stat().st_ino for path in [Path(source), *Path(source).rglob("*")]} - synced)
        replace(source, target)

    monkeypatch.setattr(os, "fsync", syncing)
    monkeypatch.setattr(os, "replace", watching)
    run_replicates(job(tmp_path / "log"), 1, compute(), cache=tmp_path / "cache")
    assert counted == [set()]


class SameData:
    """Writes the same large file in each replicate, and a small one."""

    def __call__(self, replicates: Sequence[Replicate]) -> None:
        (replicate,) = replicates
        np.save(replicate.folder / "data.npy", np.zeros(LINKED, np.uint8))
        (replicate.folder / "number").write_text("same")


def test_equal_large_files_of_replicates_are_stored_once(tmp_path: Path) -> None:
    def inodes(folders: Sequence[Path], name: str) -> int:
        return len({(folder / name).stat().st_ino for folder in folders})

    same = Job("same", SameData(), lambda k: {"replicate": k}, steps=1, images_per_step=1)
    finished = run_replicates(same, 3, compute())
    copies, links = ([tmp_path / kind / str(k) for k in range(3)] for kind in ("copies", "links"))
    copy_all_finished(finished, copies, link=False)
    copy_all_finished(finished, links, link=True)
    assert [inodes(folders, "data.npy") for folders in (finished, copies, links)] == [1, 1, 1]
    assert inodes([*finished, *copies], "data.npy") == 2
    assert inodes([*finished, *links], "data.npy") == 1
    assert inodes([*finished, *copies, *links], "number") == 9
    modes = {folders[0]: (folders[0] / "data.npy").stat().st_mode & 0o777 for folders in (finished, copies, links)}
    assert modes[finished[0]] == modes[links[0]] == 0o444  # else an edit in place would change the finished replicate
    assert modes[copies[0]] & 0o200
    for k in range(3):
        copy_finished(copies[k], tmp_path / f"outputs/replicate_{k}")
    shutil.rmtree(".makeweight")
    assert inodes(run_replicates(same, 3, compute(), outputs=tmp_path / "outputs"), "data.npy") == 1


@pytest.mark.parametrize("damage", ["changed", "missing", "extra", "no record", "record of something else"])
def test_damaged_outputs_are_run_anew(damage: str, outputs: Path, tmp_path: Path) -> None:
    file, record = outputs / "replicate_1/half", outputs / "replicate_1/record.json"
    match damage:
        case "changed":
            file.write_text("whole")
        case "missing":
            file.unlink()
        case "extra":
            (file.parent / "another").touch()
        case "no record":
            record.write_text("{")
        case _:
            record.write_text("[]")
    folders = run_replicates(job(tmp_path / "log"), 2, compute(), outputs=outputs)
    assert ran(tmp_path / "log") == [0, 1, 1]
    assert (folders[1] / "half").read_text() == "half"


def test_a_worker_killed_for_memory_is_one_line_and_what_was_finished_stays(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    killed = Job("killed", Killed(cache), lambda k: {"replicate": k}, steps=2, images_per_step=1)
    with pytest.raises(BadInput, match=r"^killed, replicate 2: .* memory ran out: lower compute\.workers[^\n]*$"):
        run_replicates(killed, 3, compute(workers=2), cache=cache)
    assert len(list(cache.glob("*/record.json"))) == 2


def test_several_jobs_run_in_one_pool_and_give_the_bytes_of_each_alone(tmp_path: Path) -> None:
    jobs = [replace(job(tmp_path / "log", setting), name=f"multiply {setting}") for setting in (0, 1)]
    (first, second) = run_jobs(jobs, 2, compute(workers=2), title="both", cache=tmp_path / "cache")
    alone = run_replicates(jobs[1], 2, compute(), cache=tmp_path / "alone")
    assert products(second) == products(alone)
    assert not {*first} & {*second}
    assert json.loads(Path("logs/both.json").read_text())["replicates"] == 4
    more = run_jobs(jobs, 3, compute(), title="both", cache=tmp_path / "cache")
    assert [folders[:2] for folders in more] == [first, second]
    assert ran(tmp_path / "log") == [0, 0, 0, 1, 1, 1, 2, 2]
