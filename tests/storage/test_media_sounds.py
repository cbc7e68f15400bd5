"""A sound is as long as all its samples together, whatever its headers say."""

import re
import struct

import pytest

from storage.media import UnusableResult, measure
from storage.media.base import MAX_SECONDS
from tests.storage.conftest import Writer
from tests.storage.samples import mp3_without_count, sound, wave_file

KINDS = [
    ("ogg", "libopus", "audio/ogg"), ("ogg", "flac", "audio/ogg"), ("flac", "flac", "audio/flac"),
    ("mp3", "libmp3lame", "audio/mpeg"), ("adts", "aac", "audio/aac"),
]  # fmt: skip


def refused(file: Writer, data: bytes, **options: str) -> UnusableResult:
    with pytest.raises(UnusableResult) as caught:
        measure(file(data), **options)
    return caught.value


@pytest.mark.parametrize(("form", "codec", "media_type"), KINDS)
def test_joined_sounds_are_as_long_as_all_of_them(file: Writer, form: str, codec: str, media_type: str) -> None:
    long, short = sound(form, codec), sound(form, codec, 24_000, 3)  # another rate, which decoders trip over
    for data, seconds in ((long, 6), (long + long, 12), (long + short, 9), (short + long, 9), (short * 4, 12)):
        found = measure(file(data))
        assert found.media_type == media_type
        assert found.duration_ms == pytest.approx(seconds * 1000, abs=60 * seconds)


@pytest.mark.parametrize(("form", "codec", "media_type"), KINDS)
def test_the_last_of_joined_sounds_is_found_to_be_cut_off(file: Writer, form: str, codec: str, media_type: str) -> None:
    long, short = sound(form, codec), sound(form, codec, 24_000, 3)
    for data in (long[: len(long) // 2], short + long[: len(long) // 2], long[:-3]):
        error = refused(file, data)
        assert (error.code, error.cut_off) == ("broken_result", True)


def test_an_mp3_that_does_not_count_its_frames_is_counted(file: Writer) -> None:
    plain, counting = mp3_without_count(), sound("mp3", "libmp3lame")
    tag = b"ID3\x04\x00\x00\x00\x00\x10\x00" + bytes(2048)
    for data, ms in ((plain, 6000), (plain + plain, 12_000), (plain + counting, 12_000), (counting + plain, 12_000),
                     (tag + plain, 6000), (tag + tag + counting, 6000), (mp3_without_count(8000, 6), 6000),
                     (plain + b"TAG" + bytes(125), 6000)):  # fmt: skip
        assert measure(file(data)).duration_ms == pytest.approx(ms, abs=200)
    assert refused(file, plain[:-30]).cut_off
    assert refused(file, tag[:1000]).cut_off


def test_an_mp3_of_changing_bit_rates_without_a_count_is_not_judged_by_a_guess(file: Writer) -> None:
    """The decoder guesses from the first frames; silence behind noise made that guess half as long, or twice."""
    quiet = mp3_of_silence()
    for data, ms in ((mp3_without_count() + quiet, 36_000), (quiet + mp3_without_count(), 36_000)):
        assert measure(file(data)).duration_ms == pytest.approx(ms, abs=300)


def mp3_of_silence() -> bytes:
    """30 seconds at 32 kbit/s: frames of 96 bytes."""
    return (b"\xff\xfb\x14\xc4" + bytes(92)) * 1250


def test_aac_behind_a_tag_is_aac(file: Writer) -> None:
    data = b"ID3\x04\x00\x00\x00\x00\x00\x0a" + bytes(10) + sound("adts", "aac")
    assert measure(file(data)).media_type == "audio/aac"


def test_joined_waves_are_as_long_as_all_of_them(file: Writer) -> None:
    one = wave_file(bytes(16_000))
    other = wave_file(bytes(48_000), rate=24_000, tag=1, bits=16)
    odd = wave_file(bytes(8_001), tag=1, bits=8)
    listed = wave_file(bytes(16_000), before=b"LIST\x03\x00\x00\x00abc\x00") + b"LIST\x04\x00\x00\x00abcd"
    for data, ms in (
        (one + one, 1000), (one + other, 1500), (listed + listed + other, 2000), (odd + one, 1500), (odd + b"\0" + one, 1500),
        (wave_file(bytes(16_000), length=0xFFFFFFFF) + wave_file(bytes(16_000), length=0xFFFFFFFF), 1000),
    ):  # fmt: skip
        assert measure(file(data)).duration_ms == pytest.approx(ms, abs=2)
    assert refused(file, one + one[:-1]).cut_off


@pytest.mark.parametrize("byte_rate", [0, 1, 7, 0xFFFFFFFF])
def test_a_wave_is_as_long_as_its_samples_whatever_it_says_of_its_bytes(file: Writer, byte_rate: int) -> None:
    assert measure(file(wave_file(bytes(16_000), byte_rate=byte_rate))).duration_ms == 500


@pytest.mark.parametrize("claims", [
    {"rate": 0}, {"rate": 1}, {"rate": 1999}, {"rate": 0xFFFFFFFF}, {"channels": 0}, {"channels": 65_535}, {"bits": 0},
    {"bits": 65_535},
])  # fmt: skip
def test_a_wave_whose_header_is_absurd_is_refused(file: Writer, claims: dict[str, int]) -> None:
    error = refused(file, wave_file(bytes(16_000), byte_rate=1, **claims))
    assert (error.code, error.cut_off) == ("broken_result", False)


def test_no_duration_comes_out_that_does_not_fit_its_column(file: Writer, tmp_path) -> None:
    path = tmp_path / "long"
    with path.open("wb") as out:
        out.write(wave_file(b"", length=0xFFFFFFFF, rate=2000, tag=1, bits=8))
        out.truncate(int(MAX_SECONDS * 2000) + 100_000)
    with pytest.raises(UnusableResult) as caught:
        measure(path)
    assert caught.value.code == "result_too_large"
    for claimed in ("audio/L8;rate=2000", "audio/L8;rate=1"):
        with pytest.raises(UnusableResult):
            measure(path, claimed=claimed)
    assert MAX_SECONDS * 1000 < 2**31


def test_waves_with_packed_samples_are_decoded(file: Writer) -> None:
    for codec in ("adpcm_ms", "adpcm_ima_wav", "pcm_mulaw", "pcm_alaw", "pcm_s24le", "pcm_f64le"):
        data = sound("wav", codec, 8000, 2)
        assert measure(file(data)).duration_ms == pytest.approx(2000, abs=130)
        assert measure(file(data + data)).duration_ms == pytest.approx(4000, abs=260)


def test_a_wave_of_64_bits_is_measured(file: Writer) -> None:
    one = wave_file(bytes(16_000), length=0xFFFFFFFF)
    sizes = b"ds64" + struct.pack("<IQQQI", 28, 0, 16_000, 4000, 0)
    data = b"RF64\xff\xff\xff\xffWAVE" + sizes + one[12:] + b"LIST\x04\x00\x00\x00abcd"
    assert measure(file(data)).duration_ms == 500


@pytest.mark.parametrize(("form", "codec"), [("mp4", "aac"), ("mp3", "libmp3lame"), ("flac", "flac")])
def test_a_sound_with_a_cover_is_a_sound(file: Writer, form: str, codec: str) -> None:
    found = measure(file(sound(form, codec, cover=True)))
    assert found.media_type.startswith("audio/")
    assert (found.width, found.thumbnail) == (None, None)
    assert found.duration_ms == pytest.approx(6000, abs=60)


@pytest.mark.parametrize(("claimed", "ms"), [
    ("audio/L16;rate=24000", 1000), ("audio/l16; codec=pcm; rate=24000; channels=1", 1000), ("audio/pcm;rate=24000;channels=2", 500),
    ("audio/L24;rate=8000", 2000), ('audio/x-pcm;rate="48000";bits=32', 250),
])  # fmt: skip
def test_raw_samples_are_believed_what_they_claim(file: Writer, claimed: str, ms: int) -> None:
    for first in (b"\x00\x00", b"\xff\xfb\x90\xc4", b"\xff\xf1\x50\x80"):  # the last two begin like frames
        found = measure(file(first + bytes(48_000 - len(first))), claimed=claimed)
        assert (found.extension, found.duration_ms) == ("pcm", ms)
        assert re.fullmatch(r"audio/L\d+;rate=\d+;channels=\d", found.media_type)


@pytest.mark.parametrize(
    "claimed", ["audio/pcm", "audio/L16", "audio/L16;rate=1", "audio/L16;rate=24000;channels=99", "audio/L16;rate=x"]
)
def test_raw_samples_that_do_not_say_how_fast_they_are_are_refused(file: Writer, claimed: str) -> None:
    error = refused(file, bytes(48_000), claimed=claimed)
    assert (error.code, error.cut_off) == ("broken_result", False)


def test_raw_samples_without_a_claim_and_sentences_with_one_are_no_sound(file: Writer) -> None:
    assert refused(file, bytes(48_000)).code == "unknown_result"
    assert refused(file, bytes(48_000), claimed="audio/mpeg").code == "unknown_result"
    assert measure(file(b"I cannot say that."), claimed="audio/L16;rate=24000").media_type.startswith("text/plain")
    assert measure(file(b'{"error": "no"}'), claimed="audio/pcm;rate=24000").media_type == "application/json"


def test_a_sound_without_samples_was_cut_off(file: Writer) -> None:
    for data in (wave_file(b""), sound("flac", "flac")[:86], sound("ogg", "libopus", seconds=1)[:47]):
        error = refused(file, data)
        assert (error.code, error.cut_off) == ("broken_result", True)


def test_a_sound_joined_of_very_many_files_takes_no_long_time(file: Writer) -> None:
    header = sound("flac", "flac", 8000, 0.1)
    assert refused(file, header * 1100).code == "result_too_large"
    assert refused(file, wave_file(bytes(8)) * 1100).code == "result_too_large"
