"""Image folders: one sub-folder a class, or ready-made splits of such."""

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
from makeweight.core.text import counted, in_natural_order, listed, shown, told, valid_unicode
from makeweight.intake.class_names import split_called
from makeweight.intake.decoding.images import SUFFIXES
from makeweight.intake.decoding.sources import Files
from makeweight.intake.interface import UNASSIGNED, DatasetListing, FileIssue
from makeweight.intake.readers.labels import class_mistakes, class_remarks, means_unlabelled
from makeweight.intake.readers.strays import masks, other_labels, unread_image

# What computers leave in folders, beside names that begin with a dot.
LITTER = {"__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "@eadir", "$recycle.bin"}


class Folder:
    """One sub-folder a class, images anywhere below it; or such folders below `train`, `validation` and `test`."""

    uses: ClassVar[frozenset[str]] = frozenset({"path"})

    def read(self, settings: DataSettings) -> DatasetListing:
        """Find all images below `data.path`.

        Raises:
            BadInput: no such folder, or one in which it is not clear what is a split and what a class.
        """
        folder = existing_folder(settings.path or "")
        walk = Walk(folder, follow_links=settings.follow_links)
        top = walk.listed("", "lies beside the folders of the classes: move it into that of its class, or away")
        tops = {entry.name: split_called(valid_unicode(entry.name)) for entry in top if entry.is_folder}
        ready = _are_splits(folder, tops)
        classes: dict[str, list[tuple[str, int]]] = {}  # folders and split of each class
        for name, split in tops.items():
            if ready:
                unlabelled = "has no label, since it lies in no folder of a class: move it into one, or away"
                inside = [entry.path for entry in walk.listed(name, unlabelled) if entry.is_folder]
                for path in inside:
                    classes.setdefault(valid_unicode(path.rpartition("/")[2]), []).append(
                        (path, SPLITS.index(split or ""))
                    )
            else:
                classes.setdefault(valid_unicode(name), []).append((name, UNASSIGNED))
        return _reading(folder, walk, classes)


def existing_folder(path: str) -> Path:
    """`path` as a folder that is there and can be read; BadInput if not."""
    folder = Path(path)
    where = told(path)
    if folder.is_file():
        raise BadInput(f"data.path: {where} is a file; name a folder (unpack it, if it is an archive)")
    if not folder.is_dir():
        home = f": ~ is not expanded, write {told(folder.expanduser())}" if path.startswith("~") else ""
        raise BadInput(f"data.path: there is no folder {where}{home or '; name one with a sub-folder for each class'}")
    try:
        os.scandir(folder).close()
    except OSError as error:
        raise BadInput(
            f"data.path: {where} cannot be read ({error.strerror}): change its rights, or name another"
        ) from error
    return folder


def _are_splits(folder: Path, tops: dict[str, str | None]) -> bool:
    """Whether the sub-folders are ready-made splits; BadInput where they may be or not."""
    called = [split for split in tops.values() if split]
    if "train" not in called:
        return False
    others = [name for name, split in tops.items() if not split]
    if others and len(called) > 1:
        raise BadInput(
            f"data.path: beside ready-made splits in {told(folder)} stands {valid_unicode(others[0])!r}: move it away, "
            "or rename the splits if they are classes"
        )
    if len(set(called)) < len(called):
        raise BadInput(f"data.path: two folders mean the same split: {', '.join(sorted(map(told, tops)))}: join them")
    return not others


def _reading(folder: Path, walk: Walk, classes: dict[str, list[tuple[str, int]]]) -> DatasetListing:
    paths: list[str] = []
    labels: list[int] = []
    predefined: list[int] = []
    errors = class_mistakes(list(classes))
    if len(classes) < 2:
        below = [f"{top}/{split}" for found in classes.values() for top, _ in found for split in walk.folders(top)]
        remedy = "with reader csv or arrays, name the table or the arrays"
        if len(below) > 1:
            remedy = f"if they are {listed(below, 3)}, name {told(folder / below[0].rpartition('/')[0])}"
        errors.append(
            f"data.path: {told(folder)} has {counted(len(classes), 'sub-folder')}; there must be one for each class, "
            f"at least two ({remedy})"
        )
    for name, found_at in classes.items():
        again = [inner for top, _ in found_at for inner in walk.folders(top) if valid_unicode(inner) in classes]
        if len(again) > 1:
            errors.append(
                f"data.path: the folder {shown(name)!r} holds folders of other classes ({listed(again, 3)}) once more: "
                "move it away if an archive was unpacked twice"
            )
    names: list[str] = []
    pictures: dict[str, list[tuple[str, int]]] = {}  # and the split of each
    bad_files: dict[str, int] = {}
    for name in in_natural_order(classes):
        if means_unlabelled(name):
            errors.append(
                f"data.path: the folder {shown(name)!r} is called like images without a label, not like a class: move "
                "it away, or rename it if it is a class"
            )
            continue
        bad_before = len(walk.bad)
        pictures[name] = [(path, split) for top, split in sorted(classes[name]) for path in walk.pictures(top)]
        bad_files[name] = len(walk.bad) - bad_before
    mask_of = masks([path for found in pictures.values() for path, _ in found])
    walk.bad += [
        FileIssue(valid_unicode(path), f"is a mask of {valid_unicode(image)!r}, by its name: move masks away")
        for path, image in mask_of.items()
    ]
    for name, listing in pictures.items():
        found = [(path, split) for path, split in listing if path not in mask_of]
        if not found:
            where = listed([told(folder / top) for top, _ in classes[name]])
            bad = bad_files[name] + len(listing)
            remedy = f"{counted(bad, 'file')} there cannot be used" if bad else "fill or remove the folder"
            errors.append(f"data.path: no images in {where}: {remedy}")
            continue
        paths += [path for path, _ in found]
        predefined += [split for _, split in found]
        labels += [len(names)] * len(found)
        names.append(name)
    outside = [note.path for note in walk.bad]
    label_mistakes, label_remarks = other_labels(
        folder,
        [note.path for note in walk.ignored],
        [*paths, *outside],
        [*(names[label] for label in labels), *[""] * len(outside)],
    )
    errors += label_mistakes
    return DatasetListing(
        Files(str(folder.absolute()), paths), np.array(labels, np.int64), tuple(names),
        [valid_unicode(path) for path in paths], np.array(predefined, np.int8),
        bad=tuple(walk.bad), ignored=tuple(walk.ignored), errors=tuple(errors),
        remarks=(*class_remarks(names), *label_remarks, *_remarks(paths, names, predefined)),
    )  # fmt: skip


def _remarks(paths: list[str], classes: list[str], predefined: list[int]) -> tuple[str, ...]:
    """Where the folders look like splits that are called otherwise."""
    below: dict[str, set[str]] = {}
    for path, place in zip(paths, predefined, strict=True):
        top, *folders, _ = path.split("/")
        if place == UNASSIGNED:
            below.setdefault(top, set()).add(folders[0] if folders else "")
    same = set.intersection(*below.values()) if below else set()
    if len(below) < 2 or len(same) < 2 or "" in same or any(each != same for each in below.values()):
        return ()
    return (
        f"every class ({', '.join(classes)}) holds the same sub-folders, {', '.join(sorted(same))}: if these are the "
        "classes, call the folders above them train, validation and test",
    )


@dataclass(frozen=True, slots=True)
class Entry:
    """Something in a folder: its name, its path below the root, and where it really lies, if it is a folder."""

    name: str
    path: str
    is_folder: bool


@dataclass(slots=True)
class Walk:
    """Walks through folders below `root`, sorted by name, and notes what is no picture.

    Attributes:
        root: the folder; all paths are relative to it.
        follow_links: whether links may lead out of it.
        bad: what cannot be taken in.
        ignored: what is no picture and was not expected to be.
        linked: where links have led that were followed to a folder.
    """

    root: Path
    follow_links: bool
    bad: list[FileIssue] = field(default_factory=list)
    ignored: list[FileIssue] = field(default_factory=list)
    linked: set[str] = field(default_factory=set)

    def pictures(self, top: str) -> Iterator[str]:
        """Paths of all pictures, by their names, below the folder `top`."""
        waiting = [Entry("", top, is_folder=True)]
        while waiting:
            entry = waiting.pop()
            if entry.is_folder:
                waiting += reversed(self._entries(entry.path))
            elif os.path.splitext(entry.name)[1].lower() in SUFFIXES:  # noqa: PTH122 - quicker than a Path
                yield entry.path
            else:
                self._pass_over(entry)

    def listed(self, top: str, reason: str) -> list[Entry]:
        """What lies in `top`, where only folders are expected: images there belong to no class, and are bad."""
        entries = self._entries(top)
        for entry in entries:
            if entry.is_folder:
                continue
            if os.path.splitext(entry.name)[1].lower() in SUFFIXES:  # noqa: PTH122
                self._refuse(entry.path, reason)
            else:
                self._pass_over(entry)
        return entries

    def folders(self, top: str) -> list[str]:
        """Names of the folders in `top`."""
        try:
            return sorted(each.name for each in (self.root / top).iterdir() if each.is_dir())
        except OSError:  # walking through it will say so
            return []

    def _entries(self, top: str) -> list[Entry]:
        try:
            with os.scandir(os.path.join(self.root, top)) as found:  # noqa: PTH118
                entries = sorted(found, key=lambda each: each.name)
        except OSError as error:
            self._refuse(top, f"cannot be read: {error.strerror}")
            return []
        return [entry for each in entries if (entry := self._entry(each, top))]

    def _entry(self, found: os.DirEntry[str], top: str) -> Entry | None:
        path = f"{top}/{found.name}" if top else found.name
        if found.name.startswith(".") or found.name.lower() in LITTER:
            self._ignore(path, "hidden" if found.name.startswith(".") else "left by the computer")
        elif found.is_symlink() and (reason := self._wrong_link(path)):
            self._refuse(path, reason)
        else:
            return Entry(found.name, path, _is_folder(found))
        return None

    def _wrong_link(self, path: str) -> str | None:
        """Why the link `path` is not followed, or None if it is."""
        here = os.path.join(self.root, path)  # noqa: PTH118
        real = os.path.realpath(here)
        if not os.path.exists(real):  # noqa: PTH110
            return "is a link to nothing: remove it"
        if _within(os.path.realpath(os.path.dirname(here)), real):  # noqa: PTH120
            return "is a link to a folder that holds it: remove it"
        inside = _within(real, os.path.realpath(self.root))
        if not self.follow_links and not inside:
            return (
                f"is a link out of the folder, to {valid_unicode(real)}: copy it here, or set data.follow_links to true"
            )
        if os.path.isdir(real):  # noqa: PTH112
            if inside or real in self.linked:  # links in a ring would lead on for ever
                return "is a link to a folder that is taken in anyway: remove it"
            self.linked.add(real)
        return None

    def _refuse(self, path: str, reason: str) -> None:
        self.bad.append(FileIssue(valid_unicode(path), reason))

    def _pass_over(self, entry: Entry) -> None:
        try:
            reason = unread_image(os.path.join(self.root, entry.path))  # noqa: PTH118
        except OSError as error:
            reason = f"cannot be read: {error.strerror}"
        if reason:
            self._refuse(entry.path, reason)
        else:
            self._ignore(entry.path, "no image, by its name")

    def _ignore(self, path: str, reason: str) -> None:
        self.ignored.append(FileIssue(valid_unicode(path), reason))


def _is_folder(found: os.DirEntry[str]) -> bool:
    try:
        return found.is_dir()
    except OSError:  # decoding will say why
        return False


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def leads_out(root: Path, path: str) -> bool:
    """Whether `path`, relative to `root`, lies outside it once links are followed."""
    return not _within(os.path.realpath(os.path.join(root, path)), os.path.realpath(root))  # noqa: PTH118
