"""Trials of generated images with small classifiers: training on them alone, and telling them from real images."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from makeweight.core.data import Labels, Split
from makeweight.quality.features import BATCH
from makeweight.training.scorer import outputs, recognised, train_scorer

FOLDS = 3


def accuracies_after_training(
    train: Split, validation: Split, *, per_class: int, steps: int, seed: int, device: torch.device
) -> NDArray[np.float64]:
    """Train a small classifier on `train` alone; its accuracy on the validation images of each class, [classes].

    For generated images, the classification accuracy score (Ravuri & Vinyals 2019), class by class.

    Args:
        train: generated or real images.
        validation: real images.
        per_class: training images of each class; repeated where there are fewer.
        steps: optimizer steps.
        seed: of the choice of images, the initial weights and the batches.
        device: where to compute.

    Returns:
        NaN for a class without images in one of the splits.
    """
    rng = np.random.default_rng(seed)
    by_class = [np.flatnonzero(train.labels == label) for label in np.flatnonzero(train.counts)]
    rows = np.concatenate([rng.choice(own, per_class, replace=len(own) < per_class) for own in by_class])
    network = train_scorer(train.take(rows), steps, seed, device)
    correct = recognised(network, validation.images, validation.labels, len(validation.classes))
    return np.where(train.counts > 0, correct, np.nan)


def out_of_fold_scores(
    real: Split, generated: Split, groups: Labels, *, steps: int, seed: int, device: torch.device
) -> tuple[NDArray[np.float64], Labels]:
    """Scores by which a small classifier tells generated from real images that it was not trained on.

    A classifier two-sample test (Lopez-Paz & Oquab 2017), cross-validated in `FOLDS` folds. A group of images is in one
    fold: a network that was trained on some of them would recognise the others as real.

    Args:
        real: images of each class, in random order.
        generated: as many of each class.
        groups: of the real images, followed by those of the generated ones.
        steps: optimizer steps of each fold.
        seed: of the initial weights and the batches.
        device: where to compute.

    Returns:
        For the real images, followed by the generated ones, the score, larger for those that look generated, and the
        fold; scores of different folds are of different networks.
    """
    images = np.concatenate([real.images, generated.images])
    is_generated = np.repeat([0, 1], [len(real), len(generated)]).astype(np.int64)
    by_kind = np.split(groups, [len(real)])
    folds = np.concatenate([_folds(*pair) for pair in zip((real, generated), by_kind, strict=True)])
    scores = np.zeros(len(images))
    for fold in np.unique(folds):
        held_out = folds == fold
        others = Split(images[~held_out], is_generated[~held_out], ("real", "generated"))
        network = train_scorer(others, steps, seed, device)
        logits = outputs(network, images[held_out], BATCH).double().numpy()
        scores[held_out] = logits[:, 1] - logits[:, 0]
    return scores, folds


def _folds(split: Split, groups: Labels) -> Labels:
    """Folds whose numbers of groups differ by at most one, for each class and in total."""
    folds = np.empty(len(split), dtype=np.int64)
    # In the order of classes without a break: classes with fewer groups than folds must not leave a fold empty.
    order = np.argsort(split.labels, kind="stable")
    folds[order] = pd.factorize(groups[order])[0] % FOLDS
    return folds
