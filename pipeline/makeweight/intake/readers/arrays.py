"""Images and labels in NumPy's files. Nothing pickled is loaded: a pickle can run any program."""

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
from makeweight.core.text import counted, in_natural_order, shown, told, valid_unicode
from makeweight.intake.class_names import split_called
from makeweight.intake.decoding.sources import Arrays
from makeweight.intake.interface import UNASSIGNED, DatasetListing, FileIssue
from makeweight.intake.readers.labels import class_mistakes, class_remarks, known_groups, no_label

Found = dict[str, NDArray[Any]]
SHORT = {"x": "images", "y": "labels"}  # as Keras calls them: x_train, y_train, x_test, y_test
KNOWN = ("images", "labels", "groups", "splits")


class ArrayFiles:
    """`images` and `labels`, in a folder of `.npy` files (or one such for each split) or in one `.npz`.

    `images` is [n, height, width] or [n, height, width, channels], with 1, 3 or 4 channels, or any number from which
    `data.bands` chooses; [n, 1 or 3, height, width] is turned. `labels` are whole numbers or texts, [n]; a file
    `classes.json` names the numbers. `groups`, if there, holds what stays together, and `splits` a split for each. In a
    `.npz`, `x_train`, `y_train`, … do as well, and so do `train_images`, `train_labels`, …; others are not unpacked.
    """

    uses: ClassVar[frozenset[str]] = frozenset({"path"})

    def read(self, settings: DataSettings) -> DatasetListing:
        """All images; those in `.npy` files stay on the disk, those in a `.npz` are held in memory.

        Raises:
            BadInput: an array is missing, is not what it should be, or does not fit the others. A line for each.
        """
        path = Path(settings.path or "")
        remarks: list[str] = []
        parts = _parts_of_folder(path) if path.is_dir() else _parts_of_archive(path, remarks)
        errors = [line for name, part in parts.items() for line in _settle(part, name, settings.bands, remarks)]
        shapes = {part["images"].shape[1:] for part in parts.values() if "images" in part}
        if len(shapes) > 1:
            errors.append(f"data.path: the splits' images have different shapes: {', '.join(map(str, sorted(shapes)))}")
        if errors:
            raise BadInput(*errors)
        return _reading(path, parts, remarks)


def _parts_of_folder(path: Path) -> dict[str, Found]:
    """The arrays of each split; of "" where nothing is split."""
    folders = {"": path} if not (path / "images.npy").is_file() else {}
    if folders:
        inside = sorted(each for each in path.iterdir() if (each / "images.npy").is_file())
        folders = {split: each for each in inside if (split := split_called(each.name))}
    else:
        folders = {"": path}
    if not folders:
        raise BadInput(f"data.path: there is no images.npy in {told(path)}, nor in train, validation, test below")
    return {split: _arrays_in(folder) for split, folder in folders.items()}


def _arrays_in(folder: Path) -> Found:
    found = {
        file.stem: _loaded(file, mapped=file.stem == "images") for file in sorted(folder.glob("*.npy"))
        if file.stem in KNOWN
    }  # fmt: skip
    names = folder / "classes.json"
    if names.is_file():
        found["classes"] = _class_names(names)
    return found


def _class_names(file: Path) -> NDArray[np.str_]:
    try:
        names = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise BadInput(f"data.path: {told(file)} is no JSON list of class names ({error})") from error
    if not isinstance(names, list) or not all(isinstance(name, str) and name.strip() for name in names):
        raise BadInput(f'data.path: {told(file)} must be a list of class names, that of label 0 first: ["cat", …]')
    if len(set(names)) < len(names):
        raise BadInput(f"data.path: {told(file)} names a class twice: two labels would become one")
    return np.array(names)


def _loaded(file: Path, *, mapped: bool) -> NDArray[Any]:
    try:
        values: NDArray[Any] = np.load(file, mmap_mode="r" if mapped else None, allow_pickle=False)
    except OSError as error:
        raise BadInput(f"data.path: {told(file)} cannot be read ({error.strerror or error})") from error
    except Exception as error:
        raise BadInput(f"data.path: {told(file)} is no array of numbers or texts: {_worded(error)}") from error
    if not isinstance(values, np.ndarray):
        raise BadInput(f"data.path: {told(file)} is an archive of arrays: name it so (.npz)")
    return values


def _worded(error: Exception) -> str:
    text = " ".join(str(error).split())
    return "it holds Python objects (a pickle), which are never loaded" if "allow_pickle" in text else text[:120]


def _parts_of_archive(path: Path, remarks: list[str]) -> dict[str, Found]:
    where = told(path)
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            if isinstance(archive, np.ndarray):
                raise BadInput(
                    f"data.path: {where} is a single array: name the folder that holds images.npy and labels.npy"
                )
            passed_over = sorted(name for name in archive.files if not _meaning(name))
            arrays = {name: archive[name] for name in archive.files if _meaning(name)}
    except BadInput:
        raise
    except OSError as error:
        raise BadInput(
            f"data.path: {where} cannot be read ({error.strerror or error}); name a folder or a .npz"
        ) from error
    except Exception as error:
        why = "it is damaged" if isinstance(error, zipfile.BadZipFile) else _worded(error)
        raise BadInput(f"data.path: {where} is no archive of arrays: {why}") from error
    meanings = {name: meaning for name in arrays if (meaning := _meaning(name))}
    for meaning in meanings.values():
        if len(alike := [name for name, other in meanings.items() if other == meaning]) > 1:
            raise BadInput(f"data.path: {where} holds {shown(' and '.join(alike))}, which mean the same: remove one")
    if passed_over:
        remarks.append(f"passed over in {where}, by their names: {', '.join(passed_over)}")
    if not meanings:
        raise BadInput(
            f"data.path: {where} holds {shown(', '.join(passed_over)) or 'nothing'}; it must hold images and labels, "
            "or x_train and y_train, or train_images and train_labels"
        )
    parts: dict[str, Found] = {}
    for name, (what, split) in meanings.items():
        parts.setdefault(split, {})[what] = arrays[name]
    return parts


def _meaning(name: str) -> tuple[str, str] | None:
    """What an array of a `.npz` holds, and of which split ("": of all): of `images`, `y_val`, `test_labels`, …."""
    first, _, second = name.lower().partition("_")
    for called, split in ((first, second), (second, first)):
        what = SHORT.get(called, called)
        if what in KNOWN and (not split or split_called(split)):
            return what, split_called(split) or ""
    return None


def _settle(part: Found, split: str, bands: tuple[int, ...] | None, remarks: list[str]) -> list[str]:
    """Bring a split's arrays to their forms; a line for each mistake."""
    where = f"data.path, {split}" if split else "data.path"
    if missing := [name for name in ("images", "labels") if name not in part]:
        return [f"{where}: there is no array {' and no '.join(missing)} among {', '.join(sorted(part)) or 'none'}"]
    if single := [name for name, values in part.items() if not values.ndim]:
        return [f"{where}: {' and '.join(single)} holds a single value, not one for each image"]
    images, labels = part["images"], part["labels"]
    part |= {
        name: values[:, 0]
        for name, values in part.items()
        if name in ("labels", "groups", "splits") and values.ndim == 2 and values.shape[1] == 1
    }
    labels = part["labels"]
    lines = []
    if images.ndim == 4 and images.shape[1] in (1, 3) and images.shape[3] not in (1, 3, 4):
        images = part["images"] = images.transpose(0, 2, 3, 1)
        remarks.append(f"images have the shape {list(images.shape)} once channels are moved to the end")
    if images.dtype.kind not in "buif":
        lines.append(f"{where}: images hold {images.dtype}, which are no numbers")
    channels = images.shape[3] if images.ndim == 4 else 1
    if images.ndim not in (3, 4) or 0 in images.shape or (bands is None and channels not in (1, 3, 4)):
        lines.append(
            f"{where}: images have the shape {list(images.shape)}; it must be [n, height, width] "
            "or [n, height, width, 1, 3 or 4]; of other bands, data.bands chooses one or three, for instance [3, 2, 1]"
        )
    elif bands is not None and max(bands) > channels:
        lines.append(f"{where}: images have {channels} bands, fewer than the {max(bands)} that data.bands asks for")
    if labels.ndim != 1 or labels.dtype.kind not in "buiUT":
        lines.append(
            f"{where}: labels are {labels.dtype} {list(labels.shape)}; they must be whole numbers or texts, "
            f"one an image{_remedy(labels)}"
        )
    lines += [
        f"{where}: there are {len(values)} {name} for {len(images)} images"
        for name, values in part.items() if name in {"labels", "groups", "splits"} and len(values) != len(images)
    ]  # fmt: skip
    return lines


def _remedy(labels: NDArray[Any]) -> str:
    """How to make labels of the right form of `labels`, where that is clear, or what stands against it."""
    if labels.dtype.kind not in "buif" or not len(labels):
        return ""
    if labels.ndim == 1:
        missing = int(np.isnan(labels).sum())
        whole = (labels == np.round(labels)).all()
        return (
            f"; {missing} are NaN: label these images or remove them" if missing
            else ": labels.astype(int) makes such of these" if whole
            else "; these are fractions, which name no class"
        )  # fmt: skip
    hot = (np.isin(labels, (0, 1)) & (labels.sum(axis=1, keepdims=True) == 1)).all(axis=1)
    if labels.ndim == 2 and not hot.all():
        return (
            f"; {counted(int((~hot).sum()), 'row')} of {len(hot)} are not one-hot (none or several of "
            f"{labels.shape[1]} classes): choose one class for each image, or one column to classify all images by"
        )
    return ": labels.argmax(1) makes such of these one-hot vectors" if labels.ndim == 2 else ""


def _labelled(part: Found, split: str, bad: list[FileIssue]) -> Found:
    """`part` with labels as texts, and with its images' positions as `index`; without images that have no label."""
    texts = _texts(part)
    reasons = {text: reason for text in np.unique(texts).tolist() if (reason := no_label(text))}
    index = np.arange(len(texts))
    part = {**part, "labels": texts, "index": index}
    if not reasons:
        return part
    unlabelled = np.isin(texts, list(reasons))
    bad += [FileIssue(_origin(split, at), reasons[str(texts[at])]) for at in index[unlabelled].tolist()]
    return {name: values if name == "classes" else values[~unlabelled] for name, values in part.items()}


def _origin(split: str, index: int) -> str:
    return f"{split or 'images'}[{index}]"


def _reading(path: Path, parts: Mapping[str, Found], remarks: list[str]) -> DatasetListing:
    bad: list[FileIssue] = []
    parts = {split: _labelled(part, split, bad) for split, part in parts.items()}
    texts = np.concatenate([part["labels"] for part in parts.values()])
    names = in_natural_order({str(each) for each in np.unique(texts)})
    if len(names) < 2:
        unlabelled = f" ({counted(len(bad), 'image')} without a label)" if bad else ""
        raise BadInput(f"data.path: the labels name {len(names)} classes{unlabelled}; there must be two or more")
    number = {name: index for index, name in enumerate(names)}
    images = [part["images"] for part in parts.values()]
    groups = [
        str(each) if "groups" in part else "" for part in parts.values() for each in part.get("groups", part["labels"])
    ]
    groups = known_groups(groups, remarks)
    classes = tuple(valid_unicode(name) for name in names)
    remarks += class_remarks(classes)
    return DatasetListing(
        Arrays(images[0]) if len(images) == 1 else Arrays(np.concatenate(images)),
        np.array([number[name] for name in texts], np.int64), classes,
        [_origin(split, index) for split, part in parts.items() for index in part["index"].tolist()],
        np.concatenate([_places(part, split) for split, part in parts.items()]), groups if any(groups) else (),
        bad=tuple(bad), remarks=tuple(remarks), errors=tuple(class_mistakes(classes)),
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


def _places(part: Found, split: str) -> NDArray[np.int8]:
    if "splits" not in part:
        return np.full(len(part["images"]), SPLITS.index(split) if split else UNASSIGNED, np.int8)
    named = [split_called(str(each)) for each in part["splits"]]
    if None in named:
        index = named.index(None)
        raise BadInput(
            f"data.path: splits[{index}] is {str(part['splits'][index])!r}; it must be train, validation or test"
        )
    return np.array([SPLITS.index(each or "") for each in named], np.int8)
