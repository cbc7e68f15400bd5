"""Films as people see them, as long as what is in them."""

import io
import math
import struct

import pytest
from PIL import Image

from storage.media import UnusableResult, base, decoding, measure
from storage.media.source import MediaSource
from tests.storage.conftest import Writer
from tests.storage.samples import TURNED, colours_at_corners, film, older, sound


def refused(file: Writer, data: bytes) -> UnusableResult:
    with pytest.raises(UnusableResult) as caught:
        measure(file(data))
    return caught.value


@pytest.mark.parametrize(("turned", "orientation"), [
    ((0, False, False), 1), ((0, True, False), 2), ((180, False, False), 3), ((0, False, True), 4),
    ((90, False, True), 5), ((-90, False, False), 6), ((90, True, False), 7), ((90, False, False), 8),
])  # fmt: skip
def test_a_film_has_the_size_and_the_thumbnail_that_people_see(file: Writer, turned, orientation: int) -> None:
    found = measure(file(film(turned=turned)))
    assert (found.width, found.height) == ((160, 320) if orientation > 4 else (320, 160))
    assert found.thumbnail is not None
    with Image.open(io.BytesIO(found.thumbnail)) as small:
        assert small.size == ((128, 256) if orientation > 4 else (256, 128))
        # Flips come after the turn in what writes this, and the eight together are the eight of EXIF in some order.
        assert colours_at_corners(small) in TURNED.values()
        if orientation in {1, 2, 3, 4, 6, 8}:
            assert colours_at_corners(small) == TURNED[orientation]


def test_all_eight_turns_of_a_film_look_different(file: Writer) -> None:
    seen = set()
    for degrees in (0, 90):
        for across in (False, True):
            for down in (False, True):
                found = measure(file(film(turned=(degrees, across, down))))
                assert found.thumbnail is not None
                with Image.open(io.BytesIO(found.thumbnail)) as small:
                    seen.add(tuple(colours_at_corners(small)))
    assert seen == {tuple(each) for each in TURNED.values()}


def test_a_film_whose_pixels_are_wide_is_wide(file: Writer) -> None:
    found = measure(file(film(aspect=2)))
    assert (found.width, found.height) == (640, 160)


def test_a_quicktime_film_older_than_ftyp_is_a_film(file: Writer) -> None:
    for options in ({}, {"movflags": "faststart"}):
        data = older(film("mov", options=options))
        assert data[4:8] in {b"wide", b"mdat", b"moov"}
        found = measure(file(data))
        assert (found.media_type, found.extension, found.width, found.duration_ms) == (
            "video/quicktime",
            "mov",
            320,
            2000,
        )
        error = refused(file, data[: len(data) // 2])
        assert (error.code, error.cut_off) == ("broken_result", True)
    # Sentences are none.
    for text in (b"I'm free of cost", b"The mdat", b"wow,wide open"):
        assert measure(file(text)).extension == "txt"


def claims(data: bytes, name: bytes, at: int, value: int) -> bytes:
    """A film whose header says something else."""
    place = data.index(name) + 4 + at
    return data[:place] + struct.pack(">I", value) + data[place + 4 :]


def test_a_film_is_as_long_as_its_frames_whatever_its_header_says(file: Writer) -> None:
    data = film(with_sound=True)
    for length in (1, 1_000_000, 0xFFFFFFFF):
        assert measure(file(claims(data, b"mvhd", 16, length))).duration_ms == pytest.approx(2000, abs=30)
    for data, ms in ((film("webm", "libvpx"), 2000), (sound("webm", "libopus"), 6000)):
        place = data.index(b"\x44\x89\x88") + 3  # a number of 64 bits
        for length in (1.0, 1e6, 1e15, math.nan, math.inf, -1.0):
            lying = data[:place] + struct.pack(">d", length) + data[place + 8 :]
            assert measure(file(lying)).duration_ms == pytest.approx(ms, abs=30)


def test_a_film_with_frames_of_weeks_is_refused(file: Writer) -> None:
    data = film()
    error = refused(file, claims(data, b"stts", 12, 0x7FFFFFFF))
    assert (error.code, error.cut_off) == ("result_too_large", False)


@pytest.mark.parametrize("options", [{}, {"live": "1"}])
def test_joined_webms_are_as_long_as_all_of_them(file: Writer, options: dict[str, str]) -> None:
    one = film("webm", "libvpx", options=options)
    assert measure(file(one * 3)).duration_ms == pytest.approx(6000, abs=200)


def test_a_film_in_fragments_that_begins_late_is_as_long_as_its_frames(file: Writer) -> None:
    data = film(options={"movflags": "frag_keyframe+empty_moov+default_base_moof"}, frames=40)
    assert measure(file(data)).duration_ms == pytest.approx(4000, abs=30)
    late = claims(data, b"tfdt", 4, 0) if data[data.index(b"tfdt") + 4] == 0 else claims(data, b"tfdt", 4, 100)
    assert measure(file(late)).duration_ms == pytest.approx(4000, abs=30)


def test_a_film_without_its_index_was_cut_off(file: Writer) -> None:
    data = film()
    at = data.index(b"moov") - 4
    error = refused(file, data[:at])
    assert (error.code, error.cut_off) == ("broken_result", True)


def test_a_film_whose_last_box_is_open_is_found_to_be_cut_off(file: Writer) -> None:
    data = film(options={"movflags": "faststart"}, frames=60)
    at = data.index(b"mdat") - 4
    opened = data[:at] + bytes(4) + data[at + 4 :]
    assert measure(file(opened)).duration_ms == 6000
    assert refused(file, opened[: at + (len(data) - at) // 2]).cut_off


def test_what_stands_behind_a_film_does_not_decide(file: Writer) -> None:
    assert measure(file(film() + b"\xff\xfe\xfd\xfc\xfb\xfa\xf9\xf8" * 4)).duration_ms == 2000


def test_a_film_that_is_larger_than_its_header_says_is_not_unpacked(file: Writer, monkeypatch) -> None:
    data = film(size=(640, 320))
    place = data.index(b"avc1") + 4 + 24
    small = data[:place] + struct.pack(">HH", 16, 16) + data[place + 4 :]
    found = measure(file(small))
    assert (found.width, found.height) == (640, 320)
    for module in ("storage.media.base", "storage.media.films"):
        monkeypatch.setattr(f"{module}.MAX_PIXELS", 100_000)
    monkeypatch.setattr("storage.media.films.OPTIONS", {"protocol_whitelist": "file", "max_pixels": "100000"})
    with file(small).open("rb") as opened, pytest.raises(UnusableResult) as caught:
        decoding.measure(MediaSource(opened.fileno()))
    assert caught.value.code in {"result_too_large", "broken_result"}


def test_a_sound_in_the_box_of_a_film_is_as_long_as_its_samples(file: Writer) -> None:
    for form, codec, media_type in (
        ("ipod", "aac", "audio/mp4"),
        ("webm", "libopus", "audio/webm"),
        ("matroska", "flac", "audio/x-matroska"),
    ):
        data = sound(form, codec)
        found = measure(file(data))
        assert found.media_type == media_type
        assert found.duration_ms == pytest.approx(6000, abs=60)
    assert measure(file(claims(sound("ipod", "aac"), b"mvhd", 16, 0xFFFFFFFF))).duration_ms == pytest.approx(
        6000, abs=60
    )
    assert base.MAX_SECONDS < 2**31 / 1000
