"""Whatever the bytes are, measuring says what they are or that they are no result: nothing else is raised, and it does
not take long.
"""

import contextlib
import time
import zlib
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from storage.media import Media, UnusableResult, decoding, describe, is_picture, kinds_of, measure_picture
from storage.media.source import MediaSource
from tests.depth import examples
from tests.storage.conftest import Writer
from tests.storage.samples import (
    film,
    flipped,
    moving_picture,
    mp3_without_count,
    older,
    picture,
    sound,
    turned_picture,
    wave_file,
)

SAMPLES: dict[str, Callable[[], bytes]] = {
    "png": picture, "apng": lambda: moving_picture("PNG", (60, 40)),
    "jpeg": lambda: turned_picture("JPEG", 6), "gif": lambda: moving_picture("GIF", (60, 40)), "webp": lambda: moving_picture("WEBP", (60, 40)),
    "avif": lambda: turned_picture("AVIF", 6, (120, 80)), "wav": lambda: wave_file(bytes(4000)) * 2, "adpcm": lambda: sound("wav", "adpcm_ms", 8000, 1),
    "ogg": lambda: sound("ogg", "libopus", seconds=1) * 2, "flac": lambda: sound("flac", "flac", 8000, 1) * 2, "mp3": lambda: sound("mp3", "libmp3lame", seconds=1) * 2,
    "mp3 uncounted": lambda: mp3_without_count(24_000, 1), "aac": lambda: sound("adts", "aac", seconds=1), "m4a": lambda: sound("mp4", "aac", seconds=1, cover=True),
    "mp4": lambda: film(frames=4, with_sound=True, turned=(90, False, False)), "fragments": lambda: film(frames=4, options={"movflags": "frag_keyframe+empty_moov"}),
    "mov": lambda: older(film("mov", frames=4)), "webm": lambda: film("webm", "libvpx", frames=4) * 2, "live webm": lambda: film("webm", "libvpx", frames=4, options={"live": "1"}),
    "svg": lambda: b'<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY x "y">]><svg width="5" height="6"><a>&x;</a></svg>', "json": lambda: b'{"a": [1, "\xc3\xa9"]}',
}  # fmt: skip

made = lru_cache(maxsize=None)(lambda name: SAMPLES[name]())


def judged(path: Path, **options: str) -> Media | UnusableResult:
    """In this process, which is quicker by ten times. The same in the sandbox: tests/storage/test_sandbox.py."""
    try:
        with path.open("rb") as opened:
            return decoding.measure(MediaSource(opened.fileno()), **options)
    except UnusableResult as error:
        return error


def outcome(file: Writer, data: bytes, **options: str) -> Media | UnusableResult:
    begin = time.thread_time()
    found = judged(file(data), **options)
    if isinstance(found, UnusableResult):
        assert found.code in {
            "empty_result",
            "broken_result",
            "unknown_result",
            "unread_kind",
            "result_too_large",
            "unexpected_page",
        }
        assert found.message
        assert found.message.isprintable()
    else:
        assert kinds_of(found)
        assert found.duration_ms is None or 0 <= found.duration_ms < 2**31
        assert all(side is None or 0 < side < 2**31 for side in (found.width, found.height))
        assert not found.media_type.startswith(("audio/", "video/")) or found.duration_ms is not None
    if is_picture(data[:64]):
        with contextlib.suppress(UnusableResult):
            measure_picture(data)
    assert describe(data[:512]).isprintable()
    assert time.thread_time() - begin < 5
    return found


@pytest.mark.parametrize("name", SAMPLES)
def test_every_sample_is_read_whole(file: Writer, name: str) -> None:
    assert isinstance(outcome(file, made(name)), Media)


@pytest.mark.parametrize("name", SAMPLES)
def test_a_file_cut_anywhere_is_refused_or_read(file: Writer, name: str) -> None:
    data = made(name)
    for size in {
        0,
        1,
        3,
        4,
        7,
        8,
        12,
        15,
        16,
        20,
        24,
        32,
        33,
        40,
        44,
        60,
        64,
        *(len(data) * n // 24 for n in range(24)),
        len(data) - 1,
    }:
        if size < len(data):
            outcome(file, data[:size])


@pytest.mark.parametrize("name", SAMPLES)
def test_a_file_with_wrong_bits_is_refused_or_read(file: Writer, name: str) -> None:
    data = made(name)
    for seed in range(12):
        outcome(file, flipped(data, seed))
        # Headers are where lies are told.
        outcome(file, flipped(data[:200], seed, 3) + data[200:])
        outcome(file, data[: len(data) // 2] + flipped(data[len(data) // 2 :], seed, 3))


@given(data=st.data())
@settings(
    max_examples=examples(150),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)
def test_a_number_anywhere_in_a_file_may_be_any(file: Writer, data: st.DataObject) -> None:
    whole = made(data.draw(st.sampled_from(list(SAMPLES))))
    at = data.draw(st.integers(0, max(0, min(len(whole) - 4, 2000))))
    number = data.draw(st.sampled_from([0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFFFF00, 0x00010000]))
    outcome(file, whole[:at] + number.to_bytes(4, data.draw(st.sampled_from(["big", "little"]))) + whole[at + 4 :])


HEADS = [
    b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF\0\0\0\0WEBP", b"RIFF\0\0\0\0WAVE", b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0", b"RF64\xff\xff\xff\xffWAVE", b"GIF89a",
    b"\0\0\0\x18ftypmp42", b"\0\0\0\x18ftypavif", b"\0\0\0\x08moov", b"\x1a\x45\xdf\xa3", b"OggS", b"fLaC", b"fLaC\0\0\0\x22", b"ID3\x04\0\0\0\0\0\x0a", b"\xff\xfb\x90\x64",
    b"\xff\xf1\x50\x80\x02\x1f", b"<svg ", b"<!doctype ", b"{", b"\xef\xbb\xbf",
]  # fmt: skip


@given(
    head=st.sampled_from(HEADS),
    tail=st.binary(max_size=300),
    claimed=st.sampled_from(["", "audio/L16;rate=8000", "audio/pcm", "text/plain", ";;=;"]),
)
@example(head=b"OggS", tail=b"\0" * 22 + b"\xff" + b"\xff" * 255, claimed="")
@settings(
    max_examples=examples(400),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)
def test_any_bytes_behind_any_sign_are_refused_or_read(file: Writer, head: bytes, tail: bytes, claimed: str) -> None:
    outcome(file, head + tail, claimed=claimed, ordered="text")


def test_small_files_that_are_much_work_are_little_work(file: Writer) -> None:
    for data in (
        b"\xff\xd8" + b"\xff\xe0\x00\x02" * 500_000, b"\xff\xd8\xff" + bytes(5_000_000), b"GIF89a\x01\0\x01\0\0\0\0" + b"\0" * 600_000,
        b"\x89PNG\r\n\x1a\n" + (b"\0\0\0\0teXt" + zlib.crc32(b"teXt").to_bytes(4, "big")) * 200_000, b"\0\0\0\x08free" * 200_000 + b"\0\0\0\x08moov",
        (b"OggS" + bytes(23)) * 100_000, b"\xff\xfb\x14\xc4" * 500_000, b"fLaC\0\0\0\x22" * 100_000, (b"RIFF\x04\0\0\0WAVE") * 100_000, b"\x1a\x45\xdf\xa3\x80\x18\x53\x80\x67\x80" * 100_000,
    ):  # fmt: skip
        assert isinstance(outcome(file, data), UnusableResult)
