"""Samplers in folders, used by class name: without the parameters, the data or the stages of their training."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from makeweight.core.data import Images, Labels
from makeweight.core.errors import BadInput
from makeweight.core.images import as_images
from makeweight.core.plugins import find
from makeweight.core.text import listed, printable, shown
from makeweight.generators.interface import Family, sample_blocks
from makeweight.runtime.artifacts import SAMPLER, SAMPLERS, replicate_name
from makeweight.runtime.files import read_json
from makeweight.training.loop import Sampler

PICKLE_SUFFIXES = {".pkl", ".pickle", ".pt", ".pth", ".ckpt", ".bin", ".joblib"}
# The first bytes of protocols 2 to 5. A safetensors file can begin with them, too: with the length of its header, of
# eight bytes, which the brace of its JSON follows.
PICKLE = re.compile(rb"\x80[\x02-\x05](?!.{6}\{)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class SavedSampler:
    """A fitted generator that is asked for images by class name.

    Attributes:
        sampler: labels (int64 [n]) in, images (float [n, c, h, w] in [-1, 1]) out.
        family: name of its family.
        classes: class names, in the order of their labels.
        training_images: number of images of each class that it was fitted to.
        size: side of the images in pixels.
        channels: 1 or 3.
    """

    sampler: Sampler
    family: str
    classes: tuple[str, ...]
    training_images: tuple[int, ...]
    size: int
    channels: int

    def sample(
        self, labels: str | int | Sequence[str | int] | Labels | Tensor, count: int = 1, *, seed: int = 0
    ) -> Images:
        """Draw `count` images for each of `labels`.

        Args:
            labels: class names, or indices into `classes`; or a single one.
            count: images for each of them.
            seed: the same seed gives the same images.

        Returns:
            uint8 [len(labels) * count, size, size, channels], in the order of `labels`.

        Raises:
            BadInput: a label is not among `classes`, or had no training images; or `count` is negative.
        """
        if count < 0:
            raise BadInput(f"count is {count}: the number of images of each label cannot be negative")
        values = labels.tolist() if isinstance(labels, np.ndarray | Tensor) else labels
        indices = np.repeat(self.indices([values] if isinstance(values, str | int) else values), count)
        order = np.argsort(indices, kind="stable")  # blocks are drawn for sorted labels
        images = np.empty((len(indices), self.size, self.size, self.channels), np.uint8)
        done = 0
        rng = torch.Generator().manual_seed(seed)
        for block in sample_blocks(self.sampler, torch.from_numpy(indices[order]), rng):
            images[order[done : done + len(block)]] = as_images(block)
            done += len(block)
        return images

    def indices(self, labels: Sequence[str | int]) -> Labels:
        """Class names or indices as indices, int64 [n].

        Raises:
            BadInput: as `sample`.
        """
        numbers: dict[str | int, int] = {name: number for number, name in enumerate(self.classes)}
        numbers |= {number: number for number in range(len(self.classes))}
        if unknown := [str(label) for label in dict.fromkeys(labels) if label not in numbers]:
            raise BadInput(f"the generator knows no class {listed(unknown)}; its classes: {listed(self.classes, 50)}")
        indices = np.array([numbers[label] for label in labels], dtype=np.int64)
        for label in np.unique(indices):
            if not self.training_images[label]:
                raise BadInput(f"the generator was fitted without images of class {shown(self.classes[label])!r}")
        return indices


def load_sampler(folder: str | Path, replicate: int = 0) -> SavedSampler:
    """Load a generator that `train-generator` wrote, also from a copy of its folder elsewhere.

    Args:
        folder: `models/<family>`, its subfolder `samplers`, or the folder of one replicate.
        replicate: which of the generators, if the folder holds several.

    Raises:
        BadInput: the folder holds no generator, one of a newer version, a pickle, or damaged files.
    """
    found = _folder_of(Path(folder), replicate)
    if pickled := next((path for path in sorted(found.rglob("*")) if path.is_file() and _is_pickle(path)), None):
        raise BadInput(
            f"{printable(pickled)} is a pickle, which can run any program: nothing was loaded from {printable(found)}"
        )
    try:
        facts = read_json(found / SAMPLER)
        made_by, family = str(facts["makeweight"]), str(facts["family"])
        counts, size, channels = tuple(facts["training_images"]), int(facts["size"]), int(facts["channels"])
        classes = tuple(name for name, _ in zip(facts["classes"], counts, strict=True))
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{printable(found / SAMPLER)} is damaged: copy or pull it again") from error
    if _release(made_by) > _release(version("makeweight")):
        raise BadInput(
            f"{printable(found)} was written by makeweight {shown(made_by)}, and {version('makeweight')} is installed: "
            "install that version or a newer one"
        )
    plugin: Family = find("families", family)
    try:
        sampler = plugin.load(found)
    except Exception as error:  # of any type: a file is missing or damaged, and the code may be a plug-in's
        reason = " ".join(str(error).split())
        raise BadInput(f"{printable(found)} cannot be loaded as {family}: {type(error).__name__}: {reason}") from error
    return SavedSampler(sampler, family, classes, counts, size, channels)


def _folder_of(folder: Path, replicate: int) -> Path:
    name = replicate_name(replicate)
    for candidate in (folder, folder / name, folder / SAMPLERS / name):
        if (candidate / SAMPLER).is_file():
            return candidate
    samplers = folder / SAMPLERS if (folder / SAMPLERS).is_dir() else folder
    if present := sorted(path.parent.name for path in samplers.glob(f"*/{SAMPLER}")):
        raise BadInput(f"{printable(folder)} holds no {name}: one of {listed(present, 50)}")
    if not folder.exists():
        raise BadInput(f"there is no folder {printable(folder)}: train the generator first, or name another folder")
    raise BadInput(
        f"{printable(folder)} holds no generator ({SAMPLER} is missing): name a folder models/<family> that "
        "this version's train-generator wrote"
    )


def _is_pickle(path: Path) -> bool:
    """Whether a file is a pickle or holds one, by suffix or content, as in archives of `torch.save`."""
    if path.suffix.lower() in PICKLE_SUFFIXES:
        return True
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            return any(Path(name).suffix.lower() in PICKLE_SUFFIXES for name in archive.namelist())
    with path.open("rb") as file:
        return PICKLE.match(file.read(9)) is not None


def _release(number: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", number.partition("+")[0])[:3])
