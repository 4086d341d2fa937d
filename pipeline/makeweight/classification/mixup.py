"""MixUp and CutMix of the images of a batch with each other, by torchvision (`torchvision.transforms.v2`)."""

from __future__ import annotations

import torch
from torch import Tensor

from makeweight.classification.interface import find_control
from makeweight.core.errors import BadInput
from makeweight.core.parameters import ClassifierSettings
from makeweight.training.rng import seeded_global_stream


def mixed_images(
    images: Tensor, labels: Tensor, classes: int, settings: ClassifierSettings, seed: int
) -> tuple[Tensor, Tensor]:
    """Mix each image with its predecessor in the batch, as `settings.mix` says, and their labels likewise.

    Zhang et al. 2018, "mixup: Beyond empirical risk minimization"; Yun et al. 2019, "CutMix". The fraction is drawn
    from the Beta distribution with both parameters `settings.mix_alpha`, once for the batch.

    Args:
        images: float [n, c, h, w].
        labels: int64 [n].
        classes: the number of classes.
        settings: of the classifier.
        seed: of the fraction, and of CutMix's box; all arms draw the same ones.

    Returns:
        Images, and targets: the labels if `settings.mix` is none, else the probabilities of classes, float32
        [n, classes].
    """
    if settings.mix == "none":
        return images, labels
    from torchvision.transforms import v2  # takes a second or more

    mix = {"mixup": v2.MixUp, "cutmix": v2.CutMix}[settings.mix](alpha=settings.mix_alpha, num_classes=classes)
    with seeded_global_stream(seed):
        mixed, targets = mix(images, labels)
    return mixed.contiguous(memory_format=torch.channels_last), targets


def require_mix_allowed(control: str, settings: ClassifierSettings) -> None:
    """Check that the loss of a control suits mixed images.

    Raises:
        BadInput: it does not, and images are mixed; or there is no such control.
    """
    if settings.mix != "none" and not find_control(control).allows_mix:
        raise BadInput(
            f"classifier.mix is {settings.mix}, but the loss of the control {control} does not suit mixed images: "
            f"class frequencies are not their priors: set classifier.mix to none, or remove {control} from controls "
            "and from generate.base"
        )
