"""Interpretation of labels and groups given as text: one class, none, or several."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from makeweight.core.text import counted, letters, listed, means_unknown
from makeweight.intake.class_names import clash_error, clashes

# Missing values as written by pandas, NumPy, R, spreadsheets and databases. "none" and "null" may be names of classes.
MISSING = frozenset(
    {"", "nan", "NaN", "NAN", "-nan", "None", "NA", "N/A", "n/a", "#N/A", "#NA", "<NA>", "NaT", "NULL", "\\N"}
)
NO_GROUP = frozenset({text.casefold() for text in MISSING} | {"unknown", "?", "-", "-1", "-1.0"})
UNLABELLED = frozenset({
    "unlabeled", "unlabelled", "nolabel", "notlabeled", "notlabelled", "unannotated", "unclassified", "unsorted",
    "todo",
})  # fmt: skip
SEPARATORS = "|;,/+& "
CERTAIN_SEPARATORS = "|;"


def no_label(text: str) -> str | None:
    """Why `text` is not a label, or None if it is one."""
    if not text.strip():
        return "has no label: the cell is empty"
    if text.strip() in MISSING or means_unlabelled(text):
        return f"has no label: {text!r} means a missing label; label the image, or rename the label if it is a class"
    return None


def means_unlabelled(name: str) -> bool:
    """Whether `name` is a usual name for images without a label."""
    return letters(name) in UNLABELLED


def known_groups(groups: Iterable[str], remarks: list[str]) -> list[str]:
    """`groups` without surrounding white space, with "" for missing values; remarks on these are appended."""
    stripped = [group.strip() for group in groups]
    missing = Counter(group for group in stripped if group and group.casefold() in NO_GROUP)
    remarks += [
        f"{counted(n, 'image')} with the group {text!r}: treated as images without a group, each split by itself"
        for text, n in missing.items()
    ]
    return ["" if group in missing else group for group in stripped]


def class_errors(classes: Sequence[str]) -> list[str]:
    """Errors: one for each set of class names that look the same, and one for names that join several classes."""
    lines = [clash_error("data.path", names) for names in clashes(classes)]
    if combined := [name for name in classes if _parts(name, classes, certain=True)]:
        parts = listed(_parts(combined[0], classes, certain=True))
        lines.append(
            f"data.path: {counted(len(combined), 'label')} such as {combined[0]!r} hold several classes ({parts}), but "
            "each image must have exactly one: keep one, or give the combination a name of its own"
        )
    return lines


def class_remarks(classes: Sequence[str]) -> list[str]:
    """Remarks on class names that may not be classes."""
    remarks = [
        f"{name!r} is treated as a class like the others: if the class of these images is unknown, move them away"
        for name in classes
        if means_unknown(name)
    ]
    if "-1" in classes or "-1.0" in classes:
        remarks.append("the label -1 is treated as a class: if it marks images without a label, remove them")
    if combined := [name for name in classes if _parts(name, classes, certain=False)]:
        remarks.append(f"is each of these one class, or several labels at once? {listed(combined)}")
    return remarks


def _parts(name: str, classes: Sequence[str], *, certain: bool) -> list[str]:
    """The classes that `name` joins: certainly ("a|b" if there is "a"), or possibly ("a b" if there are both)."""
    others = {_bare(other) for other in classes if other != name}
    for separator in SEPARATORS:
        parts = [part for text in name.split(separator) if (part := _bare(text))]
        found = others.intersection(parts)
        if len(set(parts)) < 2 or not found:
            continue
        complete = found == set(parts)
        is_certain = separator in CERTAIN_SEPARATORS or (complete and separator == ",")
        if is_certain if certain else complete and not is_certain:
            return parts
    return []


def _bare(text: str) -> str:
    return text.strip(" \t\r\n[](){}'\"")
