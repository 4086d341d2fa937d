"""The comparison on a terminal: the answer, what was compared, the arms, the other tested contrasts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from makeweight.comparison.compare import Comparison
from makeweight.comparison.result import ContrastResult
from makeweight.comparison.sentences import contrast_text, in_brief
from makeweight.core.metrics import OVERALL
from makeweight.core.text import NOTHING, counted, percent, readable
from makeweight.runtime.artifacts import ARM, MEAN, METRIC, SD, SPLIT

WIDTH = 80  # columns: longer lines are hard to read


def show(comparison: Comparison) -> None:
    """Print the comparison, wrapped between words."""
    console = Console(highlight=False)
    console.width = min(console.width, WIDTH)
    tested = [result for result in comparison.results if result.tested]
    main = [result for result in tested if result.primary] or tested
    for number, result in enumerate(main):
        _contrast(console, result, comparison.basis if number == 0 else [])
    others = [result for result in tested if result not in main]
    if others:
        _section(console, "Other tested arms", [f"{in_brief(result)}." for result in others])
    if comparison.warnings:
        _section(console, "Warnings", comparison.warnings)
    _section(console, "What was compared", (f"{term}: {text}" for term, text in comparison.explanations.items()))
    _section(console, "Test images, %: mean ± standard deviation over runs", [_arms(comparison)])
    for result in others:
        _contrast(console, result, [])
    if len(comparison.variance):
        _section(console, "Variance over runs that is due to the generator", _variance(comparison))
    if untested := len(comparison.results) - len(tested):
        _section(console, f"{counted(untested, 'other difference')} estimated, not tested: see the report", [])


def _contrast(console: Console, result: ContrastResult, basis: Iterable[str]) -> None:
    text = contrast_text(result)
    _section(console, text.answer, [*text.sentences, *basis])


def _section(console: Console, heading: str, blocks: Iterable[str | Table]) -> None:
    """A heading in bold, and blocks indented below it."""
    console.print(Text(heading, style="bold"))
    for block in blocks:
        # As Text, since rich reads [brackets] in a string as markup, and class names may hold some.
        console.print(Padding(Text(block) if isinstance(block, str) else block, (0, 0, 0, 2), expand=False))
    console.print()


def _arms(comparison: Comparison) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("arm", overflow="fold")
    for metric in OVERALL:
        table.add_column(readable(metric), justify="right")
    on_test = comparison.arms[comparison.arms[SPLIT] == "test"]
    for name, rows in on_test.groupby(ARM, sort=False):
        figures = rows.set_index(METRIC)
        table.add_row(str(name), *(f"{100 * figures[MEAN][m]:.1f} ± {100 * figures[SD][m]:.1f}" for m in OVERALL))
    return table


def _variance(comparison: Comparison) -> Iterator[str]:
    for row in comparison.variance.to_dict("records"):
        share, low, high = (percent(row[key], 0) for key in ("generator_share", "low", "high"))
        interval = f"{share}% (95% confidence interval {low} to {high})"
        yield f"{row['arm']}: {'undefined, a variance is zero' if share == NOTHING else interval}."
