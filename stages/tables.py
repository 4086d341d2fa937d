"""The comparison on the terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from pipeline.comparing import Comparison
from pipeline.metrics import OVERALL


def show(comparison: Comparison) -> None:
    """Print the arms as a table, then a sentence for each contrast."""
    console = Console(highlight=False)
    table = Table(title="Test images, % (mean ± standard deviation over replicates)", title_justify="left")
    table.add_column("arm", no_wrap=True)
    for metric in OVERALL:
        table.add_column(metric.replace("_", " "), justify="right")
    on_test = comparison.arms[comparison.arms["split"] == "test"]
    for name, rows in on_test.groupby("arm", sort=False):
        figures = rows.set_index("metric")
        table.add_row(str(name), *(f"{100 * figures['mean'][m]:.1f} ± {100 * figures['sd'][m]:.1f}" for m in OVERALL))
    console.print(table)
    for sentence in comparison.contrasts["sentence"]:
        console.print(f"• {sentence}", soft_wrap=not console.is_terminal)
