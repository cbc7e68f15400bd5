"""Pictures as people see them; what is no part of the picture never decides whether it can be used."""

import io
import struct
import tracemalloc
import zlib
from functools import cache

import numpy as np
import pytest
from PIL import Image

from storage.media import UnusableResult, measure, measure_picture
from tests.storage.conftest import Writer
from tests.storage.samples import (
    TURNED,
    colours_at_corners,
    moving_picture,
    picture,
    png_chunk,
    png_with,
    turned_picture,
)


def refused(file: Writer, data: bytes) -> UnusableResult:
    with pytest.raises(UnusableResult) as caught:
        measure(file(data))
    return caught.value


def thumbnail_of(data: bytes) -> Image.Image:
    found = measure_picture(data).thumbnail
    assert found is not None
    return Image.open(io.BytesIO(found))


@cache
def bomb(megabytes: int = 100) -> bytes:
    packer = zlib.compressobj(9)
    return b"".join([*(packer.compress(bytes(1 << 20)) for _ in range(megabytes)), packer.flush()])


def deep(values: np.ndarray, colour_type: int = 0) -> bytes:
    """A PNG of 16 bits: rows of numbers, one or two (with what is seen through) for each pixel."""
    height, width = values.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    chunks = png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zlib.compress(rows)) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_pictures_of_16_bits_have_a_thumbnail_with_their_own_shades(channels: int) -> None:
    ramp = np.tile(np.linspace(0, 65_535, 400), (300, 1)).astype(np.uint16)
    if channels > 1:
        ramp = np.stack([ramp] * channels, axis=-1)
        if channels in {2, 4}:
            ramp[..., -1] = 65_535
    data = deep(ramp, {1: 0, 2: 4, 3: 2, 4: 6}[channels])
    assert (measure_picture(data).width, measure_picture(data).height) == (400, 300)
    shades = np.asarray(thumbnail_of(data).convert("L"))[50]
    for at in (0.1, 0.5, 0.9):
        assert shades[int(at * 255)] == pytest.approx(at * 255, abs=12)


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("chunk", [
    png_chunk(b"zTXt", b"Comment\0\0" + bomb()), png_chunk(b"iTXt", b"Comment\0\1\0\0\0" + bomb()), png_chunk(b"iCCP", b"icc\0\0" + bomb()),
    png_chunk(b"zTXt", b"Comment\0\7nothing that zlib knows"), png_chunk(b"iTXt", b"\0\0\0"), png_chunk(b"iCCP", b"x"),
    png_chunk(b"iCCP", b"icc\0\0" + zlib.compress(np.random.default_rng(1).bytes(2 << 20))), png_chunk(b"tEXt", b""), png_chunk(b"pHYs", b""),
    png_chunk(b"gAMA", b""), png_chunk(b"sRGB", b""), png_chunk(b"eXIf", b"no exif"), png_chunk(b"teXt", b"own") * 500,
    png_chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(1 << 20))) * 70,
    png_chunk(b"tEXt", b"Comment\0hello")[:-4] + b"\0\0\0\0",
], ids=["zTXt bomb", "iTXt bomb", "iCCP bomb", "zTXt unknown", "iTXt broken", "iCCP broken", "iCCP large", "tEXt empty", "pHYs",
        "gAMA", "sRGB", "eXIf", "own", "70 zTXt", "wrong checksum"])  # fmt: skip
def test_no_text_and_no_profile_decides_whether_a_picture_can_be_used(file: Writer, chunk: bytes, last: bool) -> None:
    data = png_with(chunk, last=last)
    tracemalloc.start()
    try:
        for found in (measure(file(data)), measure_picture(data)):
            assert (found.media_type, found.width, found.height) == ("image/png", 300, 200)
            assert found.thumbnail
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


def test_a_large_chunk_that_is_no_picture_is_not_read(tmp_path) -> None:
    path, png = tmp_path / "large", picture()
    with path.open("wb") as out:
        out.write(png[:33] + struct.pack(">I", 200 << 20) + b"prVt")
        out.seek(200 << 20, io.SEEK_CUR)
        out.write(bytes(4) + png[33:])
    tracemalloc.start()
    try:
        assert measure(path).width == 300
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", ["WEBP", "AVIF", "JPEG", "GIF"])
def test_a_picture_that_its_decoder_would_take_whole_into_memory_has_a_limit(tmp_path, kind: str) -> None:
    path = tmp_path / "large"
    with path.open("wb") as out:
        out.write(picture(kind))
        out.truncate(130 << 20)
    tracemalloc.start()
    try:
        with pytest.raises(UnusableResult) as caught:
            measure(path)
        assert caught.value.code == "result_too_large"
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


def test_what_stands_in_a_jpeg_besides_the_picture_does_not_decide(file: Writer) -> None:
    jpeg = picture("JPEG")

    def segment(code: int, body: bytes) -> bytes:
        return b"\xff" + bytes([code]) + struct.pack(">H", 2 + len(body)) + body

    for besides in (
        segment(0xE1, b"Exif\0\0II*\0\xff\xff\xff\xff"), segment(0xE2, b"MPF\0II*\0\x08\0\0\0\x01\0\x02\xb0\x07\0\x10"), segment(0xFE, b"x" * 60_000) * 50,
        segment(0xE2, b"ICC_PROFILE\0\x01\x02" + bytes(60_000)), segment(0xED, b"Photoshop 3.0\x008BIM\x04"), b"\xff" * 20, bytes(100),
    ):  # fmt: skip
        found = measure(file(jpeg[:20] + besides + jpeg[20:]))
        assert (found.media_type, found.width) == ("image/jpeg", 300)
    cmyk = picture("JPEG", mode="CMYK")
    assert measure_picture(cmyk).thumbnail


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_has_the_size_and_the_thumbnail_that_people_see(kind: str, orientation: int) -> None:
    data = turned_picture(kind, orientation)
    found = measure_picture(data)
    assert (found.width, found.height) == ((300, 400) if orientation > 4 else (400, 300))
    small = thumbnail_of(data)
    assert small.size == ((192, 256) if orientation > 4 else (256, 192))
    assert colours_at_corners(small) == TURNED[orientation]


def test_a_turned_picture_that_needs_no_thumbnail_has_the_size_that_people_see() -> None:
    found = measure_picture(turned_picture("JPEG", 6, (200, 100)))
    assert (found.width, found.height, found.thumbnail) == (100, 200, None)


@pytest.mark.parametrize("orientation", [0, 9, 65_535])
def test_an_orientation_that_does_not_exist_turns_nothing(orientation: int) -> None:
    assert measure_picture(turned_picture("JPEG", orientation)).width == 400


def test_an_exif_behind_the_pixels_turns_a_png_too() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = png_with(png_chunk(b"eXIf", exif.tobytes()[6:]), last=True)
    assert (measure_picture(data).width, measure_picture(data).height) == (200, 300)


def test_avif_is_read(file: Writer) -> None:
    data = picture("AVIF")
    found = measure(file(data))
    assert (found.media_type, found.extension, found.width, found.height) == ("image/avif", "avif", 300, 200)
    assert thumbnail_of(data).size == (256, 171)
    # The brand of every picture in such a box comes first, and says only then which it is.
    assert measure(file(data.replace(b"ftypavif", b"ftypmif1", 1))).media_type == "image/avif"
    error = refused(file, data[: len(data) // 2])
    assert (error.code, error.cut_off) == ("broken_result", True)


@pytest.mark.parametrize("brand", [b"heic", b"heix", b"hevc", b"mif1"])
def test_heic_is_refused_and_the_refusal_says_what_to_send(file: Writer, brand: bytes) -> None:
    error = refused(file, struct.pack(">I", 24) + b"ftyp" + brand + bytes(4) + b"mif1heic" + bytes(500))
    assert (error.code, error.cut_off) == ("unread_kind", False)
    assert "HEIC" in error.message
    assert "JPEG" in error.message


@pytest.mark.parametrize("kind", ["PNG", "GIF", "WEBP", "AVIF"])
def test_moving_pictures_are_told_from_still_ones_and_cut_ones_from_both(file: Writer, kind: str) -> None:
    data = moving_picture(kind)
    found = measure(file(data))
    assert (found.moving, found.width, found.height) == (True, 300, 200)
    assert found.thumbnail
    assert not measure_picture(picture(kind)).moving
    for size in (len(data) - 1000, len(data) // 2, len(data) // 5):  # the first frame is whole in some of these
        assert refused(file, data[:size]).cut_off


@pytest.mark.parametrize("kind", ["PNG", "GIF", "JPEG", "WEBP"])
def test_pictures_that_end_too_early_are_told_from_those_that_are_wrong(file: Writer, kind: str) -> None:
    data = picture(kind)
    for size in (30, len(data) // 2, len(data) - 20):
        error = refused(file, data[:size])
        assert (error.code, error.cut_off) == ("broken_result", True)


def test_a_png_with_wrong_pixels_is_wrong_and_not_cut_off(file: Writer) -> None:
    data = bytearray(picture())
    data[len(data) // 2] ^= 0xFF
    error = refused(file, bytes(data))
    assert (error.code, error.cut_off) == ("broken_result", False)


def test_what_stands_behind_a_picture_does_not_decide(file: Writer) -> None:
    for kind in ("PNG", "GIF", "JPEG"):
        assert measure(file(picture(kind) + b"\0" * 100 + b"more")).width == 300
