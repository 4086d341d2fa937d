"""Plots of arms and training curves, byte-stable."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from makeweight.runtime.artifacts import REPLICATE, STEP

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DOTS, MEANS, JOINS, BANDS = "#0072b2", "#d55e00", "#999999", "#808080"
LINES = ("-", "--", ":", "-.")
NARROW = 4.4  # inches: the width at which letters stay legible on a phone


def canvas(width: float, height: float) -> Figure:
    """An empty figure; width and height in inches."""
    # Imported here, since it takes most of a second, which training processes need not spend.
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def arms(values: pd.DataFrame, metric: str, width: float = 7.0) -> Figure:
    """A row for each arm with a dot for each replicate and a bar at the mean; lines connect each replicate's dots.

    Args:
        values: a row for each replicate, a column for each arm, in percent.
        metric: label of the x axis.
        width: in inches.
    """
    figure = canvas(width, 1.2 + 0.45 * values.shape[1])
    axes = figure.subplots()
    for row in range(0, values.shape[1], 2):
        axes.axhspan(row - 0.5, row + 0.5, color=BANDS, alpha=0.15, linewidth=0, zorder=0)
    heights = np.arange(values.shape[1]) + np.linspace(-0.18, 0.18, len(values))[:, None]
    for replicate, row in zip(values.to_numpy(), heights, strict=True):
        axes.plot(replicate, row, color=JOINS, linewidth=0.6, alpha=0.5, zorder=1)
    for column, arm in enumerate(values.to_numpy().T):
        axes.scatter(arm, heights[:, column], s=22, color=DOTS, alpha=0.75, linewidths=0, zorder=2)
        axes.plot([arm.mean()] * 2, [column - 0.3, column + 0.3], color=MEANS, linewidth=2.5, zorder=3)
    axes.set_yticks(range(values.shape[1]), [str(name) for name in values], parse_math=False)
    axes.set_ylim(values.shape[1] - 0.5, -0.5)
    axes.set_xlabel(f"{metric}, %")
    axes.grid(axis="x", alpha=0.3)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(axis="y", length=0)
    return figure


def budgets(means: Mapping[str, pd.Series], chosen: Mapping[str, int], metric: str, width: float = 7.0) -> Figure:
    """A line for each arm: the metric on validation images against the number of steps; chosen budgets are circled.

    Args:
        means: of each arm, in percent, by number of steps.
        chosen: the number of steps of each arm.
        metric: label of the y axis.
        width: in inches.
    """
    figure = canvas(width, 0.75 * width + 0.22 * -(-len(means) // 2))
    axes = figure.subplots()
    for number, (name, mean) in enumerate(means.items()):
        (line,) = axes.plot(
            mean.index, mean, marker=".", linestyle=LINES[number % len(LINES)], linewidth=1.2, label=name
        )
        axes.scatter([chosen[name]], [mean[chosen[name]]], s=70, facecolors="none", edgecolors=line.get_color())
    axes.set_xscale("log")
    steps = sorted({int(step) for mean in means.values() for step in mean.index})
    axes.set_xticks(steps, [f"{step:,}" for step in steps])
    axes.minorticks_off()
    axes.set_xlabel("steps (circled: chosen)")
    axes.set_ylabel(f"{metric} on validation images, %")
    axes.grid(alpha=0.3)
    figure.legend(loc="outside lower center", ncols=2, fontsize="small", frameon=False)
    return figure


def curves(history: pd.DataFrame, columns: int = 3, width: float = 9.0) -> Figure:
    """A panel for each column of a training history, with a line for each replicate.

    Args:
        history: columns replicate, step, and the recorded values.
        columns: of panels.
        width: in inches.
    """
    names = [name for name in history.columns if name not in (REPLICATE, STEP)] or [STEP]
    values = {name: history.assign(value=history[name]) for name in names}
    return _panels(values, columns, width)


def losses(histories: Mapping[str, pd.DataFrame], columns: int, width: float) -> Figure:
    """A panel for each arm with the training loss, a line for each replicate; arms may differ in their steps.

    Args:
        histories: of each arm: replicate, step, loss.
        columns: of panels.
        width: in inches.
    """
    return _panels({name: table.assign(value=table["loss"]) for name, table in histories.items()}, columns, width)


def _panels(tables: Mapping[str, pd.DataFrame], columns: int, width: float) -> Figure:
    rows = -(-len(tables) // columns)
    figure = canvas(width, width / columns * 0.72 * rows)
    panels = figure.subplots(rows, min(columns, len(tables)), squeeze=False, sharex=True).ravel()
    for axes, (name, table) in zip(panels, tables.items(), strict=False):
        for _, replicate in table.groupby(REPLICATE):
            axes.plot(replicate[STEP], replicate["value"], linewidth=0.8, alpha=0.8)
        axes.set_title(name.replace("_", " "), fontsize="medium")
        axes.grid(alpha=0.3)
    for axes in panels[len(tables) :]:
        axes.remove()
    return figure
