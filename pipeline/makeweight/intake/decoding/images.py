"""Decode images of any format, mode and shape to squares of one size, or give the reason why this is impossible.

Images that could be decoded only by guessing are refused. Every conversion is described in words that the report
counts.
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
from PIL import Image, ImageOps, PngImagePlugin, UnidentifiedImageError

from makeweight.core.data import SMALLEST_SIDE, Images
from makeweight.core.errors import ImageError
from makeweight.intake.decoding import tiffs
from makeweight.intake.decoding.rasters import BYTE, PARTIAL_OPACITY, Raster, render, select_bands, span
from makeweight.intake.interface import Depth, ImageHeader, ImageSpec

# Pillow reads 40 formats, some of which start other programs or are mainly for animations: these are for still images.
SUFFIXES_OF = {
    "PNG": (".png", ".apng"),
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "MPO": (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),  # a JPEG followed by previews, as many cameras write
    "WEBP": (".webp",),
    "BMP": (".bmp", ".dib"),
    "DIB": (".bmp", ".dib"),
    "TIFF": (".tif", ".tiff"),
    "GIF": (".gif",),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
}
FORMATS = tuple(name for name in SUFFIXES_OF if name not in {"MPO", "TIFF"})  # an MPO is opened as a JPEG first
# Suffixes of images that are not supported, so that these are listed as bad instead of ignored.
UNREAD_SUFFIXES = (
    ".heic", ".heif", ".avif", ".jp2", ".j2k", ".jxl", ".svg", ".psd", ".eps", ".ico", ".dng", ".cr2", ".nef", ".raw",
)  # fmt: skip
SUFFIXES = frozenset(suffix for suffixes in (*SUFFIXES_OF.values(), UNREAD_SUFFIXES) for suffix in suffixes)
STILL = {"MPO"}
GREY_MODES = {"1", "L", "LA", "La", "I;16", "I", "F"}
MAX_DEFAULT_SIDE = 64  # pixels: a study of larger images takes many hours on a CPU, which must be a deliberate choice
MAX_PIXELS = 89_478_485  # Pillow's limit: 256 MiB of RGB
LARGE = (
    1 << 24
)  # pixels; larger images are averaged to a smaller size first, since converting them takes several copies
ORIENTATION = 0x0112
TRANSPOSITIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # fmt: skip
JPEG_FRAME = re.compile(
    rb"\xff[\xc0-\xc3\xc5-\xc7\xc9-\xcb\xcd-\xcf]\0.([\x08\x0c\x10])", re.DOTALL
)  # group 1: its bits
DEEP_PNM = re.compile(rb"P([2356])((?:\s+|#[^\n]*\n)+)(\d+)((?:\s+|#[^\n]*\n)+)(\d+)((?:\s+|#[^\n]*\n)+)(\d+)\s")
COMPOSITED = "transparency composited over data.background"
DRAFT_FACTOR = 4  # a JPEG is decoded at no less than this many times the side: faster, and still finer than the result

logging.getLogger("PIL").addHandler(logging.NullHandler())  # the report lists damaged files
# Pillow refuses a PNG with a colour profile or a text of more than 1 MiB, as some programs write them. Its limit for
# all texts of a file together, 64 MiB, still holds.
PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY
Image.init()  # `Image.open` with `formats` does not load further formats by itself

# Other content that is often found in files named like images, by their first bytes.
OTHER_CONTENT: tuple[tuple[Callable[[bytes], bool], str], ...] = (
    (lambda head: not head.strip(b"\0"), "holds nothing but zeros"),
    (
        lambda head: head[:4] in {b"\0\5\x16\7", b"\0\5\x16\0"},
        "is not an image but metadata of macOS (AppleDouble)",
    ),
    (lambda head: head[4:8] == b"ftyp", "is HEIC, AVIF or a video: convert it to PNG or JPEG"),
    (lambda head: head[:4] == b"%PDF", "is a PDF"),
    (lambda head: head[:2] == b"PK", "is a ZIP archive"),
    (lambda head: all(32 <= byte < 127 or byte in b"\t\r\n" for byte in head), "is text, not an image"),
)


@contextmanager
def opened(path: str) -> Iterator[tuple[IO[bytes], list[str]]]:
    """Open a file, and yield it with a list for descriptions of conversions.

    Any error within the block is raised as an ImageError. Warnings of decoders are added to the list.
    """
    conversions: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            _check_file(path)
            with open(path, "rb") as file:
                yield file, conversions
        except ImageError:
            raise
        except UnidentifiedImageError:
            raise ImageError(_why_unidentified(path)) from None
        except Image.DecompressionBombError:
            raise ImageError(f"has more pixels than the {MAX_PIXELS:,} that are allowed: make it smaller") from None
        except OSError as error:
            raise ImageError(f"cannot be read: {_message(error.strerror or error)}") from error
        except Exception as error:
            raise ImageError(f"cannot be decoded: {_message(error)}") from error
    conversions += sorted({f"warning: {_message(warning.message)}" for warning in caught})


@contextmanager
def _pillow(file: IO[bytes]) -> Iterator[Image.Image]:
    """Open a file with Pillow, without decoding; ImageError if it has too many pixels."""
    file.seek(0)
    with Image.open(file, formats=FORMATS) as image:
        _check_size(*image.size)
        yield image


def _is_tiff(file: IO[bytes]) -> bool:
    return tiffs.is_tiff(file.read(4))


def _message(error: object) -> str:
    words = " ".join(str(error).split()) or type(error).__name__
    return words[:160]


def _check_file(path: str) -> None:
    found = os.stat(path)
    if not stat.S_ISREG(found.st_mode):
        raise ImageError("is not a file but a folder, pipe or device")
    if not found.st_size:
        raise ImageError("is empty: 0 bytes")


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise ImageError(f"has {width}×{height} pixels, more than the {MAX_PIXELS:,} that are allowed: make it smaller")
    if min(width, height) < 1:
        raise ImageError(f"has {width}×{height} pixels: it is empty")


def _why_unidentified(path: str) -> str:
    with Path(path).open("rb") as file:
        head = file.read(64)
        start = head + file.read(1 << 16)
    if head[:2] == b"\xff\xd8" and (frame := JPEG_FRAME.search(start)) and frame[1] != b"\x08":
        return f"is a JPEG of {frame[1][0]} bits, which is not supported: convert it to PNG or TIFF of 16 bits"
    for test, reason in OTHER_CONTENT:
        if test(head):
            return reason
    return "is not a PNG, JPEG, WebP, BMP, TIFF, GIF or PPM, or its header is damaged"


def read_header(path: str) -> ImageHeader:
    """Read the header of the file `path`; of a PNG also verify the checksums, which decoding does not do.

    Raises:
        ImageError: it is not an image, is visibly damaged, or has too many pixels.
    """
    with opened(path) as (file, _):
        if _is_tiff(file):
            found = tiffs.read_header(file)
            _check_size(*found.size)
            return found
        with _pillow(file) as image:
            grey = image.mode in GREY_MODES or _stored_layout(image).startswith("LA")
            found = ImageHeader(image.size, grey, _depth(image))
            if image.format == "PNG":
                image.verify()
    return found


def span_of(path: str, spec: ImageSpec) -> tuple[float, float]:
    """The lowest and highest number stored in the file `path`, in the bands that `spec` selects.

    Raises:
        ImageError: it cannot be decoded, or holds NaN.
    """
    with opened(path) as (file, conversions):
        if _is_tiff(file):
            raster, _ = tiffs.read(file, first_frame=spec.first_frame, conversions=conversions)
        else:
            with _pillow(file) as image:
                _check_frames(image, spec, conversions)
                raster = _raster(image, file, _depth(image))
        return span(select_bands(raster, spec.bands, conversions))


def decode(path: str, spec: ImageSpec) -> tuple[Images, tuple[str, ...]]:
    """Decode the file `path` as a square of `spec`, and describe the conversions; raises as `squares`."""
    (pixels,), conversions = squares(path, spec, (spec.side,))
    return pixels, conversions


def squares(path: str, spec: ImageSpec, sides: Sequence[int]) -> tuple[list[Images], tuple[str, ...]]:
    """Decode the file `path` as a square of each of the sides, and describe the conversions for the first.

    Raises:
        ImageError: it cannot be decoded, or only by guessing.
    """
    with opened(path) as (file, conversions):
        if _is_tiff(file):
            _check_name("TIFF", path, conversions)
            raster, orientation = tiffs.read(file, first_frame=spec.first_frame, conversions=conversions)
            level = render(select_bands(raster, spec.bands, conversions), spec.value_range, conversions)
        else:
            with _pillow(file) as image:
                _check_name(image.format or "", path, conversions)
                _check_frames(image, spec, conversions)
                depth = _depth(image)  # before decoding, after which it is unknown
                orientation = _orientation(image, conversions)
                level = _decoded_to_8_bits(image, file, depth, spec, DRAFT_FACTOR * max(sides), conversions)
        found = fit_squares(sides, level, orientation, spec, conversions)
    return found, tuple(conversions)


def fit_squares(
    sides: Sequence[int], level: Image.Image, orientation: int, spec: ImageSpec, conversions: list[str]
) -> list[Images]:
    """A square of each side; conversions are described for the first only."""
    flat = _oriented(flatten(level, spec, conversions, DRAFT_FACTOR * max(sides)), orientation, conversions)
    return [
        fit_square(flat, replace(spec, side=side), conversions if not index else []) for index, side in enumerate(sides)
    ]


def _check_name(kind: str, path: str, conversions: list[str]) -> None:
    suffix = os.path.splitext(path)[1].lower()
    if suffix not in SUFFIXES_OF[kind]:
        name = "JPEG" if kind == "MPO" else kind
        conversions.append(f"a {name} named {suffix or 'without a suffix'}: read by its content")


def _check_frames(image: Image.Image, spec: ImageSpec, conversions: list[str]) -> None:
    frames = 1 if image.format in STILL else getattr(image, "n_frames", 1)
    if frames == 1:
        return
    if not spec.first_frame:
        raise ImageError(f"has {frames} frames: set data.first_frame to true to take the first, or remove it")
    conversions.append("animated: first frame used")
    image.seek(0)


def _orientation(image: Image.Image, conversions: list[str]) -> int:
    """The EXIF orientation, 1 to 8."""
    try:
        return int(image.getexif().get(ORIENTATION, 1))
    except Exception:
        conversions.append("damaged EXIF data: orientation ignored")
        return 1


def _oriented(image: Image.Image, orientation: int, conversions: list[str]) -> Image.Image:
    if orientation not in TRANSPOSITIONS:
        return image
    conversions.append("oriented as its EXIF data says")
    return image.transpose(TRANSPOSITIONS[orientation])


def _stored_layout(image: Image.Image) -> str:
    """The layout of the numbers in a PNG file, such as `RGB;16B`, which Pillow reduces to 8 bits; else ""."""
    tiles = getattr(image, "tile", [])
    return str(tiles[0].args) if image.format == "PNG" and tiles else ""


def _pnm_white(image: Image.Image) -> int:
    """The number that a PNM file declares as white, or 255 if that fits into 8 bits."""
    file: IO[bytes] | None = getattr(image, "fp", None)
    if image.format != "PPM" or file is None:
        return 255
    position = file.tell()
    file.seek(0)
    found = DEEP_PNM.match(file.read(4096))
    file.seek(position)
    return max(255, int(found[7])) if found else 255


def _depth(image: Image.Image) -> Depth:
    """The depth of the numbers in the file."""
    if image.mode == "F":
        return Depth(32, "float", None)
    white = 65535 if ";16" in _stored_layout(image) else _pnm_white(image)
    return Depth(white.bit_length(), "unsigned", float(white))


def _raster(image: Image.Image, file: IO[bytes], depth: Depth) -> Raster:
    """The numbers of an image of more than 8 bits, in full precision."""
    if image.mode == "F":
        return Raster(np.asarray(image)[..., None], depth, colours=1)
    if "transparency" in image.info:
        raise ImageError(
            "has 16 bits and a colour or a grey that is transparent, which is not supported: make it 8 bits"
        )
    file.seek(0)
    if image.format == "PPM":
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


def _decoded_to_8_bits(
    image: Image.Image, file: IO[bytes], depth: Depth, spec: ImageSpec, min_side: int, conversions: list[str]
) -> Image.Image:
    """Decode to 8 bits per channel and the selected bands; a JPEG may be reduced to `min_side` on its shorter side."""
    if not depth.is_plain:
        raster = select_bands(_raster(image, file, depth), spec.bands, conversions)
        return render(raster, spec.value_range, conversions)
    image.draft(image.mode, (min_side, min_side))
    image.load()
    if spec.bands is None:
        opacity = image.histogram()[-256:] if image.mode in {"LA", "RGBA"} else [1]
        if 2 * sum(opacity[1:-1]) > sum(opacity):
            conversions.append(PARTIAL_OPACITY)
        return image
    return render(select_bands(_bands_of(image, conversions), spec.bands, conversions), None, conversions)


def _bands_of(image: Image.Image, conversions: list[str]) -> Raster:
    """The bands of a decoded image of 8 bits: grey or RGB, then opacity."""
    if conversion := CONVERTED_MODES.get(image.mode):
        conversions.append(conversion)
    if image.mode not in {"L", "LA", "RGB", "RGBA"} or "transparency" in image.info:
        clear = "transparency" in image.info or image.mode in {"PA", "La", "RGBa"}
        image = image.convert("RGBA" if clear else "L" if image.mode in GREY_MODES else "RGB")
    values = np.asarray(image).reshape(image.height, image.width, -1)
    bands = values.shape[2]
    return Raster(values, BYTE, colours=1 if bands < 3 else 3, alpha=bands - 1 if bands in {2, 4} else None)


def fit_square(image: Image.Image, spec: ImageSpec, conversions: list[str]) -> Images:
    """Fit `image` into a square: uint8 [side, side, channels], with antialiasing.

    Args:
        image: of 8 bits per channel, in any mode.
        spec: what to convert it to.
        conversions: descriptions of what was done are appended.
    """
    flat = flatten(image, spec, conversions, DRAFT_FACTOR * spec.side)
    if flat.size[0] != flat.size[1]:
        conversions.append(FITS[spec.fit][1])
    if flat.size != (spec.side, spec.side):
        conversions.append("resized")
        flat = FITS[spec.fit][0](flat, spec)
    return np.asarray(flat, dtype=np.uint8).reshape(spec.side, spec.side, spec.channels)


CONVERTED_MODES = {"P": "palette expanded", "PA": "palette expanded", "1": "1 bit to 8", "CMYK": "CMYK to RGB"}


def flatten(image: Image.Image, spec: ImageSpec, conversions: list[str], min_side: int) -> Image.Image:
    """Remove transparency, and convert to mode L or RGB as `spec` has channels.

    Args:
        image: of 8 bits per channel, in any mode.
        spec: what to convert it to.
        conversions: descriptions of what was done are appended.
        min_side: pixels; a large image is reduced to no less than this on its shorter side.
    """
    if conversion := CONVERTED_MODES.get(image.mode):
        conversions.append(conversion)
    image = _shrunk(image, min_side)
    if not _is_transparent(image):
        return _coloured(image, spec, conversions)
    conversions.append(COMPOSITED)
    foreground = _with_opacity(image)
    if foreground.getchannel("A").getbbox() is None:
        raise ImageError(
            "is transparent everywhere: only data.background would be left; save it without transparency, or remove it"
        )
    background = Image.new("RGBA", foreground.size, (*spec.background, 255))
    return _coloured(Image.alpha_composite(background, foreground), spec, conversions)


def _is_transparent(image: Image.Image) -> bool:
    return "A" in image.getbands() or "a" in image.getbands() or "transparency" in image.info


def _shrunk(image: Image.Image, min_side: int) -> Image.Image:
    """Reduce a large image by an integer factor, as averages of blocks of pixels, in strips to save memory."""
    factor = min(image.size) // min_side
    if image.width * image.height < LARGE or factor < 2:
        return image
    mode = "RGBA" if _is_transparent(image) else "L" if image.mode in GREY_MODES else "RGB"
    small = Image.new(mode, (-(-image.width // factor), -(-image.height // factor)))
    rows = factor * max(1, LARGE // 16 // (factor * image.width))
    for top in range(0, image.height, rows):
        strip = image.crop((0, top, image.width, min(top + rows, image.height)))
        if mode == "RGBA":  # premultiplied, so that the colour of transparent pixels does not count
            strip = _with_opacity(strip).convert("RGBa").reduce(factor).convert("RGBA")
        else:
            strip = strip.convert(mode).reduce(factor)
        small.paste(strip, (0, top // factor))
    return small


def _with_opacity(image: Image.Image) -> Image.Image:
    return image.convert("LA").convert("RGBA") if image.mode == "La" else image.convert("RGBA")


def _coloured(image: Image.Image, spec: ImageSpec, conversions: list[str]) -> Image.Image:
    grey = image.mode in GREY_MODES
    if grey and spec.channels == 3:
        conversions.append("grey to RGB")
    if not grey and spec.channels == 1 and image.mode != "RGBA":
        conversions.append("colour to grey")
    return image.convert("L" if spec.channels == 1 else "RGB")


def _padded(image: Image.Image, spec: ImageSpec) -> Image.Image:
    scale = spec.side / max(image.size)
    width, height = (max(1, round(length * scale)) for length in image.size)
    square = Image.new("RGB", (spec.side, spec.side), spec.background).convert(image.mode)
    inner = image.resize((width, height), Image.Resampling.LANCZOS)
    square.paste(inner, ((spec.side - width) // 2, (spec.side - height) // 2))
    return square


def _cropped(image: Image.Image, spec: ImageSpec) -> Image.Image:
    return ImageOps.fit(image, (spec.side, spec.side), Image.Resampling.LANCZOS)


def _stretched(image: Image.Image, spec: ImageSpec) -> Image.Image:
    return image.resize((spec.side, spec.side), Image.Resampling.LANCZOS)


FITS: dict[str, tuple[Callable[[Image.Image, ImageSpec], Image.Image], str]] = {
    "pad": (_padded, "not square: padded"),
    "crop": (_cropped, "not square: cropped"),
    "stretch": (_stretched, "not square: stretched"),
}


def side_of(sizes: NDArray[np.int64]) -> int:
    """The side to use if the parameters name none, in pixels.

    The median of their shorter sides, from `SMALLEST_SIDE` to `MAX_DEFAULT_SIDE`.

    Args:
        sizes: int64 [n, 2], at least one: width and height.
    """
    return min(max(int(np.median(sizes.min(axis=1))), SMALLEST_SIDE), MAX_DEFAULT_SIDE)
