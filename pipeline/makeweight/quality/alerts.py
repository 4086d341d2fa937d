"""Alerts about generated images: sentences that say what is out of bounds, and what to try."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from makeweight.core.parameters import AssessSettings, MonitorSettings
from makeweight.core.text import counted, shown, valid_unicode
from makeweight.quality.memorisation import chance_of_copies

MAX_NAMED = 10  # classes in a sentence
SIGNIFICANCE = 0.05  # level of the tests of near-copies
MORE_ALIKE = "more steps, another family, or for cgan a lower temperature"
MORE_VARIED = "another family, or for cgan a larger mode_seeking or more augment"
LESS_MEMORY = (
    "fewer steps, for cgan more augment, or more training images; do not publish generators or images until then"
)


def alerts(result: Mapping[str, Any], settings: AssessSettings, monitor: MonitorSettings) -> list[str]:
    """A sentence for each measure that is out of bounds.

    A measure of all images is judged by its mean over the replicates, one of a class by its worst replicate.

    Args:
        result: what `assess.summary` returns.
        settings: bounds.
        monitor: the bounds for label agreement and spread.
    """
    found = [*_of_all(result, settings), *_of_classes(result, settings, monitor), *_of_discriminator(result, settings)]
    if not result["keeps_training_images"]:
        found += _of_memorisation(result, settings)
    return [f"{result['family']}: {sentence}" for sentence in found]


def _of_all(result: Mapping[str, Any], settings: AssessSettings) -> Iterator[str]:
    """Alerts about measures of all images that are much worse than those of training images."""
    remedies = {
        "precision": ("many generated images are unlike real images", MORE_ALIKE),
        "density": ("generated images lie in regions with few real images", MORE_ALIKE),
        "recall": ("generated images cover only part of the variety of real images", MORE_VARIED),
        "coverage": ("generated images cover only part of the variety of real images", MORE_VARIED),
        "training_accuracy": ("a classifier learns little from generated images alone", MORE_ALIKE),
    }
    measures = {row["name"]: row for row in result["measures"]}
    for name, (what, remedy) in remedies.items():
        generated, real = (measures[name][kind] for kind in ("generated", "real"))
        if generated is not None and real and generated < settings.alarm_ratio * real:
            yield f"{what} ({measures[name]['title']} {generated:.2f}, real images {real:.2f}). Try {remedy}."


def _of_classes(result: Mapping[str, Any], settings: AssessSettings, monitor: MonitorSettings) -> Iterator[str]:
    agreement = _worst(result, "label_agreement", "generated", np.nanmin)
    real = _worst(result, "label_agreement", "real", np.nanmax)
    ratio = np.divide(agreement, real, out=np.full_like(agreement, np.nan), where=real > 0)
    yield from _sentence(
        result, ratio, ratio < monitor.alarm_recognised_ratio,
        "{} look like another class to a classifier of the training images (label agreement relative to real images)",
        MORE_ALIKE,
    )  # fmt: skip
    spread = _worst(result, "spread", "generated", np.nanmin)
    yield from _sentence(
        result, spread, spread < monitor.alarm_diversity_ratio,
        "{} vary much less than real ones (spread, relative to real images)", MORE_VARIED,
    )  # fmt: skip
    distance = _worst(result, "distance_ratio", "generated", np.nanmax)
    yield from _sentence(
        result, distance, distance * settings.alarm_ratio > 1,
        "{} are far from all training images, as noise is (distance, relative to validation images)", MORE_ALIKE,
    )  # fmt: skip
    area, low = (_worst(result, "separability", kind, np.nanmax) for kind in ("generated", "low"))
    # Of few images, an AUC of 1 is easily due to chance.
    yield from _sentence(
        result, area, (area > settings.alarm_separable) & (low > 0.5),
        "a small classifier tells {} from real ones (AUC)",
        f"{MORE_ALIKE}; and keep generate.strategy uniform: where only scarce classes hold synthetic images, they are "
        "recognised by these differences",
    )  # fmt: skip


def _of_memorisation(result: Mapping[str, Any], settings: AssessSettings) -> Iterator[str]:
    yield from _of_copies(result, settings)
    (membership,) = (row for row in result["measures"] if row["name"] == "membership")
    if membership["low"] is not None and membership["low"] > settings.alarm_membership:
        yield (
            "generated images reveal which images the generator was trained on (membership inference: AUC "
            f"{membership['generated']:.2f}, 95% interval {membership['low']:.2f} to {membership['high']:.2f}). "
            f"Try {LESS_MEMORY}."
        )


def _of_copies(result: Mapping[str, Any], settings: AssessSettings) -> Iterator[str]:
    """Alerts about near-copies, of all classes together and of single ones, that are more than chance explains.

    Bonferroni over replicates, and over classes: of many small classes, some have a near-copy.
    """
    copies, real = (np.nan_to_num(_by_replicate(result, "near_copies", kind)) for kind in ("generated", "real"))
    drawn, held_out = np.array(result["images"]["generated"]), np.array(result["images"]["validation"])
    near, near_real = (
        np.rint(values * counts).astype(np.int64) for values, counts in ((copies, drawn), (real, held_out))
    )
    chances = [chance_of_copies(*counts, held_out) for counts in zip(near, drawn, near_real, strict=True)]
    level = SIGNIFICANCE / len(chances)
    overall = [row["overall"]["near_copies"] for row in result["replicates"]]
    found = [
        row
        for row, (_, together) in zip(overall, chances, strict=True)
        if together < level and row["generated"] - (row["real"] or 0) > settings.alarm_copies
    ]
    if found:
        worst = max(found, key=lambda row: row["generated"])
        yield (
            f"{worst['generated']:.1%} of generated images are near-copies of training images (of validation images "
            f"{worst['real'] or 0:.1%}). Try {LESS_MEMORY}."
        )
    beyond_chance = np.array([of_classes for of_classes, _ in chances]) < level / max(1, (drawn.sum(0) > 0).sum())
    out_of_bounds = beyond_chance & (copies - real > settings.alarm_copies)
    yield from _sentence(
        result, copies.max(0), out_of_bounds.any(0),
        "{} are near-copies of training images (fraction of the class)", LESS_MEMORY,
    )  # fmt: skip


def _of_discriminator(result: Mapping[str, Any], settings: AssessSettings) -> Iterator[str]:
    errors = result["discriminator"]
    if errors is not None and errors["train"] < settings.alarm_ratio * errors["validation"]:
        yield (
            f"the discriminator overfits the training images (error {errors['train']:.1%}; on validation images "
            f"{errors['validation']:.1%}). Try more augment, fewer steps, or a lower discriminator_learning_rate."
        )


def _worst(
    result: Mapping[str, Any], name: str, kind: str, worst: Callable[..., NDArray[np.float64]]
) -> NDArray[np.float64]:
    """The worst replicate of each class, [classes]; NaN where no replicate has a value."""
    values = _by_replicate(result, name, kind)
    known = ~np.isnan(values).all(0)
    found = np.full(values.shape[1], np.nan)
    found[known] = worst(values[:, known], axis=0)
    return found


def _by_replicate(result: Mapping[str, Any], name: str, kind: str) -> NDArray[np.float64]:
    """A figure of each class, [replicates, classes]; NaN where it has no value."""
    return np.array([row["classes"][name][kind] for row in result["replicates"]], dtype=np.float64)


def _sentence(
    result: Mapping[str, Any], values: NDArray[np.float64], out_of_bounds: NDArray[np.bool_], what: str, remedy: str
) -> Iterator[str]:
    """A sentence that names the classes that are out of bounds, in the order of their labels."""
    labels = np.flatnonzero(out_of_bounds)
    if len(labels):
        images = f"generated images of {counted(len(labels), 'class', 'classes')}"
        yield f"{what.format(images)}: {_named(result['classes'], labels, values)}. Try {remedy}."


def _named(classes: Sequence[str], labels: NDArray[np.intp], values: NDArray[np.float64]) -> str:
    names = [f"“{shown(valid_unicode(classes[label]))}” ({values[label]:.2f})" for label in labels[:MAX_NAMED]]
    more = f" and {len(labels) - MAX_NAMED} more" if len(labels) > MAX_NAMED else ""
    return ", ".join(names) + more
