"""Figures of generated images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from makeweight.core.data import Images, Split
from makeweight.runtime import plots
from makeweight.runtime.pictures import MAX_ROWS, caption, labelled_rows
from makeweight.training.loop import SHOWN_EACH

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PREVIEW_COLUMNS = 12  # images of each class


def strip(frames: Mapping[str, Images], name: str, classes: Sequence[str]) -> Figure:
    """Images drawn from one fixed noise at several steps; the same noise at the same place.

    Args:
        frames: of each step, the images of a `Frame`.
        name: of the family.
        classes: the caption of each row, a class.
    """
    figure = plots.canvas(max(4.0, 1.5 * len(frames)) + 1.0, 3.2)
    figure.suptitle(f"Images of {name} during training, from fixed noise (replicate 0)")
    panels = figure.subplots(1, len(frames), squeeze=False)[0]
    for axes, (step, images) in zip(panels, frames.items(), strict=True):
        padded = np.pad(images, ((0, 0), (0, 1), (0, 1), (0, 0)), constant_values=255)
        rows = padded.reshape(-1, SHOWN_EACH, *padded.shape[1:])
        tiled = rows.transpose(0, 2, 1, 3, 4).reshape(len(rows) * padded.shape[1], -1, padded.shape[3])
        axes.imshow(tiled.squeeze(), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        axes.set_title(f"step {step}", fontsize="small")
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_visible(False)
    middles = (np.arange(len(classes)) + 0.5) * len(tiled) / len(classes) - 0.5
    panels[0].set_yticks(middles, classes, fontsize="x-small", parse_math=False)
    panels[0].tick_params(axis="y", length=0)
    return figure


def contents(classes: int) -> str:
    """What `grid` shows of so many classes, for a message."""
    return "some" if classes <= MAX_ROWS else f"some of the first {MAX_ROWS} of {classes} classes"


def grid(images: Split) -> Image.Image:
    """The first images of each of the first classes, one row per class, with its name; white where it has too few."""
    rows = [
        (caption(name, label), images.images[np.flatnonzero(images.labels == label)[:PREVIEW_COLUMNS]])
        for label, name in enumerate(images.classes[:MAX_ROWS])
    ]
    return labelled_rows(rows, PREVIEW_COLUMNS)
