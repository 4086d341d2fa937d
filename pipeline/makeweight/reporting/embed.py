"""Plots and images embedded in a self-contained page."""

from __future__ import annotations

import base64
import io
import re
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from makeweight.core.data import Images

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK = "#010203"  # placeholder for `currentColor`, the text colour of the page
MAX_SIDE = 64  # pixels: larger images are scaled down


def as_svg(figure: Figure) -> str:
    """The figure as an SVG element whose lines and text have the text colour of the page."""
    import matplotlib as mpl

    for axes in figure.axes:
        _set_ink(axes)
    buffer = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": "makeweight", "svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = buffer.getvalue()[buffer.getvalue().index("<svg") :].replace(INK, "currentColor")
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    # The page gives it a label and a size.
    return re.sub(
        r'(<svg[^>]*?) width="[^"]*"', r'\1 aria-hidden="true"', re.sub(r' height="[\d.]+pt"', "", svg), count=1
    )


def _set_ink(axes: Any) -> None:
    axes.tick_params(colors=INK, which="both")
    for text in (axes.title, axes.xaxis.label, axes.yaxis.label):
        text.set_color(INK)
    for spine in axes.spines.values():
        spine.set_edgecolor(INK)


def as_data_uri(images: Images) -> str:
    """Images [n, h, w, c] side by side, as a `data:` URI."""
    small = [_shrunk(image) for image in images]
    gap = max(1, small[0].shape[1] // 16)
    padded = [np.pad(image, ((0, 0), (0, gap), (0, 0)), constant_values=128) for image in small]
    strip = np.concatenate(padded, axis=1)[:, :-gap]
    buffer = io.BytesIO()
    grey = strip.shape[2] == 1
    picture = Image.fromarray(strip.squeeze(2) if grey else strip)
    picture.save(buffer, "PNG" if grey else "JPEG", **({} if grey else {"quality": 90}))
    kind = "png" if grey else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _shrunk(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if image.shape[0] <= MAX_SIDE:
        return image
    picture = Image.fromarray(image.squeeze(2) if image.shape[2] == 1 else image)
    small = picture.resize((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS)
    return np.asarray(small, dtype=np.uint8).reshape(MAX_SIDE, MAX_SIDE, image.shape[2])
