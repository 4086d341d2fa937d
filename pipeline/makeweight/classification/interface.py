"""Interfaces of the plug-ins of this package: transforms and controls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from torch import Tensor

from makeweight.core.data import Images, Labels
from makeweight.core.errors import BadInput
from makeweight.core.plugins import configured, find, names, require_valid_name
from makeweight.core.text import nearest
from makeweight.core.validation import validate

CONTROL = ("description", "changes", "allows_mix", "epoch", "loss")  # what a control has


class Transform(Protocol):
    """The augmentation of each image as it enters a batch: a frozen settings model with one method."""

    def apply(self, images: Images, seed: int) -> Images:
        """Augment a batch, uint8 [n, h, w, c]; shape and type stay. The same seed gives the same bytes."""
        ...

    def model_dump(self) -> Any:
        """The settings as plain values, as every pydantic model returns them."""
        ...


class Control(Protocol):
    """The sampling and the loss of a control: a frozen object with two methods."""

    @property
    def description(self) -> str:
        """How the arm is trained, for the report: a phrase that starts with "trained on"."""
        ...

    @property
    def changes(self) -> tuple[float, ...]:
        """The fractions of the steps, in (0, 1) and increasing, after which the sampling changes; mostly none."""
        ...

    @property
    def allows_mix(self) -> bool:
        """Whether the loss suits images that are mixed with each other (`classifier.mix`)."""
        ...

    def epoch(self, labels: Labels, seed: int, progress: float, /) -> Labels:
        """The indices of the images of one epoch, int64 [m]; their order does not matter.

        It is called once at the start and once at each change, and holds for all epochs until the next one. Images
        that two controls share in their first epoch are served in the same order, so that they can be compared in
        pairs.

        Args:
            labels: of the training images, int64 [n].
            seed: of everything random; the same seed gives the same indices.
            progress: the fraction of the steps that are done, in [0, 1): 0, then each of `changes`.
        """
        ...

    def loss(self, logits: Tensor, targets: Tensor, frequencies: Tensor, label_smoothing: float, /) -> Tensor:
        """The mean loss of a batch, a scalar.

        Args:
            logits: float32 [n, classes].
            targets: classes, int64 [n], or their probabilities, float32 [n, classes].
            frequencies: the fraction of each class among the images that the whole training serves, float32 [classes].
                A loss that corrects for these, and not for those of the data set, corrects nothing that the sampling
                has corrected already.
            label_smoothing: as in `torch.nn.functional.cross_entropy`.
        """
        ...


def find_control(name: str) -> Control:
    """The registered control `name`.

    Raises:
        BadInput: no control has this name, or it lacks a method.
    """
    control: Control = find("controls", name)
    if missing := [part for part in CONTROL if not hasattr(control, part)]:
        raise BadInput(
            f"controls: {name!r} has no {' and no '.join(missing)}: a control needs what Control of "
            "makeweight.classification.interface lists; install a newer version of the package that registers it"
        )
    return control


def find_transform(name: str, recipes: Mapping[str, Any]) -> Transform:
    """The registered transform `name` with its settings; else the Albumentations recipe of that name.

    Raises:
        BadInput: neither exists, or the recipe is missing or not allowed.
    """
    require_valid_name("transforms", name)
    registered = names("transforms")
    if name in registered:
        transform: Transform = configured("transforms", name, "recipes", recipes)
        return transform
    if name not in recipes:
        known = [*recipes, *(other for other in registered if other not in recipes)]
        raise BadInput(
            f"transforms: {name!r} is neither a key of recipes nor registered ({', '.join(known)})"
            f"{nearest(name, known)}; add a recipe of that name, or use one of these"
        )
    from makeweight.classification.transforms import Recipe  # imports Albumentations, which controls do not need

    return validate(Recipe, recipes[name], key=f"recipes.{name}")
