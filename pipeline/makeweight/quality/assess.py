"""Assess the images of a family's generators: cached figures of each replicate, their means, alerts, pictures."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from makeweight.core.errors import BadInput
from makeweight.core.parameters import ComputeSettings, MonitorSettings, Parameters
from makeweight.core.plugins import keeps_training_images
from makeweight.quality.alerts import alerts
from makeweight.quality.assessment import FIGURES, STEPS, Assessment
from makeweight.quality.features import backbone_features, weights_path
from makeweight.runtime import fingerprints
from makeweight.runtime.artifacts import (
    ASSESSMENT,
    ASSESSMENT_METRICS,
    CLOSEST,
    NEAREST,
    RANKED,
    REPLICATE,
    STEP,
    replicate_name,
)
from makeweight.runtime.files import atomic_directory, in_use, read_json, write_json
from makeweight.runtime.replicates import Job, run_replicates
from makeweight.runtime.splits import read_groups, read_split, read_splits

MEASURES = {
    "frechet_distance": ("Fréchet distance", "of Gaussians fitted to the features; 0: equal"),
    "kernel_distance": ("kernel distance", "maximum mean discrepancy of the features; 0: equal"),
    "precision": ("precision", "generated images that lie among real ones"),
    "recall": ("recall", "real images that lie among generated ones"),
    "density": ("density", "real images around a generated one; 1: as around real ones"),
    "coverage": ("coverage", "real images with a generated one near them"),
    "label_agreement": ("label agreement", "images that a classifier of the training images assigns to their class"),
    "spread": ("spread within classes", "distance of two images of a class, relative to real ones"),
    "training_accuracy": ("accuracy after training on them", "of a small classifier, on validation images"),
    "distance_ratio": ("distance to training images", "relative to that of validation images; 0: copies"),
    "near_copies": ("near-copies", "images much closer to a training image than validation images are"),
    "membership": ("membership inference", "AUC of recognising training images by the generated ones; 0.5: impossible"),
    "separability": ("separability", "AUC of a classifier that tells generated from real images; 0.5: impossible"),
}
FID = "Fréchet distance (FID)"
NEAR_BY_CONSTRUCTION = (
    "This family alters or mixes training images: near-copies, a low distance ratio and membership inference are by "
    "construction, and no sign of a failed training."
)
ERRORS = {"train": "error_train", "validation": "error_validation", "generated": "error_generated"}  # of history.csv
LAST_RECORDS = 0.1  # of a training, over which the discriminator's errors are averaged


def assessment_of(family: str, parameters: Parameters, train: Path, validation: Path, synthetic: Path) -> Assessment:
    """The assessment of the images in `synthetic`.

    Raises:
        BadInput: images or their groups are missing, or images are of another data set.
    """
    real, held_out = read_splits(train, validation)
    drawn = [read_split(synthetic / replicate_name(k)) for k in range(parameters.replicates)]
    for k, split in enumerate(drawn):
        if split.classes != real.classes or split.images.shape[1:] != real.images.shape[1:]:
            raise BadInput(
                f"{synthetic / replicate_name(k)} holds images of other classes or of another size than {train}: run "
                f"generate --family {family} again"
            )
    groups = {"train": read_groups(train), "validation": read_groups(validation)}
    return Assessment(
        family, drawn, real, held_out, groups, parameters.assess, parameters.monitor.scorer_steps, parameters.seed
    )


@in_use()  # keeps the cached replicates until they are copied
def assess(
    assessment: Assessment, out: Path, *, history: Path, monitor: MonitorSettings, compute: ComputeSettings
) -> list[str]:
    """Assess a family's images, replicate by replicate.

    Args:
        assessment: the images and the settings.
        out: the output folder: `assessment.json` with all figures, `metrics.json` with the means, and pictures of the
            images of replicate 0.
        history: of the family's training; may be missing.
        monitor: the bounds for label agreement and spread.
        compute: where to compute, and in how many processes.

    Returns:
        The alerts.

    Raises:
        BadInput: there are too few images, or the weights of `assess.weights` are missing or do not fit.
    """
    if assessment.settings.weights is not None:
        backbone_features(weights_path(assessment.settings.weights))
    assessment.require_enough_images()
    finished = run_replicates(_job(assessment), len(assessment.synthetic), compute)
    result = summary(assessment, [read_json(folder / FIGURES) for folder in finished], history)
    result["alerts"] = alerts(result, assessment.settings, monitor)
    with atomic_directory(out) as folder:
        write_json(folder / ASSESSMENT, result)
        write_json(folder / ASSESSMENT_METRICS, {row["name"]: row["generated"] for row in result["measures"]})
        for name in (NEAREST, CLOSEST, RANKED):
            shutil.copyfile(finished[0] / name, folder / name)
    return list(result["alerts"])


def _job(assessment: Assessment) -> Job:
    settings = assessment.settings
    inputs = {
        "work": "assess",
        "settings": {name: getattr(settings, name) for name in ("neighbours", "max_images", "per_class", "near_copy")},
        "weights": None if settings.weights is None else fingerprints.of_files(weights_path(settings.weights)),
        "scorer_steps": assessment.scorer_steps,
        "train": fingerprints.of_split(assessment.train),
        "validation": fingerprints.of_split(assessment.validation),
        "groups": fingerprints.of_values({name: own.tolist() for name, own in assessment.groups.items()}),
        "seed": assessment.seed,
        "code": fingerprints.of_code(Assessment.__module__),
    }
    return Job(
        name=f"assess {assessment.family}",
        work=assessment,
        inputs=lambda k: {**inputs, "synthetic": fingerprints.of_split(assessment.synthetic[k]), "replicate": k},
        steps=STEPS,
        images_per_step=len(assessment.synthetic[0]) // STEPS,
    )


def summary(assessment: Assessment, replicates: Sequence[Mapping[str, Any]], history: Path) -> dict[str, Any]:
    """What `assessment.json` holds, without alerts.

    Args:
        assessment: the images and the settings.
        replicates: the figures of each.
        history: of the family's training; may be missing.
    """
    keeps = keeps_training_images(assessment.family)
    return {
        "family": assessment.family,
        "classes": list(assessment.train.classes),
        "images": {
            "generated": [split.counts.tolist() for split in assessment.synthetic],
            "validation": assessment.validation.counts.tolist(),
        },
        "features": replicates[0]["features"],
        "keeps_training_images": keeps,
        "notes": [NEAR_BY_CONSTRUCTION] if keeps else [],
        "measures": [_measure(name, replicates) for name in MEASURES],
        "by_class": {
            name: {kind: _means([row["classes"][name][kind] for row in replicates]) for kind in kinds}
            for name, kinds in replicates[0]["classes"].items()
        },
        "discriminator": discriminator_errors(history),
        "replicates": [{key: row[key] for key in ("overall", "classes")} for row in replicates],
    }


def _measure(name: str, replicates: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Means over the replicates of one measure of all images, with its title and explanation."""
    title, explanation = MEASURES[name]
    found = [row["overall"][name] for row in replicates]
    means = {kind: _means([[row[kind]] for row in found])[0] for kind in found[0]}
    return {
        "name": name,
        "title": FID if name == "frechet_distance" and replicates[0]["inception"] else title,
        "explanation": explanation,
        **means,
        "replicates": [row["generated"] for row in found],
    }


def _means(values: Sequence[Sequence[float | None]]) -> list[float | None]:
    """The mean over the rows, of what is not None."""
    columns = np.array(values, dtype=np.float64).T
    known = [column[~np.isnan(column)] for column in columns]
    return [round(float(column.mean()), 6) + 0.0 if len(column) else None for column in known]


def discriminator_errors(history: Path) -> dict[str, float] | None:
    """The discriminator's error rates at the end of the training, on training, validation and generated images.

    Means over the replicates and the last tenth of the records; None where the history is missing or has none.
    """
    if not history.is_file():
        return None
    table = pd.read_csv(history)
    if not set(ERRORS.values()) <= set(table):
        return None
    table = table.dropna(subset=list(ERRORS.values()))
    last = table[table[STEP] > (1 - LAST_RECORDS) * table.groupby(REPLICATE)[STEP].transform("max")]
    return {kind: round(float(last[column].mean()), 6) for kind, column in ERRORS.items()} if len(last) else None
