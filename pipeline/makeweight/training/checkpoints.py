"""Checkpoints, from which a killed training resumes bit for bit, without pickles."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

REST = "rest"  # the tensor that holds everything else as JSON
SHARE = 0.02  # largest fraction of the time that packing and writing periodic checkpoints may take


class HasState(Protocol):
    """A network, an optimizer or an average."""

    def state_dict(self) -> dict[str, Any]:
        """Everything that is needed to resume."""
        ...

    def load_state_dict(self, state_dict: dict[str, Any]) -> Any:
        """Restore what `state_dict` returned."""
        ...


State = Mapping[str, HasState | torch.Generator]


def pack(state: State, position: Mapping[str, Any]) -> bytes:
    """Serialise `state`, and `position`: plain values and tensors in dicts and lists."""
    tensors: dict[str, Tensor] = {}
    values = {name: item.get_state() if isinstance(item, torch.Generator) else item.state_dict()
              for name, item in state.items()}  # fmt: skip
    rest = json.dumps(_without_tensors({"state": values, "position": position}, tensors)).encode()
    return save({**tensors, REST: torch.frombuffer(bytearray(rest), dtype=torch.uint8)})


def unpack(packed: bytes, state: State) -> dict[str, Any]:
    """Restore into `state` what `pack` serialised; return the position.

    Raises:
        SafetensorError: the bytes are damaged.
    """
    tensors = load(packed)
    tree = _with_tensors(json.loads(tensors.pop(REST).numpy().tobytes()), tensors)
    for name, item in state.items():
        if isinstance(item, torch.Generator):
            item.set_state(tree["state"][name])
        else:
            item.load_state_dict(tree["state"][name])
            if isinstance(item, torch.optim.Optimizer):
                _match_strides_of_weights(item)
    position: dict[str, Any] = tree["position"]
    return position


def _without_tensors(tree: Any, tensors: dict[str, Tensor]) -> Any:
    """`tree` as JSON can represent it: tensors are moved to `tensors` and become names; keys may be numbers."""
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


def _match_strides_of_weights(optimizer: torch.optim.Optimizer) -> None:
    # A fused optimizer reads weights and moments in the order of memory, so both need the same strides.
    for weights, moments in optimizer.state.items():
        for name, value in moments.items():
            if isinstance(value, Tensor) and value.shape == weights.shape and value.stride() != weights.stride():
                moments[name] = torch.empty_like(weights).copy_(value)


class Checkpoints:
    """Checkpoint files in one folder, each replaced atomically.

    Args:
        folder: of the files.
        seconds: between two periodic checkpoints.
    """

    def __init__(self, folder: Path, seconds: float) -> None:
        self.folder, self.seconds = folder, seconds
        self._next = time.monotonic() + seconds

    @property
    def due(self) -> bool:
        """Whether the next periodic checkpoint is due."""
        return time.monotonic() >= self._next

    def write_periodically(self, name: str, packed: Callable[[], bytes]) -> None:
        """Pack and write a periodic checkpoint, and schedule the next one by the time that both took."""
        start = time.monotonic()
        self.write(name, packed())
        now = time.monotonic()
        self._next = now + max(self.seconds, (now - start) / SHARE)

    def write(self, name: str, packed: bytes) -> None:
        """Write `packed` so that either it or the earlier file survives a crash at any moment."""
        self.folder.mkdir(parents=True, exist_ok=True)
        new = self.folder / f"{name}.new"
        with new.open("wb") as file:
            file.write(packed)
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, self.folder / name)

    def restore(self, name: str, state: State) -> dict[str, Any] | None:
        """Restore the file `name` into `state`; return its position, or None if it is missing or damaged."""
        try:
            return unpack((self.folder / name).read_bytes(), state)
        except (FileNotFoundError, SafetensorError):
            return None
