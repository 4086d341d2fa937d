"""The training loop of every family: resumed, monitored, rolled back."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from makeweight.core.data import Split
from makeweight.core.errors import BadInput
from makeweight.runtime.machine import fixed_threads
from makeweight.training.checkpoints import Checkpoints, State, pack
from makeweight.training.loop import TrainingContext
from makeweight.training.monitors import Monitor
from tests.support.monitoring import monitor_settings

CPU = torch.device("cpu")
LABELS = np.repeat([0, 1], 6).astype(np.int64)
TRAIN = Split(np.random.default_rng(0).integers(0, 256, (12, 8, 8, 1), dtype=np.uint8), LABELS, ("a", "b"))


@pytest.fixture(autouse=True)
def _keep_at_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("makeweight.training.checkpoints.SHARE", 1e9)


@pytest.fixture(autouse=True)
def _deterministic() -> Iterator[None]:
    with fixed_threads(1):
        yield


class Killed(Exception):
    """Stands for the end of the process."""


class Varied:
    """Draws noise; where `same`, copies of one image."""

    def __init__(self, same: bool = False) -> None:
        self.same = same

    def sample(self, labels: torch.Tensor, *, rng: torch.Generator) -> torch.Tensor:
        images = torch.rand((len(labels), 1, 8, 8), generator=rng)
        return images[:1].expand_as(images) if self.same else images

    def save(self, folder: Path) -> None: ...


def walk(
    run: TrainingContext,
    total: int = 40,
    at: Callable[[int, dict[str, Any]], None] = lambda step, state: None,
    loss: Callable[[int, float], float] = lambda step, rate: rate,
    sampler: Varied | None = None,
) -> bytes:
    """A random walk of one weight as a training; its last state, packed."""
    weight = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(weight.weight)
    optimizer, rng = torch.optim.SGD(weight.parameters(), lr=0.1), torch.Generator().manual_seed(5)
    state: State = {"weight": weight, "optimizer": optimizer, "rng": rng}
    for step in run.steps(total, state):
        optimizer.zero_grad()
        weight(torch.randn(1, 1, generator=rng)).sum().backward()
        optimizer.step()
        at(step.number, dict(state))
        if step.recorded:
            run.record({"step": step.number, "loss": loss(step.number, optimizer.param_groups[0]["lr"])})
        if step.shown:
            run.show(step.number, sampler or Varied())
    return pack(state, {"history": run.histories[0], "frames": [frame.step for frame in run.frames[0]]})


def monitor(on_divergence: str = "rollback") -> Monitor:
    settings = {"on_divergence": on_divergence, "min_discriminator_error": 0.02, "min_diversity_ratio": 0.1}
    return Monitor(monitor_settings(**settings), TRAIN)


def test_steps_are_recorded_and_shown_evenly_the_last_one_always() -> None:
    run = TrainingContext(CPU, None, monitor=monitor())
    walk(run, total=250)
    assert [row["step"] for row in run.histories[0]] == list(range(2, 251, 2))
    assert [frame.step for frame in run.frames[0]] == [*range(24, 250, 24), 250]
    assert run.frames[0][0].images.shape == (12, 8, 8, 1)
    assert not (run.frames[0][0].images == run.frames[0][0].images[0]).all()


@pytest.mark.parametrize("kills", [[1], [7, 8, 31], [40]])
def test_one_that_is_killed_goes_on_bit_for_bit(kills: list[int], tmp_path: Path) -> None:
    expected = walk(TrainingContext(CPU, None, monitor=monitor()))
    for kill in kills:

        def die(step: int, state: object, kill: int = kill) -> None:
            if step == kill:
                raise Killed

        with pytest.raises(Killed):
            walk(TrainingContext(CPU, None, monitor=monitor(), checkpoints=Checkpoints(tmp_path, 0.0)), at=die)
    seen: list[int] = []
    resumed = TrainingContext(CPU, None, seen.append, monitor=monitor(), checkpoints=Checkpoints(tmp_path, 0.0))
    assert walk(resumed) == expected
    assert seen[0] == max(1, kills[-1] - 1)


def test_one_that_resumes_says_from_which_step_of_which_replicate(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def die(step: int, state: object) -> None:
        if step == 8:
            raise Killed

    with pytest.raises(Killed):
        walk(TrainingContext(CPU, None, checkpoints=Checkpoints(tmp_path, 0.0)), at=die)
    assert capsys.readouterr().err == ""
    walk(TrainingContext(CPU, None, name="train-generator cgan, replicate 3", checkpoints=Checkpoints(tmp_path, 0.0)))
    assert capsys.readouterr().err == "train-generator cgan, replicate 3 resumes after step 7\n"


def test_several_loops_of_one_run_are_resumed_each_by_itself(tmp_path: Path) -> None:
    def both(run: TrainingContext, kill: bool) -> list[bytes]:
        def die(step: int, state: object) -> None:
            if kill and step == 10:
                raise Killed

        return [walk(run), walk(run, total=20, at=die)]

    expected = both(TrainingContext(CPU, None), kill=False)
    with pytest.raises(Killed):
        both(TrainingContext(CPU, None, checkpoints=Checkpoints(tmp_path, 0.0)), kill=True)
    seen: list[int] = []
    assert both(TrainingContext(CPU, None, seen.append, checkpoints=Checkpoints(tmp_path, 0.0)), kill=False) == expected
    assert seen[:2] == [40, 9]


def test_a_failure_stops_a_training_that_is_to_stop_and_names_remedies() -> None:
    run = TrainingContext(CPU, None, name="train-generator x, replicate 1", monitor=monitor("stop"))
    with pytest.raises(
        BadInput, match=r"^train-generator x, replicate 1: after 13 steps, NaN or infinite: loss; try lower"
    ) as raised:
        walk(run, loss=lambda step, rate: math.nan if step == 13 else 0.0)
    assert "\n" not in str(raised.value)


def test_a_failure_rolls_back_to_the_last_good_state_at_half_the_learning_rate(
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = TrainingContext(CPU, None, monitor=monitor())
    walk(run, loss=lambda step, rate: math.nan if step == 13 and rate > 0.06 else rate)
    assert "after 13 steps, NaN or infinite: loss" in capsys.readouterr().err
    assert [row["step"] for row in run.histories[0]] == list(range(1, 41))
    assert [row["loss"] for row in run.histories[0]] == [0.1] * 12 + [0.05] * 28
    assert [frame.step for frame in run.frames[0]] == list(range(4, 41, 4))


def test_random_numbers_differ_after_a_rollback() -> None:
    draws: list[float] = []

    def observe(step: int, state: dict[str, Any]) -> None:
        if step == 13:
            draws.append(float(state["rng"].get_state().float().sum()))

    walk(
        TrainingContext(CPU, None, monitor=monitor()),
        at=observe,
        loss=lambda step, rate: math.nan if step == 13 and rate > 0.03 else 0.0,
    )
    assert len(draws) == 3
    assert len(set(draws)) == 3


def test_it_fails_after_three_rollbacks() -> None:
    with pytest.raises(BadInput, match="rolled back 3 times already"):
        walk(TrainingContext(CPU, None, monitor=monitor()), loss=lambda step, rate: math.nan if step == 13 else 0.0)


@pytest.mark.parametrize(
    ("kill", "passing"), [(12, 1), (13, 1), (13, 2), (14, 1), (14, 2), (15, 1), (15, 2), (16, 1), (25, 1)]
)
def test_one_that_is_killed_around_a_rollback_goes_on_bit_for_bit(kill: int, passing: int, tmp_path: Path) -> None:
    def loss(step: int, rate: float) -> float:
        return math.nan if step in (13, 15) and rate > (0.06 if step == 13 else 0.03) else rate

    expected = walk(TrainingContext(CPU, None, monitor=monitor()), loss=loss)
    times = 0

    def die(step: int, state: object) -> None:
        nonlocal times
        times += step == kill
        if step == kill and times == passing:
            raise Killed

    def run() -> TrainingContext:
        return TrainingContext(CPU, None, monitor=monitor(), checkpoints=Checkpoints(tmp_path, 0.0))

    with pytest.raises(Killed):
        walk(run(), loss=loss, at=die)
    assert walk(run(), loss=loss) == expected


def test_nearly_identical_images_are_a_failure_only_in_the_second_half() -> None:
    with pytest.raises(
        BadInput, match=r"after 24 steps, mode collapse: the drawn images of 'a', 'b' are nearly identical"
    ):
        walk(TrainingContext(CPU, None, monitor=monitor("stop")), sampler=Varied(same=True))


def test_a_second_rollback_halves_the_learning_rate_once_more_also_from_a_later_state() -> None:
    def loss(step: int, rate: float) -> float:
        return math.nan if (step == 13 and rate > 0.06) or (step == 23 and rate > 0.03) else rate

    run = TrainingContext(CPU, None, monitor=monitor())
    walk(run, loss=loss)
    assert [row["loss"] for row in run.histories[0]] == pytest.approx([0.1] * 12 + [0.05] * 8 + [0.025] * 20)


def test_a_discriminator_is_judged_by_its_errors_after_a_rollback() -> None:
    run = TrainingContext(CPU, None, monitor=monitor())

    weight = nn.Linear(1, 1)
    optimizer = torch.optim.SGD(weight.parameters(), lr=0.1)
    for step in run.steps(100, {"weight": weight, "optimizer": optimizer}):
        if step.recorded:
            error = 0.0 if optimizer.param_groups[0]["lr"] > 0.06 else 0.1
            run.record({"step": step.number, "error_train": error, "error_generated": error})
        if step.shown:
            run.show(step.number, Varied())
    errors = [row["error_generated"] for row in run.histories[0]]
    assert errors == [0.0] * 20 + [0.1] * 80


def test_checkpoints_are_kept_now_and_then_also_where_good_states_come_often(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr("makeweight.training.checkpoints.time.monotonic", lambda: now[0])

    def pass_time(step: int, state: object) -> None:
        now[0] += 1.0
        if step == 39:
            raise Killed

    def run(seen: list[int]) -> TrainingContext:
        return TrainingContext(CPU, None, seen.append, monitor=monitor(), checkpoints=Checkpoints(tmp_path, 5.0))

    with pytest.raises(Killed):
        walk(run([]), at=pass_time)
    seen: list[int] = []
    walk(run(seen))
    assert seen[0] == 35


def test_slow_packing_makes_checkpoints_of_a_loop_less_frequent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, packings = [0.0], list[float]()

    def pack_slowly(state: State, position: Mapping[str, object]) -> bytes:
        now[0] += 1.0
        packings.append(now[0])
        return pack(state, position)

    def pass_time(step: int, state: object) -> None:
        now[0] += 1.0

    monkeypatch.setattr("makeweight.training.checkpoints.time.monotonic", lambda: now[0])
    monkeypatch.setattr("makeweight.training.checkpoints.SHARE", 0.02)
    monkeypatch.setattr("makeweight.training.loop.pack", pack_slowly)
    run = TrainingContext(CPU, None, monitor=monitor(), checkpoints=Checkpoints(tmp_path, 5.0))
    walk(run, at=pass_time)
    # The state at the start, ten good states, and two checkpoints: after 5 seconds, and the last one.
    assert len(packings) == 1 + 10 + 2
