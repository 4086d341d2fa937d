"""Checkpoints: training state is packed, written and restored bit for bit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from makeweight.training.checkpoints import Checkpoints, State, pack, unpack
from makeweight.training.ema import EMA


def state(seed: int) -> State:
    """Networks as families train them: channels last, with a fused optimizer."""
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.Conv2d(5, 2, 3))
    network = network.to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(network.parameters(), 0.1, fused=True)
    return {
        "network": network, "average": EMA(network, 0.9), "optimizer": optimizer,
        "rng": torch.Generator().manual_seed(seed),
    }  # fmt: skip


def train(trained: State, steps: int) -> None:
    network, optimizer, rng, average = (trained[name] for name in ("network", "optimizer", "rng", "average"))
    assert isinstance(network, nn.Module)
    assert isinstance(optimizer, torch.optim.Optimizer)
    assert isinstance(rng, torch.Generator)
    assert isinstance(average, EMA)
    for _ in range(steps):
        loss = network(torch.randn(4, 3, 8, 8, generator=rng)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        average.update(network)


def test_a_training_goes_on_from_its_packed_state_bit_for_bit() -> None:
    whole, first, second = state(0), state(0), state(1)
    train(whole, 10)
    train(first, 4)
    position = unpack(pack(first, {"step": 4, "rows": [{"loss": 0.1, "none": None}], "frame": torch.ones(2)}), second)
    train(second, 6)
    assert (position["step"], position["rows"]) == (4, [{"loss": 0.1, "none": None}])
    assert torch.equal(position["frame"], torch.ones(2))
    assert pack(second, {}) == pack(whole, {})


def test_what_is_packed_does_not_change_with_what_is_trained_on() -> None:
    current = state(0)
    packed = pack(current, {})
    train(current, 3)
    assert pack(current, {}) != packed
    unpack(packed, current)
    assert pack(current, {}) == packed


def test_a_crash_while_writing_leaves_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoints, current = Checkpoints(tmp_path / "kept", seconds=60), state(0)
    checkpoints.write("0", pack(current, {"step": 1}))

    def crash(file: int) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr("makeweight.training.checkpoints.os.fsync", crash)
    with pytest.raises(OSError, match="full"):
        checkpoints.write("0", pack(current, {"step": 2}))
    assert checkpoints.restore("0", current) == {"step": 1}


@pytest.mark.parametrize(
    "damage", [lambda packed: packed[: len(packed) // 2], lambda packed: b"", lambda packed: b"x" * 99]
)
def test_a_damaged_file_counts_as_none(damage, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    current = state(0)
    (tmp_path / "0").write_bytes(damage(pack(current, {"step": 1})))
    assert Checkpoints(tmp_path, 1).restore("0", current) is None
    assert Checkpoints(tmp_path, 1).restore("1", current) is None


def test_it_is_due_after_so_many_seconds_but_takes_no_more_than_its_share_of_the_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr("makeweight.training.checkpoints.time.monotonic", lambda: now[0])
    checkpoints = Checkpoints(tmp_path, seconds=5)
    assert not checkpoints.due
    now[0] = 5.0
    assert checkpoints.due
    checkpoints.write("0", b"not periodic")
    assert checkpoints.due
    checkpoints.write_periodically("0", lambda: b"fast")
    now[0] = 9.9
    assert not checkpoints.due
    now[0] = 10.0
    assert checkpoints.due

    def slow(file: int) -> None:
        now[0] += 1.0

    monkeypatch.setattr("makeweight.training.checkpoints.os.fsync", slow)
    checkpoints.write_periodically("0", lambda: b"slow")
    now[0] = 60.0
    assert not checkpoints.due
    now[0] = 61.0
    assert checkpoints.due


def test_the_time_of_packing_counts_towards_the_share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("makeweight.training.checkpoints.time.monotonic", lambda: now[0])
    checkpoints = Checkpoints(tmp_path, seconds=5)

    def pack_slowly() -> bytes:
        now[0] += 1.0
        return b"packed"

    checkpoints.write_periodically("0", pack_slowly)
    assert (tmp_path / "0").read_bytes() == b"packed"
    now[0] = 50.9
    assert not checkpoints.due
    now[0] = 51.0
    assert checkpoints.due
