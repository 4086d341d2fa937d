"""The comparison on the terminal: the verdict, the arms, the other contrasts."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from pipeline.comparing import Comparison
from pipeline.findings import SCOPE
from pipeline.metrics import OVERALL


def show(comparison: Comparison) -> None:
    """Print the primary contrast's sentence, the arms as a table, and a sentence for each other contrast."""
    console = Console(highlight=False)
    primary = [each for each in comparison.findings if each.primary]
    others = [each for each in comparison.findings if not each.primary]
    for each in primary:
        _print(console, f"[bold]{each.sentence()}[/bold]\n{SCOPE}\n")
    console.print(_arms(comparison))
    if others:
        _print(console, f"\n{'The other contrasts' if primary else 'Contrasts'}, told apart together:")
    for each in others:
        _print(console, f"• {each.headline()}")
    for row in comparison.variance.to_dict("records"):
        share, low, high = (f"{100 * row[key]:.0f}%" for key in ("generator_share", "low", "high"))
        _print(
            console, f"• {row['arm']}: {share} of the variance over replicates is the generator's ({low} to {high})."
        )


def _arms(comparison: Comparison) -> Table:
    table = Table(title="Test images, % (mean ± standard deviation over replicates)", title_justify="left")
    table.add_column("arm", overflow="fold")
    for metric in OVERALL:
        table.add_column(metric.replace("_", " "), justify="right")
    on_test = comparison.arms[comparison.arms["split"] == "test"]
    for name, rows in on_test.groupby("arm", sort=False):
        figures = rows.set_index("metric")
        table.add_row(str(name), *(f"{100 * figures['mean'][m]:.1f} ± {100 * figures['sd'][m]:.1f}" for m in OVERALL))
    return table


def _print(console: Console, text: str) -> None:
    """Wrapped between words on a terminal, and not at all where no terminal reads it."""
    console.print(text, soft_wrap=not console.is_terminal)
