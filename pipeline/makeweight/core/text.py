"""Formatting of text: names of files and classes, which may contain any characters, and numbers."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from difflib import get_close_matches
from pathlib import Path
from typing import Any

ROUNDING = 1e-12  # a smaller difference is due to floating-point arithmetic
SURROGATE = re.compile("[\ud800-\udfff]")
# Characters with a meaning in Markdown or HTML; an underscore within a word has none.
MARKUP = re.compile(r"[!#$&*<>@\[\\\]^`{|}~]|(?<![^\W_])_|_(?![^\W_])")
UNKNOWN = frozenset({"unknown", "unk", "undefined", "uncertain", "none", "null", "na", "nan", "notavailable"})
FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r", "'")
NUMBER = re.compile(r"[+-]?[0-9]+([.][0-9]+)?")

NOTHING = "–"


def valid_unicode(name: str) -> str:
    r"""`name` as valid Unicode: bytes that are not UTF-8, which Linux allows in file names, become `\xff`."""
    return SURROGATE.sub(lambda found: _escaped(ord(found[0])), name)


def _escaped(code: int) -> str:
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"\\u{code:04x}"


def shown(text: str) -> str:
    r"""`text` on one line: unprintable characters and control sequences of the terminal are escaped, as in `\x1b`."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape", "surrogatepass").decode() for char in text
    )


def nearest(name: str, known: Iterable[str]) -> str:
    """A clause for a message with up to three of the `known` names that are similar to `name`; empty if there are none.

    Upper and lower case are not distinguished.
    """
    by_lower = {other.lower(): other for other in sorted(known)}
    similar = get_close_matches(name.lower(), by_lower)
    return f" (did you mean {' or '.join(by_lower[other] for other in similar)}?)" if similar else ""


def printable(path: str | Path) -> str:
    """A path as printable text, for messages."""
    return shown(valid_unicode(str(path)))


def in_markdown(text: str) -> str:
    """`text` for a line or a table cell, with all characters of Markdown and HTML escaped."""
    return MARKUP.sub(lambda sign: f"&#{ord(sign[0])};", shown(text))


def markdown_table(rows: Sequence[Sequence[str]], max_width: int = 0) -> str:
    """A Markdown table of escaped cells.

    Args:
        rows: the heads, then the body; all of one length.
        max_width: columns are padded to the width of their longest cell, at most to this.
    """
    widths = [min(max_width, max(map(len, column))) for column in zip(*rows, strict=True)]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    lines.insert(1, "|" + "|".join("-" * max(3, width + 2) for width in widths) + "|")
    return "\n".join(lines)


def as_cell(text: str) -> str:
    """`text` for a cell of a CSV file, with an apostrophe before what a spreadsheet would evaluate as a formula."""
    return f"'{text}" if text.startswith(FORMULA_SIGNS) and not NUMBER.fullmatch(text) else text


def from_cell(cell: str) -> str:
    """The inverse of `as_cell`."""
    return cell[1:] if cell[:1] == "'" and as_cell(cell[1:]) == cell else cell


def counted(n: int, what: str, plural: str | None = None) -> str:
    """`n` and a noun in the singular or plural (by default with an s): "1 image", "1,200 images"."""
    return f"{n:,} {what if n == 1 else plural or f'{what}s'}"


def listed(names: Sequence[str], most: int = 10) -> str:
    """The first `most` of `names`, and the number of the others."""
    more = f" … and {len(names) - most} more" if len(names) > most else ""
    return shown(", ".join(names[:most])) + more


def in_natural_order(names: Iterable[str]) -> list[str]:
    """`names` in natural order, in which numbers sort by value (1, 2, 10; plot 2, plot 10); plain numbers first."""
    return sorted(names, key=_natural_key)


def _natural_key(name: str) -> tuple[Any, ...]:
    if NUMBER.fullmatch(name):
        return 0, Decimal(name), name
    texts_and_digits = enumerate(re.split("([0-9]+)", name))
    parts = ((len(part.lstrip("0")), part.lstrip("0")) if at % 2 else part for at, part in texts_and_digits)
    return 1, tuple(parts), name


def as_read(name: str) -> str:
    """`name` without invisible differences: Unicode form, white space, invisible characters, and also case."""
    folded = unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
    visible = "".join(letter for letter in folded if unicodedata.category(letter) != "Cf")
    text = " ".join(visible.split())
    return str(Decimal(text).normalize()) if NUMBER.fullmatch(text) else text


def letters(name: str) -> str:
    """`name` in lower-case letters and digits, without other characters."""
    return re.sub(r"[\W_]+", "", name.casefold())


def means_unknown(name: str) -> bool:
    """Whether the name of a class may mean that the class of its images is not known."""
    return letters(name) in UNKNOWN


def readable(name: str) -> str:
    """A name with spaces instead of underscores: "balanced accuracy", "macro F1"."""
    return name.replace("_", " ").replace(" f1", " F1")


def points(fraction: float) -> str:
    """A signed difference in percentage points: two decimals, or one significant digit where these would be zero."""
    text = f"{100 * fraction:+.2f}"
    if float(text) != 0:
        return text
    return f"{100 * fraction:+.1g}" if abs(fraction) > ROUNDING else "0.00"


def rounded(figures: Mapping[str, Any], decimals: int) -> dict[str, Any]:
    """`figures` with floats rounded, without negative zeros."""
    return {key: round(value, decimals) + 0.0 if isinstance(value, float) else value for key, value in figures.items()}


def percent(fraction: float | None, decimals: int = 1) -> str:
    """A fraction in percent, without the percent sign."""
    return NOTHING if fraction is None or math.isnan(fraction) else f"{100 * fraction:.{decimals}f}"


def split_sizes(sizes: Mapping[str, int]) -> str:
    """The number of images in each split, as a sentence."""
    *first, last = (f"{size:,} {name}" for name, size in sizes.items())
    return f"{', '.join(first)} and {last} images."


def capitalised(text: str) -> str:
    """The text with its first letter in upper case and the others unchanged."""
    return text[:1].upper() + text[1:]


def amount(fraction: float) -> str:
    """An absolute difference in percentage points: "1 point", "8.6 points"."""
    text = f"{100 * fraction:.6g}"
    return f"{text} point{'' if text == '1' else 's'}"


def possible_range(low: float, high: float, largest_possible: float) -> tuple[float, float]:
    """An interval of a difference, clipped to the differences that the control's score allows."""
    return max(low, largest_possible - 1), min(high, largest_possible)


def rough(value: float) -> float:
    """A very uncertain value, rounded to two significant digits."""
    return float(f"{value:.2g}")
