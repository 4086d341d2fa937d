"""Pictures of any format, mode and shape to squares of one size; or the reason why not.

Nothing is made up: what can only be decoded by guessing is refused with its reason, and whatever is changed is said in
words that the report counts.
"""

from __future__ import annotations

import logging
import os
import stat
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from pipeline.core import LARGEST_SIDE, SMALLEST_SIDE, BadPicture, Form, Images, Look

# Pillow knows 40 formats, some of which start other programs or are made to be animated: these are for pictures.
SUFFIXES_OF = {
    "PNG": (".png", ".apng"),
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "MPO": (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),  # a JPEG with previews behind it, as many cameras write
    "WEBP": (".webp",),
    "BMP": (".bmp", ".dib"),
    "DIB": (".bmp", ".dib"),
    "TIFF": (".tif", ".tiff"),
    "GIF": (".gif",),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
}
FORMATS = tuple(name for name in SUFFIXES_OF if name != "MPO")  # which Pillow opens as a JPEG first
# Names of pictures that are not read, so that they are listed and not passed over.
FOREIGN = (
    ".heic",
    ".heif",
    ".avif",
    ".jp2",
    ".j2k",
    ".jxl",
    ".svg",
    ".psd",
    ".eps",
    ".ico",
    ".dng",
    ".cr2",
    ".nef",
    ".raw",
)
SUFFIXES = frozenset(suffix for suffixes in (*SUFFIXES_OF.values(), FOREIGN) for suffix in suffixes)
STILL = {"MPO"}
GREY_MODES = {"1", "L", "LA", "La", "I;16", "I;16L", "I;16B", "I;16N", "I", "F"}
DEEP_MODES = {"I;16", "I;16L", "I;16B", "I;16N", "I", "F"}
LARGEST_UNASKED = 64  # pixels: a GAN of larger images takes hours on a processor, which nobody should meet by accident
MOST_PIXELS = 89_478_485  # Pillow's limit: 256 MiB of RGB
DARKEST = 4096  # 16-bit pictures that stay below it hold 12 bits or fewer, and would come out black
ORIENTATION, PHOTOMETRIC = 0x0112, 0x0106
WHITE_IS_ZERO = 0
WHOLE_RANGE = (0.0, 65535.0)
FINER = 4  # a JPEG is decoded at this many times the side, at least: quicker, and finer than what remains

logging.getLogger("PIL").addHandler(logging.NullHandler())  # damage stands in the report, not between its lines
Image.init()  # `Image.open` itself loads further formats only where it is not told which

# What the first bytes of files tell that are often named like pictures.
IMPOSTORS: tuple[tuple[Callable[[bytes], bool], str], ...] = (
    (lambda head: not head.strip(b"\0"), "is empty of content: nothing but zeros"),
    (
        lambda head: head[:4] in {b"\0\5\x16\7", b"\0\5\x16\0"},
        "is no picture but what macOS keeps beside one (AppleDouble)",
    ),
    (lambda head: head[4:8] == b"ftyp", "is HEIC, AVIF or a film: convert it to PNG or JPEG"),
    (lambda head: head[:4] == b"%PDF", "is a PDF"),
    (lambda head: head[:2] == b"PK", "is a ZIP archive"),
    (lambda head: all(32 <= byte < 127 or byte in b"\t\r\n" for byte in head), "is text, no picture"),
)


@contextmanager
def opened(path: str) -> Iterator[tuple[Image.Image, list[str]]]:
    """An open picture and a list for what is done to it; whatever goes wrong while the block lasts is a BadPicture.

    Pillow's warnings become words in that list.
    """
    said: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            _check_file(path)
            with Image.open(path, formats=FORMATS) as picture:
                _check_size(picture)
                yield picture, said
        except BadPicture:
            raise
        except UnidentifiedImageError:
            raise BadPicture(_impostor(path)) from None
        except Image.DecompressionBombError:
            raise BadPicture(f"has more pixels than the {MOST_PIXELS:,} that are allowed: make it smaller") from None
        except OSError as error:
            raise BadPicture(f"cannot be read: {_worded(error.strerror or error)}") from error
        except Exception as error:
            raise BadPicture(f"cannot be decoded: {_worded(error)}") from error
    said += sorted({f"warning: {_worded(each.message)}" for each in caught})


def _worded(error: object) -> str:
    words = " ".join(str(error).split()) or type(error).__name__
    return words[:160]


def _check_file(path: str) -> None:
    found = os.stat(path)  # noqa: PTH116 - a million of them
    if not stat.S_ISREG(found.st_mode):
        raise BadPicture("is no file but a folder, pipe or device")
    if not found.st_size:
        raise BadPicture("is empty: 0 bytes")


def _check_size(picture: Image.Image) -> None:
    width, height = picture.size
    if width * height > MOST_PIXELS:
        raise BadPicture(
            f"has {width}×{height} pixels, more than the {MOST_PIXELS:,} that are allowed: make it smaller"
        )
    if min(width, height) < 1:
        raise BadPicture(f"has {width}×{height} pixels: nothing to see")


def _impostor(path: str) -> str:
    with Path(path).open("rb") as file:
        head = file.read(64)
    for test, reason in IMPOSTORS:
        if test(head):
            return reason
    return "is no PNG, JPEG, WebP, BMP, TIFF, GIF or PPM, or its header is damaged"


def look(path: str) -> Look:
    """What the header of the file `path` tells; a PNG's checksums are compared as well, which decoding does not do.

    Raises:
        BadPicture: it is no picture, is damaged as far as this shows, or has too many pixels.
    """
    with opened(path) as (picture, _):
        size, grey = picture.size, picture.mode in GREY_MODES
        if picture.format == "PNG":
            picture.verify()
    return Look(size, grey)


def decode(path: str, form: Form) -> tuple[Images, tuple[str, ...]]:
    """The file `path` as a square of `form`, and what was done to it.

    Raises:
        BadPicture: it cannot be decoded, or only by guessing.
    """
    with opened(path) as (picture, said):
        _check_name(picture, path, said)
        _check_frames(picture, form, said)
        deep, negative = _is_deep(picture), _is_negative(picture)  # before decoding, which forgets it
        level = _levelled(_turned_upright(picture, form, said), deep, form, said)
        if negative:
            level = ImageOps.invert(level)
            said.append("white is zero: inverted")
        pixels = fitted(level, form, said)
    return pixels, tuple(said)


def _check_name(picture: Image.Image, path: str, said: list[str]) -> None:
    suffix = os.path.splitext(path)[1].lower()  # noqa: PTH122 - quicker than a Path for each of a million
    if suffix not in SUFFIXES_OF[picture.format or ""]:
        name = "JPEG" if picture.format == "MPO" else picture.format
        said.append(f"a {name} named {suffix or 'without a suffix'}: read by its content")


def _check_frames(picture: Image.Image, form: Form, said: list[str]) -> None:
    frames = 1 if picture.format in STILL else getattr(picture, "n_frames", 1)
    if frames == 1:
        return
    if not form.first_frame:
        raise BadPicture(f"has {frames} frames: set data.first_frame to true to take the first, or remove it")
    said.append("animated: first frame taken")
    picture.seek(0)


def _turned_upright(picture: Image.Image, form: Form, said: list[str]) -> Image.Image:
    """As EXIF says that the camera was held. Decodes."""
    try:
        orientation = picture.getexif().get(ORIENTATION, 1)
    except Exception:
        said.append("damaged EXIF data: not turned")
        orientation = 1
    picture.draft(picture.mode, (FINER * form.side, FINER * form.side))
    picture.load()
    if orientation not in range(2, 9):
        return picture
    said.append("turned as its EXIF data says")
    return ImageOps.exif_transpose(picture)


def _is_deep(picture: Image.Image) -> bool:
    """Whether Pillow cuts 16 bits a channel to 8 as it decodes: it does for colour and alpha."""
    return picture.mode not in DEEP_MODES and any(";16" in str(tile[3]) for tile in getattr(picture, "tile", ()))


def _is_negative(picture: Image.Image) -> bool:
    """Whether 0 means white, as in radiographs: Pillow inverts such a TIFF if it has 8 bits or fewer."""
    tags = getattr(picture, "tag_v2", {}) if picture.mode in DEEP_MODES else {}
    return tags.get(PHOTOMETRIC) == WHITE_IS_ZERO


def _levelled(picture: Image.Image, deep: bool, form: Form, said: list[str]) -> Image.Image:
    """With 8 bits a channel."""
    if picture.mode in DEEP_MODES:
        if "transparency" in picture.info:
            raise BadPicture("has 16 bits and a grey that is transparent, which is not read: make it 8 bits")
        values = np.asarray(picture)
        if picture.format == "PPM":  # of 16 bits, held in 32
            values = values.astype(np.uint16)
        said.append(f"{_kind(values)} scaled to 8 bits")
        return Image.fromarray(levelled(values, form.value_range))
    if deep:
        said.append("16-bit colour scaled to 8 bits")
        if form.value_range not in {None, WHOLE_RANGE}:
            raise BadPicture(
                "has 16 bits a channel and colour or alpha, which is only read as [0, 65535]; data.value_range differs"
            )
        if form.value_range is None:
            highest = 256 * int(np.asarray(picture.convert("RGB")).max())
            _check_not_black(highest, "make it 8 bits, or set data.value_range to [0, 65535] if it is so dark")
    return picture


def levelled(values: NDArray[Any], declared: tuple[float, float] | None) -> Images:
    """Numbers of any type as uint8: black where `declared` begins, white where it ends.

    Args:
        values: of any shape. Booleans become black and white, uint8 stays.
        declared: the range; None: 0 to 65535 for uint16, and anything else is refused.

    Raises:
        BadPicture: numbers outside the range, none at all (NaN), or no range to go by.
    """
    if values.dtype == np.bool_:
        return values.astype(np.uint8) * np.uint8(255)
    if values.dtype == np.uint8:
        return values
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise BadPicture("holds numbers that are none (NaN or infinity)")
    low, high = float(values.min()), float(values.max())
    if declared is None:
        if values.dtype.newbyteorder("=") != np.uint16:
            raise BadPicture(
                f"holds {_kind(values)} from {low:g} to {high:g}: say in data.value_range what is black and white"
            )
        _check_not_black(int(high), f"say in data.value_range what is white, for instance [0, {DARKEST - 1}]")
    first, last = declared or WHOLE_RANGE
    if low < first or high > last:
        raise BadPicture(f"holds values from {low:g} to {high:g}, outside data.value_range ({first:g} to {last:g})")
    return np.round((values.astype(np.float64) - first) * (255 / (last - first))).astype(np.uint8)


def _check_not_black(highest: int, remedy: str) -> None:
    if 0 < highest < DARKEST:
        raise BadPicture(f"has 16 bits, of which it uses up to {highest} of 65535 and would turn black: {remedy}")


def _kind(values: NDArray[Any]) -> str:
    bits = 8 * values.dtype.itemsize
    return f"{bits}-bit float" if values.dtype.kind == "f" else f"{bits}-bit grey"


def fitted(picture: Image.Image, form: Form, said: list[str]) -> Images:
    """`picture`, of 8 bits a channel, as a square: uint8 [side, side, channels], with antialiasing.

    Args:
        picture: in any mode.
        form: what to bring it to.
        said: gets what was done.
    """
    flat = _coloured(_flattened(picture, form, said), form, said)
    if flat.size[0] != flat.size[1]:
        said.append(FITS[form.fit][1])
    if flat.size != (form.side, form.side):
        said.append("resized")
        flat = FITS[form.fit][0](flat, form)
    return np.asarray(flat, dtype=np.uint8).reshape(form.side, form.side, form.channels)


def _flattened(picture: Image.Image, form: Form, said: list[str]) -> Image.Image:
    if word := {"P": "palette resolved", "PA": "palette resolved", "1": "1 bit to 8", "CMYK": "CMYK to RGB"}.get(
        picture.mode
    ):
        said.append(word)
    if not ("A" in picture.getbands() or "a" in picture.getbands() or "transparency" in picture.info):
        return picture
    layered = picture.convert("LA").convert("RGBA") if picture.mode == "La" else picture.convert("RGBA")
    said.append("transparency laid over data.background")
    return Image.alpha_composite(Image.new("RGBA", layered.size, (*form.background, 255)), layered)


def _coloured(picture: Image.Image, form: Form, said: list[str]) -> Image.Image:
    grey = picture.mode in GREY_MODES
    if grey and form.channels == 3:
        said.append("grey to RGB")
    if not grey and form.channels == 1 and picture.mode != "RGBA":
        said.append("colour to grey")
    return picture.convert("L" if form.channels == 1 else "RGB")


def _padded(picture: Image.Image, form: Form) -> Image.Image:
    scale = form.side / max(picture.size)
    width, height = (max(1, round(length * scale)) for length in picture.size)
    square = Image.new("RGB", (form.side, form.side), form.background).convert(picture.mode)
    inner = picture.resize((width, height), Image.Resampling.LANCZOS)
    square.paste(inner, ((form.side - width) // 2, (form.side - height) // 2))
    return square


def _cropped(picture: Image.Image, form: Form) -> Image.Image:
    return ImageOps.fit(picture, (form.side, form.side), Image.Resampling.LANCZOS)


def _stretched(picture: Image.Image, form: Form) -> Image.Image:
    return picture.resize((form.side, form.side), Image.Resampling.LANCZOS)


FITS: dict[str, tuple[Callable[[Image.Image, Form], Image.Image], str]] = {
    "pad": (_padded, "not square: padded"),
    "crop": (_cropped, "not square: cropped"),
    "stretch": (_stretched, "not square: stretched"),
}


def side_of(sizes: NDArray[np.int64]) -> int:
    """The side to use where none is asked for, in pixels.

    The pictures' own if they are all squares of one size that is allowed; else the median of their shorter sides,
    at most `LARGEST_UNASKED`.

    Args:
        sizes: int64 [n, 2], at least one: width and height.
    """
    width, height = (int(length) for length in sizes[0])
    if (sizes == sizes[0]).all() and width == height and SMALLEST_SIDE <= width <= LARGEST_SIDE:
        return width
    return min(max(int(np.median(sizes.min(axis=1))), SMALLEST_SIDE), LARGEST_UNASKED)


@dataclass(frozen=True, slots=True)
class Files:
    """Pictures in files. The paths are relative to `root`, which is absolute: workers may stand in another folder."""

    root: str
    paths: Sequence[str]

    def __len__(self) -> int:
        return len(self.paths)

    def part(self, start: int, stop: int) -> Files:
        """Those from `start` to before `stop`."""
        return Files(self.root, self.paths[start:stop])

    def look(self, index: int) -> Look:
        """What the header tells."""
        return look(os.path.join(self.root, self.paths[index]))  # noqa: PTH118 - a million of them

    def decode(self, index: int, form: Form) -> tuple[Images, tuple[str, ...]]:
        """One picture as a square, and what was done to it."""
        return decode(os.path.join(self.root, self.paths[index]), form)  # noqa: PTH118


@dataclass(frozen=True, slots=True)
class Arrays:
    """Pictures in one array: [n, h, w], or [n, h, w, c] with 1, 3 or 4 (RGB and alpha) channels; any numbers."""

    values: NDArray[Any]

    def __len__(self) -> int:
        return len(self.values)

    def part(self, start: int, stop: int) -> Arrays:
        """Those from `start` to before `stop`."""
        return Arrays(self.values[start:stop])

    def look(self, index: int) -> Look:
        """The size, which all share."""
        height, width = self.values.shape[1:3]
        return Look((width, height), self.values.ndim == 3 or self.values.shape[3] == 1)

    def decode(self, index: int, form: Form) -> tuple[Images, tuple[str, ...]]:
        """One picture as a square, and what was done to it."""
        values = np.asarray(self.values[index])
        said: list[str] = []
        if values.dtype not in (np.uint8, np.bool_):
            said.append(f"{_kind(values)} scaled to 8 bits")
        pixels = levelled(values, form.value_range)
        if pixels.shape == (form.side, form.side, form.channels):
            return pixels, tuple(said)
        picture = Image.fromarray(pixels.reshape(pixels.shape[:2]) if pixels.shape[2:] == (1,) else pixels)
        return fitted(picture, form, said), tuple(said)
