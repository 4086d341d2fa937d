"""The result of one contrast: estimate, intervals, tests, power and verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from makeweight.comparison import inference
from makeweight.comparison.inference import ALPHA, Estimate, Interval
from makeweight.comparison.influence import Contributions
from makeweight.comparison.power import PowerAnalysis, power_analysis
from makeweight.comparison.variance_components import VarianceComponents, variance_components
from makeweight.core.choices import Candidate
from makeweight.core.data import Labels
from makeweight.core.parameters import CompareSettings
from makeweight.core.study import Arm, Contrast

NONE_CHOSEN = "none chosen"  # the verdict on an automatic arm without synthetic images
WITHOUT_ESTIMATE = {
    "arm",
    "reference",
    "metric",
    "tested",
    "primary",
    "tests",
    "level",
    "replicates",
    "images",
    "groups",
    "largest_possible",
    "verdict",
}  # figures that such an arm has, too


@dataclass(frozen=True)
class ContrastResult:
    """The result of one contrast on test images. Gains and margins are fractions.

    Attributes:
        contrast: the two arms.
        metric: that they are compared by.
        margin: the smallest gain that matters.
        tests: number of contrasts that share the family-wise error rate of 5%, this one included; 0: not tested.
        primary: whether it is the primary contrast.
        differences: of the metric, arm minus reference, float [replicates].
        components: variance components of the mean difference.
        images: number of test images.
        reference_mean: of the reference arm's metric.
        chosen: what was chosen for an automatic arm to train on; None for other arms.
    """

    contrast: Contrast
    metric: str
    margin: float
    tests: int
    primary: bool
    differences: NDArray[np.float64]
    components: VarianceComponents
    images: int
    reference_mean: float
    chosen: Candidate | None = None

    @classmethod
    def of(
        cls,
        contrast: Contrast,
        settings: CompareSettings,
        by_arm: Mapping[Arm, Contributions],
        groups: Labels,
        *,
        tests: int,
        primary: bool = False,
        chosen: Candidate | None = None,
    ) -> ContrastResult:
        """The result from the contributions of the test images to the metric of each arm.

        Args:
            contrast: the two arms, which are keys of `by_arm`.
            settings: metric and margin.
            by_arm: contributions of the test images.
            groups: int64 [images], equal numbers for images that belong together.
            tests: see the attribute.
            primary: see the attribute.
            chosen: see the attribute.
        """
        reference = by_arm[contrast.reference]
        difference = by_arm[contrast.arm] - reference
        return cls(
            contrast,
            settings.metric,
            settings.margin,
            tests,
            primary,
            difference.values,
            variance_components(difference, groups),
            len(groups),
            float(reference.values.mean()),
            chosen,
        )

    @property
    def tested(self) -> bool:
        """Whether the contrast has a test and a verdict."""
        return self.tests > 0

    @property
    def without_synthetic_images(self) -> bool:
        """Whether it is about an automatic arm for which no synthetic images were chosen."""
        return self.chosen is not None and not self.chosen.has_synthetic_images

    @property
    def alpha(self) -> float:
        """The level of the test: 5%, divided by the number of tests (Bonferroni; Dunn 1961)."""
        return ALPHA / max(1, self.tests)

    @property
    def gain(self) -> float:
        """The mean difference."""
        return float(self.differences.mean())

    @property
    def estimate(self) -> Estimate:
        """The gain, generalising to other seeds and to other test images; the verdict uses it."""
        return inference.new_test_images(self.gain, self.components)

    @property
    def for_equivalence(self) -> Estimate:
        """The same, as the test of equivalence needs it."""
        return inference.for_equivalence(self.gain, self.components)

    @property
    def fixed_test_set(self) -> Estimate | None:
        """The gain, generalising to other seeds on these test images; None if all differences are equal."""
        return inference.fixed_test_set(self.differences)

    @property
    def interval(self) -> Interval:
        """The confidence interval of `estimate`, adjusted for the number of tests."""
        return self.estimate.interval(self.alpha)

    @property
    def equivalence_interval(self) -> Interval:
        """The confidence interval that lies within the margin if two arms are equivalent."""
        return self.for_equivalence.interval(2 * self.alpha)

    @property
    def verdict(self) -> str | None:
        """`helps`, `hurts`, `equivalent` or `inconclusive`; None if the contrast is not tested.

        `none chosen`: an automatic arm trains on no synthetic images, about which there is nothing to say then.
        """
        if not self.tested:
            return None
        if self.without_synthetic_images:
            return NONE_CHOSEN
        return inference.verdict(self.estimate, self.for_equivalence, self.margin, self.alpha)

    @cached_property
    def power(self) -> PowerAnalysis:
        """The power analysis at the adjusted level."""
        return power_analysis(self.components, self.margin, self.alpha)

    @property
    def largest_possible(self) -> float:
        """The largest gain that an arm can have over the reference: an error rate of zero."""
        return 1 - self.reference_mean

    @property
    def sign_flip_p(self) -> float | None:
        """The p value of the exact test over replicates; None if they are too few to reach the level, or too many."""
        reachable = inference.least_sign_flip_p(len(self.differences)) <= self.alpha
        return inference.sign_flip_p(self.differences) if reachable else None

    @property
    def sign_flip_disagrees(self) -> bool:
        """Whether the exact test and the verdict disagree on whether there is a difference."""
        p = self.sign_flip_p
        return (
            p is not None
            and not self.without_synthetic_images
            and (p <= self.alpha) != (self.verdict in {"helps", "hurts"})
        )

    def figures(self) -> dict[str, Any]:
        """All figures as plain values, not rounded.

        Those of tests are None if the contrast is not tested. For an automatic arm without synthetic images there is
        nothing to estimate either: all but those in `WITHOUT_ESTIMATE` are None.
        """
        estimate, interval = self.estimate, self.interval
        total = estimate.scales[0]
        figures = {
            "arm": str(self.contrast.arm), "reference": str(self.contrast.reference), "metric": self.metric,
            "tested": self.tested, "primary": self.primary, "tests": self.tests, "level": interval.level,
            "replicates": self.components.replicates, "images": self.images, "groups": self.components.units,
            "gain": self.gain, "low": interval.low, "high": interval.high,
            "standard_error": total.value**0.5, "dof": total.dof,
            "variance_replicates": self.components.from_replicates,
            "variance_images": self.components.from_images,
            "variance_residual": self.components.residual.value,
            "superiority": inference.superiority(self.differences),
            "largest_possible": self.largest_possible,
            **self._fixed(), **self._tests(),
        }  # fmt: skip
        if self.without_synthetic_images:
            return {name: value if name in WITHOUT_ESTIMATE else None for name, value in figures.items()}
        return figures

    def _fixed(self) -> dict[str, float | None]:
        estimate = self.fixed_test_set
        if estimate is None:
            return {"fixed_low": None, "fixed_high": None, "p_fixed": None}
        interval = estimate.interval(self.alpha)
        return {"fixed_low": interval.low, "fixed_high": interval.high, "p_fixed": estimate.p()}

    def _tests(self) -> dict[str, Any]:
        equivalence = self.equivalence_interval
        worse, equal, better = self.estimate.probabilities(self.margin)
        p_equivalence = self.for_equivalence.p_equivalence(self.margin)
        figures = {
            "p": self.estimate.p(), "p_adjusted": inference.bonferroni(self.estimate.p(), self.tests),
            "p_sign_flip": self.sign_flip_p, "p_equivalence": inference.bonferroni(p_equivalence, self.tests),
            "equivalence_low": equivalence.low, "equivalence_high": equivalence.high,
            "probability_worse": worse, "probability_equal": equal, "probability_better": better,
            "verdict": self.verdict,
            **{f"{name}{end}": value for name, figure in asdict(self.power).items()
               for end, value in zip(("", "_low", "_high"), figure.values(), strict=True)},
        }  # fmt: skip
        return figures if self.tested else dict.fromkeys(figures)
