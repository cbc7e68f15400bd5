"""Every kind of file that is known: whole, cut off, lying about itself, and very large."""

import io
import json
import struct
import tracemalloc
from pathlib import Path

import pytest
from PIL import Image

from storage.media import UnusableResult, measure, texts
from tests.storage import samples
from tests.storage.conftest import Writer
from tests.storage.samples import sound, wave_file
from workers.providers.base import Done, Request
from workers.providers.sketch import Sketch, render


@pytest.fixture(scope="module")
def film() -> bytes:
    return render.film({"prompt": "silk", "duration_seconds": 1}, lambda: None)


def refused(path: Path) -> str:
    with pytest.raises(UnusableResult) as caught:
        measure(path)
    assert caught.value.message
    return caught.value.code


@pytest.mark.parametrize(("form", "codec", "media_type", "extension"), [
    ("ogg", "libopus", "audio/ogg", "ogg"), ("flac", "flac", "audio/flac", "flac"), ("mp3", "libmp3lame", "audio/mpeg", "mp3"),
    ("ipod", "aac", "audio/mp4", "m4a"), ("webm", "libopus", "audio/webm", "weba"),
])  # fmt: skip
def test_sounds_of_every_kind(file: Writer, form: str, codec: str, media_type: str, extension: str) -> None:
    found = measure(file(sound(form, codec)))
    assert (found.media_type, found.extension, found.width, found.thumbnail) == (media_type, extension, None, None)
    assert found.duration_ms == pytest.approx(6000, abs=120)


@pytest.mark.parametrize(
    ("form", "codec"), [("flac", "flac"), ("mp3", "libmp3lame"), ("ipod", "aac"), ("webm", "libopus")]
)
def test_a_sound_that_was_cut_off_is_found_out(file: Writer, form: str, codec: str) -> None:
    data = sound(form, codec)
    assert refused(file(data[: len(data) // 2])) == "broken_result"


@pytest.mark.parametrize("live", [False, True])
def test_a_webm_knows_its_length_even_when_its_header_does_not(file: Writer, live: bool) -> None:
    data = samples.film("webm", "libvpx", options={"live": "1"} if live else {})
    found = measure(file(data))
    assert (found.media_type, found.extension, found.width, found.height) == ("video/webm", "webm", 320, 160)
    assert found.duration_ms == pytest.approx(2000, abs=150)
    assert found.thumbnail is not None
    with Image.open(io.BytesIO(found.thumbnail)) as small:
        assert small.size == (256, 128)
    if not live:
        assert refused(file(data[:-100])) == "broken_result"


def test_a_film_that_was_cut_off_is_found_out_although_it_begins_well(file: Writer, film: bytes) -> None:
    assert measure(file(film)).duration_ms == 1000
    for size in (len(film) - 1, len(film) // 2, 100):
        assert refused(file(film[:size])) == "broken_result"


def test_waves_of_floats_and_of_streams_are_measured(file: Writer) -> None:
    samples = bytes(16_000)
    assert measure(file(wave_file(samples))).duration_ms == 500
    assert measure(file(wave_file(samples, tag=0xFFFE, bits=16))).duration_ms == 1000
    assert measure(file(wave_file(samples, before=b"LIST\x03\x00\x00\x00abc\x00"))).duration_ms == 500
    for unknown in (0xFFFFFFFF, 0, 0x7FFFFFFF):  # what a server writes that streams while it speaks
        assert measure(file(wave_file(samples, length=unknown))).duration_ms == 500
    assert refused(file(wave_file(samples, length=16_001))) == "broken_result"
    assert refused(file(wave_file(samples, bits=0))) == "broken_result"


def test_small_pictures_have_no_thumbnail_and_others_keep_what_is_seen_through(file: Writer) -> None:
    for size, wanted in (((200, 256), None), ((400, 100), (256, 64))):
        out = io.BytesIO()
        Image.new("RGBA", size, (255, 0, 0, 0)).save(out, "PNG")
        thumbnail = measure(file(out.getvalue())).thumbnail
        if wanted is None:
            assert thumbnail is None
            continue
        assert thumbnail is not None
        with Image.open(io.BytesIO(thumbnail)) as small:
            assert (small.size, small.mode) == (wanted, "RGBA")


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "YCbCr"])
def test_pictures_of_every_mode_have_a_thumbnail(file: Writer, mode: str) -> None:
    out = io.BytesIO()
    Image.new(mode, (300, 300)).save(out, "JPEG" if mode in {"CMYK", "YCbCr"} else "PNG")
    assert measure(file(out.getvalue())).thumbnail


@pytest.mark.parametrize("side", [7_100, 12_000, 30_000])
def test_too_many_pixels_have_one_code_whatever_their_number(file: Writer, side: int) -> None:
    out = io.BytesIO()
    Image.new("1", (16, 16)).save(out, "GIF")
    data = bytearray(out.getvalue())
    data[6:10] = struct.pack("<HH", side, side)
    tracemalloc.start()
    try:
        assert refused(file(bytes(data))) == "result_too_large"
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


def test_a_claim_of_another_type_changes_nothing(file: Writer) -> None:
    outcome = Sketch().start(
        Request("image", "image", {"width": 300, "height": 64}, {"claimed_media_type": "audio/wav"}), "job:1"
    )
    assert isinstance(outcome, Done)
    assert measure(file(b"".join(outcome.outputs[0].chunks()))).media_type == "image/png"


@pytest.mark.parametrize("model", ["image", "video", "speech"])
def test_what_sketch_cuts_off_is_never_taken_for_a_result(file: Writer, model: str) -> None:
    values = {"prompt": "silk", "text": "hello there", "duration_seconds": 1, "width": 300, "height": 300}
    outcome = Sketch().start(Request(model, "image", values, {"truncated": True}), "job:1")
    assert isinstance(outcome, Done)
    assert refused(file(b"".join(outcome.outputs[0].chunks()))) == "broken_result"


def test_texts_are_json_only_as_objects_and_lists(file: Writer) -> None:
    for text in ("42", "null", '"yes"', "{broken", "[" * 100_000, " ", "\ufeffhello"):
        assert measure(file(text.encode())).media_type == "text/plain; charset=utf-8"
    assert measure(file(json.dumps([1, {"a": "é"}]).encode())).media_type == "application/json"
    assert refused(file("étude".encode("latin-1"))) == "unknown_result"
    assert refused(file("é".encode()[:1])) == "broken_result"
    assert refused(file(b"")) == "empty_result"
    # A character that lies on the border of two chunks is whole all the same.
    assert measure(file(b"a" * (texts.CHUNK_BYTES - 1) + "é".encode() * 10)).extension == "txt"


@pytest.mark.parametrize("model", ["video", "speech", "image"])
def test_200_mb_are_streamed_and_measured_in_little_memory(tmp_path: Path, model: str) -> None:
    size, path = 200 * 1024 * 1024, tmp_path / "large"
    values = {"prompt": "silk", "text": "hello", "duration_seconds": 1, "width": 300, "height": 300}
    request = Request(model, "image", values, {"size_bytes": size})
    outcome = Sketch().start(request, "job:1")
    assert isinstance(outcome, Done)
    tracemalloc.start()
    before = _resident_bytes()
    try:
        with path.open("wb") as out:
            for chunk in outcome.outputs[0].chunks():
                out.write(chunk)
        found = measure(path)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()
    assert path.stat().st_size == size
    assert found.media_type == {"video": "video/mp4", "speech": "audio/wav", "image": "image/png"}[model]
    assert model != "video" or found.duration_ms == 1000
    assert _resident_bytes() - before < 60_000_000


def test_a_text_of_100_mb_is_read_in_pieces(tmp_path: Path) -> None:
    path = tmp_path / "large"
    with path.open("wb") as out:
        for _ in range(100):
            out.write(b"[1234567890, 123]\n" * 58_254)
    tracemalloc.start()
    try:
        assert measure(path).extension == "txt"
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


def _resident_bytes() -> int:
    """This process's memory now, what decoders took outside Python included (Linux; elsewhere 0)."""
    status = Path("/proc/self/statm")
    return int(status.read_text().split()[1]) * 4096 if status.exists() else 0
