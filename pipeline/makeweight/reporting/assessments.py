"""Assessments of synthetic images as the report shows them."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from makeweight.core.text import NOTHING
from makeweight.reporting.tables import Row, Table
from makeweight.runtime.artifacts import ASSESSMENT, ASSESSMENT_FOLDER, CLOSEST, RANKED
from makeweight.runtime.files import read_json

WIDEST = 800  # pixels of a picture
PICTURES = {
    CLOSEST: "The images of each class that are closest to a training image, each followed by it.",
    RANKED: (
        "For each class, the images with the lowest and, after a gap, the highest probability of their class, by a "
        "classifier of the training images."
    ),
}


def assessments(results: Path, families: Sequence[str]) -> list[dict[str, Any]]:
    """What the report shows of each family that is assessed and whose assessment exists.

    Args:
        results: the folder of the results of the study.
        families: whose images are assessed.
    """
    folders = [results / ASSESSMENT_FOLDER / family for family in families]
    return [_section(folder) for folder in folders if (folder / ASSESSMENT).exists()]


def _section(folder: Path) -> dict[str, Any]:
    found = read_json(folder / ASSESSMENT)
    return {
        "family": found["family"],
        "alerts": found["alerts"],
        "notes": found["notes"],
        "measures": _measures(found),
        "classes": _classes(found),
        "discriminator": found["discriminator"],
        "pictures": [(text, _as_data_uri(folder / name)) for name, text in PICTURES.items()],
    }


def _measures(found: Mapping[str, Any]) -> Table:
    rows = [
        Row(row["title"], [_value(row["generated"]) + _interval(row), _value(row.get("real"))], row["explanation"])
        for row in found["measures"]
    ]
    return Table(
        f"Assessment of the images of {found['family']}, means over runs",
        ["measure", "generated images", "real images"],
        rows,
        "The first six compare features of validation images with those of as many generated images, and of as many "
        f"training images (real images). Features: {found['features']}. Label agreement and near-copies of real images "
        "are those of validation images.",
    )


def _classes(found: Mapping[str, Any]) -> Table:
    by_class = found["by_class"]
    titles = {row["name"]: row["title"] for row in found["measures"]}
    columns = [values["generated"] for values in by_class.values()]
    return Table(
        f"Images of {found['family']} by class, means over runs",
        ["class", *(titles[name] for name in by_class)],
        [
            Row(name, [_value(value) for value in values])
            for name, *values in zip(found["classes"], *columns, strict=True)
        ],
    )


def _value(value: float | None) -> str:
    return NOTHING if value is None else f"{value + 0.0:.3g}" if abs(value) < 100 else f"{value:,.0f}"


def _interval(row: Mapping[str, Any]) -> str:
    return f" ({row['low']:.2f} to {row['high']:.2f})" if row.get("low") is not None else ""


def _as_data_uri(path: Path) -> str:
    """A picture, shrunk to at most `WIDEST`, as a `data:` URI."""
    with Image.open(path) as opened:
        picture = opened.copy()
    picture.thumbnail((WIDEST, picture.height), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    grey = picture.mode == "L"
    picture.save(buffer, "PNG" if grey else "JPEG", **({} if grey else {"quality": 85}))
    return f"data:image/{'png' if grey else 'jpeg'};base64,{base64.b64encode(buffer.getvalue()).decode()}"
