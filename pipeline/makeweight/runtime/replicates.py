"""Running K independent repetitions of one piece of work: side by side, each once and for all."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import joblib
import numpy as np
from joblib.externals.loky import process_executor

from makeweight.core.parameters import ComputeSettings
from makeweight.runtime import distributed, fingerprints
from makeweight.runtime.artifacts import CACHE, CHECKPOINTS, LOGS, replicate_name
from makeweight.runtime.files import atomic_directory, atomic_files, read_json, write_json
from makeweight.runtime.machine import Machine, fixed_threads, machine, retain_heap, versions, workers
from makeweight.runtime.processes import end_with_parent, locked
from makeweight.runtime.progress import ProgressCounters, ProgressReporter, log_line

RECORD = "record.json"  # in a finished replicate: what made it, and a hash of each of its files
REPLICATES_PER_PROGRAM_ON_GPU = 10  # replicates


@dataclass(frozen=True, slots=True)
class Replicate:
    """One repetition of a job: which, and where.

    Attributes:
        number: from 0.
        folder: takes the results.
        unfinished: keeps, when the process is killed, what is needed to go on; may not exist yet, goes at the end.
        machine: where to compute.
        progress: called with the number of steps done.
    """

    number: int
    folder: Path
    unfinished: Path
    machine: Machine
    progress: Callable[[int], None] = lambda done: None


@dataclass(frozen=True, slots=True)
class Job:
    """One piece of work that is repeated.

    Attributes:
        name: what progress and messages call it by.
        work: does one replicate, or several in one program. Sent to other processes, so it must be picklable.
        inputs: of a replicate, plain values and fingerprints: all that its result depends on besides the machine.
        steps: steps of one replicate.
        images_per_step: to tell images a second.
        together: whether the work takes several replicates at once.
    """

    name: str
    work: Callable[[Sequence[Replicate]], None]
    inputs: Callable[[int], Mapping[str, object]]
    steps: int
    images_per_step: int
    together: bool = False

    @property
    def slug(self) -> str:
        """The name, as part of a path."""
        return self.name.replace(" ", "-")


def together(job: Job, compute: ComputeSettings, device: str) -> int:
    """How many replicates of a job to compute in one program: `compute.replicates_per_program`, or ten on a GPU and one elsewhere.

    One where the job's work takes no more, or where each is spread over several processes.
    """
    if not job.together or distributed.world_size() > 1:
        return 1
    by_device = REPLICATES_PER_PROGRAM_ON_GPU if device == "cuda" else 1
    return by_device if compute.replicates_per_program == "auto" else compute.replicates_per_program


def run_replicates(
    job: Job,
    replicates: int,
    compute: ComputeSettings,
    *,
    outputs: Path | None = None,
    cache: Path = CACHE,
    checkpoints: Path = CHECKPOINTS,
) -> list[Path]:
    """Run the replicates 0 … `replicates` - 1 of `job` that are not finished yet; return every replicate's folder.

    A finished replicate stays in `cache`, under the hash of what it depends on, so that more replicates cost only
    the new ones. What one that is killed has kept stands in `checkpoints`, and is thrown away if anything that it
    depends on has changed. Each runs in `compute.threads_per_replicate` threads: their number changes rounding, that
    of the workers changes nothing. So does how many are computed in one program: those that are missing are divided
    into groups of that size, in their order.

    `outputs` may hold copies of finished replicates, one in each sub-folder, as an earlier run or `dvc pull` has left
    them. Those that `cache` lacks are copied from there instead of being run, if their recorded fingerprint is the
    wanted one and their files are as recorded.

    Raises:
        BadInput: another process is at work on the same job.
    """
    distributed.init(machine(compute).device)
    resolved = machine(compute)
    size = together(job, compute, resolved.device)
    inputs = [
        {**job.inputs(k), "machine": str(resolved), "together": size, "versions": versions()} for k in range(replicates)
    ]
    cache = cache.absolute()
    folders = [cache / fingerprints.of_values(values) for values in inputs]
    if outputs is not None and distributed.is_main_process():
        _adopt(job, outputs, folders, checkpoints)
    distributed.barrier()
    missing = [k for k in range(replicates) if not folders[k].exists()]
    distributed.barrier()  # else the first to finish one would hide it from the others
    if not missing:
        return folders
    with tempfile.TemporaryDirectory() as scratch:
        groups = [missing[first : first + size] for first in range(0, len(missing), size)]
        path = Path(scratch, "steps.npy")
        board = np.lib.format.open_memmap(path, mode="w+", dtype=np.int64, shape=(replicates, 2))
        title = f"{job.name}, {len(missing)} replicate{'s' if len(missing) > 1 else ''}"
        start = time.monotonic()
        with ProgressReporter(title, board, job.steps * len(missing), job.images_per_step):
            joblib.Parallel(n_jobs=workers(compute, len(groups)))(
                joblib.delayed(_run_group)(
                    job.name, job.work,
                    [
                        Replicate(k, folders[k], _unfinished(job, k, checkpoints), resolved)
                        for k in group
                    ],
                    [{**inputs[k], "beside": group} for k in group],
                    path, os.getpid(), Path.cwd(),
                )
                for group in groups
            )  # fmt: skip
        if distributed.is_main_process():
            _log(job, board, time.monotonic() - start)
    return folders


def _unfinished(job: Job, replicate: int, checkpoints: Path) -> Path:
    return checkpoints.absolute() / job.slug / replicate_name(replicate)


def _adopt(job: Job, outputs: Path, folders: Sequence[Path], checkpoints: Path) -> None:
    """Copy into the cache what it lacks of `folders` and `outputs` holds, whole and with the same fingerprint."""
    recorded = {_recorded_fingerprint(path.parent): path.parent for path in sorted(outputs.glob(f"*/{RECORD}"))}
    adopted = 0
    for k, folder in enumerate(folders):
        source = recorded.get(folder.name)
        if source is None or folder.exists():
            continue
        with locked(_unfinished(job, k, checkpoints).with_suffix(".lock"), f"{job.name}, replicate {k}"):
            if not folder.exists():
                with atomic_directory(folder, durable=True) as temporary:
                    copy_finished(source, temporary)
                adopted += 1
    if adopted:
        log_line(f"{job.name}: {adopted} finished replicate{'s' if adopted > 1 else ''} taken from {outputs}")


def _recorded_fingerprint(finished: Path) -> str | None:
    """The fingerprint that a finished replicate was made under; None where its files are not as they were then."""
    try:
        record = read_json(finished / RECORD)
        return str(record["fingerprint"]) if record["files"] == _hashes(finished) else None
    except (ValueError, KeyError, TypeError, OSError):  # damaged
        return None


def _write_record(finished: Path, replicate: Replicate) -> None:
    made_by = {"machine": asdict(replicate.machine), "versions": versions()}
    write_json(finished / RECORD, {"fingerprint": replicate.folder.name, **made_by, "files": _hashes(finished)})


def recorded(outputs: Path) -> dict[str, dict[str, object]]:
    """The machine and the package versions that made the first finished replicate anywhere below `outputs`.

    Returns:
        `{"machine": {field: value}, "versions": {package: version}}`, both empty where no replicate has a record.
    """
    for path in sorted(outputs.rglob(RECORD)):
        record = read_json(path)
        return {"machine": dict(record["machine"]), "versions": dict(record["versions"])}
    return {"machine": {}, "versions": {}}


def _hashes(finished: Path) -> dict[str, str]:
    """The hash of each file of a finished replicate besides its record, by its path there."""
    files = sorted(path for path in finished.rglob("*") if path.is_file() and path != finished / RECORD)
    return {path.relative_to(finished).as_posix(): fingerprints.of_files(path) for path in files}


def copy_finished(finished: Path, target: Path) -> None:
    """Copy a finished replicate, its record included; the content alone, since DVC may have made files read-only."""
    shutil.copytree(finished, target, copy_function=shutil.copyfile, dirs_exist_ok=True)


def _log(job: Job, board: ProgressCounters, seconds: float) -> None:
    """What is never twice the same stays out of the outputs."""
    LOGS.mkdir(exist_ok=True)
    done, resumed = board.sum(0)
    figures = {
        "replicates": int(board.any(1).sum()),
        "seconds": round(seconds, 1),
        "images_per_second": round(float(done - resumed) * job.images_per_step / seconds),
    }
    write_json(LOGS / f"{job.slug}.json", figures)


def _run_group(
    name: str,
    work: Callable[[Sequence[Replicate]], None],
    planned: Sequence[Replicate],
    inputs: Sequence[Mapping[str, object]],
    board: Path,
    owner: int,
    home: Path,
) -> None:
    os.chdir(home)  # workers may stand in another folder, even in one that is gone
    # loky retires a worker that has grown by 300 MB since its first task, and then waited for ever for it (joblib 1.6).
    process_executor._MAX_MEMORY_LEAK_SIZE = sys.maxsize
    retain_heap()
    if os.getpid() != owner:
        end_with_parent(owner)
    planned = [replace(each, progress=_Progress(board, each.number)) for each in planned]
    if not distributed.is_main_process():
        distributed.barrier()
        with fixed_threads(planned[0].machine.threads), tempfile.TemporaryDirectory() as dropped:
            work([replace(each, folder=Path(dropped)) for each in planned])
        distributed.barrier()
        return
    names = [f"{name}, replicate {each.number}" for each in planned]
    with ExitStack() as locks:
        for each, called in zip(planned, names, strict=True):
            locks.enter_context(locked(each.unfinished.with_suffix(".lock"), called))
        if all(each.folder.exists() for each in planned) and distributed.world_size() == 1:
            return  # another process has finished them while this one waited
        for each, called, values in zip(planned, names, inputs, strict=True):
            _discard_if_changed(called, each.unfinished, values)
        distributed.barrier()
        with fixed_threads(planned[0].machine.threads), ExitStack() as folders:
            temporary = [folders.enter_context(atomic_directory(each.folder, durable=True)) for each in planned]
            work([replace(each, folder=folder) for each, folder in zip(planned, temporary, strict=True)])
            for each, folder in zip(planned, temporary, strict=True):
                _write_record(folder, each)
        distributed.barrier()
        for each in planned:
            shutil.rmtree(each.unfinished, ignore_errors=True)


class _Progress:
    """Writes how far a replicate has come to its row of the board."""

    def __init__(self, board: Path, number: int) -> None:
        self.steps = np.load(board, mmap_mode="r+")[number]

    def __call__(self, done: int) -> None:
        if not self.steps[0]:
            self.steps[1] = done - 1  # where this run takes up the work
        self.steps[0] = done


def _discard_if_changed(name: str, unfinished: Path, inputs: Mapping[str, object]) -> None:
    """Leave in `unfinished` only what was made from these inputs, and say what differed."""
    now = dict(_leaves(json.loads(json.dumps(inputs, default=str))))
    note = unfinished / "inputs.json"
    before = read_json(note) if note.exists() else {}
    if before == now:
        return
    if before:
        changes = (_change(key, before.get(key), now.get(key)) for key in {**before, **now})
        differed = "; ".join(change for change in changes if change)
        log_line(f"{name} was not finished, but starts afresh: {differed}")
    shutil.rmtree(unfinished, ignore_errors=True)
    with atomic_files(unfinished) as temporary:
        write_json(temporary / note.name, now)


def _leaves(value: object, key: str = "") -> Iterator[tuple[str, object]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _leaves(inner, f"{key}.{name}" if key else name)
    else:
        yield key, value


def _change(key: str, before: object, now: object) -> str | None:
    if before == now:
        return None
    hashed = any(isinstance(value, str) and fingerprints.HASH.fullmatch(value) for value in (before, now))
    return f"{key} has changed" if hashed else f"{key} was {json.dumps(before)} and is {json.dumps(now)}"
