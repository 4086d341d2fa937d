"""Every arm beside every other: means, paired differences, verdicts, and a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from pipeline.core import Arm, BadInput
from pipeline.metrics import OVERALL, RECALL
from pipeline.params import CompareSettings, Parameters
from pipeline.statistics import Difference, bonferroni, paired_difference
from pipeline.storage import replaced_files, save_picture, write_csv, write_json

DECIMALS = 4  # in metrics.json: what a rerun on another processor moves should not fill a diff


@dataclass(frozen=True, slots=True)
class Contrast:
    """Two arms compared, replicate by replicate."""

    arm: Arm
    control: Arm

    def __str__(self) -> str:
        return f"{self.arm}_vs_{self.control}"


@dataclass(frozen=True)
class Comparison:
    """What `compare` found.

    Attributes:
        arms: arm, split, metric, class (of a recall), mean, sd, replicates.
        contrasts: arm, control, metric, gain, low, high, p, p_adjusted, verdict, sentence.
        scores: the rows of every `scores.csv`, with a first column `arm`.
        metric: what the contrasts are about.
    """

    arms: pd.DataFrame
    contrasts: pd.DataFrame
    scores: pd.DataFrame
    metric: str


def arms(parameters: Parameters) -> list[Arm]:
    """All arms, controls first, in the order of the parameters."""
    sources = [*parameters.controls, *parameters.generators]
    return [Arm(source, transform) for source in sources for transform in parameters.transforms]


def contrasts(parameters: Parameters) -> list[Contrast]:
    """What is compared, fixed by the parameters alone.

    Each generator arm with transform T against `none-T`, `oversample-T` and `oversample-classical`, as far as
    these arms exist.
    """
    existing = set(arms(parameters))
    found: dict[Contrast, None] = {}
    for generator in parameters.generators:
        for transform in parameters.transforms:
            for control in (
                Arm("none", transform),
                Arm("oversample", transform),
                Arm("oversample", "classical"),
            ):
                if control in existing:
                    found[Contrast(Arm(generator, transform), control)] = None
    return list(found)


def compare(parameters: Parameters, runs: Path) -> Comparison:
    """Read `runs/<arm>/scores.csv` of every arm and compare.

    Raises:
        BadInput: an arm or some of its replicates are missing.
    """
    scores = pd.concat([_scores(runs, arm, parameters.replicates) for arm in arms(parameters)], ignore_index=True)
    return Comparison(
        arms=_arms_table(scores),
        contrasts=_contrasts_table(scores, contrasts(parameters), parameters.compare),
        scores=scores,
        metric=parameters.compare.metric,
    )


def _scores(runs: Path, arm: Arm, replicates: int) -> pd.DataFrame:
    path = runs / str(arm) / "scores.csv"
    if not path.exists():
        raise BadInput(
            f"{path} is missing: run train-classifier for {arm}, or take its source or transform off the parameters"
        )
    # Class names may look like numbers or like nothing ("nan"): they are texts.
    table = pd.read_csv(path, dtype={"metric": str, "split": str}, keep_default_na=False)
    if set(table["replicate"]) != set(range(replicates)):
        raise BadInput(
            f"{path} holds {table['replicate'].nunique()} replicates, not {replicates}: run train-classifier again"
        )
    table.insert(0, "arm", str(arm))
    return table


def _arms_table(scores: pd.DataFrame) -> pd.DataFrame:
    grouped = scores.groupby(["arm", "split", "metric"], sort=False)["value"]
    table = grouped.agg(mean="mean", sd="std", replicates="size").reset_index()
    is_recall = ~table["metric"].isin(OVERALL)
    table.insert(3, "class", table["metric"].str.removeprefix(RECALL).where(is_recall, ""))
    table["metric"] = table["metric"].where(~is_recall, "recall")
    return table


def _contrasts_table(scores: pd.DataFrame, chosen: Sequence[Contrast], settings: CompareSettings) -> pd.DataFrame:
    on_test = scores[(scores["split"] == "test") & (scores["metric"] == settings.metric)]
    values = on_test.pivot(index="replicate", columns="arm", values="value")
    rows = []
    for contrast in chosen:
        arm, control = (values[str(side)].to_numpy() for side in (contrast.arm, contrast.control))
        difference = paired_difference(arm, control)
        verdict = difference.verdict(settings.margin)
        rows.append(
            {
                "arm": str(contrast.arm),
                "control": str(contrast.control),
                "metric": settings.metric,
                **{key: getattr(difference, key) for key in ("gain", "low", "high", "p")},
                "verdict": verdict,
                "sentence": sentence(contrast, difference, verdict, settings),
            }
        )
    table = pd.DataFrame(rows)
    table.insert(7, "p_adjusted", bonferroni(table["p"].to_numpy()))
    return table


def sentence(contrast: Contrast, difference: Difference, verdict: str, settings: CompareSettings) -> str:
    """The verdict in words, in percentage points."""
    words = {
        "helps": "helps" if difference.low <= settings.margin else "helps meaningfully",
        "hurts": "hurts",
        "equivalent": f"is equivalent (within {100 * settings.margin:g} points)",
        "inconclusive": "is inconclusive",
    }
    gain, low, high = (100 * value for value in (difference.gain, difference.low, difference.high))
    return (
        f"{contrast.arm} against {contrast.control} {words[verdict]}: {gain:+.2f} points of "
        f"{settings.metric.replace('_', ' ')} (95% interval {low:+.2f} to {high:+.2f}, "
        f"{difference.replicates} replicates on these test images)."
    )


def write_comparison(comparison: Comparison, out: Path) -> None:
    """Write `metrics.json`, `arms.csv`, `contrasts.csv` and `arms.png` into `out`."""
    with replaced_files(out) as folder:
        write_json(folder / "metrics.json", _metrics(comparison))
        write_csv(folder / "arms.csv", comparison.arms)
        write_csv(folder / "contrasts.csv", comparison.contrasts)
        save_picture(picture(comparison), folder / "arms.png")


def _metrics(comparison: Comparison) -> dict[str, Any]:
    overall = comparison.arms[comparison.arms["metric"] != "recall"]
    found: dict[str, Any] = {"arms": {}, "validation": {}, "contrasts": {}}
    for row in overall.to_dict("records"):
        part = found["arms" if row["split"] == "test" else "validation"]
        figures = {key: round(row[key], DECIMALS) for key in ("mean", "sd")}
        part.setdefault(row["arm"], {})[row["metric"]] = figures
    for row in comparison.contrasts.to_dict("records"):
        figures = {key: round(row[key], DECIMALS) for key in ("gain", "low", "high", "p_adjusted")}
        contrast = f"{row['arm']}_vs_{row['control']}"
        found["contrasts"][contrast] = {row["metric"]: {**figures, "verdict": row["verdict"]}}
    return found


def picture(comparison: Comparison) -> Figure:
    """Every arm a row, every replicate a dot, the mean a bar."""
    chosen = comparison.scores[
        (comparison.scores["split"] == "test") & (comparison.scores["metric"] == comparison.metric)
    ]
    names = list(dict.fromkeys(chosen["arm"]))
    figure = Figure(figsize=(7, 1.2 + 0.45 * len(names)), layout="constrained")
    axes = figure.subplots()
    for row, name in enumerate(names):
        values = 100 * chosen.loc[chosen["arm"] == name, "value"].to_numpy()
        heights = row + np.linspace(-0.18, 0.18, len(values))
        axes.scatter(values, heights, s=22, color="#0072b2", alpha=0.75, linewidths=0)
        axes.plot([values.mean()] * 2, [row - 0.3, row + 0.3], color="#d55e00", linewidth=2.5)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlabel(f"{comparison.metric.replace('_', ' ')} on test images, % (dots: replicates, bars: means)")
    axes.grid(axis="x", alpha=0.3)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(axis="y", length=0)
    return figure
