"""How often the intervals hold the true gain, and how often a family that gains nothing is called helpful or harmful.

python -m benchmarks.coverage [RUNS]

Data are made by a crossed logit model: an image has a difficulty that both arms share, and one of its own for each
arm; a replicate of an arm has a skill; whether an image is right is then a toss. Ten classes. The true gain is
that over all images and replicates. RUNS (10,000) studies for each row.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import sys
from dataclasses import dataclass
from itertools import product

import joblib
import numpy as np
from numpy.typing import NDArray
from scipy import special

from pipeline.metrics import contributions
from pipeline.statistics import ALPHA, Estimate, on_new_images, on_these_images, verdict
from pipeline.variances import spread_of

CLASSES, MARGIN, AT_ONCE = 10, 0.01, 250
EASY, DIFFICULTY, OWN = 2.5, 1.5, 0.7  # logits: mean and spread of the images, spread for each arm


@dataclass(frozen=True)
class Case:
    """A kind of study: `skill` is the replicates' spread and `shift` the true difference, in logits."""

    metric: str
    replicates: int
    images: int
    skill: float
    shift: float

    def study(self, rng: np.random.Generator, labels: NDArray[np.int64]) -> tuple[Estimate, Estimate]:
        """One study: the estimate for these images, and that for new ones."""
        difficulty = EASY + DIFFICULTY * rng.standard_normal(self.images, np.float32)
        arms = [self._predicted(rng, labels, difficulty, shift) for shift in (self.shift, 0.0)]
        arm, control = (contributions(self.metric, labels, predicted) for predicted in arms)
        difference = arm - control
        gain = float(difference.values.mean())
        return on_these_images(difference.values), on_new_images(gain, spread_of(difference))

    def _predicted(
        self, rng: np.random.Generator, labels: NDArray[np.int64], difficulty: NDArray[np.float32], shift: float
    ) -> NDArray[np.int64]:
        own = OWN * rng.standard_normal(self.images, np.float32)
        skill = self.skill * rng.standard_normal((self.replicates, 1), np.float32)
        right = rng.random((self.replicates, self.images), np.float32) < special.expit(difficulty + own + shift + skill)
        wrong = (labels + 1) % CLASSES  # which class it is instead matters to no recall
        return np.where(right, labels, wrong)

    def truth(self) -> float:
        """The gain over all images and replicates; balanced accuracy is the chance to be right, and F1 too here."""
        nodes, weights = np.polynomial.hermite_e.hermegauss(100)
        spread = (DIFFICULTY**2 + OWN**2 + self.skill**2) ** 0.5
        means = [weights @ special.expit(EASY + shift + spread * nodes) / weights.sum() for shift in (self.shift, 0.0)]
        return float(means[0] - means[1])


def counted(case: Case, seed: int, runs: int) -> NDArray[np.int64]:
    """How often, in `runs` studies, either interval held the truth, and how often either made a call."""
    rng = np.random.default_rng([seed, case.replicates, case.images])
    labels = np.arange(case.images) % CLASSES
    truth = case.truth()
    counts = np.zeros(4, dtype=np.int64)
    for _ in range(runs):
        these, new = case.study(rng, labels)
        held = [each.interval(ALPHA).low <= truth <= each.interval(ALPHA).high for each in (these, new)]
        called = [verdict(each, MARGIN, ALPHA) in {"helps", "hurts"} for each in (these, new)]
        counts += np.array([*held, *called])
    return counts


CASES = [
    *(
        Case("balanced_accuracy", k, 360, skill, shift)
        for k, skill, shift in product((5, 10, 30), (0.0, 0.1, 0.3), (0.0, 0.3))
    ),
    *(Case("balanced_accuracy", k, 10_000, 0.1, shift) for k, shift in product((5, 10, 30), (0.0, 0.3))),
    *(Case("balanced_accuracy", k, 360, 0.3, 0.0) for k in (2, 3, 4)),
    *(Case(metric, 5, 360, 0.1, 0.0) for metric in ("accuracy", "macro_f1")),
]


def main(runs: int) -> None:
    """Print a row for each case."""
    print(f"{runs} studies a row; how often in %")
    print(
        "| metric | replicates | images | skill | true gain | new images: holds it | calls | these: holds it | calls |"
    )
    print("|" + 9 * "---|")
    parts = [min(AT_ONCE, runs - start) for start in range(0, runs, AT_ONCE)]
    with joblib.Parallel(n_jobs=-1) as parallel:
        for case in CASES:
            found = parallel(joblib.delayed(counted)(case, seed, part) for seed, part in enumerate(parts))
            these, new, called_these, called_new = 100 * np.sum(found, axis=0) / runs
            print(
                f"| {case.metric} | {case.replicates} | {case.images} | {case.skill} | {100 * case.truth():.2f} points "
                f"| {new:.1f} | {called_new:.1f} | {these:.1f} | {called_these:.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
