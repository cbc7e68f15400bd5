"""Results are measured from their bytes; what is broken or unknown is no result."""

import io
import resource
import struct
import wave
import zlib

import pytest
from PIL import Image

from storage.media import UnusableResult, measure
from storage.media.signs import sniff
from tests.storage.samples import picture
from workers.providers.sketch import render


@pytest.mark.parametrize(("kind", "media_type"), [
    ("PNG", "image/png"), ("JPEG", "image/jpeg"), ("WEBP", "image/webp"), ("GIF", "image/gif"),
])  # fmt: skip
def test_pictures(file, kind: str, media_type: str) -> None:
    media = measure(file(picture(kind)))
    assert (media.media_type, media.width, media.height) == (media_type, 300, 200)
    assert media.thumbnail is not None
    with Image.open(io.BytesIO(media.thumbnail)) as small:
        assert (small.format, max(small.size)) == ("WEBP", 256)


def test_films_and_sounds(file) -> None:
    film = measure(file(render.film({"prompt": "x", "duration_seconds": 5}, lambda: None, lambda _p: None)))
    assert (film.media_type, film.width, film.height, film.duration_ms) == ("video/mp4", 640, 360, 5000)
    assert film.thumbnail
    out = io.BytesIO()
    with wave.open(out, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(bytes(8000))
    media = measure(file(out.getvalue()))
    assert (media.media_type, media.duration_ms) == ("audio/wav", 500)
    with pytest.raises(UnusableResult):
        measure(file(out.getvalue()[:4000]))


def test_texts(file) -> None:
    assert measure(file(b'{"a": 1}')).media_type == "application/json"
    assert measure(file("grüße".encode())).media_type.startswith("text/plain")


@pytest.mark.parametrize("data", [
    picture()[:1000], picture("JPEG")[:500], b"\x89PNG\r\n\x1a\n", b"\x00\x01\x02\x03" * 100, b"MZ\x90\x00" + bytes(100),
    b"<!DOCTYPE html><html>502 Bad Gateway</html>", b"\x00\x00\x00\x18ftypmp42" + bytes(100), b"RIFF\x00\x00\x00\x00WAVEfmt ",
])  # fmt: skip
def test_what_is_broken_or_unknown_is_refused(file, data: bytes) -> None:
    with pytest.raises(UnusableResult) as caught:
        measure(file(data))
    assert caught.value.code in {"broken_result", "unknown_result", "unexpected_page"}


def test_a_picture_of_too_many_pixels_is_refused_before_it_is_unpacked(file) -> None:
    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    bomb = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk)) + bytes(50)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(UnusableResult):
        measure(file(bomb))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # KiB


def test_signs_are_enough() -> None:
    assert sniff(b"OggS" + bytes(20)) == "OGG"
    assert sniff(b"RIFF1234AVI ") is None
    assert sniff(b"") is None
