"""Files in image folders that are not images of a class: unsupported formats, masks, other labels."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import stat
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from makeweight.core.text import listed, printable, shown, valid_unicode

DICOM, NIFTI, RAW = "DICOM", "NIfTI", "a raw photograph"
VOLUME, SLIDE, OTHER = "a medical volume", "a file of a microscope or slide scanner", "an image format"
FORMAT_OF = {
    **dict.fromkeys((".dcm", ".dicom", ".ima"), DICOM),
    **dict.fromkeys((".nii", ".nii.gz"), NIFTI),
    **dict.fromkeys((".nrrd", ".nhdr", ".mha", ".mhd", ".mgz", ".mgh"), VOLUME),
    **dict.fromkeys((".czi", ".lif", ".nd2", ".svs", ".ndpi", ".mrxs", ".scn", ".oib", ".oif", ".vsi", ".ims"), SLIDE),
    **dict.fromkeys((".arw", ".cr3", ".orf", ".rw2", ".raf", ".pef", ".srw", ".3fr"), RAW),
    **dict.fromkeys((".exr", ".hdr", ".tga", ".pcx", ".fits", ".fts", ".qoi", ".xcf", ".dds", ".jxr", ".wdp"), OTHER),
    **dict.fromkeys(
        (".jpx", ".jpf", ".jpc", ".bpg", ".flif", ".sgi", ".ras", ".xbm", ".xpm", ".heics", ".avifs"), OTHER
    ),
    **dict.fromkeys((".npy", ".npz"), "a NumPy file"),
}
READABLE = {
    b"\x89PNG": ".png", b"\xff\xd8\xff": ".jpg", b"GIF8": ".gif", b"II*\0": ".tif", b"MM\0*": ".tif",
}  # fmt: skip
HEAD = 352  # bytes of a NIfTI header
MASK = re.compile(r"[ ._-]*(masks?|seg|segmentation|gt|ground_?truth|annotation)([ ._-]*[0-9]+)?$", re.IGNORECASE)
MASK_BEFORE = re.compile(r"^(masks?|seg|segmentation|gt|ground_?truth|annotation)[ ._-]+", re.IGNORECASE)
MASK_FOLDER = re.compile(r"masks?|segmentations?|seg|gt|ground_?truth|annotations|labels", re.IGNORECASE)
IMAGE_FOLDER = re.compile(r"(images?|imgs?|photos?|originals?|pictures?|data|raw)", re.IGNORECASE)
LABEL_COLUMNS = ("label", "class", "class_name", "classname", "category", "target", "y", "classid", "class_id", "dx")
LABEL_FILES = (".json", ".jsonl", ".csv", ".tsv")
LARGEST_LABEL_FILE = 1 << 26  # bytes


def unread_image(path: str) -> str | None:
    """Why the file `path`, whose name is not that of a supported image, may be an image anyway; None if it is none.

    Raises:
        OSError: it cannot be read.
    """
    name = os.path.basename(path).lower()
    suffix = next((suffix for suffix in FORMAT_OF if name.endswith(suffix)), None)
    kind = FORMAT_OF[suffix] if suffix else None
    if not kind and stat.S_ISREG(os.stat(path).st_mode):
        with open(path, "rb") as file:
            head = file.read(HEAD)
        if right := _readable_suffix(head):
            return f"is an image by its content, but not by its name: give it the suffix {right}, or remove it"
        kind = DICOM if head[128:132] == b"DICM" else NIFTI if head[344:348] in (b"n+1\0", b"ni1\0") else None
    return f"is {kind}, which is not supported: convert it to PNG or TIFF, or move it away" if kind else None


def _readable_suffix(head: bytes) -> str | None:
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return ".webp"
    return next((suffix for magic, suffix in READABLE.items() if head.startswith(magic)), None)


def masks(paths: Sequence[str]) -> dict[str, str]:
    """The masks among `paths`, by their names, each with the image that it belongs to."""
    by_stem: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        by_stem[_stem(path)].append(path)
    found = {}
    for path in paths:
        folder, stem = os.path.dirname(path), _stem(path)
        plain = MASK_BEFORE.sub("", MASK.sub("", stem))
        in_mask_folder = MASK_FOLDER.fullmatch(os.path.basename(folder))
        if plain == stem and not in_mask_folder:
            continue
        parent = os.path.dirname(folder)
        for other in by_stem.get(plain, []):
            other_folder = os.path.dirname(other)
            name = os.path.basename(other_folder)
            sibling = os.path.dirname(other_folder) == parent and IMAGE_FOLDER.fullmatch(name)
            if (other_folder == folder and plain != stem) or (in_mask_folder and (sibling or other_folder == parent)):
                found[path] = other
    return found


def _stem(path: str) -> str:
    return os.path.splitext(os.path.basename(path))[0].casefold()


def other_labels(
    root: Path, files: Iterable[str], images: Sequence[str], classes: Sequence[str]
) -> tuple[list[str], list[str]]:
    """Errors and remarks about files that name the images and may hold other labels than their folders.

    Args:
        root: the folder to which all paths are relative.
        files: paths of files that are no images.
        images: paths of the images.
        classes: the class of each image, by its folder; "" if it is in no class folder.
    """
    errors, remarks = [], []
    positions = _positions(images)
    for file in files:
        if not file.lower().endswith(LABEL_FILES) or not _is_moderate_file(root / file):
            continue
        found = [(positions[text], label) for text, label in _pairs(root / file) if text in positions]
        if not found:
            continue
        labels = {index: label for index, label in found if label is not None}
        outside = sum(not classes[index] for index, _ in found) > len(found) / 2
        if outside or len(set(classes) - {""}) < 2 or _contradict(labels, classes):
            example = next((f", for instance {label!r} of {images[index]!r}" for index, label in labels.items()), "")
            errors.append(
                f"data.path: {printable(file)} has its own labels{shown(example)}, which contradict the folders: write "
                "them into a table for data.reader: csv, or move the file away if the folders are right"
            )
        else:
            names = listed(sorted(set(classes) - {""}), 5)
            remarks.append(f"{valid_unicode(file)} names images but is not read: the folders ({names}) are the classes")
    return errors, remarks


def _is_moderate_file(path: Path) -> bool:
    """Whether `path` is a file, not a pipe that would be waited for, of a size that can be searched for labels."""
    try:
        found = path.stat()
    except OSError:  # a link to nothing, such as an editor's lock of a table
        return False
    return stat.S_ISREG(found.st_mode) and found.st_size <= LARGEST_LABEL_FILE


def _positions(images: Sequence[str]) -> dict[str, int]:
    """The position of each image by its path or name, with or without the suffix, where these are unambiguous."""
    positions: dict[str, int] = {}
    ambiguous: set[str] = set()
    for index, path in enumerate(images):
        name = os.path.basename(path)
        for text in {path, name, os.path.splitext(name)[0], os.path.splitext(path)[0]}:
            if positions.setdefault(text, index) != index:
                ambiguous.add(text)
    return {text: index for text, index in positions.items() if text not in ambiguous}


def _contradict(labels: dict[int, str], classes: Sequence[str]) -> bool:
    """Whether labels and classes cross: neither is a refinement of the other."""
    pairs = {(label, classes[index]) for index, label in labels.items()}
    return len({label for label, _ in pairs}) < len(pairs) > len({name for _, name in pairs})


def _pairs(path: Path) -> Iterator[tuple[str, str | None]]:
    """Texts of a table or a JSON file that may name an image, each with its label, or None."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix.lower() == ".json":
            yield from _pairs_in(json.loads(text))
        elif path.suffix.lower() == ".jsonl":
            for line in text.splitlines():
                yield from _pairs_in(json.loads(line or "null"))
        else:
            yield from _pairs_of_rows(text)
    except (OSError, ValueError, RecursionError, csv.Error):
        return


def _pairs_in(value: Any) -> Iterator[tuple[str, str | None]]:
    if isinstance(value, dict):
        label = next((str(value[key]) for key in LABEL_COLUMNS if isinstance(value.get(key), str | int)), None)
        for key, inner in value.items():
            yield key, str(inner) if isinstance(inner, str | int) else None
            if isinstance(inner, str):
                yield inner, label
            else:
                yield from _pairs_in(inner)
    elif isinstance(value, list):
        if len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], str | int):
            yield value[0], str(value[1])
            return
        for inner in value:
            yield from [(inner, None)] if isinstance(inner, str) else _pairs_in(inner)


def _pairs_of_rows(text: str) -> Iterator[tuple[str, str | None]]:
    first = text.partition("\n")[0]
    head, *rows = csv.reader(io.StringIO(text), delimiter=max(",;\t", key=first.count))
    columns = [name.strip().casefold() for name in head]
    label = next((columns.index(name) for name in LABEL_COLUMNS if name in columns), None)
    for row in rows:
        hot = [name.strip() for name, cell in zip(head, row, strict=False) if cell.strip() in ("1", "1.0")]
        of_row = row[label] if label is not None and label < len(row) else hot[0] if len(hot) == 1 else None
        for cell in row:
            yield cell.strip(), of_row
