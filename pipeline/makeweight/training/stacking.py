"""Networks of several replicates, called as one: where their inputs and outputs meet, replicates come first."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

Network = TypeVar("Network", bound=nn.Module)


def together(networks: Sequence[Network], device: torch.device) -> ReplicateNetworks[Network]:
    """Networks of the same build, one a replicate, as one; they are moved to the device."""
    moved = [network.to(device).to(memory_format=torch.channels_last) for network in networks]
    return SingleNetwork(moved[0]) if len(moved) == 1 else StackedNetworks(moved)


class ReplicateNetworks(nn.Module, ABC, Generic[Network]):
    """One network or several of the same build. Inputs and outputs have the shape [replicates, …]."""

    def forward(self, *inputs: Tensor) -> Any:
        """What each network makes of its part of the inputs."""
        return self.each("forward", *inputs)

    @abstractmethod
    def each(self, method: str, *inputs: Tensor) -> Any:
        """Call this method of each network with its part of the inputs; tensors come out, or tuples of them."""

    @abstractmethod
    def networks(self) -> list[Network]:
        """A copy of each network, on the CPU."""

    def gradient_norms(self) -> Tensor:
        """The norm of each network's gradient, shape [replicates]."""
        slopes = [weight.grad for weight in self.parameters() if weight.grad is not None]
        return torch.stack([torch.nn.utils.get_total_norm(own) for own in self._apart(slopes)])

    @abstractmethod
    def _apart(self, tensors: list[Tensor]) -> Iterator[list[Tensor]]:
        """Tensors that are laid out like weights, network by network."""


class SingleNetwork(ReplicateNetworks[Network]):
    """A single network: nothing is stacked, and nothing gets slower."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def each(self, method: str, *inputs: Tensor) -> Any:
        """Call the method with what is the inputs' only part."""
        made = getattr(self.network, method)(*(each.squeeze(0) for each in inputs))
        return made.unsqueeze(0) if isinstance(made, Tensor) else tuple(each.unsqueeze(0) for each in made)

    def networks(self) -> list[Network]:
        """A copy of the network."""
        return [copy.deepcopy(self.network).cpu()]

    def _apart(self, tensors: list[Tensor]) -> Iterator[list[Tensor]]:
        yield tensors


class StackedNetworks(ReplicateNetworks[Network]):
    """Several networks as one batched program: weights are stacked, and `torch.func.vmap` runs through all at once."""

    def __init__(self, networks: Sequence[Network]) -> None:
        super().__init__()
        self.size = len(networks)
        weights, buffers = stack_module_state(list(networks))
        for name, weight in weights.items():
            self.register_parameter(_slashed(name), nn.Parameter(weight.detach()))
        for name, buffer in buffers.items():
            self.register_buffer(_slashed(name), buffer)
        # In a list, so that its own weights, which nobody asks, are not counted among ours.
        self._build = [_Called(copy.deepcopy(networks[0]))]

    def each(self, method: str, *inputs: Tensor) -> Any:
        """Call the method of all networks at once."""
        (build,) = self._build

        def one(held: dict[str, Tensor], *own: Tensor) -> Any:
            return functional_call(build, held, (method, *own))

        held = {f"network.{name}": value for name, value in self._held()}
        return vmap(one)(held, *inputs)

    def train(self, mode: bool = True) -> StackedNetworks[Network]:
        """Set the mode of all networks."""
        super().train(mode)
        self._build[0].train(mode)
        return self

    def networks(self) -> list[Network]:
        """A copy of each network, built as if it had been alone."""
        apart = []
        for k in range(self.size):
            network: Network = copy.deepcopy(self._build[0].network)
            network.load_state_dict({name: value[k] for name, value in self._held()})
            apart.append(network.cpu())
        return apart

    def _held(self) -> Iterator[tuple[str, Tensor]]:
        for name, value in (*self.named_parameters(), *self.named_buffers()):
            yield name.replace("/", "."), value

    def _apart(self, tensors: list[Tensor]) -> Iterator[list[Tensor]]:
        for k in range(self.size):
            yield [each[k] for each in tensors]


class _Called(nn.Module, Generic[Network]):
    """Lets `functional_call`, which knows only `forward`, call any method."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, method: str, *inputs: Tensor) -> Any:
        return getattr(self.network, method)(*inputs)


def _slashed(name: str) -> str:
    return name.replace(".", "/")  # a module takes no name with dots
