"""Image folders: one sub-folder a class."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar, TypeVar

import joblib
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from pipeline.core import BadInput, Images, Reading, Split
from pipeline.params import DataSettings
from pipeline.readers.resizing import GREY_MODES, fitted, side_of

Result = TypeVar("Result")
SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".pgm"}


class Folder:
    """One sub-folder a class, images anywhere below it: what torchvision's ImageFolder takes. No official test set."""

    uses: ClassVar[frozenset[str]] = frozenset({"path"})

    def read(self, settings: DataSettings) -> Reading:
        """All images below `data.path`, resized to one square size.

        Raises:
            BadInput: no such folder, fewer than two classes, a class without images, or a file that is no image.
        """
        folder = Path(settings.path or "")
        files = _files(folder)
        paths = [path for members in files.values() for path in members]
        headers = _in_parallel(_header, paths)
        grey = all(mode in GREY_MODES for mode, _ in headers)
        channels = settings.channels or (1 if grey else 3)
        side = settings.image_size or side_of(size for _, size in headers)
        # Threads serve: Pillow decodes and resizes outside Python's lock.
        images = np.stack(_in_parallel(lambda path: _decoded(path, side, settings, channels), paths))
        labels = np.repeat(np.arange(len(files)), [len(members) for members in files.values()])
        origins = tuple(path.relative_to(folder).as_posix() for path in paths)
        return Reading(Split(images, labels, tuple(files)), origins, np.zeros(len(labels), dtype=bool))


def _files(folder: Path) -> dict[str, list[Path]]:
    if not folder.is_dir():
        raise BadInput(f"data.path: there is no folder {folder}; name one that holds a sub-folder for each class")
    classes = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    if len(classes) < 2:
        raise BadInput(
            f"data.path: {folder} has {len(classes)} sub-folders; there must be one for each class, at least two"
        )
    files = {
        each.name: sorted(p for p in each.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
        for each in classes
    }
    if empty := [name for name, members in files.items() if not members]:
        raise BadInput(
            f"data.path: no images in {', '.join(f'{folder}/{name}' for name in empty)}: fill or remove them"
        )
    return files


def _in_parallel(function: Callable[[Path], Result], paths: Sequence[Path]) -> list[Result]:
    results: list[Result] = joblib.Parallel(n_jobs=-1, prefer="threads")(
        joblib.delayed(function)(path) for path in paths
    )
    return results


def _header(path: Path) -> tuple[str, tuple[int, int]]:
    with _opened(path) as picture:
        return picture.mode, picture.size


def _decoded(path: Path, side: int, settings: DataSettings, channels: int) -> Images:
    with _opened(path) as picture:
        try:
            return fitted(ImageOps.exif_transpose(picture), side, settings.fit, channels)
        except (OSError, ValueError, SyntaxError) as error:
            raise BadInput(f"{path} cannot be decoded ({error}): repair or remove it") from error


def _opened(path: Path) -> Image.Image:
    try:
        return Image.open(path)
    except UnidentifiedImageError as error:
        raise BadInput(f"{path} is no image that Pillow can read: remove it") from error
    except (OSError, Image.DecompressionBombError) as error:
        raise BadInput(f"{path} cannot be read ({error}): repair or remove it") from error
