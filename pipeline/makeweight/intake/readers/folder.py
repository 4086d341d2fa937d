"""Image folders: a sub-folder for each class, possibly below folders for predefined splits."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np

from makeweight.core.data import SPLITS
from makeweight.core.errors import BadInput
from makeweight.core.parameters import DataSettings
from makeweight.core.text import counted, in_natural_order, listed, printable, shown, valid_unicode
from makeweight.intake.class_names import split_called
from makeweight.intake.decoding.images import SUFFIXES
from makeweight.intake.decoding.sources import Files
from makeweight.intake.interface import UNASSIGNED, DatasetListing, FileIssue
from makeweight.intake.readers.labels import class_errors, class_remarks, means_unlabelled
from makeweight.intake.readers.other_files import masks, other_labels, unread_image

# Files and folders that operating systems create, besides names that start with a dot.
SYSTEM_FILES = {"__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "@eadir", "$recycle.bin"}
ClassFolders = dict[str, list[tuple[str, int]]]  # the folders of each class, with their splits
ClassImages = dict[str, list[tuple[str, int]]]  # the paths of the images of each class, with their splits


class Folder:
    """A sub-folder for each class, images anywhere below it; or such folders in `train`, `validation` and `test`."""

    uses: ClassVar[frozenset[str]] = frozenset({"path"})

    def read(self, settings: DataSettings) -> DatasetListing:
        """Find all images below `data.path`.

        Raises:
            BadInput: there is no such folder, or it is unclear which sub-folders are splits and which are classes.
        """
        folder = existing_folder(settings.path or "")
        walk = Walk(folder, follow_links=settings.follow_links)
        top = walk.listed("", "lies beside the class folders: move it into the folder of its class, or remove it")
        top_folders = {entry.name: split_called(valid_unicode(entry.name)) for entry in top if entry.is_folder}
        has_splits = _are_splits(folder, top_folders)
        classes: ClassFolders = {}
        for name, split in top_folders.items():
            if has_splits:
                unlabelled = (
                    "has no label, since it lies in no class folder: move it into the folder of its class, or away "
                    "if its class is unknown"
                )
                inside = [entry.path for entry in walk.listed(name, unlabelled) if entry.is_folder]
                for path in inside:
                    classes.setdefault(valid_unicode(path.rpartition("/")[2]), []).append(
                        (path, SPLITS.index(split or ""))
                    )
            else:
                classes.setdefault(valid_unicode(name), []).append((name, UNASSIGNED))
        return _listing(folder, walk, classes)


def existing_folder(path: str) -> Path:
    """The folder `path`; BadInput if it does not exist or cannot be read."""
    folder = Path(path)
    where = printable(path)
    if folder.is_file():
        raise BadInput(f"data.path: {where} is a file; name a folder (unpack it, if it is an archive)")
    if not folder.is_dir():
        raise BadInput(f"data.path: there is no folder {where}; name one with a sub-folder for each class")
    try:
        os.scandir(folder).close()
    except OSError as error:
        raise BadInput(
            f"data.path: {where} cannot be read ({error.strerror}): change its permissions, or name another"
        ) from error
    return folder


def _are_splits(folder: Path, top_folders: dict[str, str | None]) -> bool:
    """Whether the sub-folders are predefined splits; BadInput if this is unclear."""
    called = [split for split in top_folders.values() if split]
    if "train" not in called:
        return False
    others = [name for name, split in top_folders.items() if not split]
    if others and len(called) > 1:
        raise BadInput(
            f"data.path: {printable(folder)} holds {valid_unicode(others[0])!r} beside predefined splits: move it "
            "away, or rename the splits if they are classes"
        )
    if len(set(called)) < len(called):
        raise BadInput(
            f"data.path: two folders mean the same split: {', '.join(sorted(map(printable, top_folders)))}: join them"
        )
    return not others


def _listing(folder: Path, walk: Walk, classes: ClassFolders) -> DatasetListing:
    errors = [*class_errors(list(classes)), *_layout_errors(folder, walk, classes)]
    images = _images_of_classes(folder, walk, classes, errors)
    names = list(images)
    paths = [path for found in images.values() for path, _ in found]
    labels = [label for label, found in enumerate(images.values()) for _ in found]
    predefined = [split for found in images.values() for _, split in found]
    bad_paths = [issue.path for issue in walk.bad]
    label_errors, label_remarks = other_labels(
        folder,
        walk.unread,
        [*paths, *bad_paths],
        [*(names[label] for label in labels), *[""] * len(bad_paths)],
    )
    return DatasetListing(
        Files(str(folder.absolute()), paths), np.array(labels, np.int64), tuple(names),
        [valid_unicode(path) for path in paths], np.array(predefined, np.int8),
        bad=tuple(walk.bad), ignored=tuple(walk.ignored), errors=(*errors, *label_errors),
        remarks=(*class_remarks(names), *label_remarks, *_remarks(paths, names, predefined)),
    )  # fmt: skip


def _layout_errors(folder: Path, walk: Walk, classes: ClassFolders) -> list[str]:
    """Errors if there are too few class folders, or if one of them contains the others once more."""
    errors = []
    if len(classes) < 2:
        below = [f"{top}/{inner}" for found in classes.values() for top, _ in found for inner in walk.folders(top)]
        remedy = "with reader csv or arrays, name the table or the arrays"
        if len(below) > 1:
            remedy = f"if they are {listed(below, 3)}, name {printable(folder / below[0].rpartition('/')[0])}"
        errors.append(
            f"data.path: {printable(folder)} has {counted(len(classes), 'sub-folder')}; there must be one for each "
            f"class, at least two ({remedy})"
        )
    for name, found in classes.items():
        repeated = [inner for top, _ in found for inner in walk.folders(top) if valid_unicode(inner) in classes]
        if len(repeated) > 1:
            errors.append(
                f"data.path: the folder {shown(name)!r} holds folders of other classes ({listed(repeated, 3)}) again: "
                "move it away if an archive was unpacked twice"
            )
    return errors


def _images_of_classes(folder: Path, walk: Walk, classes: ClassFolders, errors: list[str]) -> ClassImages:
    """The images of each class that has any; masks become bad, and errors are appended for other classes."""
    images: ClassImages = {}
    bad_files: dict[str, int] = {}
    for name in in_natural_order(classes):
        if means_unlabelled(name):
            errors.append(
                f"data.path: the folder {shown(name)!r} has a name for images without a label, not for a class: move "
                "it away, or rename it if it is a class"
            )
            continue
        bad_before = len(walk.bad)
        images[name] = [(path, split) for top, split in sorted(classes[name]) for path in walk.images(top)]
        bad_files[name] = len(walk.bad) - bad_before
    image_of_mask = masks([path for found in images.values() for path, _ in found])
    walk.bad += [
        FileIssue(valid_unicode(mask), f"is a mask of {valid_unicode(image)!r}, by its name: move masks away")
        for mask, image in image_of_mask.items()
    ]
    without_masks = {
        name: [(path, split) for path, split in found if path not in image_of_mask] for name, found in images.items()
    }
    for name, found in without_masks.items():
        if not found:
            where = listed([printable(folder / top) for top, _ in classes[name]])
            bad = bad_files[name] + len(images[name])
            remedy = f"{counted(bad, 'file')} there cannot be used" if bad else "fill or remove the folder"
            errors.append(f"data.path: no images in {where}: {remedy}")
    return {name: found for name, found in without_masks.items() if found}


def _remarks(paths: list[str], classes: list[str], predefined: list[int]) -> tuple[str, ...]:
    """A remark if the folders look like splits with other names."""
    below: dict[str, set[str]] = {}
    for path, split in zip(paths, predefined, strict=True):
        top, *folders, _ = path.split("/")
        if split == UNASSIGNED:
            below.setdefault(top, set()).add(folders[0] if folders else "")
    same = set.intersection(*below.values()) if below else set()
    if len(below) < 2 or len(same) < 2 or "" in same or any(folders != same for folders in below.values()):
        return ()
    return (
        f"every class ({', '.join(classes)}) holds the same sub-folders, {', '.join(sorted(same))}: if these are the "
        "classes, call the folders above them train, validation and test",
    )


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of a folder: its name, its path below the root, and whether it is a folder."""

    name: str
    path: str
    is_folder: bool


@dataclass(slots=True)
class Walk:
    """Walk through folders below `root`, in the order of names, and record what is not an image.

    Attributes:
        root: the folder; all paths are relative to it.
        follow_links: whether links may lead out of it.
        bad: files and folders that cannot be used.
        ignored: files that are no images and were not expected to be.
        unread: the paths of `ignored` as the system gives them, which may not be valid Unicode.
        linked: folders to which links were followed.
    """

    root: Path
    follow_links: bool
    bad: list[FileIssue] = field(default_factory=list)
    ignored: list[FileIssue] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    linked: set[str] = field(default_factory=set)

    def images(self, top: str) -> Iterator[str]:
        """Paths of all images, by their suffixes, below the folder `top`."""
        stack = [Entry("", top, is_folder=True)]
        while stack:
            entry = stack.pop()
            if entry.is_folder:
                stack += reversed(self._entries(entry.path))
            elif os.path.splitext(entry.name)[1].lower() in SUFFIXES:
                yield entry.path
            else:
                self._ignore_or_refuse(entry)

    def listed(self, top: str, reason: str) -> list[Entry]:
        """The entries of `top`, where only folders are expected: images there have no class, and become bad."""
        entries = self._entries(top)
        for entry in entries:
            if entry.is_folder:
                continue
            if os.path.splitext(entry.name)[1].lower() in SUFFIXES:
                self._refuse(entry.path, reason)
            else:
                self._ignore_or_refuse(entry)
        return entries

    def folders(self, top: str) -> list[str]:
        """Names of the folders in `top`."""
        try:
            return sorted(entry.name for entry in (self.root / top).iterdir() if entry.is_dir())
        except OSError:  # walking through it reports the error
            return []

    def _entries(self, top: str) -> list[Entry]:
        try:
            with os.scandir(os.path.join(self.root, top)) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except OSError as error:
            self._refuse(top, f"cannot be read: {error.strerror}")
            return []
        return [entry for found_entry in entries if (entry := self._entry(found_entry, top))]

    def _entry(self, found: os.DirEntry[str], top: str) -> Entry | None:
        path = f"{top}/{found.name}" if top else found.name
        if found.name.startswith(".") or found.name.lower() in SYSTEM_FILES:
            self._ignore(path, "hidden" if found.name.startswith(".") else "created by the operating system")
        elif found.is_symlink() and (reason := self._wrong_link(path)):
            self._refuse(path, reason)
        else:
            return Entry(found.name, path, _is_folder(found))
        return None

    def _wrong_link(self, path: str) -> str | None:
        """Why the link `path` is not followed, or None if it is."""
        here = os.path.join(self.root, path)
        real = os.path.realpath(here)
        if not os.path.exists(real):
            return "is a link to nothing: remove it"
        if _within(os.path.realpath(os.path.dirname(here)), real):
            return "is a link to a folder that holds it: remove it"
        inside = _within(real, os.path.realpath(self.root))
        if not self.follow_links and not inside:
            return (
                f"is a link out of the folder, to {valid_unicode(real)}: copy it here, or set data.follow_links to true"
            )
        if os.path.isdir(real):
            if inside or real in self.linked:  # circular links would never end
                return "is a link to a folder that is read anyway: remove it"
            self.linked.add(real)
        return None

    def _refuse(self, path: str, reason: str) -> None:
        self.bad.append(FileIssue(valid_unicode(path), reason))

    def _ignore_or_refuse(self, entry: Entry) -> None:
        try:
            reason = unread_image(os.path.join(self.root, entry.path))
        except OSError as error:
            reason = f"cannot be read: {error.strerror}"
        if reason:
            self._refuse(entry.path, reason)
        else:
            self._ignore(entry.path, "not an image, by its name")

    def _ignore(self, path: str, reason: str) -> None:
        self.ignored.append(FileIssue(valid_unicode(path), reason))
        self.unread.append(path)


def _is_folder(found: os.DirEntry[str]) -> bool:
    try:
        return found.is_dir()
    except OSError:  # decoding reports the error
        return False


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def leads_out(root: Path, path: str) -> bool:
    """Whether `path`, relative to `root`, lies outside it once links are followed."""
    return not _within(os.path.realpath(os.path.join(root, path)), os.path.realpath(root))
