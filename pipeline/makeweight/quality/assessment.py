"""The cached work of `assess`: all figures and pictures of the images of one generator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import softmax

from makeweight.core.data import Labels, Split
from makeweight.core.errors import BadInput
from makeweight.core.images import median_distance
from makeweight.core.parameters import AssessSettings
from makeweight.core.seeds import derive, stream
from makeweight.quality.auc import AUC, stratified_auc
from makeweight.quality.features import BATCH, FeatureSpace, backbone_features, scorer_features, weights_path
from makeweight.quality.fidelity import frechet_distance, kernel_distance, neighbourhoods
from makeweight.quality.memorisation import Copies, find_copies, membership_auc
from makeweight.quality.pictures import closest, nearest_neighbours, ranked
from makeweight.quality.trials import FOLDS, accuracies_after_training, out_of_fold_scores
from makeweight.runtime.artifacts import CLOSEST, NEAREST, RANKED
from makeweight.runtime.files import write_json
from makeweight.runtime.replicates import Replicate
from makeweight.training.scorer import outputs, recognised, train_scorer

FIGURES = "figures.json"  # of one replicate
STEPS = 4  # of the progress
SCORED_BLOCK = 10_000  # images whose outputs, a number for each class, are in memory at a time

Values = NDArray[np.float64]
Kinds = Mapping[str, Any]  # values of "generated" images, and where they exist of "real" ones, and ends of an interval


@dataclass(frozen=True, slots=True)
class Figures:
    """Figures of one replicate by name: of all images, a number each; and of each class, [classes] each."""

    overall: Mapping[str, Kinds]
    classes: Mapping[str, Kinds]

    @classmethod
    def of_classes(cls, name: str, kinds: Kinds) -> Figures:
        """A figure of each class, whose mean over the classes is the overall one."""
        return cls({name: {kind: _mean(values) for kind, values in kinds.items()}}, {name: kinds})

    def __add__(self, other: Figures) -> Figures:
        return Figures({**self.overall, **other.overall}, {**self.classes, **other.classes})

    def as_json(self) -> dict[str, dict[str, dict[str, Any]]]:
        """Numbers with six decimals; null stands for NaN."""
        return {
            "overall": {
                name: {kind: _number(value) for kind, value in kinds.items()} for name, kinds in self.overall.items()
            },
            "classes": {
                name: {kind: [_number(value) for value in values] for kind, values in kinds.items()}
                for name, kinds in self.classes.items()
            },
        }


@dataclass(frozen=True)
class Assessment:
    """The assessment of the images of one family's generators.

    Attributes:
        family: the family's name.
        synthetic: the images of each replicate's generator.
        train: the images that they were fitted to.
        validation: held-out real images.
        groups: of the images of `train` and of `validation`, from 0, equal for images that belong together.
        settings: how much is compared.
        scorer_steps: optimizer steps of each small classifier.
        seed: the seed of the pipeline.
    """

    family: str
    synthetic: Sequence[Split]
    train: Split
    validation: Split
    groups: Mapping[str, Labels]
    settings: AssessSettings
    scorer_steps: int
    seed: int

    def __call__(self, replicates: Sequence[Replicate]) -> None:
        """Write `FIGURES` of one replicate, and pictures of its images."""
        (replicate,) = replicates
        device, number, folder = torch.device(replicate.machine.device), replicate.number, replicate.folder
        synthetic = self.synthetic[number]
        # Not the seed of the scorer that filters images: these would agree with it by construction.
        scorer = train_scorer(self.train, self.scorer_steps, derive(self.seed, "assess", "scorer"), device)
        space = self._feature_space(scorer)
        replicate.progress(1)
        figures = self._fidelity(synthetic, space, number)
        replicate.progress(2)
        agrees, probabilities = _scored(scorer, synthetic)
        figures += self._agreement(synthetic, agrees, scorer)
        copies = find_copies(synthetic, self.train, self.validation, self.settings.near_copy)
        figures += self._memorisation(synthetic, copies, number)
        replicate.progress(3)
        figures += self._trials(synthetic, number, device)
        write_json(folder / FIGURES, {"features": space.description, "inception": space.inception, **figures.as_json()})
        nearest_neighbours(synthetic, self.train, copies).save(folder / NEAREST)
        closest(synthetic, self.train, copies).save(folder / CLOSEST)
        ranked(synthetic, probabilities).save(folder / RANKED)
        replicate.progress(STEPS)

    def _feature_space(self, scorer: torch.nn.Module) -> FeatureSpace:
        """The feature space of the settings; `scorer` gives it where they name no weights."""
        if self.settings.weights is None:
            return scorer_features(scorer)
        space = backbone_features(weights_path(self.settings.weights))
        space.network.to(next(scorer.parameters()).device)
        return space

    def require_enough_images(self) -> None:
        """Check, before anything is trained, that there are more images to compare than neighbours.

        Raises:
            BadInput: there are not, in some replicate.
        """
        for synthetic in self.synthetic:
            count = len(self._compared(synthetic, 0)[0])
            if count <= self.settings.neighbours:
                raise BadInput(
                    f"assess {self.family}: {count} images can be compared (as many generated, training and validation "
                    f"images of each class), which must be more than assess.neighbours ({self.settings.neighbours}): "
                    + ("lower it" if count > 1 else "generate or prepare more images")
                )

    def _compared(self, synthetic: Split, number: int) -> list[Split]:
        """Equally many generated, validation and training images of each class: all three are compared in one way."""
        rng = stream(self.seed, "assess", "images", number)
        splits = [synthetic, self.validation, self.train]
        rows = matched(splits, self.settings.max_images, rng)
        return [split.take(own) for split, own in zip(splits, rows, strict=True)]

    def _fidelity(self, synthetic: Split, space: FeatureSpace, number: int) -> Figures:
        compared = self._compared(synthetic, number)
        generated, held_out, train = (space(split.images) for split in compared)
        overall: dict[str, dict[str, float]] = {}
        for kind, features in (("generated", generated), ("real", train)):
            values = {
                "frechet_distance": frechet_distance(held_out, features),
                "kernel_distance": kernel_distance(held_out, features),
                **neighbourhoods(held_out, features, self.settings.neighbours),
            }
            for name, value in values.items():
                overall.setdefault(name, {})[kind] = value
        spreads = (_spread(features, split) for features, split in zip((generated, held_out), compared, strict=False))
        return Figures(overall, {}) + Figures.of_classes("spread", {"generated": _ratio(*spreads)})

    def _agreement(self, synthetic: Split, agrees: NDArray[np.bool_], scorer: torch.nn.Module) -> Figures:
        """Of the labels with the scorer's classes."""
        generated = _means(agrees, synthetic)
        real = recognised(scorer, self.validation.images, self.validation.labels, len(self.validation.classes))
        return Figures.of_classes("label_agreement", {"generated": generated, "real": real})

    def _memorisation(self, synthetic: Split, copies: Copies, number: int) -> Figures:
        rng = stream(self.seed, "assess", "members", number)
        most = self.settings.max_images * len(self.train.classes)
        (members, others), groups = self._real(most, rng)
        membership = _with_interval(membership_auc(members, others, synthetic, groups))
        near = {"generated": _means(copies.near, synthetic), "real": copies.near_held_out}
        medians = np.array([_median(copies.distances[synthetic.labels == k]) for k in range(len(copies.typical))])
        return (
            Figures({"membership": membership}, {})
            + Figures.of_classes("near_copies", near)
            + Figures.of_classes("distance_ratio", {"generated": _ratio(medians, copies.typical)})
        )

    def _real(self, most: int, rng: np.random.Generator) -> tuple[list[Split], Labels]:
        """Training and validation images, at most `most` of each with equal limits for classes, and their groups."""
        splits = [self.train, self.validation]
        rows = [matched([split], most, rng)[0] for split in splits]
        groups = disjoint(self.groups["train"][rows[0]], self.groups["validation"][rows[1]])
        return [split.take(own) for split, own in zip(splits, rows, strict=True)], groups

    def _trials(self, synthetic: Split, number: int, device: torch.device) -> Figures:
        seed = derive(self.seed, "assess", "trials", number)
        rng, most = np.random.default_rng(seed), self.settings.max_images
        drawn = np.isin(self.train.labels, np.flatnonzero(synthetic.counts))
        accuracies = {
            kind: accuracies_after_training(
                split,
                self.validation,
                per_class=self.settings.per_class,
                steps=self.scorer_steps,
                seed=seed,
                device=device,
            )
            for kind, split in (("generated", synthetic), ("real", self.train.take(np.flatnonzero(drawn))))
        }
        splits, groups = self._real(most, rng)
        real = _joined(*splits)
        real_rows, rows = matched([real, synthetic], most, rng)
        real, generated = real.take(real_rows), synthetic.take(rows)
        groups = disjoint(groups[real_rows], np.arange(len(generated)))  # a generated image belongs to no group
        scores, folds = out_of_fold_scores(real, generated, groups, steps=self.scorer_steps, seed=seed, device=device)
        labels = np.concatenate([real.labels, generated.labels])
        is_generated = np.arange(len(labels)) >= len(real)
        together = _with_interval(stratified_auc(scores, is_generated, labels * FOLDS + folds, groups))
        areas = [
            _with_interval(stratified_auc(scores[own], is_generated[own], folds[own], groups[own]))
            for own in (labels == label for label in range(len(real.classes)))
        ]
        by_class = {kind: np.array([area[kind] for area in areas]) for kind in together}
        return Figures({"separability": together}, {"separability": by_class}) + (
            Figures.of_classes("training_accuracy", accuracies)
        )


def matched(splits: Sequence[Split], most: int, rng: np.random.Generator) -> list[Labels]:
    """The rows of equally many images of each class from each split, sorted by class, in random order within it.

    Args:
        splits: of the same classes.
        most: images of each result, at most, but one of each class that all splits have.
        rng: for the choice of images.
    """
    available = np.min([split.counts for split in splits], axis=0)
    counts = np.minimum(available, max(1, most // max(1, int((available > 0).sum()))))
    return [
        np.concatenate([rng.permutation(np.flatnonzero(split.labels == k))[:n] for k, n in enumerate(counts)])
        for split in splits
    ]


def disjoint(groups: Labels, others: Labels) -> Labels:
    """The groups of the images of two sets, of which none is in both; each is numbered from 0."""
    return np.concatenate([groups, others + groups.max(initial=-1) + 1])


def _joined(first: Split, second: Split) -> Split:
    return Split(
        np.concatenate([first.images, second.images]),
        np.concatenate([first.labels, second.labels]),
        first.classes,
    )


def _spread(features: Values, split: Split) -> Values:
    """The median distance between the features of two images of a class, [classes]; NaN for fewer than two images."""
    found = [features[split.labels == label] for label in range(len(split.classes))]
    return np.array([median_distance(own) if len(own) > 1 else np.nan for own in found])


def _scored(scorer: torch.nn.Module, split: Split) -> tuple[NDArray[np.bool_], Values]:
    """Whether the scorer takes each image for its own class, and the probability that it gives to it, both [images]."""
    agrees, probabilities = np.empty(len(split), dtype=bool), np.empty(len(split))
    for start in range(0, len(split), SCORED_BLOCK):
        block = slice(start, start + SCORED_BLOCK)
        logits, labels = outputs(scorer, split.images[block], BATCH).double().numpy(), split.labels[block]
        agrees[block] = logits.argmax(1) == labels
        probabilities[block] = softmax(logits, axis=1)[np.arange(len(labels)), labels]
    return agrees, probabilities


def _means(values: NDArray[np.bool_], split: Split) -> Values:
    """The mean of each class, [classes]; NaN without images."""
    return np.array([_mean(values[split.labels == label]) for label in range(len(split.classes))])


def _mean(values: NDArray[Any]) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else np.nan


def _median(values: Values) -> float:
    return float(np.median(values)) if len(values) else np.nan


def _ratio(values: Values, of: Values) -> Values:
    """The quotient, NaN where `of` is 0 or NaN."""
    return np.divide(values, of, out=np.full_like(values, np.nan), where=of > 0)


def _with_interval(auc: AUC) -> Kinds:
    return {"generated": auc.value, "low": auc.low, "high": auc.high}


def _number(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 6) + 0.0
