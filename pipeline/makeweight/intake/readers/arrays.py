"""Images and labels in NumPy files. Pickles are never loaded, since a pickle can run any program."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from makeweight.core.data import SPLITS
from makeweight.core.errors import BadInput
from makeweight.core.parameters import DataSettings
from makeweight.core.text import counted, in_natural_order, printable, shown, valid_unicode
from makeweight.intake.class_names import split_called
from makeweight.intake.decoding.sources import Arrays
from makeweight.intake.interface import UNASSIGNED, DatasetListing, FileIssue
from makeweight.intake.readers.labels import class_errors, class_remarks, known_groups, no_label

Found = dict[str, NDArray[Any]]
KERAS_NAMES = {"x": "images", "y": "labels"}  # names of Keras: x_train, y_train, x_test, y_test
ARRAY_NAMES = ("images", "labels", "groups", "splits")


class ArrayFiles:
    """`images` and `labels`, in a folder of `.npy` files, in one such folder for each split, or in one `.npz` file.

    `images` is [n, height, width] or [n, height, width, channels], with 1, 3 or 4 channels, or any number from which
    `data.bands` selects; in [n, 1 or 3, height, width], the channels are moved to the end. `labels` are integers or
    texts, [n]; a file `classes.json` names the integers. The optional array `groups` holds the group of each image,
    `splits` its split. In a `.npz` file, `x_train`, `y_train`, … and `train_images`, `train_labels`, … are read as
    well; other arrays are not unpacked.
    """

    uses: ClassVar[frozenset[str]] = frozenset({"path"})

    def read(self, settings: DataSettings) -> DatasetListing:
        """List all images; those in `.npy` files stay on disk, those in a `.npz` are loaded into memory.

        Raises:
            BadInput: an array is missing, has a wrong shape or type, or does not fit the others. One line for each.
        """
        path = Path(settings.path or "")
        remarks: list[str] = []
        parts = _parts_of_folder(path) if path.is_dir() else _parts_of_archive(path, remarks)
        errors = [line for name, part in parts.items() for line in _normalise(part, name, settings.bands, remarks)]
        shapes = {part["images"].shape[1:] for part in parts.values() if "images" in part}
        if len(shapes) > 1:
            errors.append(f"data.path: the splits' images have different shapes: {', '.join(map(str, sorted(shapes)))}")
        if errors:
            raise BadInput(*errors)
        return _listing(path, parts, remarks)


def _parts_of_folder(path: Path) -> dict[str, Found]:
    """The arrays of each split; those without predefined splits are under ""."""
    folders = {"": path}
    if not (path / "images.npy").is_file():
        inside = sorted(entry for entry in path.iterdir() if (entry / "images.npy").is_file())
        folders = {split: entry for entry in inside if (split := split_called(entry.name))}
    if not folders:
        raise BadInput(f"data.path: there is no images.npy in {printable(path)}, nor in train, validation, test below")
    return {split: _arrays_in(folder) for split, folder in folders.items()}


def _arrays_in(folder: Path) -> Found:
    found = {
        file.stem: _loaded(file, mapped=file.stem == "images") for file in sorted(folder.glob("*.npy"))
        if file.stem in ARRAY_NAMES
    }  # fmt: skip
    names = folder / "classes.json"
    if names.is_file():
        found["classes"] = _class_names(names)
    return found


def _class_names(file: Path) -> NDArray[np.str_]:
    try:
        names = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise BadInput(f"data.path: {printable(file)} is not a JSON list of class names ({error})") from error
    if not isinstance(names, list) or not all(isinstance(name, str) and name.strip() for name in names):
        raise BadInput(f'data.path: {printable(file)} must be a list of class names, that of label 0 first: ["cat", …]')
    if len(set(names)) < len(names):
        raise BadInput(f"data.path: {printable(file)} names a class twice: two labels would become one")
    return np.array(names)


def _loaded(file: Path, *, mapped: bool) -> NDArray[Any]:
    try:
        values: NDArray[Any] = np.load(file, mmap_mode="r" if mapped else None, allow_pickle=False)
    except OSError as error:
        raise BadInput(f"data.path: {printable(file)} cannot be read ({error.strerror or error})") from error
    except Exception as error:
        raise BadInput(
            f"data.path: {printable(file)} is not an array of numbers or texts: {_message(error)}"
        ) from error
    if not isinstance(values, np.ndarray):
        raise BadInput(f"data.path: {printable(file)} is an archive of arrays: give it the suffix .npz")
    return values


def _message(error: Exception) -> str:
    text = " ".join(str(error).split())
    if "allow_pickle" in text:
        return (
            "it holds Python objects (a pickle), which are never loaded: before saving, convert texts with "
            "astype(str) and numbers with astype(int)"
        )
    return text[:120]


def _parts_of_archive(path: Path, remarks: list[str]) -> dict[str, Found]:
    where = printable(path)
    try:
        with path.open("rb") as file:
            archive = np.load(file, allow_pickle=False)
            if isinstance(archive, np.ndarray):
                raise BadInput(
                    f"data.path: {where} is a single array: name the folder that holds images.npy and labels.npy"
                )
            ignored = sorted(name for name in archive.files if not _meaning(name))
            arrays = {name: archive[name] for name in archive.files if _meaning(name)}
    except BadInput:
        raise
    except OSError as error:
        raise BadInput(
            f"data.path: {where} cannot be read ({error.strerror or error}); name a folder or a .npz"
        ) from error
    except Exception as error:
        why = "it is damaged" if isinstance(error, zipfile.BadZipFile) else _message(error)
        raise BadInput(f"data.path: {where} is not an archive of arrays: {why}") from error
    meanings = {name: meaning for name in arrays if (meaning := _meaning(name))}
    for meaning in meanings.values():
        if len(same := [name for name, other in meanings.items() if other == meaning]) > 1:
            raise BadInput(f"data.path: {where} holds {shown(' and '.join(same))}, which mean the same: remove one")
    if ignored:
        remarks.append(f"ignored in {where}, by their names: {', '.join(ignored)}")
    if not meanings:
        raise BadInput(
            f"data.path: {where} holds {shown(', '.join(ignored)) or 'nothing'}; it must hold images and labels, "
            "or x_train and y_train, or train_images and train_labels"
        )
    parts: dict[str, Found] = {}
    for name, (what, split) in meanings.items():
        parts.setdefault(split, {})[what] = arrays[name]
    return parts


def _meaning(name: str) -> tuple[str, str] | None:
    """What the array `name` of a `.npz` holds, and its split ("" for none), as in `images`, `y_val`, `test_labels`."""
    first, _, second = name.lower().partition("_")
    for kind, split in ((first, second), (second, first)):
        what = KERAS_NAMES.get(kind, kind)
        if what in ARRAY_NAMES and (not split or split_called(split)):
            return what, split_called(split) or ""
    return None


def _normalise(part: Found, split: str, bands: tuple[int, ...] | None, remarks: list[str]) -> list[str]:
    """Convert the arrays of a split to their standard shapes, in place; return an error for each that does not fit."""
    where = f"data.path, {split}" if split else "data.path"
    if missing := [name for name in ("images", "labels") if name not in part]:
        return [f"{where}: there is no array {' and no '.join(missing)} among {', '.join(sorted(part)) or 'none'}"]
    if single := [name for name, values in part.items() if not values.ndim]:
        return [f"{where}: {' and '.join(single)} holds a single value, not one for each image"]
    part |= {
        name: values[:, 0]
        for name, values in part.items()
        if name in ("labels", "groups", "splits") and values.ndim == 2 and values.shape[1] == 1
    }
    images, labels = part["images"], part["labels"]
    if images.ndim == 4 and images.shape[1] in (1, 3) and images.shape[3] not in (1, 3, 4):
        images = part["images"] = images.transpose(0, 2, 3, 1)
        remarks.append(f"images have the shape {list(images.shape)} once channels are moved to the end")
    errors = _image_errors(images, where, bands)
    if labels.ndim != 1 or labels.dtype.kind not in "buiUT":
        errors.append(
            f"{where}: labels are {labels.dtype} {list(labels.shape)}; they must be integers or texts, "
            f"one for each image{_remedy(labels)}"
        )
    errors += [
        f"{where}: there are {len(values)} {name} for {len(images)} images"
        for name, values in part.items()
        if name in {"labels", "groups", "splits"} and len(values) != len(images)
    ]
    return errors


def _image_errors(images: NDArray[Any], where: str, bands: tuple[int, ...] | None) -> list[str]:
    errors = []
    if images.dtype.kind not in "buif":
        errors.append(f"{where}: images hold {images.dtype}, which are not numbers")
    channels = images.shape[3] if images.ndim == 4 else 1
    if images.ndim not in (3, 4) or 0 in images.shape or (bands is None and channels not in (1, 3, 4)):
        errors.append(
            f"{where}: images have the shape {list(images.shape)}; it must be [n, height, width] or [n, height, width, "
            "1, 3 or 4]; with another number of bands, select one or three with data.bands, for instance [3, 2, 1]"
        )
    elif bands is not None and max(bands) > channels:
        errors.append(f"{where}: images have {channels} bands, fewer than the {max(bands)} that data.bands asks for")
    return errors


def _remedy(labels: NDArray[Any]) -> str:
    """How to convert `labels` to integers or texts, or why this is impossible; "" if neither is clear."""
    if labels.dtype.kind == "S":
        return ": labels.astype(str) converts them"
    if labels.dtype.kind not in "buif" or not len(labels):
        return ""
    if labels.ndim == 1:
        missing = int(np.isnan(labels).sum())
        integers = (labels == np.round(labels)).all()
        return (
            f"; {missing} are NaN: label these images or remove them" if missing
            else ": labels.astype(int) converts them" if integers
            else "; these are fractions, which name no class"
        )  # fmt: skip
    one_hot = (np.isin(labels, (0, 1)) & (labels.sum(axis=1, keepdims=True) == 1)).all(axis=1)
    if labels.ndim == 2 and not one_hot.all():
        return (
            f"; {counted(int((~one_hot).sum()), 'row')} of {len(one_hot)} are not one-hot (none or several of "
            f"{labels.shape[1]} classes): choose one class for each image, or one column to classify all images by"
        )
    return ": labels.argmax(1) converts these one-hot vectors" if labels.ndim == 2 else ""


def _labelled(part: Found, split: str, bad: list[FileIssue]) -> Found:
    """`part` with labels as texts and with positions as `index`; images without a label are moved to `bad`."""
    texts = _texts(part)
    reasons = {text: reason for text in np.unique(texts).tolist() if (reason := no_label(text))}
    index = np.arange(len(texts))
    part = {**part, "labels": texts, "index": index}
    if not reasons:
        return part
    unlabelled = np.isin(texts, list(reasons))
    bad += [FileIssue(_origin(split, row), reasons[str(texts[row])]) for row in index[unlabelled].tolist()]
    return {name: values if name == "classes" else values[~unlabelled] for name, values in part.items()}


def _origin(split: str, index: int) -> str:
    return f"{split or 'images'}[{index}]"


def _listing(path: Path, parts: Mapping[str, Found], remarks: list[str]) -> DatasetListing:
    bad: list[FileIssue] = []
    parts = {split: _labelled(part, split, bad) for split, part in parts.items()}
    texts = np.concatenate([part["labels"] for part in parts.values()])
    names = in_natural_order({str(text) for text in np.unique(texts)})
    if len(names) < 2:
        unlabelled = f" ({counted(len(bad), 'image')} without a label)" if bad else ""
        raise BadInput(f"data.path: the labels name {len(names)} classes{unlabelled}; there must be two or more")
    number = {name: index for index, name in enumerate(names)}
    images = [part["images"] for part in parts.values()]
    groups = [
        str(group) if "groups" in part else ""
        for part in parts.values()
        for group in part.get("groups", part["labels"])
    ]
    groups = known_groups(groups, remarks)
    classes = tuple(valid_unicode(name) for name in names)
    remarks += class_remarks(classes)
    return DatasetListing(
        Arrays(images[0]) if len(images) == 1 else Arrays(np.concatenate(images)),
        np.array([number[name] for name in texts], np.int64), classes,
        [_origin(split, index) for split, part in parts.items() for index in part["index"].tolist()],
        np.concatenate([_predefined_splits(part, split) for split, part in parts.items()]),
        groups if any(groups) else (),
        bad=tuple(bad), remarks=tuple(remarks), errors=tuple(class_errors(classes)),
    )  # fmt: skip


def _texts(part: Found) -> NDArray[np.str_]:
    labels, classes = part["labels"], part.get("classes")
    if classes is None or labels.dtype.kind not in "ui":
        return labels.astype(str)
    if len(labels) and not 0 <= labels.min() <= labels.max() < len(classes):
        raise BadInput(
            f"data.path: labels go from {labels.min()} to {labels.max()}, but classes.json names {len(classes)} classes"
        )
    named: NDArray[np.str_] = classes[labels]
    return named


def _predefined_splits(part: Found, split: str) -> NDArray[np.int8]:
    if "splits" not in part:
        return np.full(len(part["images"]), SPLITS.index(split) if split else UNASSIGNED, np.int8)
    named = [split_called(str(name)) for name in part["splits"]]
    if None in named:
        index = named.index(None)
        raise BadInput(
            f"data.path: splits[{index}] is {str(part['splits'][index])!r}; it must be train, validation or test"
        )
    return np.array([SPLITS.index(split or "") for split in named], np.int8)
