"""The state of a training as bytes, so that one that was killed goes on bit for bit. No pickles."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

REST = "rest"  # the tensor that holds, as JSON, all that is no tensor
SHARE = 0.02  # of the time that writing may take: what is written slowly is written more rarely


class HasState(Protocol):
    """Networks, optimizers, averages."""

    def state_dict(self) -> dict[str, Any]:
        """All that it would need to go on."""
        ...

    def load_state_dict(self, state_dict: dict[str, Any]) -> Any:
        """Go on from there."""
        ...


State = Mapping[str, HasState | torch.Generator]


def pack(state: State, position: Mapping[str, Any]) -> bytes:
    """Everything in `state`, and `position`: plain values and tensors in dicts and lists."""
    tensors: dict[str, Tensor] = {}
    held = {name: thing.get_state() if isinstance(thing, torch.Generator) else thing.state_dict()
            for name, thing in state.items()}  # fmt: skip
    rest = json.dumps(_without_tensors({"state": held, "position": position}, tensors)).encode()
    return save({**tensors, REST: torch.frombuffer(bytearray(rest), dtype=torch.uint8)})


def unpack(packed: bytes, state: State) -> dict[str, Any]:
    """Put what `pack` packed back into `state`; return the position.

    Raises:
        SafetensorError: the bytes are damaged.
    """
    tensors = load(packed)
    tree = _with_tensors(json.loads(tensors.pop(REST).numpy().tobytes()), tensors)
    for name, thing in state.items():
        if isinstance(thing, torch.Generator):
            thing.set_state(tree["state"][name])
        else:
            thing.load_state_dict(tree["state"][name])
            if isinstance(thing, torch.optim.Optimizer):
                _lay_out_like_weights(thing)
    position: dict[str, Any] = tree["position"]
    return position


def _without_tensors(tree: Any, tensors: dict[str, Tensor]) -> Any:
    """`tree` as JSON can hold it: keys may be numbers, tensors become names in `tensors`."""
    if isinstance(tree, Tensor):
        name = str(len(tensors))
        tensors[name] = tree.detach().cpu().contiguous()
        return {"tensor": name}
    if isinstance(tree, Mapping):
        return {"mapping": [[key, _without_tensors(value, tensors)] for key, value in tree.items()]}
    if isinstance(tree, list | tuple):
        return [_without_tensors(value, tensors) for value in tree]
    return tree


def _with_tensors(tree: Any, tensors: Mapping[str, Tensor]) -> Any:
    if isinstance(tree, list):
        return [_with_tensors(value, tensors) for value in tree]
    if isinstance(tree, dict):
        if "tensor" in tree:
            return tensors[tree["tensor"]]
        return {key: _with_tensors(value, tensors) for key, value in tree["mapping"]}
    return tree


def _lay_out_like_weights(optimizer: torch.optim.Optimizer) -> None:
    # A fused optimizer walks weights and moments side by side in memory: both must lie there in the same order.
    for weights, held in optimizer.state.items():
        for name, value in held.items():
            if isinstance(value, Tensor) and value.shape == weights.shape and value.stride() != weights.stride():
                held[name] = torch.empty_like(weights).copy_(value)


class Checkpoints:
    """Files below one folder, each replaced as a whole: one that was half written never takes the place of another.

    Args:
        folder: where they lie.
        seconds: between two that are written now and then.
    """

    def __init__(self, folder: Path, seconds: float) -> None:
        self.folder, self.seconds = folder, seconds
        self._next = time.monotonic() + seconds

    @property
    def due(self) -> bool:
        """Whether it is time to write again."""
        return time.monotonic() >= self._next

    def write_now_and_then(self, name: str, packed: bytes) -> None:
        """Write, and be due again after a while."""
        start = time.monotonic()
        self.write(name, packed)
        now = time.monotonic()
        self._next = now + max(self.seconds, (now - start) / SHARE)

    def write(self, name: str, packed: bytes) -> None:
        """Write `packed` so that it, or what was there before, survives a crash at any moment."""
        self.folder.mkdir(parents=True, exist_ok=True)
        new = self.folder / f"{name}.new"
        with new.open("wb") as file:
            file.write(packed)
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, self.folder / name)

    def restore(self, name: str, state: State) -> dict[str, Any] | None:
        """Put the file `name` into `state` and return its position; None where there is none, or it is damaged."""
        try:
            return unpack((self.folder / name).read_bytes(), state)
        except (FileNotFoundError, SafetensorError):
            return None
