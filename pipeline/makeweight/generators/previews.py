"""Figures of generated images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from makeweight.core.data import Images, Split
from makeweight.runtime import plots
from makeweight.training.loop import SHOWN_EACH

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PREVIEW_ROWS, PREVIEW_COLUMNS, PREVIEW_WIDTH = 50, 12, 480  # classes; images of each; approximate pixels


def strip(frames: Mapping[str, Images], name: str) -> Figure:
    """Images drawn from one fixed noise at several steps; one row per class, the same noise at the same place."""
    figure = plots.canvas(max(4.0, 1.5 * len(frames)), 3.2)
    figure.suptitle(f"Images of {name} during training, from fixed noise (replicate 0)")
    panels = figure.subplots(1, len(frames), squeeze=False)[0]
    for axes, (step, images) in zip(panels, frames.items(), strict=True):
        padded = np.pad(images, ((0, 0), (0, 1), (0, 1), (0, 0)), constant_values=255)
        rows = padded.reshape(-1, SHOWN_EACH, *padded.shape[1:])
        tiled = rows.transpose(0, 2, 1, 3, 4).reshape(len(rows) * padded.shape[1], -1, padded.shape[3])
        axes.imshow(tiled.squeeze(), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        axes.set_title(f"step {step}", fontsize="small")
        axes.axis("off")
    return figure


def contents(classes: int) -> str:
    """What `grid` shows of so many classes, for a message."""
    return "some" if classes <= PREVIEW_ROWS else f"some of the first {PREVIEW_ROWS} of {classes} classes"


def grid(images: Split) -> Image.Image:
    """The first images of each of the first `PREVIEW_ROWS` classes, one row per class; white where it has too few."""
    margin, side, rows = 1, images.size, min(len(images.classes), PREVIEW_ROWS)
    cell = side + margin
    height, width = rows * cell + margin, PREVIEW_COLUMNS * cell + margin
    canvas = np.full((height, width, images.channels), 255, dtype=np.uint8)
    for row in range(rows):
        for column, index in enumerate(np.flatnonzero(images.labels == row)[:PREVIEW_COLUMNS]):
            top, left = row * cell + margin, column * cell + margin
            canvas[top : top + side, left : left + side] = images.images[index]
    picture = Image.fromarray(canvas.squeeze(2) if images.channels == 1 else canvas)
    zoom = max(1, round(PREVIEW_WIDTH / width))
    return picture.resize((width * zoom, height * zoom), Image.Resampling.NEAREST)
