"""Stacking of the replicates' networks into one batched program. The first dimension is that of the replicates."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

Network = TypeVar("Network", bound=nn.Module)


def stack(networks: Sequence[Network], device: torch.device) -> ReplicateNetworks[Network]:
    """Combine networks of the same architecture, one for each replicate, and move them to the device."""
    moved = [network.to(device).to(memory_format=torch.channels_last) for network in networks]
    return SingleNetwork(moved[0]) if len(moved) == 1 else StackedNetworks(moved)


class ReplicateNetworks(nn.Module, ABC, Generic[Network]):
    """One or more networks of the same architecture. Inputs and outputs have the shape [replicates, …]."""

    def forward(self, *inputs: Tensor) -> Any:
        """Call each network with its part of the inputs."""
        return self.call("forward", *inputs)

    @abstractmethod
    def call(self, method: str, *inputs: Tensor) -> Any:
        """Call a method of each network with its part of the inputs; returns a tensor or a tuple of tensors."""

    @abstractmethod
    def networks(self) -> list[Network]:
        """A copy of each network, on the CPU."""

    def gradient_norms(self) -> Tensor:
        """The gradient norm of each network, shape [replicates]."""
        gradients = [weight.grad for weight in self.parameters() if weight.grad is not None]
        return torch.stack([torch.nn.utils.get_total_norm(own) for own in self._split(gradients)])

    @abstractmethod
    def _split(self, tensors: list[Tensor]) -> Iterator[list[Tensor]]:
        """Split tensors with the shapes of the weights by network."""


class SingleNetwork(ReplicateNetworks[Network]):
    """A single network, without the cost of stacking."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def call(self, method: str, *inputs: Tensor) -> Any:
        """Call the method of the network."""
        outputs = getattr(self.network, method)(*(tensor.squeeze(0) for tensor in inputs))
        if isinstance(outputs, Tensor):
            return outputs.unsqueeze(0)
        return tuple(output.unsqueeze(0) for output in outputs)

    def networks(self) -> list[Network]:
        """A copy of the network."""
        return [copy.deepcopy(self.network).cpu()]

    def _split(self, tensors: list[Tensor]) -> Iterator[list[Tensor]]:
        yield tensors


class StackedNetworks(ReplicateNetworks[Network]):
    """Several networks as one batched program: weights are stacked, and `torch.func.vmap` maps over them."""

    def __init__(self, networks: Sequence[Network]) -> None:
        super().__init__()
        self.size = len(networks)
        weights, buffers = stack_module_state(list(networks))
        for name, weight in weights.items():
            self.register_parameter(_slashed(name), nn.Parameter(weight.detach()))
        for name, buffer in buffers.items():
            self.register_buffer(_slashed(name), buffer)
        # In a list, so that its weights, which are not used, are no parameters of this module.
        self._template = [_MethodCall(copy.deepcopy(networks[0]))]

    def call(self, method: str, *inputs: Tensor) -> Any:
        """Call the method of all networks at once."""
        (template,) = self._template

        def call(state: dict[str, Tensor], *own: Tensor) -> Any:
            return functional_call(template, state, (method, *own))

        state = {f"network.{name}": value for name, value in self._stacked_state()}
        return vmap(call)(state, *inputs)

    def train(self, mode: bool = True) -> StackedNetworks[Network]:
        """Set the mode of all networks."""
        super().train(mode)
        self._template[0].train(mode)
        return self

    def networks(self) -> list[Network]:
        """A copy of each network, as if it had been trained by itself."""
        copies = []
        for k in range(self.size):
            network: Network = copy.deepcopy(self._template[0].network)
            network.load_state_dict({name: value[k] for name, value in self._stacked_state()})
            copies.append(network.cpu())
        return copies

    def _stacked_state(self) -> Iterator[tuple[str, Tensor]]:
        for name, value in (*self.named_parameters(), *self.named_buffers()):
            yield name.replace("/", "."), value

    def _split(self, tensors: list[Tensor]) -> Iterator[list[Tensor]]:
        for k in range(self.size):
            yield [tensor[k] for tensor in tensors]


class _MethodCall(nn.Module, Generic[Network]):
    """Adapter through which `functional_call`, which calls only `forward`, calls any method."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, method: str, *inputs: Tensor) -> Any:
        return getattr(self.network, method)(*inputs)


def _slashed(name: str) -> str:
    return name.replace(".", "/")  # a module takes no name with dots
