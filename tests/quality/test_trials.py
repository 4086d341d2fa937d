"""Small classifiers that are trained on generated images, or tell them from real ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from makeweight.core.data import Labels, Split
from makeweight.quality.auc import stratified_auc
from makeweight.quality.trials import FOLDS, accuracies_after_training, out_of_fold_scores
from tests.support.assessing import copies, noise, real, swapped

CPU = torch.device("cpu")


def accuracies(train: Split, **changes: int) -> list[float]:
    settings = {"per_class": 20, "steps": 60, "seed": 0} | changes
    return list(accuracies_after_training(train, real(9), device=CPU, **settings))


def test_training_on_real_images_works_and_on_swapped_labels_fails_for_these_classes() -> None:
    assert min(accuracies(real(0))) > 0.9
    assert accuracies(swapped(real(0))) == pytest.approx([0, 0, 1], abs=0.1)


def test_noise_teaches_nothing() -> None:
    assert np.mean(accuracies(noise(0))) < 0.6


def test_few_images_are_repeated_and_a_class_that_is_left_out_has_no_accuracy() -> None:
    found = accuracies(real(0, (2, 0, 30)))
    assert np.isnan(found[1])
    assert min(found[0], found[2]) > 0.8


def scored(truth: Split, generated: Split, *, steps: int) -> tuple[NDArray[np.float64], Labels]:
    groups = np.arange(len(truth) + len(generated))
    return out_of_fold_scores(truth, generated, groups, steps=steps, seed=0, device=CPU)


def separability(generated: Split, truth: Split) -> float:
    scores, folds = scored(truth, generated, steps=40)
    positive = np.arange(len(scores)) >= len(truth)
    return stratified_auc(scores, positive, folds, np.arange(len(scores))).value


def test_noise_is_told_from_real_images_and_other_real_images_are_not() -> None:
    assert separability(noise(1), real(0)) > 0.95
    assert separability(real(1), real(0)) == pytest.approx(0.5, abs=0.15)
    assert separability(copies(real(0)), real(0)) < 0.65


def test_folds_hold_equally_many_images_of_each_class_and_kind() -> None:
    _, folds = scored(real(0, (6, 3, 9)), real(1, (6, 3, 9)), steps=1)
    assert np.bincount(folds).tolist() == [36 // FOLDS] * FOLDS


@pytest.mark.parametrize("counts", [(2, 2, 2), (1, 1, 1), (1, 1, 0)])
def test_few_images_of_each_class_leave_no_fold_without_images(counts: tuple[int, ...]) -> None:
    scores, folds = scored(real(0, counts), real(1, counts), steps=1)
    assert len(scores) == 2 * sum(counts)
    assert len(set(np.bincount(folds))) == 1


def test_a_group_is_in_one_fold() -> None:
    groups = np.repeat(np.arange(36), [3] * 6 + [1] * 12 + [2] * 18)
    truth, generated = real(0, (6, 12, 12)), real(1, (12, 12, 12))
    assert len(groups) == len(truth) + len(generated)
    _, folds = out_of_fold_scores(truth, generated, groups, steps=1, seed=0, device=CPU)
    assert all(len(set(folds[groups == group])) == 1 for group in range(36))
    assert len(set(folds[: len(truth)])) == FOLDS


def test_copies_among_real_images_do_not_give_real_images_away() -> None:
    few, others = real(0, (3, 3, 3)), real(1)
    truth = few.take(np.repeat(np.arange(9), 12))  # what a network memorises
    groups = np.r_[np.repeat(np.arange(9), 12), 9 + np.arange(len(others))]
    positive = np.arange(len(groups)) >= len(truth)

    def auc(known: Labels) -> float:
        scores, folds = out_of_fold_scores(truth, others, known, steps=120, seed=0, device=CPU)
        return stratified_auc(scores, positive, folds, groups).value

    assert auc(np.arange(len(groups))) > 0.85
    assert auc(groups) < 0.7
