"""Differences in recall, class by class, with simultaneous confidence intervals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from makeweight.comparison.inference import ALPHA, Interval, for_equivalence
from makeweight.comparison.influence import contributions
from makeweight.comparison.variance_components import variance_components
from makeweight.core.data import Labels


@dataclass(frozen=True, slots=True)
class ClassGain:
    """The difference of two arms in the recall of one class; all figures are fractions.

    Attributes:
        label: of the class.
        images: number of its test images.
        groups: number of groups of these images; an image without a group counts as one.
        recall: of the arm, mean over replicates.
        reference_recall: of the reference arm, likewise.
        interval: of the difference of both.
    """

    label: int
    images: int
    groups: int
    recall: float
    reference_recall: float
    interval: Interval

    @property
    def gain(self) -> float:
        """The mean difference."""
        return self.recall - self.reference_recall


def class_gains(labels: Labels, groups: Labels, arm: Labels, reference: Labels) -> list[ClassGain]:
    """The gain in recall of each class that has test images, whatever metric the verdict is about.

    With C such classes, each interval has the level 1 - 0.05/C, so that all of them together hold the true gains in at
    least 95% of studies (Bonferroni; Dunn 1961), however the classes depend on each other. A class is evaluated like a
    whole test set: with replicates and its images (or groups of them) as sources of variance. At so high a level, few
    discordant images would give too narrow intervals; the variance is therefore that of the test of equivalence, with
    two pseudo-images (Bonett & Price 2012).

    Args:
        labels: of the test images, int64 [images].
        groups: int64 [images], equal numbers for images that belong together.
        arm: predicted classes, int64 [replicates, images].
        reference: of the reference arm, likewise.
    """
    classes = np.unique(labels)
    return [_class_gain(label, labels == label, groups, arm, reference, ALPHA / len(classes)) for label in classes]


def _class_gain(
    label: np.int64, of_class: NDArray[np.bool_], groups: Labels, arm: Labels, reference: Labels, alpha: float
) -> ClassGain:
    truth = np.full(int(of_class.sum()), label)
    # The accuracy on the images of one class is its recall.
    recall, reference_recall = (
        contributions("accuracy", truth, predicted[:, of_class]) for predicted in (arm, reference)
    )
    difference = recall - reference_recall
    components = variance_components(difference, groups[of_class])
    return ClassGain(
        int(label),
        len(truth),
        components.units,
        float(recall.values.mean()),
        float(reference_recall.values.mean()),
        for_equivalence(float(difference.values.mean()), components).interval(alpha),
    )
