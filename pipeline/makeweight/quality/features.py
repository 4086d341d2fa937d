"""Feature spaces in which images are compared: of the scorer, or of a network whose weights the user has on disk."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import interpolate

from makeweight.core.data import Images
from makeweight.core.errors import BadInput
from makeweight.core.text import printable
from makeweight.training.scorer import outputs

BATCH = 100  # images at a time
IMAGENET_MEAN, IMAGENET_SD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of the inputs of torchvision's weights


@dataclass(frozen=True, slots=True)
class FeatureSpace:
    """A network that turns images into feature vectors.

    Attributes:
        description: the network and its weights, for the reader of a distance.
        inception: whether they are features of Inception v3, so that a Fréchet distance may be called FID.
        network: images [n, c, h, w] in [-1, 1] to features [n, values].
    """

    description: str
    inception: bool
    network: nn.Module

    def __call__(self, images: Images) -> NDArray[np.float64]:
        """The features of images uint8 [n, h, w, c]: float64 [n, values]."""
        return outputs(self.network, images, BATCH).double().numpy()


def scorer_features(scorer: nn.Module) -> FeatureSpace:
    """The inputs of the last layer of a classifier of the training images (`training.scorer.train_scorer`)."""
    layers = list(scorer.children())
    description = f"a classifier of the training images, the {layers[-1].in_features} inputs of its last layer"
    return FeatureSpace(description, False, nn.Sequential(*layers[:-1]))


class _Resized(nn.Module):
    """A network of torchvision behind the input that its weights expect."""

    mean: Tensor
    sd: Tensor

    def __init__(self, network: nn.Module, side: int) -> None:
        super().__init__()
        self.network, self.side = network, side
        for name, values in (("mean", IMAGENET_MEAN), ("sd", IMAGENET_SD)):
            self.register_buffer(name, torch.tensor(values).reshape(3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        size = (self.side, self.side)
        resized = interpolate(images, size, mode="bilinear", antialias=True).expand(-1, 3, -1, -1)
        features: Tensor = self.network(((resized + 1) / 2 - self.mean) / self.sd)
        return features


@dataclass(frozen=True, slots=True)
class _Backbone:
    """A network of torchvision.

    Attributes:
        name: of the network.
        key: a weight that only this network has.
        side: of its input in pixels.
        values: number of features.
        build: the network without weights, with `classes` outputs.
    """

    name: str
    key: str
    side: int
    values: int
    build: Callable[[int], nn.Module]


def _resnet18(classes: int) -> nn.Module:
    from torchvision.models import resnet18

    return resnet18(num_classes=classes)  # type: ignore[no-any-return]


def _inception_v3(classes: int) -> nn.Module:
    from torchvision.models import Inception3

    return Inception3(classes, aux_logits=False, transform_input=False, init_weights=False)  # type: ignore[no-any-return]


BACKBONES = (
    _Backbone("resnet18", "layer4.1.conv2.weight", 224, 512, _resnet18),
    _Backbone("inception_v3", "Mixed_7c.branch_pool.conv.weight", 299, 2048, _inception_v3),
)


def backbone_features(path: Path) -> FeatureSpace:
    """The features before the last layer of torchvision's resnet18 or inception_v3, with the weights in `path`.

    The file is one of safetensors, or what `torch.save` wrote of a `state_dict`; it is read as data, never unpickled
    as code.

    Raises:
        BadInput: the file is missing, holds no weights, or those of another network.
    """
    weights = _weights(path)
    found = next((backbone for backbone in BACKBONES if backbone.key in weights), None)
    if found is None or getattr(weights.get("fc.weight"), "ndim", 0) != 2:
        names = " or ".join(backbone.name for backbone in BACKBONES)
        raise BadInput(f"assess.weights: {printable(path)} does not hold the weights of torchvision's {names}")
    network = found.build(len(weights["fc.weight"]))
    own = {key: value for key, value in weights.items() if not key.startswith("AuxLogits.")}  # used in training only
    try:
        network.load_state_dict(own)
    except RuntimeError as error:
        reason = " ".join(str(error).split()[:40])
        raise BadInput(
            f"assess.weights: {printable(path)} does not fit torchvision's {found.name}: {reason}"
        ) from error
    network.fc = nn.Identity()
    description = f"{found.name} of torchvision with the weights {printable(path.name)}, {found.values} features"
    return FeatureSpace(description, found.name == "inception_v3", _Resized(network, found.side).eval())


def weights_path(setting: str) -> Path:
    """The file that `assess.weights` names; `~` is the home directory."""
    return Path(os.path.expanduser(setting))  # noqa: PTH111 - Path.expanduser raises an error where no such user exists


def _weights(path: Path) -> Mapping[str, Tensor]:
    if not path.is_file():
        raise BadInput(f"assess.weights: {printable(path)} does not exist (current folder: {printable(Path.cwd())})")
    try:
        values: Any = _read(path)
    except (SafetensorError, UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise BadInput(
            f"assess.weights: {printable(path)} cannot be read as safetensors or as a state_dict of torch.save"
        ) from error
    if not isinstance(values, dict) or not all(isinstance(value, Tensor) for value in values.values()):
        raise BadInput(f"assess.weights: {printable(path)} holds no state_dict: save network.state_dict()")
    return values


def _read(path: Path) -> Any:
    if path.suffix == ".safetensors":
        return load_file(path)
    return torch.load(path, map_location="cpu", weights_only=True)
