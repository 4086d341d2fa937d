"""Figures and images as parts of a self-contained page."""

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

INK = "#010203"  # stands for the colour of the text, which an SVG takes from the page that it stands in
LARGEST_SHOWN = 64  # pixels: larger images are made smaller in a report


def as_svg(figure: Figure) -> str:
    """The figure as an SVG element whose lines and letters have the colour of the text around it."""
    import matplotlib as mpl

    for axes in figure.axes:
        _inked(axes)
    written = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": "makeweight", "svg.fonttype": "none"}):
        figure.savefig(written, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    drawn = written.getvalue()[written.getvalue().index("<svg") :].replace(INK, "currentColor")
    drawn = re.sub(r"<metadata>.*?</metadata>", "", drawn, flags=re.DOTALL)
    # The page names it; its size is the page's.
    return re.sub(
        r'(<svg[^>]*?) width="[^"]*"', r'\1 aria-hidden="true"', re.sub(r' height="[\d.]+pt"', "", drawn), count=1
    )


def _inked(axes: Any) -> None:
    axes.tick_params(colors=INK, which="both")
    for text in (axes.title, axes.xaxis.label, axes.yaxis.label):
        text.set_color(INK)
    for spine in axes.spines.values():
        spine.set_edgecolor(INK)


def as_data_uri(images: Images) -> str:
    """Images [n, h, w, c] side by side, as the address of a picture that holds itself."""
    small = [_shrunk(image) for image in images]
    gap = max(1, small[0].shape[1] // 16)
    framed = [np.pad(each, ((0, 0), (0, gap), (0, 0)), constant_values=128) for each in small]
    beside = np.concatenate(framed, axis=1)[:, :-gap]
    written = io.BytesIO()
    grey = beside.shape[2] == 1
    picture = Image.fromarray(beside.squeeze(2) if grey else beside)
    picture.save(written, "PNG" if grey else "JPEG", **({} if grey else {"quality": 90}))
    kind = "png" if grey else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(written.getvalue()).decode()}"


def _shrunk(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if image.shape[0] <= LARGEST_SHOWN:
        return image
    picture = Image.fromarray(image.squeeze(2) if image.shape[2] == 1 else image)
    small = picture.resize((LARGEST_SHOWN, LARGEST_SHOWN), Image.Resampling.LANCZOS)
    return np.asarray(small, dtype=np.uint8).reshape(LARGEST_SHOWN, LARGEST_SHOWN, image.shape[2])
