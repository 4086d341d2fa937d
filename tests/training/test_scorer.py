"""The scorer of generated images."""

from __future__ import annotations

import numpy as np
import torch

from makeweight.core.data import Split
from makeweight.training.scorer import recognised, train_scorer

CPU = torch.device("cpu")


def corners(n: int, seed: int) -> Split:
    """Noise with a bright square in one of two corners; the second class is scarce, a third one has no images."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 60, (n + 3, 8, 8, 1), dtype=np.uint8)
    labels = np.repeat([0, 1], [n, 3])
    images[labels == 0, :3, :3] = 255
    images[labels == 1, 5:, 5:] = 255
    return Split(images, labels, ("left", "right", "absent"))


def test_it_recognises_other_images_of_the_classes_and_not_those_of_another_one() -> None:
    scorer = train_scorer(corners(30, seed=0), 60, 0, CPU)
    other = corners(20, seed=1)
    shares = recognised(scorer, other.images, other.labels, 3)
    assert shares[:2].min() > 0.9
    assert np.isnan(shares[2])
    assert np.nanmax(recognised(scorer, other.images, 1 - other.labels, 3)) < 0.1


def test_the_same_seed_gives_the_same_scorer_whatever_the_global_stream_holds() -> None:
    first, second = (train_scorer(corners(5, seed=0), 3, 1, CPU).state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_one_image_a_class_and_one_step_suffice() -> None:
    train = corners(1, seed=0).take(np.array([0, 1]))
    scorer = train_scorer(train, 1, 0, CPU)
    assert np.isfinite(recognised(scorer, train.images, train.labels, 3)[:2]).all()
    assert np.isnan(recognised(scorer, train.images[:0], train.labels[:0], 3)).all()
