"""The tables of the report: what stands in each cell, for HTML and Markdown alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from makeweight.core.data import Split
from makeweight.core.metrics import OVERALL
from makeweight.core.text import NOTHING, amount, percent, points, possible_range, readable, rough

Figures = Mapping[str, Any]  # of one contrast, as in comparison.json


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a table.

    Attributes:
        head: its first cell.
        cells: the others.
        explanation: of the head, for readers who do not know the term.
    """

    head: str
    cells: Sequence[str]
    explanation: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """A table.

    Attributes:
        caption: what it shows.
        heads: of all columns, that of the rows' heads first.
        rows: its body.
        note: what is to be known about some of its cells.
    """

    caption: str
    heads: Sequence[str]
    rows: Sequence[Row]
    note: str = ""


def p_value(p: float | None) -> str:
    """A p value as it is usually written."""
    return NOTHING if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"


def statistics(tested: Sequence[Figures]) -> Table:
    """All statistics of the tested contrasts, a row each with its explanation, a column for each contrast."""
    return Table(
        "The tested contrasts, by the names that statistics uses; differences in percentage points",
        ["statistic", *(f"{each['arm']} minus {each['reference']}" for each in tested)],
        [Row(name, [cell(each) for each in tested], explanation) for name, explanation, cell in _STATISTICS],
        "Ranges in parentheses: what the uncertainty of the estimated variance leaves (80%). Intervals end at the "
        "largest difference that is possible.",
    )


def estimates(untested: Sequence[Figures]) -> Table:
    """All differences without a test."""
    return Table(
        "Estimates, not tested: differences in percentage points",
        ["arms", "difference", "95% confidence interval, not adjusted"],
        [
            Row(f"{each['arm']} minus {each['reference']}", [points(each["gain"]), _interval(each, "low", "high")])
            for each in untested
        ],
    )


def mcnemar(tested: Sequence[Figures]) -> Table:
    """McNemar's test of the models of replicate 0."""
    rows = [Row(f"{each['arm']} and {each['reference']}", [p_value(each["mcnemar_p"])]) for each in tested]
    return Table("McNemar's test of the models of replicate 0", ["two trained models", "p"], rows)


def arms(names: Sequence[str], table: pd.DataFrame, metric: str) -> Table:
    """Means and standard deviations of each arm.

    Args:
        names: of the arms, in their order.
        table: `arms.csv`.
        metric: that arms are compared by.
    """
    columns = [("test", each) for each in OVERALL] + [("validation", metric)]
    overall = table[table["metric"] != "recall"].to_dict("records")
    cells = {
        (row["arm"], row["split"], row["metric"]): f"{percent(row['mean'])} ± {percent(row['sd'])}" for row in overall
    }
    return Table(
        "Mean ± standard deviation over runs, %",
        ["arm", *(f"{readable(name)}, {split} images" for split, name in columns)],
        [Row(arm, [cells[arm, *column] for column in columns]) for arm in names],
    )


def runs(values: Mapping[str, Any], metric: str, split: str) -> Table:
    """The metric of every run.

    Args:
        values: by arm, split and metric.
        metric: that arms are compared by.
        split: "test" or "validation".
    """
    of_arms = {arm: each[split][metric] for arm, each in values.items()}
    return Table(
        f"{readable(metric)} of every run on {split} images, %",
        ["arm", *(f"run {k}" for k in range(len(next(iter(of_arms.values())))))],
        [Row(arm, [percent(value) for value in each]) for arm, each in of_arms.items()],
    )


def variance(rows: Iterable[Figures], metric: str) -> Table:
    """How much of each arm's variance over runs is due to its generator."""
    return Table(
        f"Standard deviation over runs, in points of {readable(metric)}",
        ["arm", "a generator for each run", "one generator for all runs", "generator's share of the variance"],
        [
            Row(
                each["arm"],
                [
                    percent(each["sd"], 2),
                    percent(each["sd_one_generator"], 2),
                    f"{percent(each['generator_share'], 0)}% ({percent(each['low'], 0)} to {percent(each['high'], 0)})",
                ],
            )
            for each in rows
        ],
        "In parentheses: the 95% confidence interval.",
    )


def classes(names: Sequence[str], table: pd.DataFrame, train: Split, drawn: Mapping[str, Split]) -> Table:
    """Each class with its numbers of images, and the mean recall of each arm on its test images.

    Args:
        names: of the arms, in their order.
        table: `arms.csv`.
        train: the training images.
        drawn: the synthetic images of replicate 0, by family.
    """
    on_test = table[(table["split"] == "test") & (table["metric"] == "recall")].to_dict("records")
    recalls = {(row["class"], row["arm"]): row for row in on_test}
    rows = []
    for label, name in enumerate(train.classes):
        counts = [int(train.counts[label]), *(int(split.counts[label]) for split in drawn.values())]
        of_arms = [recalls[name, arm] for arm in names]
        images = f"{int(of_arms[0]['images'])}{' *' if of_arms[0]['few'] else ''}"
        rows.append(Row(name, [*map(str, counts), images, *(percent(row["mean"]) for row in of_arms)]))
    few = "* Fewer than 30 test images: the recall is imprecise." if any(row["few"] for row in on_test) else ""
    heads = ["real training images", *(f"synthetic images, {family}" for family in drawn), "test images"]
    return Table(
        "Images of each class, and the mean recall of each arm on test images, %",
        ["class", *heads, *(f"recall, {arm}" for arm in names)],
        rows,
        few,
    )


def splits(named: Mapping[str, Split]) -> Table:
    """The size of each split."""
    return Table(
        "Images of each split",
        ["split", "images", "smallest class", "largest class"],
        [
            Row(name, [f"{len(split):,}", f"{split.counts.min():,}", f"{split.counts.max():,}"])
            for name, split in named.items()
        ],
    )


def _interval(contrast: Figures, low: str, high: str, level: float | None = None) -> str:
    if contrast[low] is None:
        return NOTHING
    ends = possible_range(contrast[low], contrast[high], contrast["largest_possible"])
    suffix = "" if level is None else f" ({100 * level:.4g}%)"
    return f"{points(ends[0])} to {points(ends[1])}{suffix}"


def _detectable(contrast: Figures) -> str:
    possible = contrast["largest_possible"]
    if contrast["detectable"] > possible:
        return f"more than is possible ({amount(round(possible, 3))})"
    return f"{percent(contrast['detectable'], 2)} {_range(contrast, 'detectable', 2, largest=possible)}"


def _power(contrast: Figures) -> str:
    return f"{percent(contrast['power'], 0)}% at {amount(contrast['margin'])} {_range(contrast, 'power', 0)}"


def _range(contrast: Figures, name: str, decimals: int, largest: float = 1.0) -> str:
    low, high = (min(contrast[f"{name}_{end}"], largest) for end in ("low", "high"))
    return f"({percent(low, decimals)} to {percent(high, decimals)})"


def _needed(name: str) -> Callable[[Figures], str]:
    def cell(contrast: Figures) -> str:
        if contrast[name] is None:
            return "no number is enough"
        value, low, high = (contrast[f"{name}{end}"] for end in ("", "_low", "_high"))
        most = "or more" if high is None else f"to {rough(high):,.0f}"
        return f"{rough(value):,.0f} ({rough(low):,.0f} {most})"

    return cell


def _components(contrast: Figures) -> str:
    parts = [contrast[f"variance_{part}"] for part in ("replicates", "images", "residual")]
    return " / ".join(f"{percent(part / sum(parts), 0)}%" for part in parts) if sum(parts) else NOTHING


def _posterior(contrast: Figures) -> str:
    return " / ".join(f"{percent(contrast[f'probability_{part}'], 0)}%" for part in ("worse", "equal", "better"))


_STATISTICS: tuple[tuple[str, str, Callable[[Figures], str]], ...] = (
    (
        "verdict",
        "helps or hurts: the confidence interval excludes zero; equivalent: the equivalence interval lies within the "
        "margin; inconclusive: neither",
        lambda each: str(each["verdict"]),
    ),
    ("difference", "mean of the paired differences over runs", lambda each: points(each["gain"])),
    (
        "confidence interval",
        "covers other runs and other test images of the same kind; at an adjusted level (Bonferroni) where contrasts "
        "share the error rate of 5%",
        lambda each: _interval(each, "low", "high", each["level"]),
    ),
    (
        "confidence interval, fixed test set",
        "covers other runs on these test images only; –: all runs differ by the same amount",
        lambda each: _interval(each, "fixed_low", "fixed_high", each["level"]),
    ),
    (
        "adjusted p",
        "of the hypothesis of no difference, times the number of contrasts that share the error rate",
        lambda each: p_value(each["p_adjusted"]),
    ),
    (
        "p (sign flips)",
        "exact test over runs; –: too few runs to reach the level, or too many to count",
        lambda each: p_value(each["p_sign_flip"]),
    ),
    (
        "equivalence interval",
        "must lie within the margin for the verdict equivalent",
        lambda each: _interval(each, "equivalence_low", "equivalence_high", 1 - 2 * (1 - each["level"])),
    ),
    (
        "p (equivalence)",
        "of the hypothesis that the difference is as large as the margin or larger (two one-sided tests), adjusted",
        lambda each: p_value(each["p_equivalence"]),
    ),
    ("minimum detectable effect", "the true gain that is detected with a probability of 80%", _detectable),
    ("power", "the probability to detect a true gain as large as the margin", _power),
    ("runs needed", "to detect the margin with a probability of 80%", _needed("replicates_needed")),
    (
        "test images needed",
        "likewise, with as many runs; groups of images, where images are grouped",
        _needed("images_needed"),
    ),
    (
        "standard error",
        "of the difference, with its degrees of freedom",
        lambda each: f"{percent(each['standard_error'], 2)} ({each['dof']:.3g})",
    ),
    ("variance components", "shares of runs / test images / residual in the variance of the difference", _components),
    (
        "posterior probabilities",
        "that the true difference is a loss beyond the margin / within it / a gain beyond it (non-informative prior)",
        _posterior,
    ),
    (
        "probability of superiority",
        "share of runs in which the arm is better than the control, ties counted as half",
        lambda each: f"{percent(each['superiority'], 0)}%",
    ),
)
