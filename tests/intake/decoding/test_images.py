"""Images of any mode and format are decoded to uint8 by rule, or refused with a reason."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from makeweight.core.errors import ImageError
from makeweight.intake.decoding.images import decode, fit_square, read_header, side_of, span_of
from makeweight.intake.decoding.parallel import range_problem
from makeweight.intake.decoding.rasters import to_uint8
from tests.support.images import spec

RED = (200, 100, 0)


def colour(width: int = 8, height: int = 8) -> Image.Image:
    return Image.fromarray(np.full((height, width, 3), RED, np.uint8))


def saved(path: Path, image: Image.Image, **options: Any) -> str:
    image.save(path, **options)
    return str(path)


@pytest.mark.parametrize("suffix", ["png", "webp", "bmp", "tiff", "gif", "ppm", "jpg"])
def test_every_format_gives_the_same_colours(suffix: str, tmp_path: Path) -> None:
    finest: dict[str, dict[str, Any]] = {"webp": {"lossless": True}, "jpg": {"quality": 100, "subsampling": 0}}
    pixels, conversions = decode(saved(tmp_path / f"a.{suffix}", colour(), **finest.get(suffix, {})), spec())
    assert np.abs(pixels.astype(int) - RED).max() <= (2 if suffix == "jpg" else 0)
    assert conversions == (("palette expanded",) if suffix == "gif" else ())


@pytest.mark.parametrize(
    ("mode", "suffix", "word", "expected"),
    [
        ("1", "png", "1 bit to 8", (255, 255, 255)),
        ("L", "png", "grey to RGB", (118, 118, 118)),
        ("P", "png", "palette expanded", RED),
        ("LA", "png", "transparency composited over data.background", (118, 118, 118)),
        ("RGBA", "png", "transparency composited over data.background", RED),
        ("CMYK", "jpg", "CMYK to RGB", RED),
        ("CMYK", "tiff", "CMYK to RGB", RED),
    ],
)
def test_every_mode_is_converted_and_reported(mode: str, suffix: str, word: str, expected: Any, tmp_path: Path) -> None:
    image = colour().quantize() if mode == "P" else colour().convert(mode)
    if mode == "1":
        image = Image.new("1", (8, 8), 1)
    pixels, conversions = decode(saved(tmp_path / f"a.{suffix}", image), spec())
    assert word in conversions
    assert np.abs(pixels[4, 4].astype(int) - expected).max() <= 6


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
@pytest.mark.parametrize(("background", "below"), [((0, 0, 0), 0), ((255, 255, 255), 255)])
def test_transparent_pixels_show_the_background(mode: str, background: Any, below: int, tmp_path: Path) -> None:
    rgba = np.full((8, 8, 4), (9, 9, 9, 255), np.uint8)
    rgba[:, 4:, 3] = 0
    image = Image.fromarray(rgba)
    image = image.quantize() if mode == "P" else image.convert(mode)
    pixels, _ = decode(saved(tmp_path / "a.png", image), spec(background=background, channels=1))
    assert pixels[0, :, 0].tolist() == [9] * 4 + [below] * 4


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_an_image_that_is_transparent_everywhere_is_refused(mode: str, tmp_path: Path) -> None:
    image = colour().convert("RGBA")
    image.putalpha(0)  # as in bitmaps of 32 bits whose writer left the fourth byte unset
    with pytest.raises(ImageError, match="is transparent everywhere"):
        decode(saved(tmp_path / "a.png", image.convert(mode)), spec())


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "tiff", "webp"])
def test_images_are_oriented_by_their_exif_data(orientation: int, suffix: str, tmp_path: Path) -> None:
    upright = np.zeros((16, 16), np.uint8)
    upright[:8, :8], upright[:8, 8:] = 255, 128  # white at the top left, grey beside it
    turns = {1: upright, 2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1], 5: upright.T,
             6: np.rot90(upright), 7: upright[::-1, ::-1].T, 8: np.rot90(upright, -1)}  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path / f"a.{suffix}", Image.fromarray(turns[orientation]).convert("RGB"), exif=exif)
    pixels, conversions = decode(path, spec(channels=1, side=16))
    assert np.abs(pixels[..., 0].astype(int) - upright).mean() < 6
    assert ("oriented as its EXIF data says" in conversions) == (orientation != 1)


def test_damaged_exif_data_is_reported_and_the_pixels_are_used(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.jpg", colour(), exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\x01\x12")
    pixels, conversions = decode(path, spec())
    assert pixels.shape == (8, 8, 3)
    assert [word for word in conversions if "EXIF" in word]


def sixteen(path: Path, top: int, kind: Any = np.uint16) -> str:
    return saved(path, Image.fromarray(np.linspace(0, top, 64).astype(kind).reshape(8, 8)))


@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_16_bits_are_scaled_over_their_whole_range_or_the_declared_one(suffix: str, tmp_path: Path) -> None:
    expected = np.round(np.linspace(0, 255, 64))
    pixels, conversions = decode(sixteen(tmp_path / f"a.{suffix}", 65535), spec(channels=1))
    assert np.abs(pixels.ravel() - expected).max() <= 1
    assert "16-bit grey scaled to 8 bits" in conversions
    pixels, _ = decode(sixteen(tmp_path / f"b.{suffix}", 4095), spec(channels=1, value_range=(0.0, 4095.0)))
    assert np.abs(pixels.ravel() - expected).max() <= 1


def test_12_bits_in_16_are_not_silently_turned_black(tmp_path: Path) -> None:
    assert span_of(sixteen(tmp_path / "a.png", 4095), spec()) == (0, 4095)
    reason = range_problem(read_header(str(tmp_path / "a.png")).depth, 0, 4095, 1)
    assert reason
    assert "uses 0 to 4095 of 65535 and would turn black: set data.value_range" in reason
    assert "[0, 4095]" in reason
    with pytest.raises(ImageError, match=r"values from 0 to 5000, outside data\.value_range \(0 to 4095\)"):
        decode(sixteen(tmp_path / "a.png", 5000), spec(channels=1, value_range=(0.0, 4095.0)))


def png_of_16_bits(path: Path, value: int) -> str:
    """A PNG with three channels of 16 bits, which Pillow itself cannot write."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    rows = b"".join(b"\0" + struct.pack(">24H", *[value, value // 2, 0] * 8) for _ in range(8))
    header = struct.pack(">IIBBBBB", 8, 8, 16, 2, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    )
    return str(path)


def test_16_bit_colour_is_reported_and_refused_outside_its_range(tmp_path: Path) -> None:
    pixels, conversions = decode(png_of_16_bits(tmp_path / "a.png", 65535), spec())
    assert pixels[0, 0].tolist() == [255, 127, 0]
    assert conversions == ("16-bit colour scaled to 8 bits",)
    assert span_of(png_of_16_bits(tmp_path / "a.png", 2000), spec()) == (0, 2000)
    with pytest.raises(ImageError, match=r"from 0 to 60000, outside data\.value_range \(0 to 4095\)"):
        decode(png_of_16_bits(tmp_path / "a.png", 60000), spec(value_range=(0.0, 4095.0)))


def test_dark_16_bit_colour_is_read_once_its_range_is_declared(tmp_path: Path) -> None:
    path = png_of_16_bits(tmp_path / "dark.png", 1024)
    assert "or [0, 65535] to take it as it is" in (range_problem(read_header(path).depth, 0, 1024, 1) or "")
    assert decode(path, spec(channels=3, value_range=(0, 65535)))[0].max() == 4
    assert decode(path, spec(channels=3, value_range=(0, 1024)))[0][0, 0].tolist() == [255, 128, 0]


@pytest.mark.parametrize(("declared", "top"), [(None, 65535), ((0, 4095), 4095)])
def test_where_white_is_zero_the_image_is_inverted_and_this_is_reported(
    declared: Any, top: int, tmp_path: Path
) -> None:
    values = np.linspace(0, top, 64).astype(np.uint16).reshape(8, 8)
    for photometric in (0, 1):
        path = tmp_path / f"{photometric}.tiff"
        Image.fromarray(values).save(path, tiffinfo={262: photometric})
    negative, conversions = decode(str(tmp_path / "0.tiff"), spec(value_range=declared))
    positive, others = decode(str(tmp_path / "1.tiff"), spec(value_range=declared))
    assert np.array_equal(negative, 255 - positive)
    assert "white is zero: inverted" in conversions
    assert "white is zero: inverted" not in others


def test_16_bits_are_read_in_either_order_of_bytes_and_from_a_pgm(tmp_path: Path) -> None:
    values = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    (tmp_path / "a.pgm").write_bytes(b"P5 8 8 65535\n" + values.astype(">u2").tobytes())
    entries = {256: 8, 257: 8, 258: 16, 259: 1, 262: 1, 273: 134, 277: 1, 278: 8, 279: 128}
    tags = b"".join(struct.pack(">HHIHH", tag, 3, 1, value, 0) for tag, value in entries.items())
    head = b"MM" + struct.pack(">HIH", 42, 8, len(entries)) + tags + bytes(4)
    (tmp_path / "a.tif").write_bytes(head.ljust(134, b"\0") + values.astype(">u2").tobytes())
    expected = np.round(values / 257).astype(np.uint8)
    for name in ("a.pgm", "a.tif"):
        assert np.array_equal(decode(str(tmp_path / name), spec())[0][..., 0], expected)
    assert np.array_equal(to_uint8(values.astype(">u2"), None), expected)


def test_a_transparent_grey_of_16_bits_is_listed(tmp_path: Path) -> None:
    Image.fromarray(np.full((8, 8), 60000, np.uint16)).save(tmp_path / "a.png", transparency=60000)
    with pytest.raises(ImageError, match="a grey that is transparent"):
        decode(str(tmp_path / "a.png"), spec())


@pytest.mark.parametrize(
    ("values", "declared", "reason"),
    [
        (np.linspace(0, 1, 64), None, r"32-bit float from 0 to 1: set data\.value_range"),
        (np.linspace(-1, 1, 64), (0.0, 1.0), r"from -1 to 1, outside data\.value_range \(0 to 1\)"),
        (np.full(64, np.nan), (0.0, 1.0), "holds NaN or infinite values"),
        (np.full(64, np.inf), None, "holds NaN or infinite values"),
    ],
)
def test_floats_need_a_declared_range(values: Any, declared: Any, reason: str, tmp_path: Path) -> None:
    path = saved(tmp_path / "a.tiff", Image.fromarray(values.astype(np.float32).reshape(8, 8)))
    with pytest.raises(ImageError, match=reason):
        decode(path, spec(channels=1, value_range=declared))


def test_floats_are_scaled_by_their_declared_range(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.tiff", Image.fromarray(np.linspace(-1, 1, 64, dtype=np.float32).reshape(8, 8)))
    pixels, conversions = decode(path, spec(channels=1, value_range=(-1.0, 1.0)))
    assert np.abs(pixels.ravel() - np.linspace(0, 255, 64)).max() <= 0.5
    assert conversions == ("32-bit float scaled to 8 bits",)


@pytest.mark.parametrize("suffix", ["gif", "webp", "png", "tiff"])
def test_the_first_frame_of_animated_files_is_used_on_request(suffix: str, tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 8), (value, 0, 0)) for value in (250, 20, 30)]
    options = {"lossless": True} if suffix == "webp" else {}
    path = saved(tmp_path / f"a.{suffix}", frames[0], save_all=True, append_images=frames[1:], **options)
    with pytest.raises(ImageError, match=r"has 3 frames: set data\.first_frame to true"):
        decode(path, spec())
    pixels, conversions = decode(path, spec(first_frame=True))
    assert pixels[0, 0].tolist() == [250, 0, 0]
    assert "animated: first frame used" in conversions


def test_a_cameras_jpeg_with_a_preview_is_no_animation(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.jpg", colour(), format="MPO", save_all=True, append_images=[Image.new("RGB", (8, 8))])
    pixels, conversions = decode(path, spec())
    assert np.abs(pixels[0, 0].astype(int) - RED).max() <= 8
    assert conversions == ()


@pytest.mark.parametrize(
    ("fit", "expected"),
    [("pad", [0, 0, 0, 0]), ("crop", [255, 255, 9, 9]), ("stretch", [255, 255, 9, 9])],
)
def test_an_image_that_is_not_square_is_padded_cropped_or_stretched(fit: Any, expected: list[int]) -> None:
    pixels = np.full((16, 8), 9, np.uint8)
    pixels[:, :4] = 255
    conversions: list[str] = []
    square = fit_square(Image.fromarray(pixels), spec(fit=fit, channels=1), conversions)
    assert square.shape == (8, 8, 1)
    middle = [int(square[4, column, 0]) for column in (0, 1, 6, 7)]  # between them, antialiasing blends
    assert middle == expected
    assert conversions[0].startswith("not square: ")


@pytest.mark.parametrize("fit", ["pad", "crop", "stretch"])
@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1), (3, 700)])
def test_images_of_any_aspect_ratio_become_squares(fit: Any, size: tuple[int, int]) -> None:
    assert fit_square(Image.new("RGB", size, RED), spec(fit=fit), []).shape == (8, 8, 3)


def test_padding_has_the_colour_of_the_background() -> None:
    square = fit_square(Image.new("RGB", (8, 4), RED), spec(background=(1, 2, 3)), [])
    assert square[0, 0].tolist() == [1, 2, 3]
    assert square[4, 4].tolist() == list(RED)


def test_shrinking_averages_instead_of_picking_pixels() -> None:
    checks = np.indices((64, 64)).sum(0) % 2 * 255
    small = fit_square(Image.fromarray(checks.astype(np.uint8)), spec(channels=1), [])
    assert np.abs(small.astype(int) - 127).max() <= 3


def test_large_jpegs_are_decoded_no_worse_for_being_decoded_smaller(tmp_path: Path) -> None:
    rows, columns = np.indices((1200, 1600))
    smooth = np.stack([rows % 256, columns % 256, (rows + columns) // 11], axis=2)
    image = Image.fromarray((128 + 100 * np.sin(smooth / 90)).astype(np.uint8))
    pixels, _ = decode(saved(tmp_path / "a.jpg", image, quality=95), spec(side=64))
    whole = fit_square(image, spec(side=64), [])
    assert np.abs(pixels.astype(int) - whole).mean() < 2


def test_without_a_size_images_get_their_median_shorter_side_within_bounds() -> None:
    for sizes, expected in (
        ([(28, 28), (28, 28)], 28), ([(100, 100), (100, 100)], 64), ([(20, 30), (40, 22), (26, 26)], 22),
        ([(400, 600)], 64), ([(4, 4)], 8),
    ):  # fmt: skip
        assert side_of(np.array(sizes)) == expected


def test_a_bomb_is_refused_from_its_header(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    Image.new("1", (20_000, 20_000)).save(path, optimize=True)
    assert path.stat().st_size < 60_000
    with pytest.raises(ImageError, match="more pixels than the 89,478,485 that are allowed"):
        read_header(str(path))


GROWTH = """
import re, sys
from pathlib import Path
from makeweight.intake.interface import ImageSpec
from makeweight.intake.decoding.images import decode

def peak():  # MiB
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) // 1024

before = peak()
decode(sys.argv[1], ImageSpec(64, 3, "pad", (0, 0, 0), None, False))
print(peak() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's memory statistics")
@pytest.mark.parametrize(("mode", "most"), [("1", 160), ("P", 160), ("RGB", 420)])
def test_an_image_of_few_bytes_and_many_pixels_is_in_memory_once(mode: str, most: int, tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", Image.new(mode, (9400, 9400)))
    done = subprocess.run([sys.executable, "-c", GROWTH, path], capture_output=True, text=True, check=True)
    assert int(done.stdout) < most  # it is 84 MiB at a byte a pixel, and Pillow holds RGB in four


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA"])
def test_large_images_are_reduced_to_nearly_the_same_pixels(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, columns = np.indices((300, 410))
    smooth = np.stack([rows * 0.8, columns * 0.6, (rows + columns) / 3, 255 * (rows > 99)], axis=2).astype(np.uint8)
    image = Image.fromarray(smooth)
    image = image.convert("RGB").quantize() if mode == "P" else image.convert(mode)
    whole = fit_square(image, spec(background=(9, 99, 199)), [])
    monkeypatch.setattr("makeweight.intake.decoding.images.LARGE", 4096)
    assert np.abs(fit_square(image, spec(background=(9, 99, 199)), []).astype(int) - whole).max() <= 8


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty: 0 bytes"),
        (b"hello, I am no picture", "is text, not an image"),
        (b"\0\5\x16\7\0\2\0\0Mac OS X", "AppleDouble"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "is HEIC, AVIF or a video"),
        (b"%PDF-1.4\n\xff", "is a PDF"),
        (bytes(50), "nothing but zeros"),
        (b"\xfe\xdc\x01", "is not a PNG, JPEG"),
        (b"\x89PNG\r\n\x1a\n\0\0", "cannot be|header is damaged"),
    ],
)
def test_other_content_is_named(content: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=reason):
        read_header(str(path))


def test_a_jpeg_of_12_bits_is_named(tmp_path: Path) -> None:
    values = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)
    (tmp_path / "a.jpg").write_bytes(imagecodecs.jpeg_encode(values, bitspersample=12))
    with pytest.raises(ImageError, match="is a JPEG of 12 bits, which is not supported: convert it to PNG or TIFF"):
        read_header(str(tmp_path / "a.jpg"))


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "bmp", "tiff", "gif"])
def test_a_truncated_image_is_refused_or_whole(suffix: str, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    whole = io.BytesIO()
    Image.fromarray(pixels).save(whole, "JPEG" if suffix == "jpg" else suffix.upper())
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(whole.getvalue())
    expected, _ = decode(str(path), spec(side=16))
    refused = 0
    for size in range(0, len(whole.getvalue()), 7):
        path.write_bytes(whole.getvalue()[:size])
        try:
            read_header(str(path))
            assert np.array_equal(decode(str(path), spec(side=16))[0], expected), size
        except ImageError:
            refused += 1
    assert refused >= len(whole.getvalue()) // 7 - 10


def test_a_png_with_a_wrong_checksum_is_refused(tmp_path: Path) -> None:
    path = Path(saved(tmp_path / "a.png", colour(), compress_level=0))
    content = bytearray(path.read_bytes())
    content[content.index(b"IDAT") + 20] ^= 4  # a pixel
    path.write_bytes(content)
    with pytest.raises(ImageError, match="checksum"):
        read_header(str(path))


def test_a_large_colour_profile_does_not_make_a_png_bad(tmp_path: Path) -> None:
    profile = bytes(np.random.default_rng(0).integers(0, 256, 2 << 20, np.uint8))  # Pillow's limit is 1 MiB
    path = saved(tmp_path / "a.png", colour(), icc_profile=profile)
    read_header(path)
    assert (decode(path, spec())[0][:, :] == RED).all()


def test_an_image_with_another_suffix_is_read_by_its_content(tmp_path: Path) -> None:
    _, conversions = decode(saved(tmp_path / "a.png", colour(), format="JPEG"), spec())
    assert conversions == ("a JPEG named .png: read by its content",)
