"""Feature spaces: of the scorer, and of weights on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import Inception3, resnet18

from makeweight.core.errors import BadInput
from makeweight.quality.features import backbone_features, scorer_features
from makeweight.training.scorer import outputs, train_scorer
from tests.support.assessing import real
from tests.support.families import split


def test_the_scorers_features_give_its_logits_by_its_last_layer() -> None:
    train = real(0, (4, 4, 4))
    scorer = train_scorer(train, 2, 0, torch.device("cpu"))
    space = scorer_features(scorer)
    features = torch.from_numpy(space(train.images)).float()
    with torch.no_grad():
        logits = list(scorer.children())[-1](features).numpy()
    assert np.allclose(logits, outputs(scorer, train.images).numpy(), atol=1e-4)
    assert space.description == "a classifier of the training images, the 256 inputs of its last layer"
    assert not space.inception


@pytest.mark.parametrize("kind", ["safetensors", "pt"])
def test_weights_on_disk_give_the_features_of_their_network(kind: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network, path = resnet18(num_classes=3), tmp_path / f"own.{kind}"
    (save_file if kind == "safetensors" else torch.save)(network.state_dict(), path)
    space = backbone_features(path)
    images = split(8, 1).images[:2]
    assert space.description == f"resnet18 of torchvision with the weights own.{kind}, 512 features"
    assert not space.inception
    rgb = torch.from_numpy(np.repeat(images, 3, axis=3)).permute(0, 3, 1, 2).float() / 255
    resized = torch.nn.functional.interpolate(rgb, (224, 224), mode="bilinear", antialias=True)
    mean, sd = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])  # of ImageNet
    network.fc = torch.nn.Identity()
    with torch.no_grad():
        expected = network.eval()((resized - mean[:, None, None]) / sd[:, None, None]).numpy()
    assert expected.shape == (2, 512)
    assert np.allclose(space(images), expected, atol=1e-4)


def test_only_features_of_inception_may_be_called_fid(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = Inception3(num_classes=2, init_weights=False)  # with the auxiliary output of its training
    torch.save(network.state_dict(), tmp_path / "inception.pth")
    space = backbone_features(tmp_path / "inception.pth")
    assert space.inception
    assert space(split(8, 3).images[:1]).shape == (1, 2048)


def test_weights_that_are_missing_damaged_or_of_another_network_are_one_line(tmp_path: Path) -> None:
    part = {key: value for key, value in resnet18(num_classes=3).state_dict().items() if key != "conv1.weight"}
    saved: dict[str, tuple[Any, str]] = {
        "other.pt": ({"weight": torch.zeros(2)}, "does not hold the weights"),
        "part.pt": (part, "does not fit torchvision's resnet18"),
        "list.pt": ([1], "holds no state_dict"),
        "whole.pt": (torch.nn.Linear(2, 2), "cannot be read"),  # pickled code
    }
    for name, (content, _) in saved.items():
        torch.save(content, tmp_path / name)
    for name in ("text.pt", "text.safetensors"):
        (tmp_path / name).write_text("weights")
    messages = {name: message for name, (_, message) in saved.items()}
    for name, message in {**messages, "text.pt": "cannot be read", "text.safetensors": "cannot be read"}.items():
        with pytest.raises(BadInput, match=message) as error:
            backbone_features(tmp_path / name)
        assert "\n" not in str(error.value)
    with pytest.raises(BadInput, match="does not exist"):
        backbone_features(tmp_path / "absent.pt")
