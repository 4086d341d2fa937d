"""The tables of the report, for HTML and Markdown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

import pandas as pd

from makeweight.core.choices import AutomaticChoice, Choices
from makeweight.core.data import Split
from makeweight.core.metrics import OVERALL
from makeweight.core.text import (
    NOTHING,
    amount,
    in_markdown,
    markdown_table,
    percent,
    points,
    possible_range,
    readable,
    rough,
)
from makeweight.runtime.artifacts import (
    ARM,
    CLASS,
    FEW,
    GAIN,
    HIGH,
    LOW,
    MEAN,
    METRIC,
    RECALL_OF_CLASS,
    REFERENCE,
    SD,
    SPLIT,
)

MAX_CLASS_GAINS = 30  # classes whose difference in recall is shown for each contrast
INTERVAL = "simultaneous 95% confidence interval"
Figures = Mapping[str, Any]  # of one contrast, as in comparison.json


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a table.

    Attributes:
        head: its first cell.
        cells: the others.
        explanation: of the term in `head`.
    """

    head: str
    cells: Sequence[str]
    explanation: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """A table.

    Attributes:
        caption: title of the table.
        heads: of all columns, the first one included.
        rows: body of the table.
        note: footnote.
    """

    caption: str
    heads: Sequence[str]
    rows: Sequence[Row]
    note: str = ""

    def as_markdown(self) -> str:
        """The table in Markdown, without caption and note; explanations follow the heads in parentheses."""
        heads = [f"{row.head} ({row.explanation})" if row.explanation else row.head for row in self.rows]
        rows = [self.heads, *([head, *row.cells] for head, row in zip(heads, self.rows, strict=True))]
        return markdown_table([[in_markdown(cell) for cell in row] for row in rows])


def p_value(p: float | None) -> str:
    """A p value with three decimals, or "< 0.001"."""
    return NOTHING if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"


def statistics(tested: Sequence[Figures]) -> Table:
    """All statistics of the tested contrasts: a row for each statistic, a column for each contrast."""
    rows = [
        Row(name, [cell(contrast) if contrast["gain"] is not None else NOTHING for contrast in tested], explanation)
        for name, explanation, cell in _STATISTICS
    ]
    nothing_to_test = " and ".join(contrast["arm"] for contrast in tested if contrast["gain"] is None)
    return Table(
        "Statistics of the tested contrasts; differences in percentage points",
        ["statistic", *(f"{contrast['arm']} minus {contrast['reference']}" for contrast in tested)],
        [Row("verdict", [str(contrast["verdict"]) for contrast in tested], VERDICTS), *rows],
        "In parentheses: the range over the 80% confidence interval of the estimated variance. Intervals end at the "
        "largest possible difference."
        + (f" Without synthetic images there is nothing to test: {nothing_to_test}." if nothing_to_test else ""),
    )


def estimates(untested: Sequence[Figures]) -> Table:
    """The contrasts that are estimated and not tested."""
    return Table(
        "Estimates, not tested: differences in percentage points",
        ["arms", "difference", "95% confidence interval, not adjusted"],
        [
            Row(
                f"{contrast['arm']} minus {contrast['reference']}",
                [points(contrast["gain"]), _interval(contrast, "low", "high")],
            )
            for contrast in untested
        ],
    )


def mcnemar(tested: Sequence[Figures]) -> Table:
    """McNemar's test of the models of replicate 0."""
    rows = [
        Row(f"{contrast['arm']} and {contrast['reference']}", [p_value(contrast["mcnemar_p"])]) for contrast in tested
    ]
    return Table("McNemar's test of the models of replicate 0", ["two trained models", "p"], rows)


def arms(names: Sequence[str], table: pd.DataFrame, metric: str) -> Table:
    """Means and standard deviations of each arm.

    Args:
        names: of the arms, in their order.
        table: `arms.csv`.
        metric: that arms are compared by.
    """
    columns: list[tuple[str, str]] = [("test", name) for name in OVERALL] + [("validation", metric)]
    overall = table[table[METRIC] != RECALL_OF_CLASS].to_dict("records")
    cells = {(row[ARM], row[SPLIT], row[METRIC]): f"{percent(row[MEAN])} ± {percent(row[SD])}" for row in overall}
    return Table(
        "Mean ± standard deviation over runs, %",
        ["arm", *(f"{readable(name)}, {split} images" for split, name in columns)],
        [Row(arm, [cells[arm, *column] for column in columns]) for arm in names],
    )


def choices(made: Choices) -> Table:
    """The scores of each option on validation images, with the chosen ones marked."""
    budgets = next(iter(made.scores.values()))
    return Table(
        "Choices on validation images: mean ± standard deviation over the trainings of each option, %",
        ["arm", *(f"{steps:,} steps" for steps in budgets)],
        [
            Row(
                f"{arm}{' (the chosen control)' if arm == made.control else ''}",
                [
                    f"{_mean_and_deviation(values)}{' ← chosen' if made.steps.get(arm) == steps else ''}"
                    for steps, values in by_steps.items()
                ],
            )
            for arm, by_steps in made.scores.items()
        ],
        "These trainings have seeds and generators of their own, and are never scored on test images.",
    )


def automatic(arm: str, choice: AutomaticChoice) -> Table:
    """The scores of the candidates of an automatic arm on validation images, with the chosen one marked."""
    budgets = next(iter(choice.scores.values()))
    rows = []
    for candidate, by_steps in choice.scores.items():
        own = choice.differences.get(candidate)
        marks = {choice.steps: " ← chosen"} if candidate == choice.chosen else {}
        cells = [f"{_mean_and_deviation(values)}{marks.get(steps, '')}" for steps, values in by_steps.items()]
        compared = f"{points(own.mean)} ± {percent(own.standard_error, 2)}" if own else NOTHING
        rows.append(Row(str(candidate), [*cells, compared]))
    left_out = "; ".join(f"{candidate} ({reason})" for candidate, reason in choice.left_out.items())
    return Table(
        f"Candidates of {arm} on validation images: mean ± standard deviation over the trainings of each, %",
        ["candidate", *(f"{steps:,} steps" for steps in budgets), "difference from none, points ± standard error"],
        rows,
        "No synthetic images are chosen unless the best candidate is better by more than one standard error (for other "
        "trainings and other images)." + (f" Not tried: {left_out}." if left_out else ""),
    )


def _mean_and_deviation(values: Sequence[float]) -> str:
    mean = percent(fmean(values), 2)
    return mean if len(values) == 1 else f"{mean} ± {percent(stdev(values), 2)}"


def runs(values: Mapping[str, Any], metric: str, split: str) -> Table:
    """The metric of every run.

    Args:
        values: by arm, split and metric.
        metric: that arms are compared by.
        split: "test" or "validation".
    """
    by_arm = {arm: by_split[split][metric] for arm, by_split in values.items()}
    return Table(
        f"{readable(metric)} of every run on {split} images, %",
        ["arm", *(f"run {k}" for k in range(len(next(iter(by_arm.values())))))],
        [Row(arm, [percent(value) for value in of_runs]) for arm, of_runs in by_arm.items()],
    )


def variance(rows: Iterable[Figures], metric: str) -> Table:
    """The variance component of the generator in each generator arm."""
    return Table(
        f"Standard deviation over runs, in points of {readable(metric)}",
        [
            "arm",
            "a generator for each run",
            "one generator for all runs",
            "variance component of the generator (95% CI)",
        ],
        [
            Row(
                row["arm"],
                [
                    percent(row["sd"], 2),
                    percent(row["sd_one_generator"], 2),
                    f"{percent(row['generator_share'], 0)}% ({percent(row['low'], 0)} to {percent(row['high'], 0)})",
                ],
            )
            for row in rows
        ],
        "The variance component of the generator is its share of the variance over runs; CI: confidence interval.",
    )


def classes(names: Sequence[str], table: pd.DataFrame, train: Split, synthetic: Mapping[str, Split]) -> Table:
    """Each class with its numbers of images, and the mean recall of each arm on its test images.

    Args:
        names: of the arms, in their order.
        table: `arms.csv`.
        train: the training images.
        synthetic: the synthetic images of replicate 0, by family.
    """
    on_test = table[(table[SPLIT] == "test") & (table[METRIC] == RECALL_OF_CLASS)].to_dict("records")
    recalls = {(row[CLASS], row[ARM]): row for row in on_test}
    rows = []
    for label, name in enumerate(train.classes):
        counts = [int(train.counts[label]), *(int(split.counts[label]) for split in synthetic.values())]
        recalls_of_arms = [recalls[name, arm] for arm in names]
        images = f"{int(recalls_of_arms[0]['images'])}{' *' if recalls_of_arms[0][FEW] else ''}"
        rows.append(Row(name, [*map(str, counts), images, *(percent(row[MEAN]) for row in recalls_of_arms)]))
    few = "* Fewer than 30 test images: the recall is imprecise." if any(row[FEW] for row in on_test) else ""
    heads = ["real training images", *(f"synthetic images, {family}" for family in synthetic), "test images"]
    return Table(
        "Images of each class, and the mean recall of each arm on test images, %",
        ["class", *heads, *(f"recall, {arm}" for arm in names)],
        rows,
        few,
    )


def filters(images: Mapping[str, Sequence[Mapping[str, Any]]]) -> Table:
    """Images drawn, dropped by each filter, kept and missing: of all classes, and of each class that lacks some.

    Args:
        images: by family, or another name of images, the rows of each replicate's `filters.json`.
    """
    table = pd.json_normalize([{"images": name, **row} for name, of_images in images.items() for row in of_images])
    table["missing"] = table["quota"] - table["kept"]
    dropped = [name for name in map(str, table) if name.startswith("dropped.")]
    columns = ["drawn", *dropped, "kept", "missing"]
    rows = []
    for name, of_images in table.groupby("images", sort=False):
        by_class = of_images.groupby("class", sort=False)[columns].sum(min_count=1)
        rows.append(Row(f"{name}, all classes", _counts(by_class.sum(min_count=1))))
        rows += [
            Row(f"{name}, class “{label}”", _counts(row)) for label, row in by_class.query("missing > 0").iterrows()
        ]
    return Table(
        "Filtered images of all runs: all classes, and those that lack images",
        ["images", *(column.replace("dropped.", "dropped by ") for column in columns)],
        rows,
        "An image counts for the first filter that drops it. Missing: images that were wanted, but no more might be "
        "drawn of the class (generate.filtering.max_drawn).",
    )


def _counts(row: pd.Series[Any]) -> list[str]:
    return [NOTHING if pd.isna(value) else f"{value:,.0f}" for value in row]


@dataclass(frozen=True, slots=True)
class ClassGains:
    """The differences in recall of one contrast.

    Attributes:
        table: a row for each class that is shown.
        limit: the largest end of an interval, in percentage points without sign.
        intervals: for each row the lower end, the difference and the upper end, from 0 (-`limit`) to 100 (`limit`).
    """

    table: Table
    limit: str
    intervals: Sequence[tuple[float, float, float]]


def class_gains(rows: pd.DataFrame) -> ClassGains:
    """The differences in recall with their simultaneous intervals, the largest gain first.

    Args:
        rows: of one contrast in `classes.csv`; of more than `MAX_CLASS_GAINS`, those with the largest absolute
            differences are shown.
    """
    largest = rows[GAIN].abs().sort_values(ascending=False, kind="stable").index[:MAX_CLASS_GAINS]
    shown = rows.loc[largest].sort_index().sort_values(GAIN, ascending=False, kind="stable")
    arm, reference = rows.iloc[0][[ARM, REFERENCE]]
    limit = float(shown[[LOW, HIGH]].abs().to_numpy().max())
    which = "each class"
    if len(shown) < len(rows):
        which = f"the {len(shown)} of {len(rows):,} classes with the largest absolute differences"
    return ClassGains(
        Table(
            f"recall of {which} on test images: {arm} minus {reference}",
            ["class", "test images", f"{reference}, %", f"{arm}, %", "difference, points", INTERVAL],
            [
                Row(row[CLASS], [f"{row['images']:,}", percent(row["reference_recall"]), percent(row["recall"]),
                                 points(row[GAIN]), f"{points(row[LOW])} to {points(row[HIGH])}"])
                for row in shown.to_dict("records")
            ],
        ),
        f"{100 * limit:.3g}",
        [tuple(round(50 + 50 * row[end] / limit, 1) for end in (LOW, GAIN, HIGH)) for row in shown.to_dict("records")],
    )  # fmt: skip


def splits(by_name: Mapping[str, Split]) -> Table:
    """The size of each split."""
    return Table(
        "Images of each split",
        ["split", "images", "smallest class", "largest class"],
        [
            Row(name, [f"{len(split):,}", f"{split.counts.min():,}", f"{split.counts.max():,}"])
            for name, split in by_name.items()
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
            return "no number suffices"
        value, low, high = (contrast[f"{name}{end}"] for end in ("", "_low", "_high"))
        most = "or more" if high is None else f"to {rough(high):,.0f}"
        return f"{rough(value):,.0f} ({rough(low):,.0f} {most})"

    return cell


def _components(contrast: Figures) -> str:
    parts = [contrast[f"variance_{part}"] for part in ("replicates", "images", "residual")]
    return " / ".join(f"{percent(part / sum(parts), 0)}%" for part in parts) if sum(parts) else NOTHING


def _posterior(contrast: Figures) -> str:
    return " / ".join(f"{percent(contrast[f'probability_{part}'], 0)}%" for part in ("worse", "equal", "better"))


VERDICTS = (
    "helps or hurts: the confidence interval excludes zero; equivalent: the equivalence interval lies within the "
    "margin; inconclusive: neither; none chosen: an automatic arm trains on no synthetic images"
)
_STATISTICS: tuple[tuple[str, str, Callable[[Figures], str]], ...] = (
    ("difference", "mean of the paired differences over runs", lambda contrast: points(contrast["gain"])),
    (
        "confidence interval",
        "covers other runs and other test images of the same kind; at an adjusted level (Bonferroni) where contrasts "
        "share the error rate of 5%",
        lambda contrast: _interval(contrast, "low", "high", contrast["level"]),
    ),
    (
        "confidence interval, fixed test set",
        "covers other runs on these test images only; –: all runs differ by the same amount",
        lambda contrast: _interval(contrast, "fixed_low", "fixed_high", contrast["level"]),
    ),
    (
        "adjusted p",
        "of the hypothesis of no difference, times the number of contrasts that share the error rate",
        lambda contrast: p_value(contrast["p_adjusted"]),
    ),
    (
        "p (sign flips)",
        "exact test over runs; –: too few runs to reach the level, or too many to count",
        lambda contrast: p_value(contrast["p_sign_flip"]),
    ),
    (
        "equivalence interval",
        "must lie within the margin for the verdict equivalent",
        lambda contrast: _interval(contrast, "equivalence_low", "equivalence_high", 1 - 2 * (1 - contrast["level"])),
    ),
    (
        "p (equivalence)",
        "of the hypothesis that the difference is as large as the margin or larger (two one-sided tests), adjusted",
        lambda contrast: p_value(contrast["p_equivalence"]),
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
        lambda contrast: f"{percent(contrast['standard_error'], 2)} ({contrast['dof']:.3g})",
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
        lambda contrast: f"{percent(contrast['superiority'], 0)}%",
    ),
)
