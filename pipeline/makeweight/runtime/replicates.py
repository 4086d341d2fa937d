"""Replicates of a job: run side by side, each once, with finished ones cached and unfinished ones resumed."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, replace
from itertools import accumulate
from pathlib import Path

from makeweight.core.errors import OUT_OF_MEMORY, BadInput
from makeweight.core.parameters import ComputeSettings
from makeweight.core.text import counted
from makeweight.runtime import distributed, fingerprints
from makeweight.runtime.artifacts import CACHE, CHECKPOINTS, LOGS, replicate_name
from makeweight.runtime.executors import StepCounter, progress_counters, replicates_per_program, run_groups
from makeweight.runtime.files import atomic_directory, atomic_files, read_json, write_json
from makeweight.runtime.machine import Machine, fixed_threads, machine, versions, workers
from makeweight.runtime.processes import locked
from makeweight.runtime.progress import ProgressCounters, ProgressReporter, log_line

READ_ONLY = 0o444  # the mode of a file that is a hard link to one in the cache
LINKED = 1 << 20  # bytes of a file from which on it is stored once for all replicates
RECORD = "record.json"  # in a finished replicate: fingerprint, machine, package versions, and a hash of each file


@dataclass(frozen=True, slots=True)
class Replicate:
    """One repetition of a job.

    Attributes:
        number: from 0.
        folder: where the work writes its results.
        unfinished: where the work keeps what it needs to resume after it was killed. May not exist yet; removed when
            the replicate is finished.
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
    """Work that is replicated.

    Attributes:
        name: the job's name in progress and messages.
        work: computes one replicate, or several in one program. It is sent to other processes, so it must be picklable.
        inputs: all that the result of a replicate depends on besides the machine, as plain values and fingerprints; a
            function of the replicate's number.
        steps: number of steps of one replicate; 0 counts as 1, for work without steps.
        images_per_step: for the rate in images per second.
        batched: whether `work` takes several replicates at once.
    """

    name: str
    work: Callable[[Sequence[Replicate]], None]
    inputs: Callable[[int], Mapping[str, object]]
    steps: int
    images_per_step: int
    batched: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", max(1, self.steps))


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

    A finished replicate stays in `cache`, under the hash of all that it depends on, so that only additional
    replicates are computed. A killed replicate resumes from `checkpoints`, unless anything that it depends on has
    changed; then its checkpoints are discarded. Each replicate runs in `compute.threads_per_replicate` threads. Their
    number changes rounding, and so does the number of replicates in one program; the number of workers changes nothing.
    Missing replicates are divided, in order, into groups that are computed in one program.

    Args:
        job: the work and all that it depends on.
        replicates: how many.
        compute: where and how to compute.
        outputs: may hold copies of finished replicates, one in each subfolder, from an earlier run or `dvc pull`. What
            `cache` lacks is copied from there if its recorded fingerprint matches and its files are as recorded.
        cache: folder of finished replicates.
        checkpoints: folder of unfinished replicates and their locks.

    Raises:
        BadInput: another process is running the same job, or a worker process was killed.
    """
    distributed.init(machine(compute).device)
    planned = _Planned.of(job, replicates, compute, cache)
    if outputs is not None and distributed.is_main_process():
        _adopt(job, outputs, planned.folders, checkpoints)
    _run_missing([planned], job.name, compute, checkpoints)
    return planned.folders


def run_jobs(
    jobs: Sequence[Job],
    replicates: int,
    compute: ComputeSettings,
    *,
    title: str,
    cache: Path = CACHE,
    checkpoints: Path = CHECKPOINTS,
) -> list[list[Path]]:
    """Run the replicates 0 … `replicates` - 1 of several jobs side by side, as `run_replicates` runs those of one.

    Args:
        jobs: with different names.
        replicates: of each job.
        compute: where and how to compute.
        title: of all the work, for its progress.
        cache: folder of finished replicates.
        checkpoints: folder of unfinished replicates and their locks.

    Returns:
        For each job the folders of its replicates.
    """
    distributed.init(machine(compute).device)
    planned = [_Planned.of(job, replicates, compute, cache) for job in jobs]
    _run_missing(planned, title, compute, checkpoints)
    return [job.folders for job in planned]


@dataclass(frozen=True, slots=True)
class _Planned:
    """A job, with the inputs of each replicate and the folder that they determine."""

    job: Job
    machine: Machine
    size: int
    inputs: Sequence[Mapping[str, object]]
    folders: list[Path]

    @classmethod
    def of(cls, job: Job, replicates: int, compute: ComputeSettings, cache: Path) -> _Planned:
        resolved = machine(compute)
        size = replicates_per_program(job.batched, compute, resolved.device)
        made_by = {"machine": str(resolved), "replicates_per_program": size, "versions": versions()}
        inputs = [{**job.inputs(k), **made_by} for k in range(replicates)]
        return cls(
            job, resolved, size, inputs, [cache.absolute() / fingerprints.of_values(values) for values in inputs]
        )

    @property
    def missing(self) -> list[int]:
        """The replicates that are not finished."""
        return [k for k, folder in enumerate(self.folders) if not folder.exists()]

    def groups(self, missing: Sequence[int], first_row: int, checkpoints: Path) -> Iterator[_Group]:
        """The replicates `missing` in groups; `first_row`: of the job in the progress counters."""
        for numbers in (missing[first : first + self.size] for first in range(0, len(missing), self.size)):
            folders = self.folders
            members = [Replicate(k, folders[k], _unfinished(self.job, k, checkpoints), self.machine) for k in numbers]
            inputs = [{**self.inputs[k], "group": numbers} for k in numbers]
            yield _Group(self.job.name, self.job.work, members, inputs, first_row, folders)


def _run_missing(jobs: Sequence[_Planned], title: str, compute: ComputeSettings, checkpoints: Path) -> None:
    """Run what is not finished of `jobs`, in one pool of worker processes."""
    distributed.barrier()
    missing = [job.missing for job in jobs]
    distributed.barrier()  # else a process that finishes a replicate would hide it from a slower one
    if not any(missing):
        return
    rows = [0, *accumulate(len(job.folders) for job in jobs)]
    groups = [
        group
        for job, numbers, row in zip(jobs, missing, rows, strict=False)
        for group in job.groups(numbers, row, checkpoints)
    ]
    steps = sum(job.job.steps * len(numbers) for job, numbers in zip(jobs, missing, strict=True))
    images = sum(
        job.job.steps * job.job.images_per_step * len(numbers) for job, numbers in zip(jobs, missing, strict=True)
    )
    with progress_counters(rows[-1]) as (path, counters):
        start = time.monotonic()
        trainings = counted(sum(map(len, missing)), "replicate")
        with ProgressReporter(f"{title}, {trainings}", counters, steps, round(images / steps)):
            try:
                run_groups(groups, workers(compute, len(groups)), path)
            except (BrokenProcessPool, MemoryError) as error:
                raise _out_of_memory(jobs, counters) from error
        if distributed.is_main_process():
            _log(title, counters, time.monotonic() - start, round(images / steps))


def _out_of_memory(jobs: Sequence[_Planned], counters: ProgressCounters) -> BadInput:
    """The error for the death of a worker; the progress shows which replicates were in progress."""
    rows = [(job, k) for job in jobs for k in range(len(job.folders))]
    unfinished = [row for row, (job, k) in enumerate(rows) if not job.folders[k].exists()]
    started = [row for row in unfinished if counters[row, 0]] or unfinished
    numbers: dict[str, list[int]] = {}
    for job, k in (rows[row] for row in started):
        numbers.setdefault(job.job.name, []).append(k)
    named = (
        f"{name}, replicate{'s' if len(of_job) > 1 else ''} {', '.join(map(str, of_job))}"
        for name, of_job in numbers.items()
    )
    return BadInput(f"{'; '.join(named)}: {OUT_OF_MEMORY}")


def _slug(name: str) -> str:
    """The name of a job as part of a path."""
    return name.replace(" ", "-")


def _unfinished(job: Job, replicate: int, checkpoints: Path) -> Path:
    return checkpoints.absolute() / _slug(job.name) / replicate_name(replicate)


def _lock_path(unfinished: Path) -> Path:
    return unfinished.with_suffix(".lock")


def _adopt(job: Job, outputs: Path, folders: Sequence[Path], checkpoints: Path) -> None:
    """Copy into the cache what it lacks of `folders` and `outputs` holds, complete and with the same fingerprint."""
    available = {_recorded_fingerprint(path.parent): path.parent for path in sorted(outputs.glob(f"*/{RECORD}"))}
    adopted = 0
    for k, folder in enumerate(folders):
        source = available.get(folder.name)
        if source is None or folder.exists():
            continue
        with locked(_lock_path(_unfinished(job, k, checkpoints)), f"{job.name}, replicate {k}"):
            if not folder.exists():
                with atomic_directory(folder, durable=True) as temporary:
                    copy_finished(source, temporary)
                    _link_equal_files(temporary, folders)
                adopted += 1
    if adopted:
        log_line(f"{job.name}: {counted(adopted, 'finished replicate')} taken from {outputs}")


def _recorded_fingerprint(finished: Path) -> str | None:
    """The fingerprint of a finished replicate; None where its files are not as recorded."""
    try:
        record = read_json(finished / RECORD)
        return str(record["fingerprint"]) if record["files"] == hashes(finished) else None
    except (ValueError, KeyError, TypeError, OSError):  # damaged
        return None


def _link_equal_files(folder: Path, others: Sequence[Path]) -> None:
    """Replace large files of a finished replicate by hard links to equal ones of others, to store them once.

    The training images of `smote`, for instance, are in the sampler of each replicate.
    """
    own = {name: value for name, value in read_json(folder / RECORD)["files"].items() if _is_large(folder / name)}
    for other in (path for path in others if own and (path / RECORD).exists()):
        recorded_files = read_json(other / RECORD)["files"]
        for name in [name for name, value in own.items() if recorded_files.get(name) == value]:
            del own[name]
            temporary = folder / f".{Path(name).name}.link"
            with suppress(OSError):  # a file system without hard links, or another process removed the file
                os.link(other / name, temporary)
                os.replace(temporary, folder / name)


def _is_large(path: Path) -> bool:
    return path.stat().st_size >= LINKED


def _write_record(finished: Path, replicate: Replicate) -> None:
    made_by = {"machine": asdict(replicate.machine), "versions": versions()}
    write_json(finished / RECORD, {"fingerprint": replicate.folder.name, **made_by, "files": hashes(finished)})


def recorded(outputs: Path) -> dict[str, dict[str, object]]:
    """The machine and the package versions that made the first finished replicate anywhere below `outputs`.

    Returns:
        `{"machine": {field: value}, "versions": {package: version}}`, both empty where no replicate has a record.
    """
    for path in sorted(outputs.rglob(RECORD)):
        record = read_json(path)
        return {"machine": dict(record["machine"]), "versions": dict(record["versions"])}
    return {"machine": {}, "versions": {}}


def hashes(finished: Path) -> dict[str, str]:
    """The hash of each file of a finished replicate except its record, by relative path."""
    files = sorted(path for path in finished.rglob("*") if path.is_file() and path != finished / RECORD)
    return {path.relative_to(finished).as_posix(): fingerprints.of_files(path) for path in files}


def copy_all_finished(finished: Sequence[Path], targets: Sequence[Path], *, link: bool) -> None:
    """Copy finished replicates, each to its target; hard links to each other remain so.

    Args:
        finished: folders of replicates.
        targets: a folder for each.
        link: whether large files become hard links to those of `finished`, where the file system allows it. They are
            read-only then, since an edit in place would change the finished replicate.
    """
    copied: dict[int, Path] = {}

    def copy(source: str, target: str) -> None:
        linked = link and _is_large(Path(source))
        first = Path(source) if linked else copied.get(Path(source).stat().st_ino)
        try:
            if linked:
                Path(source).chmod(READ_ONLY)
            if first is not None:
                os.link(first, target)
                return
        except OSError:  # a file system without hard links, or another one, or a file of another user
            pass
        shutil.copyfile(source, target)
        copied[Path(source).stat().st_ino] = Path(target)

    for replicate, target in zip(finished, targets, strict=True):
        shutil.copytree(replicate, target, copy_function=copy, dirs_exist_ok=True)


def copy_finished(finished: Path, target: Path) -> None:
    """Copy a finished replicate with its record: file contents only, since DVC may have made the files read-only."""
    shutil.copytree(finished, target, copy_function=shutil.copyfile, dirs_exist_ok=True)


def _log(title: str, counters: ProgressCounters, seconds: float, images_per_step: int) -> None:
    """Write times and rates, which differ from run to run, to a file that is no output."""
    LOGS.mkdir(exist_ok=True)
    done, resumed = counters.sum(0)
    figures = {
        "replicates": int(counters.any(1).sum()),
        "seconds": round(seconds, 1),
        "images_per_second": round(float(done - resumed) * images_per_step / seconds),
    }
    write_json(LOGS / f"{_slug(title)}.json", figures)


@dataclass(frozen=True, slots=True)
class _Group:
    """Replicates that are computed in one program, and the inputs of each.

    Attributes:
        name: the job's name.
        work: computes all of them.
        replicates: those of the group.
        inputs: of each of them.
        first_row: the job's first row of the progress counters.
        all_folders: of all replicates of the job.
    """

    name: str
    work: Callable[[Sequence[Replicate]], None]
    replicates: Sequence[Replicate]
    inputs: Sequence[Mapping[str, object]]
    first_row: int
    all_folders: Sequence[Path]

    def __call__(self, counters: Path) -> None:
        """Compute the group; it is locked meanwhile, and finished only as a whole."""
        replicates = [
            replace(item, progress=StepCounter(counters, self.first_row + item.number)) for item in self.replicates
        ]
        if not distributed.is_main_process():
            self._assist(replicates)
            return
        names = [f"{self.name}, replicate {replicate.number}" for replicate in replicates]
        with ExitStack() as locks:
            for replicate, name in zip(replicates, names, strict=True):
                locks.enter_context(locked(_lock_path(replicate.unfinished), name))
            if all(replicate.folder.exists() for replicate in replicates) and distributed.world_size() == 1:
                return  # another process has finished them while this one waited
            for replicate, name, values in zip(replicates, names, self.inputs, strict=True):
                _discard_if_changed(name, replicate.unfinished, values)
            distributed.barrier()
            with fixed_threads(replicates[0].machine.threads), ExitStack() as folders:
                outputs = [folders.enter_context(atomic_directory(item.folder, durable=True)) for item in replicates]
                self.work([replace(item, folder=folder) for item, folder in zip(replicates, outputs, strict=True)])
                for replicate, folder in zip(replicates, outputs, strict=True):
                    _write_record(folder, replicate)
                    _link_equal_files(folder, self.all_folders)
            distributed.barrier()
            for replicate in replicates:
                shutil.rmtree(replicate.unfinished, ignore_errors=True)

    def _assist(self, replicates: Sequence[Replicate]) -> None:
        """Compute this process's shard of each batch; the main process writes the results."""
        distributed.barrier()
        with fixed_threads(replicates[0].machine.threads), tempfile.TemporaryDirectory() as ignored:
            self.work([replace(replicate, folder=Path(ignored)) for replicate in replicates])
        distributed.barrier()


def _discard_if_changed(name: str, unfinished: Path, inputs: Mapping[str, object]) -> None:
    """Discard the checkpoints in `unfinished` unless they were made from the same inputs, and say what differs."""
    current = dict(_flattened(json.loads(json.dumps(inputs, default=str))))
    path = unfinished / "inputs.json"
    previous = read_json(path) if path.exists() else {}
    if previous == current:
        return
    if previous:
        changes = (_change(key, previous.get(key), current.get(key)) for key in {**previous, **current})
        changed = "; ".join(change for change in changes if change)
        log_line(f"{name} was not finished, but starts again with changed inputs: {changed}")
    shutil.rmtree(unfinished, ignore_errors=True)
    with atomic_files(unfinished) as temporary:
        write_json(temporary / path.name, current)


def _flattened(value: object, key: str = "") -> Iterator[tuple[str, object]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _flattened(inner, f"{key}.{name}" if key else name)
    else:
        yield key, value


def _change(key: str, previous: object, current: object) -> str | None:
    if previous == current:
        return None
    hashed = any(isinstance(value, str) and fingerprints.HASH.fullmatch(value) for value in (previous, current))
    return f"{key} has changed" if hashed else f"{key} was {json.dumps(previous)} and is {json.dumps(current)}"
