"""MixUp and CutMix, compared with torchvision and with hand-worked examples."""

from __future__ import annotations

import pytest
import torch
from torchvision.transforms import v2

from makeweight.classification.controls import weighted
from makeweight.classification.mixup import mixed_images, require_mix_allowed
from makeweight.core.parameters import ClassifierSettings
from tests.classification.test_train import SETTINGS

IMAGES = torch.rand(6, 3, 8, 8, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 1, 2, 0, 1, 2])


def settings(mix: str) -> ClassifierSettings:
    return SETTINGS.model_copy(update={"mix": mix, "mix_alpha": 0.4})


@pytest.mark.parametrize(("mix", "kind"), [("mixup", v2.MixUp), ("cutmix", v2.CutMix)])
def test_it_is_torchvisions_under_the_same_draws(mix: str, kind: type[torch.nn.Module]) -> None:
    images, targets = mixed_images(IMAGES, LABELS, 3, settings(mix), seed=5)
    torch.manual_seed(5)
    expected, expected_targets = kind(alpha=0.4, num_classes=3)(IMAGES, LABELS)
    assert torch.equal(images, expected)
    assert torch.equal(targets, expected_targets)
    assert not torch.equal(images, IMAGES)


@pytest.mark.parametrize("mix", ["mixup", "cutmix"])
def test_the_seed_alone_decides_and_the_global_stream_stays_as_it_is(mix: str) -> None:
    torch.manual_seed(1)
    expected = torch.rand(2)
    torch.manual_seed(1)
    images, targets = mixed_images(IMAGES, LABELS, 3, settings(mix), seed=5)
    assert torch.equal(torch.rand(2), expected)
    assert torch.equal(mixed_images(IMAGES, LABELS, 3, settings(mix), seed=5)[0], images)
    assert not torch.equal(mixed_images(IMAGES, LABELS, 3, settings(mix), seed=6)[0], images)
    torch.testing.assert_close(targets.sum(1), torch.ones(6))


def test_without_mixing_images_and_labels_are_the_same_objects() -> None:
    images, targets = mixed_images(IMAGES, LABELS, 3, settings("none"), seed=5)
    assert images is IMAGES
    assert targets is LABELS


def test_under_mixup_the_weighted_loss_is_the_mixture_of_both_weighted_losses() -> None:
    frequencies, logits = torch.tensor([0.5, 0.25, 0.25]), torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    _, targets = mixed_images(IMAGES, LABELS, 3, settings("mixup"), seed=5)
    fraction = targets[0, LABELS[0]].item()
    own, other = (weighted.loss(logits, labels, frequencies, 0.0) for labels in (LABELS, LABELS.roll(1)))
    expected = fraction * own + (1 - fraction) * other
    torch.testing.assert_close(weighted.loss(logits, targets, frequencies, 0.0), expected)


@pytest.mark.parametrize("control", ["none", "oversample", "weighted", "deferred"])
def test_other_controls_allow_it(control: str) -> None:
    require_mix_allowed(control, settings("cutmix"))
