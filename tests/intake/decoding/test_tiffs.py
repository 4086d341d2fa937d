"""TIFF files of every layout: the pixels that were written, or an error with the right reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from makeweight.core.errors import ImageError
from makeweight.intake.decoding.images import decode, read_header, span_of
from makeweight.intake.decoding.rasters import PARTIAL_OPACITY
from makeweight.intake.interface import Depth
from tests.support.images import spec

SIDE = 32
RNG = np.random.default_rng(0)
COLOUR = RNG.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
COLOUR[0, 0], COLOUR[0, 1] = 0, 255
GREY = COLOUR[..., 0].copy()


def written(path: Path, values: NDArray[Any], photometric: str = "minisblack", **options: Any) -> str:
    tifffile.imwrite(path, values, photometric=photometric, **options)
    return str(path)


def read(path: str, channels: int = 3, **changes: Any) -> NDArray[Any]:
    pixels, _ = decode(path, spec(side=SIDE, channels=channels, **changes))
    return pixels[..., 0] if channels == 1 else pixels


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("layout", [{}, {"tile": (16, 16)}, {"rowsperstrip": 5}])
@pytest.mark.parametrize("compression", [None, "lzw", "deflate", "packbits", "zstd", "lzma"])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("dtype", ["u1", "u2"])
def test_colour_in_every_layout_is_read_exactly(
    planar: str, layout: dict[str, Any], compression: str | None, order: str, dtype: str, tmp_path: Path
) -> None:
    values = COLOUR.astype(dtype) * (257 if dtype == "u2" else 1)
    predictor = {"predictor": True} if compression in {"lzw", "deflate", "zstd"} else {}
    path = written(
        tmp_path / "a.tif", values if planar == "contig" else np.moveaxis(values, -1, 0), "rgb", planarconfig=planar,
        compression=compression, byteorder=order, bigtiff=order == ">", **layout, **predictor,
    )  # fmt: skip
    assert np.array_equal(read(path), COLOUR)


@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
@pytest.mark.parametrize("bits", [1, 2, 4, 8, 10, 12, 14, 16])
def test_grey_of_any_bits_is_scaled_by_its_declared_bits(bits: int, photometric: str, tmp_path: Path) -> None:
    white = 2**bits - 1
    values = RNG.integers(0, white, (SIDE, SIDE), endpoint=True).astype(np.uint16 if bits > 8 else np.uint8)
    values[0, :2] = 0, white
    path = written(tmp_path / "a.tif", values.astype(bool) if bits == 1 else values, photometric, bitspersample=bits)
    expected = np.round(values.astype(float) * 255 / white)
    assert np.array_equal(read(path, 1), expected if photometric == "minisblack" else 255 - expected)
    assert read_header(path).depth == Depth(bits, "unsigned", white)


@pytest.mark.parametrize("dtype", ["i1", "i2", "i4", "u4", "f2", "f4", "f8"])
def test_numbers_whose_type_does_not_say_what_is_white_need_a_range(dtype: str, tmp_path: Path) -> None:
    low, high = (0, 200) if dtype[0] == "u" else (-100, 100)
    values = np.linspace(low, high, SIDE * SIDE).reshape(SIDE, SIDE).astype(dtype)
    path = written(tmp_path / "a.tif", values, compression="deflate")
    with pytest.raises(ImageError, match=rf"from {low} to {high}: set data\.value_range"):
        read(path, 1)
    assert span_of(path, spec()) == (low, high)
    pixels = read(path, 1, value_range=(float(low), float(high)))
    assert np.abs(pixels - (values.astype(float) - low) * 255 / (high - low)).max() <= 0.5


@pytest.mark.parametrize("dtype", ["u1", "u2"])
def test_a_band_without_a_meaning_is_left_out_and_counted(dtype: str, tmp_path: Path) -> None:
    values = np.dstack([COLOUR, RNG.integers(1, 255, (SIDE, SIDE, 2), dtype=np.uint8)]).astype(dtype)
    values *= 257 if dtype == "u2" else 1
    path = written(tmp_path / "a.tif", values, "rgb", extrasamples=[0, 0])
    pixels, conversions = decode(path, spec(side=SIDE))
    assert np.array_equal(pixels, COLOUR)
    assert "2 of 5 bands of no declared meaning left out" in conversions


def test_bands_are_chosen_by_their_numbers(tmp_path: Path) -> None:
    values = RNG.integers(0, 256, (13, SIDE, SIDE), dtype=np.uint8)
    path = written(tmp_path / "a.tif", values, planarconfig="separate")
    with pytest.raises(ImageError, match=r"has 13 bands, and does not say .* choose one or three with data\.bands"):
        read(path)
    pixels, conversions = decode(path, spec(side=SIDE, bands=(4, 3, 2)))
    assert np.array_equal(pixels, np.moveaxis(values[[3, 2, 1]], 0, 2))
    assert conversions == ("10 of 13 bands left out, as data.bands says",)
    assert np.array_equal(read(path, 1, bands=(13,)), values[12])
    with pytest.raises(ImageError, match=r"has 13 bands, fewer than the 14"):
        read(path, bands=(1, 2, 14))


@pytest.mark.parametrize(("bands", "extras"), [(2, [0]), (3, [0, 0])])
def test_bands_of_which_none_is_the_image_are_refused(bands: int, extras: list[int], tmp_path: Path) -> None:
    path = written(tmp_path / "a.tif", COLOUR[..., :bands].copy(), planarconfig="contig", extrasamples=extras)
    with pytest.raises(ImageError, match=rf"has {bands} bands, and does not say which"):
        read(path)


@pytest.mark.parametrize("dtype", ["u1", "u2"])
@pytest.mark.parametrize("kind", ["unassalpha", "assocalpha"])
@pytest.mark.parametrize("colours", [1, 3])
def test_declared_opacity_is_composited_over_the_background(
    colours: int, kind: str, dtype: str, tmp_path: Path
) -> None:
    full = np.iinfo(dtype).max
    values = np.full((SIDE, SIDE, colours + 1), full // 2, dtype)
    values[..., -1] = np.where(np.arange(SIDE) < SIDE // 2, full, 0)
    if kind == "assocalpha":
        values[:, SIDE // 2 :, :colours] = 0
    photometric = "rgb" if colours == 3 else "minisblack"
    path = written(tmp_path / "a.tif", values, photometric, extrasamples=[kind], planarconfig="contig")
    pixels, conversions = decode(path, spec(side=SIDE, background=(9, 99, 199)))
    assert np.abs(pixels[0, 0].astype(int) - 127).max() <= 1
    assert pixels[0, -1].tolist() == [9, 99, 199]
    assert "transparency composited over data.background" in conversions
    assert PARTIAL_OPACITY not in conversions


def test_near_infrared_that_is_called_opacity_is_noticed_and_left_out_on_request(tmp_path: Path) -> None:
    values = np.dstack([COLOUR, RNG.integers(20, 250, (SIDE, SIDE), dtype=np.uint8)])
    path = written(tmp_path / "a.tif", values, "rgb", extrasamples=["unassalpha"])
    assert PARTIAL_OPACITY in decode(path, spec(side=SIDE))[1]
    pixels, conversions = decode(path, spec(side=SIDE, bands=(1, 2, 3)))
    assert np.array_equal(pixels, COLOUR)
    assert conversions == ("1 of 4 bands left out, as data.bands says",)
    assert PARTIAL_OPACITY not in decode(path, spec(side=SIDE, bands=(1, 2, 3, 4)))[1]


@pytest.mark.parametrize("bits", [1, 4, 8])
def test_palettes_are_expanded(bits: int, tmp_path: Path) -> None:
    colours = RNG.integers(0, 256, (3, 2**bits), dtype=np.uint8)
    colours[:, 0] = 255
    values = RNG.integers(0, 2**bits, (SIDE, SIDE)).astype(bool if bits == 1 else np.uint8)
    entries = (320, 3, colours.size, tuple(int(value) * 256 for value in colours.ravel()))  # the tag ColorMap
    path = written(tmp_path / "a.tif", values, bitspersample=bits, extratags=[entries])
    with tifffile.TiffFile(path, mode="r+") as file:
        file.pages[0].aspage().tags[262].overwrite(3)
    assert np.array_equal(read(path), colours.T[values.astype(int)])
    assert decode(path, spec())[1][0] == "palette expanded"


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16", "LA"])
@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"])
def test_what_pillow_writes_is_read_as_pillow_reads_it(mode: str, compression: str, tmp_path: Path) -> None:
    image = Image.fromarray(COLOUR).convert(mode if mode != "I;16" else "L")
    if mode == "I;16":
        image = Image.fromarray(GREY.astype(np.uint16) * 257)
    image.save(tmp_path / "a.tif", compression=compression)
    expected = Image.fromarray(GREY) if mode == "I;16" else Image.open(tmp_path / "a.tif")
    difference = np.abs(read(str(tmp_path / "a.tif")).astype(int) - np.asarray(expected.convert("RGB")))
    assert difference.max() <= (mode == "YCbCr")  # libtiff rounds differently


@pytest.mark.parametrize("compression", ["group3", "group4"])
def test_faxes_are_read(compression: str, tmp_path: Path) -> None:
    image = Image.fromarray(GREY).convert("1")
    image.save(tmp_path / "a.tif", compression=compression)
    assert np.array_equal(read(str(tmp_path / "a.tif")), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("subsampling", [(1, 1), (2, 1), (2, 2)])
def test_jpeg_in_tiff_is_read(subsampling: tuple[int, int], tmp_path: Path) -> None:
    smooth = np.asarray(Image.fromarray(COLOUR[::8, ::8]).resize((SIDE, SIDE), Image.Resampling.BICUBIC))
    options = {"compressionargs": {"level": 95}, "rowsperstrip": 16, "subsampling": subsampling}
    path = written(tmp_path / "a.tif", smooth, "rgb", compression="jpeg", **options)
    with tifffile.TiffFile(path) as file:
        assert file.pages[0].aspage().photometric == 6  # YCbCr
    assert np.abs(read(path).astype(int) - smooth).mean() < 8


def test_16_bit_cmyk_is_read_as_8_bit_cmyk(tmp_path: Path) -> None:
    inks = RNG.integers(0, 256, (SIDE, SIDE, 4), dtype=np.uint8)
    eight = read(written(tmp_path / "a.tif", inks, "separated"))
    assert np.array_equal(read(written(tmp_path / "b.tif", inks.astype(np.uint16) * 257, "separated")), eight)
    assert np.array_equal(eight, np.asarray(Image.frombytes("CMYK", (SIDE, SIDE), inks.tobytes()).convert("RGB")))


def test_smaller_copies_and_masks_in_a_file_are_no_frames(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(COLOUR, photometric="rgb")
        file.write(COLOUR[::2, ::2], photometric="rgb", subfiletype=1)
    pixels, conversions = decode(str(tmp_path / "a.tif"), spec(side=SIDE))
    assert np.array_equal(pixels, COLOUR)
    assert conversions == ("smaller copies or masks within the file left out",)


@pytest.mark.parametrize(
    ("values", "photometric", "options", "reason"),
    [
        (GREY, "minisblack", {"subfiletype": 1}, "holds only a smaller copy or a mask of its image"),
        (GREY.astype(complex), "minisblack", {}, "complex numbers, which are not supported"),
        (COLOUR, "cielab", {}, r"L\*a\*b\* colours, which is not supported: convert it to grey or RGB"),
        (GREY, "cfa", {"extratags": [(33421, 3, 2, (2, 2)), (33422, 1, 4, bytes(4))]}, "a raw camera mosaic"),
        (np.stack([GREY] * 4), "minisblack", {"volumetric": True, "tile": (1, 16, 16)}, "is a volume of 4 layers"),
        (np.stack([GREY] * 4), "minisblack", {}, "has 4 frames"),
    ],
)
def test_what_is_not_supported_is_named(
    values: Any, photometric: str, options: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    path = written(tmp_path / "a.tif", values, photometric, **options)
    with pytest.raises(ImageError, match=reason):
        read(path)


@pytest.mark.parametrize("compression", [None, "lzw", "deflate", "packbits", "jpeg"])
@pytest.mark.parametrize("layout", [{}, {"tile": (16, 16)}, {"rowsperstrip": 5}])
def test_a_truncated_tiff_is_refused(compression: str | None, layout: dict[str, Any], tmp_path: Path) -> None:
    if compression == "jpeg" and "rowsperstrip" in layout:
        layout = {"rowsperstrip": 8}
    path = written(tmp_path / "a.tif", COLOUR, "rgb", compression=compression, **layout)
    content, whole = Path(path).read_bytes(), read(path)
    for size in range(8, len(content) - 1, max(1, len(content) // 40)):
        Path(path).write_bytes(content[:size])
        try:
            assert np.array_equal(read(path), whole), size
        except ImageError:
            continue
