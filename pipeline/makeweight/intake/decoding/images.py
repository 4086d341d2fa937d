"""Pictures of any format, mode and shape to squares of one size; or the reason why not.

Nothing is made up: what can only be decoded by guessing is refused with its reason, and whatever is changed is said in
words that the report counts.
"""

from __future__ import annotations

import logging
import os
import re
import stat
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from makeweight.core.data import LARGEST_SIDE, SMALLEST_SIDE, Images
from makeweight.core.errors import ImageError
from makeweight.intake.decoding import tiffs
from makeweight.intake.decoding.rasters import BYTE, HALF_CLEAR, Raster, chosen, rendered, span
from makeweight.intake.interface import Depth, ImageHeader, ImageSpec

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
FORMATS = tuple(name for name in SUFFIXES_OF if name not in {"MPO", "TIFF"})  # an MPO is opened as a JPEG first
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
GREY_MODES = {"1", "L", "LA", "La", "I;16", "I", "F"}
LARGEST_UNASKED = 64  # pixels: a GAN of larger images takes hours on a processor, which nobody should meet by accident
MOST_PIXELS = 89_478_485  # Pillow's limit: 256 MiB of RGB
LARGE = 1 << 24  # pixels from which an image is shrunk by averages first: converting it would take several copies
ORIENTATION = 0x0112
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # fmt: skip
JPEG_FRAME = re.compile(rb"\xff[\xc0-\xc3\xc5-\xc7\xc9-\xcb\xcd-\xcf]\0.([\x08\x0c\x10])", re.DOTALL)  # and its bits
DEEP_PNM = re.compile(rb"P([2356])((?:\s+|#[^\n]*\n)+)(\d+)((?:\s+|#[^\n]*\n)+)(\d+)((?:\s+|#[^\n]*\n)+)(\d+)\s")
LAID = "transparency laid over data.background"
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
def opened(path: str) -> Iterator[tuple[IO[bytes], list[str]]]:
    """An open file and a list for what is done to it; whatever goes wrong while the block lasts is a BadPicture.

    Warnings of decoders are added to that list.
    """
    said: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            _check_file(path)
            with open(path, "rb") as file:  # noqa: PTH123 - quicker than a Path for each of a million
                yield file, said
        except ImageError:
            raise
        except UnidentifiedImageError:
            raise ImageError(_impostor(path)) from None
        except Image.DecompressionBombError:
            raise ImageError(f"has more pixels than the {MOST_PIXELS:,} that are allowed: make it smaller") from None
        except OSError as error:
            raise ImageError(f"cannot be read: {_worded(error.strerror or error)}") from error
        except Exception as error:
            raise ImageError(f"cannot be decoded: {_worded(error)}") from error
    said += sorted({f"warning: {_worded(warning.message)}" for warning in caught})


@contextmanager
def _pillow(file: IO[bytes]) -> Iterator[Image.Image]:
    """The open file as Pillow sees it, of an allowed size, undecoded."""
    file.seek(0)
    with Image.open(file, formats=FORMATS) as picture:
        _check_size(*picture.size)
        yield picture


def _is_tiff(file: IO[bytes]) -> bool:
    return tiffs.is_tiff(file.read(4))


def _worded(error: object) -> str:
    words = " ".join(str(error).split()) or type(error).__name__
    return words[:160]


def _check_file(path: str) -> None:
    found = os.stat(path)  # noqa: PTH116 - a million of them
    if not stat.S_ISREG(found.st_mode):
        raise ImageError("is no file but a folder, pipe or device")
    if not found.st_size:
        raise ImageError("is empty: 0 bytes")


def _check_size(width: int, height: int) -> None:
    if width * height > MOST_PIXELS:
        raise ImageError(
            f"has {width}×{height} pixels, more than the {MOST_PIXELS:,} that are allowed: make it smaller"
        )
    if min(width, height) < 1:
        raise ImageError(f"has {width}×{height} pixels: nothing to see")


def _impostor(path: str) -> str:
    with Path(path).open("rb") as file:
        head = file.read(64)
        start = head + file.read(1 << 16)
    if head[:2] == b"\xff\xd8" and (frame := JPEG_FRAME.search(start)) and frame[1] != b"\x08":
        return f"is a JPEG of {frame[1][0]} bits, which is not read: convert it to PNG or TIFF of 16 bits"
    for test, reason in IMPOSTORS:
        if test(head):
            return reason
    return "is no PNG, JPEG, WebP, BMP, TIFF, GIF or PPM, or its header is damaged"


def look(path: str) -> ImageHeader:
    """What the header of the file `path` says; a PNG's checksums are compared as well, which decoding does not do.

    Raises:
        BadPicture: it is no picture, is damaged as far as this shows, or has too many pixels.
    """
    with opened(path) as (file, _):
        if _is_tiff(file):
            found = tiffs.look_at(file)
            _check_size(*found.size)
            return found
        with _pillow(file) as picture:
            grey = picture.mode in GREY_MODES or _stored_as(picture).startswith("LA")
            found = ImageHeader(picture.size, grey, _depth(picture))
            if picture.format == "PNG":
                picture.verify()
    return found


def span_of(path: str, form: ImageSpec) -> tuple[float, float]:
    """The lowest and the highest number that the file `path` stores, in the bands that `form` chooses.

    Raises:
        BadPicture: it cannot be decoded, or holds NaN.
    """
    with opened(path) as (file, said):
        if _is_tiff(file):
            raster, _ = tiffs.read(file, first_frame=form.first_frame, said=said)
        else:
            with _pillow(file) as picture:
                _check_frames(picture, form, said)
                raster = _raster(picture, file, _depth(picture))
        return span(chosen(raster, form.bands, said))


def decode(path: str, form: ImageSpec) -> tuple[Images, tuple[str, ...]]:
    """The file `path` as a square of `form`, and what was done to it; raises as `squares`."""
    (pixels,), said = squares(path, form, (form.side,))
    return pixels, said


def squares(path: str, form: ImageSpec, sides: Sequence[int]) -> tuple[list[Images], tuple[str, ...]]:
    """The file `path` as a square of each of the sides, and what was done to it for the first.

    Raises:
        BadPicture: it cannot be decoded, or only by guessing.
    """
    with opened(path) as (file, said):
        if _is_tiff(file):
            _check_name("TIFF", path, said)
            raster, orientation = tiffs.read(file, first_frame=form.first_frame, said=said)
            level = rendered(chosen(raster, form.bands, said), form.value_range, said)
        else:
            with _pillow(file) as picture:
                _check_name(picture.format or "", path, said)
                _check_frames(picture, form, said)
                depth = _depth(picture)  # before decoding, which forgets it
                orientation = _orientation(picture, said)
                level = _levelled(picture, file, depth, form, FINER * max(sides), said)
        found = _fitted_to(sides, level, orientation, form, said)
    return found, tuple(said)


def _fitted_to(
    sides: Sequence[int], level: Image.Image, orientation: int, form: ImageSpec, said: list[str]
) -> list[Images]:
    """A square of each side; what is done for the first is said."""
    flat = _turned(flattened(level, form, said, FINER * max(sides)), orientation, said)
    return [fitted(flat, replace(form, side=side), said if not index else []) for index, side in enumerate(sides)]


def _check_name(kind: str, path: str, said: list[str]) -> None:
    suffix = os.path.splitext(path)[1].lower()  # noqa: PTH122 - quicker than a Path for each of a million
    if suffix not in SUFFIXES_OF[kind]:
        name = "JPEG" if kind == "MPO" else kind
        said.append(f"a {name} named {suffix or 'without a suffix'}: read by its content")


def _check_frames(picture: Image.Image, form: ImageSpec, said: list[str]) -> None:
    frames = 1 if picture.format in STILL else getattr(picture, "n_frames", 1)
    if frames == 1:
        return
    if not form.first_frame:
        raise ImageError(f"has {frames} frames: set data.first_frame to true to take the first, or remove it")
    said.append("animated: first frame taken")
    picture.seek(0)


def _orientation(picture: Image.Image, said: list[str]) -> int:
    """As EXIF says that the camera was held, 1 to 8."""
    try:
        return int(picture.getexif().get(ORIENTATION, 1))
    except Exception:
        said.append("damaged EXIF data: not turned")
        return 1


def _turned(picture: Image.Image, orientation: int, said: list[str]) -> Image.Image:
    if orientation not in TURNS:
        return picture
    said.append("turned as its EXIF data says")
    return picture.transpose(TURNS[orientation])


def _stored_as(picture: Image.Image) -> str:
    """The layout of a PNG's numbers in its file, such as `RGB;16B`, which Pillow cuts to 8 bits; else ""."""
    tiles = getattr(picture, "tile", [])
    return str(tiles[0].args) if picture.format == "PNG" and tiles else ""


def _pnm_white(picture: Image.Image) -> int:
    """The number that a PNM file declares as white, if it needs more than 8 bits, else 255."""
    file: IO[bytes] | None = getattr(picture, "fp", None)
    if picture.format != "PPM" or file is None:
        return 255
    place = file.tell()
    file.seek(0)
    found = DEEP_PNM.match(file.read(4096))
    file.seek(place)
    return max(255, int(found[7])) if found else 255


def _depth(picture: Image.Image) -> Depth:
    """Of the numbers in the file."""
    if picture.mode == "F":
        return Depth(32, "float", None)
    white = 65535 if ";16" in _stored_as(picture) else _pnm_white(picture)
    return Depth(white.bit_length(), "unsigned", float(white))


def _raster(picture: Image.Image, file: IO[bytes], depth: Depth) -> Raster:
    """The numbers of a picture of more than 8 bits, none of them cut."""
    if picture.mode == "F":
        return Raster(np.asarray(picture)[..., None], depth, colours=1)
    if "transparency" in picture.info:
        raise ImageError("has 16 bits and a colour or a grey that is transparent, which is not read: make it 8 bits")
    file.seek(0)
    if picture.format == "PPM":
        values = _pnm_values(file.read())
    else:
        from imagecodecs import png_decode

        values = png_decode(file.read())
        values = values.reshape(*values.shape[:2], -1)
    bands = values.shape[2]
    return Raster(values, depth, colours=1 if bands < 3 else 3, alpha=bands - 1 if bands in {2, 4} else None)


def _pnm_values(content: bytes) -> NDArray[Any]:
    found = DEEP_PNM.match(content)
    assert found
    width, height, bands = int(found[3]), int(found[5]), 3 if found[1] in b"36" else 1
    n = width * height * bands
    if found[1] in b"56":
        values = np.frombuffer(content, ">u2", n, offset=found.end())
    else:
        words = re.sub(rb"#[^\n]*", b"", content[found.end() :]).split()
        values = np.array(words[:n], np.uint16)
    return values.reshape(height, width, bands)


def _levelled(
    picture: Image.Image, file: IO[bytes], depth: Depth, form: ImageSpec, enough: int, said: list[str]
) -> Image.Image:
    """Decoded, with 8 bits a channel and the bands that are asked for; a JPEG as small as is `enough` on both sides."""
    if not depth.is_plain:
        raster = chosen(_raster(picture, file, depth), form.bands, said)
        return rendered(raster, form.value_range, said)
    picture.draft(picture.mode, (enough, enough))
    picture.load()
    if form.bands is None:
        opacity = picture.histogram()[-256:] if picture.mode in {"LA", "RGBA"} else [1]
        if 2 * sum(opacity[1:-1]) > sum(opacity):
            said.append(HALF_CLEAR)
        return picture
    return rendered(chosen(_bands_of(picture, said), form.bands, said), None, said)


def _bands_of(picture: Image.Image, said: list[str]) -> Raster:
    """The bands of a decoded picture of 8 bits: grey or RGB, then opacity."""
    if word := RESOLVED.get(picture.mode):
        said.append(word)
    if picture.mode not in {"L", "LA", "RGB", "RGBA"} or "transparency" in picture.info:
        clear = "transparency" in picture.info or picture.mode in {"PA", "La", "RGBa"}
        picture = picture.convert("RGBA" if clear else "L" if picture.mode in GREY_MODES else "RGB")
    values = np.asarray(picture).reshape(picture.height, picture.width, -1)
    bands = values.shape[2]
    return Raster(values, BYTE, colours=1 if bands < 3 else 3, alpha=bands - 1 if bands in {2, 4} else None)


def fitted(picture: Image.Image, form: ImageSpec, said: list[str]) -> Images:
    """`picture` as a square: uint8 [side, side, channels], with antialiasing.

    Args:
        picture: of 8 bits a channel, in any mode.
        form: what to bring it to.
        said: gets what was done.
    """
    flat = flattened(picture, form, said, FINER * form.side)
    if flat.size[0] != flat.size[1]:
        said.append(FITS[form.fit][1])
    if flat.size != (form.side, form.side):
        said.append("resized")
        flat = FITS[form.fit][0](flat, form)
    return np.asarray(flat, dtype=np.uint8).reshape(form.side, form.side, form.channels)


RESOLVED = {"P": "palette resolved", "PA": "palette resolved", "1": "1 bit to 8", "CMYK": "CMYK to RGB"}


def flattened(picture: Image.Image, form: ImageSpec, said: list[str], enough: int) -> Image.Image:
    """`picture` without transparency, in mode L or RGB as `form` has channels.

    Args:
        picture: of 8 bits a channel, in any mode.
        form: what to bring it to.
        said: gets what was done.
        enough: pixels; a large picture is shrunk to no less than so many on its shorter side.
    """
    if word := RESOLVED.get(picture.mode):
        said.append(word)
    picture = _shrunk(picture, enough)
    if not _is_transparent(picture):
        return _coloured(picture, form, said)
    said.append(LAID)
    layered = _with_opacity(picture)
    ground = Image.new("RGBA", layered.size, (*form.background, 255))
    return _coloured(Image.alpha_composite(ground, layered), form, said)


def _is_transparent(picture: Image.Image) -> bool:
    return "A" in picture.getbands() or "a" in picture.getbands() or "transparency" in picture.info


def _shrunk(picture: Image.Image, enough: int) -> Image.Image:
    """A large picture by averages of squares of pixels, an integer factor smaller; few of its rows are held twice."""
    factor = min(picture.size) // enough
    if picture.width * picture.height < LARGE or factor < 2:
        return picture
    mode = "RGBA" if _is_transparent(picture) else "L" if picture.mode in GREY_MODES else "RGB"
    small = Image.new(mode, (-(-picture.width // factor), -(-picture.height // factor)))
    rows = factor * max(1, LARGE // 16 // (factor * picture.width))
    for top in range(0, picture.height, rows):
        strip = picture.crop((0, top, picture.width, min(top + rows, picture.height)))
        if mode == "RGBA":  # what is transparent has no colour that could count
            strip = _with_opacity(strip).convert("RGBa").reduce(factor).convert("RGBA")
        else:
            strip = strip.convert(mode).reduce(factor)
        small.paste(strip, (0, top // factor))
    return small


def _with_opacity(picture: Image.Image) -> Image.Image:
    return picture.convert("LA").convert("RGBA") if picture.mode == "La" else picture.convert("RGBA")


def _coloured(picture: Image.Image, form: ImageSpec, said: list[str]) -> Image.Image:
    grey = picture.mode in GREY_MODES
    if grey and form.channels == 3:
        said.append("grey to RGB")
    if not grey and form.channels == 1 and picture.mode != "RGBA":
        said.append("colour to grey")
    return picture.convert("L" if form.channels == 1 else "RGB")


def _padded(picture: Image.Image, form: ImageSpec) -> Image.Image:
    scale = form.side / max(picture.size)
    width, height = (max(1, round(length * scale)) for length in picture.size)
    square = Image.new("RGB", (form.side, form.side), form.background).convert(picture.mode)
    inner = picture.resize((width, height), Image.Resampling.LANCZOS)
    square.paste(inner, ((form.side - width) // 2, (form.side - height) // 2))
    return square


def _cropped(picture: Image.Image, form: ImageSpec) -> Image.Image:
    return ImageOps.fit(picture, (form.side, form.side), Image.Resampling.LANCZOS)


def _stretched(picture: Image.Image, form: ImageSpec) -> Image.Image:
    return picture.resize((form.side, form.side), Image.Resampling.LANCZOS)


FITS: dict[str, tuple[Callable[[Image.Image, ImageSpec], Image.Image], str]] = {
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
