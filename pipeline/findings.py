"""All that is said of one contrast: from the contributions of both arms to figures, a verdict and a sentence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, astuple, dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline import statistics
from pipeline.design import Contrast
from pipeline.metrics import Contributions
from pipeline.params import CompareSettings
from pipeline.power import WANTED, About, Sight, sight
from pipeline.statistics import ALPHA, Estimate, Interval
from pipeline.variances import Spread, spread_of

ROUNDING = 1e-12  # what is left of equal means
SCOPE = "This holds for this data set, this split and this recipe."


@dataclass(frozen=True)
class Finding:
    """What one contrast came to, on test images. Gains and margins in fractions.

    Attributes:
        contrast: which.
        metric: of what.
        margin: below which a gain would not matter.
        primary: whether it was named to stand by itself.
        tests: how many contrasts are told apart together with this one, itself among them.
        differences: float [replicates].
        spread: of their mean, by where it comes from.
    """

    contrast: Contrast
    metric: str
    margin: float
    primary: bool
    tests: int
    differences: NDArray[np.float64]
    spread: Spread

    @classmethod
    def of(
        cls,
        contrast: Contrast,
        settings: CompareSettings,
        arm: Contributions,
        control: Contributions,
        *,
        primary: bool,
        tests: int,
    ) -> Finding:
        """The finding from what each test image contributes to both arms."""
        difference = arm - control
        return cls(contrast, settings.metric, settings.margin, primary, tests, difference.values, spread_of(difference))

    @property
    def alpha(self) -> float:
        """The level at which this contrast is tested, so that all that are tested together keep 5% (Dunn 1961)."""
        return ALPHA / self.tests

    @property
    def these(self) -> Estimate:
        """The gain with what other seeds would make of it on these test images."""
        return statistics.on_these_images(self.differences)

    @property
    def new(self) -> Estimate:
        """The gain with what other seeds and other test images would make of it. The verdict's."""
        return statistics.on_new_images(self.these.gain, self.spread)

    @property
    def interval(self) -> Interval:
        """Of `new`, adjusted for the number of tests."""
        return self.new.interval(self.alpha)

    @property
    def inner(self) -> Interval:
        """Of `new`, the narrower interval that must lie within the margin to call two arms equivalent."""
        return self.new.interval(2 * self.alpha)

    @property
    def verdict(self) -> str:
        """`helps`, `hurts`, `equivalent` or `inconclusive`."""
        return statistics.verdict(self.new, self.margin, self.alpha)

    @cached_property
    def sight(self) -> Sight:
        """What could have been seen."""
        return sight(self.spread, self.margin, self.alpha)

    @property
    def sign_flip_p(self) -> float | None:
        """Of the exact test over replicates; None where it could not reach the level, or is too long."""
        reachable = statistics.least_sign_flip_p(len(self.differences)) <= self.alpha
        return statistics.sign_flip_p(self.differences) if reachable else None

    @property
    def sign_flip_disagrees(self) -> bool:
        """Whether the exact test and the verdict's interval tell different things of there being a difference."""
        p = self.sign_flip_p
        return p is not None and (p <= self.alpha) != (self.verdict in {"helps", "hurts"})

    def figures(self) -> dict[str, Any]:
        """Everything, as plain values: fractions, not rounded."""
        new, these, inner = self.interval, self.these.interval(self.alpha), self.inner
        worse, equal, better = self.new.shares(self.margin)
        return {
            "arm": str(self.contrast.arm), "control": str(self.contrast.control), "metric": self.metric,
            "primary": self.primary, "tests": self.tests, "level": new.level,
            "replicates": self.spread.replicates, "images": self.spread.images,
            "gain": self.new.gain, "low": new.low, "high": new.high,
            "these_low": these.low, "these_high": these.high, "inner_low": inner.low, "inner_high": inner.high,
            "p": self.new.p(), "p_adjusted": statistics.bonferroni(self.new.p(), self.tests),
            "p_these": self.these.p(), "p_sign_flip": self.sign_flip_p,
            "p_equivalence": statistics.bonferroni(self.new.p_equivalence(self.margin), self.tests),
            "superiority": statistics.superiority(self.differences),
            "worse": worse, "equal": equal, "better": better,
            "standard_error": self.new.error, "freedom": self.new.freedom,
            "from_replicates": self.spread.from_replicates, "from_images": self.spread.from_images,
            "from_rest": self.spread.rest.value,
            **{f"{name}{end}": value for name, about in asdict(self.sight).items()
               for end, value in zip(("", "_low", "_high"), about.values(), strict=True)},
            "verdict": self.verdict,
        }  # fmt: skip

    def sentence(self) -> str:
        """The verdict in words, what could have been seen, and whether another test disagrees."""
        return " ".join([self.headline(), *self._afterwords()])

    def headline(self) -> str:
        """The verdict in words, in percentage points."""
        told = self.inner if self.verdict == "equivalent" else self.interval
        size = f"{self.spread.replicates} replicates, {self.spread.images:,} test images"
        interval = f"{100 * told.level:.4g}% interval {points(told.low)} to {points(told.high)}"
        return (
            f"{self.contrast.arm} against {self.contrast.control} {self._verdict()}: {points(self.new.gain)} points of "
            f"{spoken(self.metric)} ({interval}; {size})."
        )

    def _verdict(self) -> str:
        return {
            "helps": "helps meaningfully" if self.interval.low > self.margin else "helps",
            "hurts": "hurts",
            "equivalent": f"is equivalent within {100 * self.margin:g} points",
            "inconclusive": "is inconclusive",
        }[self.verdict]

    def _afterwords(self) -> list[str]:
        words = []
        if self.verdict == "inconclusive":
            found = self.sight
            words.append(
                f"A true gain of {_about(found.detectable, 'points', 100)} would have shown with a chance of "
                f"{100 * WANTED:g}%; for {100 * self.margin:g} it would take {_needed(found)}."
            )
        if self.sign_flip_disagrees:
            words.append(
                f"The exact sign-flip test over replicates, which covers no other test images, disagrees "
                f"(p = {self.sign_flip_p:.2g})."
            )
        return words


def spoken(name: str) -> str:
    """A name with blanks."""
    return name.replace("_", " ")


def points(fraction: float) -> str:
    """A signed difference in percentage points: two decimals, or as many as keep a small one from looking like none."""
    rounded = f"{100 * fraction:+.2f}"
    return f"{100 * fraction:+.1g}" if float(rounded) == 0 and abs(fraction) > ROUNDING else rounded


def _about(figure: About, of: str, unit: float = 1.0) -> str:
    value, low, high = (None if each is None else _rough(unit * each) for each in astuple(figure))
    return f"about {value} {of} ({low} {'or more' if high is None else f'to {high}'})"


def _needed(found: Sight) -> str:
    ways = {"replicates": found.replicates_needed, "test images": found.images_needed}
    possible = [_about(figure, name) for name, figure in ways.items() if figure.value is not None]
    impossible = [name for name, figure in ways.items() if figure.value is None]
    if not possible:
        return "both more replicates and more test images"
    only = f"; more {impossible[0]} alone would not do" if impossible else ""
    return " or ".join(possible) + only


def _rough(value: float) -> str:
    """Two significant digits, without an exponent."""
    return f"{float(f'{value:.2g}'):,.10g}"


def rounded(figures: Mapping[str, Any], decimals: int) -> dict[str, Any]:
    """The same with numbers rounded."""
    return {key: round(value, decimals) if isinstance(value, float) else value for key, value in figures.items()}
