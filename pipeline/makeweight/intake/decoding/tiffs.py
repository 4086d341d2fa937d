"""Read TIFF files of any bit depth, bands, planes, byte order and compression with tifffile; give reasons for refusals.

Pillow is not used: it decodes some layouts wrongly without an error (16-bit colour in separate planes, signed bytes),
drops bands for which it has no mode, and cannot open others.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from makeweight.core.errors import ImageError
from makeweight.intake.decoding.rasters import BYTE, Raster, to_uint8
from makeweight.intake.interface import Depth, ImageHeader

if TYPE_CHECKING:
    from tifffile import TiffPage

SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # the latter two: BigTIFF
MAX_BYTES = 1 << 30  # of one image, uncompressed
KINDS = {1: "unsigned", 2: "signed", 3: "float"}  # tag SampleFormat
UNREAD_KINDS = {4: "values of undefined type", 5: "complex integers", 6: "complex numbers"}
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, CMYK, YCBCR = 0, 1, 2, 3, 5, 6  # tag PhotometricInterpretation
COLOURS = {WHITE_IS_ZERO: 1, BLACK_IS_ZERO: 1, RGB: 3, PALETTE: 1, CMYK: 4, YCBCR: 3}
UNREAD_COLOURS = {
    4: "a mask", 8: "L*a*b* colours", 9: "ICC L*a*b* colours", 10: "ITU L*a*b* colours", 32803: "a raw camera mosaic",
    32844: "LogL luminance", 32845: "LogLuv colours", 34892: "raw camera values", 51177: "a depth map",
}  # fmt: skip
JPEG = {6, 7, 33007, 34892}  # tag Compression: the decoder turns YCbCr into RGB
PREMULTIPLIED, STRAIGHT = 1, 2  # tag ExtraSamples: kinds of opacity
FULL_RANGE = (0, 255, 128, 255, 128, 255)  # tag ReferenceBlackWhite of YCbCr as in JPEG
COEFFICIENTS = (0.299, 0.587, 0.114)  # tag YCbCrCoefficients, likewise
REDUCED, MASK = 1, 4  # bits of the tag NewSubfileType

logging.getLogger("tifffile").addHandler(logging.NullHandler())  # the report lists damaged files


def is_tiff(head: bytes) -> bool:
    """Whether a file that starts with `head` is a TIFF."""
    return head[:4] in SIGNATURES


def read_header(file: IO[bytes]) -> ImageHeader:
    """Read the header of a TIFF; ImageError if it rules the image out."""
    with _page(file) as (page, _, _):
        return ImageHeader((page.imagewidth, page.imagelength), page.photometric in {0, 1}, _depth(page))


def read(file: IO[bytes], *, first_frame: bool, conversions: list[str]) -> tuple[Raster, int]:
    """Read the bands of a TIFF, and its orientation (1 to 8, as in EXIF).

    Args:
        file: open, at any position.
        first_frame: whether to read the first image of a file with several.
        conversions: descriptions of what was converted or left out are appended.

    Raises:
        ImageError: it holds several images, is incomplete, or is stored in a way that is not supported.
    """
    with _page(file) as (page, frames, dropped):
        if frames > 1 and not first_frame:
            raise ImageError(f"has {frames} frames: set data.first_frame to true to take the first, or remove it")
        if frames > 1:
            conversions.append("animated: first frame used")
        if dropped:
            conversions.append("smaller copies or masks within the file left out")
        orientation = int(page.tags.valueof(274, 1))
        return _resolved(page, _stored(page, file), conversions), orientation


@contextmanager
def _page(file: IO[bytes]) -> Iterator[tuple[TiffPage, int, int]]:
    """The first image of an open TIFF, the number of images, and the number of reduced copies and masks of them."""
    from tifffile import TiffFile

    file.seek(0)
    with TiffFile(file) as tiff:
        pages = [page.aspage() for page in tiff.pages]
        if not pages:
            raise ImageError("holds no image")
        own = [page for page in pages if not page.subfiletype & (REDUCED | MASK)]
        if not own:
            raise ImageError("holds only a smaller copy or a mask of its image, as raw camera files do: convert it")
        page = own[0]
        _check(page)
        yield page, len(own), len(pages) - len(own)


def _check(page: TiffPage) -> None:
    """Raise an ImageError for what is not supported."""
    bits, kinds = (_values(page, tag, default) for tag, default in ((258, 1), (339, 1)))
    photometric = page.tags.valueof(262)
    if len(set(bits)) > 1 or len(set(kinds)) > 1:
        raise ImageError(f"has bands of different types ({', '.join(map(str, bits))} bits): save them as one type")
    if kinds[0] in UNREAD_KINDS:
        raise ImageError(f"holds {UNREAD_KINDS[kinds[0]]}, which are not supported as an image")
    if photometric is None:
        raise ImageError("does not say whether 0 is black or white (PhotometricInterpretation is missing)")
    if photometric in UNREAD_COLOURS:
        raise ImageError(f"holds {UNREAD_COLOURS[photometric]}, which is not supported: convert it to grey or RGB")
    if photometric not in COLOURS:
        raise ImageError(f"holds colours of an unknown kind (PhotometricInterpretation {int(photometric)})")
    samples = page.samplesperpixel
    if samples < COLOURS[photometric] or (photometric == PALETTE and samples > 1):
        raise ImageError(f"has {samples} bands, which does not fit its colours (PhotometricInterpretation)")
    if page.dtype is None:
        raise ImageError(f"holds {bits[0]}-bit {KINDS[kinds[0]]} values, which are not supported")
    if page.imagedepth > 1:
        raise ImageError(f"is a volume of {page.imagedepth} layers: save each as an image of its own")
    size = page.imagewidth * page.imagelength * samples * page.dtype.itemsize
    if size > MAX_BYTES:
        raise ImageError(f"unpacks to {size / 2**20:,.0f} MiB, more than {MAX_BYTES >> 20:,}: make it smaller")


def _values(page: TiffPage, tag: int, default: int) -> tuple[int, ...]:
    value = page.tags.valueof(tag, default)
    return tuple(int(item) for item in value) if isinstance(value, tuple) else (int(value),)


def _depth(page: TiffPage) -> Depth:
    """The depth of the stored numbers; palettes are expanded to bytes."""
    if page.photometric == PALETTE:
        return BYTE
    bits, kind = page.bitspersample, KINDS[_values(page, 339, 1)[0]]
    white = float(2**bits - 1) if kind == "unsigned" and bits <= 16 else None
    return Depth(bits, kind, white)  # type: ignore[arg-type]


def _stored(page: TiffPage, file: IO[bytes]) -> NDArray[Any]:
    """The numbers, [height, width, bands]; ImageError if some are missing, for which tifffile returns any values."""
    end = file.seek(0, 2)
    needed = int(np.prod(page.chunked))
    segments = list(zip(page.dataoffsets, page.databytecounts, strict=False))
    if len(segments) < needed or not all(start and size for start, size in segments[:needed]):
        raise ImageError("cannot be decoded: some of its strips or tiles are missing")
    if any(start + size > end for start, size in segments[:needed]):
        raise ImageError("cannot be decoded: it is cut off")
    if page.is_subsampled and page.compression not in JPEG:
        raise ImageError(
            "holds subsampled colours without JPEG compression, which are not supported: convert it to RGB"
        )
    values: NDArray[Any] = page.asarray(squeeze=False, maxworkers=1)[:, 0]  # planes, height, width, samples
    return np.moveaxis(values[..., 0], 0, 2) if len(values) > 1 else values[0]


def _resolved(page: TiffPage, values: NDArray[Any], conversions: list[str]) -> Raster:
    """The raster of the stored numbers; palettes, CMYK and YCbCr are converted to RGB."""
    photometric, depth = int(page.photometric), _depth(page)
    if photometric == PALETTE:
        conversions.append("palette expanded")
        return Raster(_colours(page)[values[..., 0].astype(np.intp)], BYTE, colours=3)
    n_colours = COLOURS[photometric]
    extras = [0] * page.samplesperpixel
    declared = [int(extra) for extra in page.extrasamples]
    extras[n_colours:] = (declared + [0] * page.samplesperpixel)[: page.samplesperpixel - n_colours]
    alpha = next((band for band, extra in enumerate(extras) if extra in {PREMULTIPLIED, STRAIGHT}), None)
    if photometric == CMYK:
        return _cmyk_to_rgb(page, values, depth, alpha, conversions)
    if photometric == YCBCR and page.compression not in JPEG:
        values = _ycbcr_to_rgb(page, values, depth)
    unknown = page.samplesperpixel > n_colours + (alpha is not None)
    return Raster(
        values, depth,
        colours=0 if n_colours == 1 and unknown else n_colours,  # not declared which of several bands is the image
        alpha=alpha,
        premultiplied=alpha is not None and extras[alpha] == PREMULTIPLIED,
        negative=photometric == WHITE_IS_ZERO,
    )  # fmt: skip


def _colours(page: TiffPage) -> NDArray[np.uint8]:
    """The palette, uint8 [entries, 3]; some programs write bytes instead of 16 bits, which libtiff accepts as well."""
    palette = page.colormap
    if palette is None or palette.shape[1] < 2**page.bitspersample:
        raise ImageError("cannot be decoded: its palette is missing or too short")
    shift = 8 if palette.max() > 255 else 0
    colours: NDArray[np.uint8] = (palette.T >> shift).astype(np.uint8)
    return colours


def _cmyk_to_rgb(
    page: TiffPage, values: NDArray[Any], depth: Depth, alpha: int | None, conversions: list[str]
) -> Raster:
    if int(page.tags.valueof(332, 1)) != 1:
        raise ImageError(
            "holds inks other than cyan, magenta, yellow and black, which are not supported: convert it to RGB"
        )
    if alpha is not None:
        raise ImageError("holds CMYK with transparency, which is not supported: convert it to RGB")
    if depth.white is None:
        raise ImageError(f"holds CMYK of {depth.bits}-bit {depth.kind}, which is not supported: convert it to RGB")
    if page.samplesperpixel > 4:
        conversions.append(
            f"{page.samplesperpixel - 4} of {page.samplesperpixel} bands of no declared meaning left out"
        )
    conversions.append("CMYK to RGB")
    inks = Image.frombytes("CMYK", values.shape[1::-1], to_uint8(values[..., :4], None, depth).tobytes())
    return Raster(np.asarray(inks.convert("RGB")), BYTE, colours=3)


def _ycbcr_to_rgb(page: TiffPage, values: NDArray[Any], depth: Depth) -> NDArray[Any]:
    limits, weights = page.tags.valueof(532), page.tags.valueof(529)
    ratios = [
        tuple(number[::2][i] / number[1::2][i] for i in range(len(number) // 2)) if number else None
        for number in (limits, weights)
    ]
    odd_limits = ratios[0] is not None and ratios[0] != FULL_RANGE
    odd_weights = ratios[1] is not None and not np.allclose(ratios[1], COEFFICIENTS, atol=1e-3)
    if depth != BYTE or page.samplesperpixel > 3 or odd_limits or odd_weights:
        raise ImageError("holds YCbCr other than that of JPEG, which is not supported: convert it to RGB")
    pixels = np.ascontiguousarray(values)
    return np.asarray(Image.frombytes("YCbCr", pixels.shape[1::-1], pixels.tobytes()).convert("RGB"))
