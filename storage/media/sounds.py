"""Sounds: how long they are is counted in samples, part by part where several files were joined to one."""

import mmap
import re
from collections.abc import Callable, Iterator
from typing import BinaryIO, NamedTuple, cast

import av
from av.container import InputContainer

from storage.media.base import (
    MAX_PIXELS,
    Media,
    UnusableResult,
    broken,
    check_rate,
    check_seconds,
    milliseconds,
    too_large,
)
from storage.media.mpeg import Frame, adts_frame, ends_inside_a_frame, mpeg_frame, tags_end
from storage.media.pieces import Pieces
from storage.media.source import MediaSource

MAX_PARTS = 1_000  # joined to one file
DECODED_SECONDS = (
    30 * 60.0
)  # of a sound; the rest is counted in packets, which is ten times faster and a little less exact
MISSING_SECONDS = {"FLAC": 0.01}  # how much may be missing from what a header promises; the others pad:
PADDED_SECONDS = 1.0
MAX_PAGES = 1_000_000  # of an Ogg; behind them nothing is looked for
OPTIONS = {"protocol_whitelist": "file", "max_pixels": str(MAX_PIXELS)}

_TYPES = {
    "OGG": ("audio/ogg", "ogg", "ogg"),
    "FLAC": ("audio/flac", "flac", "flac"),
    "MP3": ("audio/mpeg", "mp3", "mp3"),
    "AAC": ("audio/aac", "aac", "aac"),
}  # media type, extension, the demuxer's name
_STREAMINFO = b"fLaC\x00\x00\x00\x22"
_FRAME_COUNT = re.compile(rb"\xff[\xe2-\xff][\x10-\xef].[\x00-\xff]{0,2}\x00{9,32}(Xing|Info|VBRI)", re.DOTALL)


class StreamPart(NamedTuple):
    """One of the files that were joined. `promised`: the seconds that its header says; None: it does not."""

    begin: int
    end: int
    promised: float | None = None


def measure(source: MediaSource, kind: str) -> Media:
    """Raises UnusableResult."""
    media_type, extension, demuxer = _TYPES[kind]
    seconds, missing = 0.0, MISSING_SECONDS.get(kind, PADDED_SECONDS)
    with source.open() as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for number, part in enumerate(_PARTS[kind](data)):
            if number >= MAX_PARTS:
                raise too_many_parts()
            found = part_seconds(file, part.begin, part.end, demuxer, seconds)
            if part.promised is not None and found + missing < part.promised:
                raise broken(f"the sound ends after {found:.1f} of {part.promised:.1f} seconds", cut_off=True)
            seconds += found
    return Media(media_type, extension, duration_ms=milliseconds(seconds))


def too_many_parts() -> UnusableResult:
    return too_large(f"the sound is joined of more than {MAX_PARTS} files")


def part_seconds(file: BinaryIO, begin: int, end: int, demuxer: str, before: float = 0.0) -> float:
    """How long one part sounds; `before`: the seconds of those before it."""
    source = cast(BinaryIO, Pieces(file, [(begin, end)]))  # a RawIOBase reads whatever a BinaryIO does
    try:
        with av.open(source, "r", format=demuxer, options=OPTIONS) as container:
            if not container.streams.audio:
                raise broken("there is no sound in it")
            return counted_seconds(container, before)
    except av.error.EOFError as error:
        raise broken("the sound ends in its header", cut_off=True) from error


def counted_seconds(container: InputContainer, before: float = 0.0) -> float:
    """The samples of the first sound, decoded. Raises UnusableResult where there are none or most cannot be decoded."""
    seconds, good, bad = 0.0, 0, 0
    for packet in container.demux(container.streams.audio[0]):
        if before + seconds < DECODED_SECONDS:
            try:
                frames = packet.decode()
            except av.error.FFmpegError:
                bad += 1
                continue
            for frame in frames:
                check_rate(frame.sample_rate)
                seconds += frame.samples / frame.sample_rate
                good += 1
        elif packet.duration and packet.time_base:
            seconds += float(packet.duration * packet.time_base)
        check_seconds(before + seconds)
    if bad > good:
        raise broken("most of the sound cannot be decoded", cut_off=bad == 1)  # its only packet is its last
    if seconds <= 0:
        raise broken("there is no sound in it", cut_off=True)
    return seconds


# Parts


def _flac(data: mmap.mmap) -> Iterator[StreamPart]:
    begins = list(_all(data, _STREAMINFO)) or [0]
    for begin, end in zip(begins, [*begins[1:], len(data)], strict=True):
        numbers = int.from_bytes(data[begin + 18 : begin + 26], "big")
        rate, samples = numbers >> 44, numbers & 0xFFFFFFFFF
        place, last = begin + 4, False
        while not last:  # what else a header holds: comments, a cover
            head = data[place : place + 4]
            place += 4 + int.from_bytes(head[1:], "big")
            if len(head) < 4 or place >= end:
                raise broken("the sound ends in its header", cut_off=True)
            last = bool(head[0] & 0x80)
        yield StreamPart(begin, end, samples / rate if rate and samples else None)


def _all(data: mmap.mmap, sign: bytes) -> Iterator[int]:
    """Where the sign stands, at most once more often than parts are looked at."""
    at = -1
    for _ in range(MAX_PARTS + 1):
        at = data.find(sign, at + 1)
        if at < 0:
            return
        yield at


def _ogg(data: mmap.mmap) -> Iterator[StreamPart]:
    """A row of pages, each with its length. A page that begins a stream, behind one that did not, begins another file."""
    begin, place, beginning = 0, 0, True
    for _ in range(MAX_PAGES):
        head = data[place : place + 27]
        if head[:4] != b"OggS":
            following = data.find(b"OggS", place + 1)
            if following < 0:
                break
            place = following
            continue
        table = data[place + 27 : place + 27 + head[26]] if len(head) == 27 else b""
        end = place + 27 + len(table) + sum(table)
        if len(head) < 27 or len(table) < head[26] or end > len(data):
            raise broken("the sound ends inside a page", cut_off=True)
        begins = bool(head[5] & 2)
        if begins and not beginning:
            yield StreamPart(begin, place)
            begin = place
        beginning, place = begins, end
    yield StreamPart(begin, len(data))


def _mp3(data: mmap.mmap) -> Iterator[StreamPart]:
    """The frame that counts the others begins a part; those without one are one part, which the decoder goes through."""
    begin = _behind_tags(data)
    first, promised = begin, None
    for at, promise in _frame_counts(data):
        if at > begin and (begin > first or mpeg_frame(data[begin : begin + 4])):
            yield StreamPart(begin, at, promised)
        begin, promised = at, promise
    yield StreamPart(begin, _whole(data, begin, mpeg_frame), promised)


def _frame_counts(data: mmap.mmap) -> Iterator[tuple[int, float | None]]:
    """Where frames that count the others begin, and the seconds they promise."""
    for match in _FRAME_COUNT.finditer(data):
        at = match.start()
        frame = mpeg_frame(data[at : at + 4])
        sign = match[1]
        if frame is None or match.start(1) - at != (36 if sign == b"VBRI" else frame.side):
            continue
        header = data[match.end() : match.end() + 14]
        if sign == b"VBRI":
            count = int.from_bytes(header[10:14], "big")
        else:
            count = int.from_bytes(header[4:8], "big") if header[3:4] and header[3] & 1 else 0
        yield at, count * frame.samples / frame.rate if count else None


def _aac(data: mmap.mmap) -> Iterator[StreamPart]:
    begin = _behind_tags(data)
    yield StreamPart(begin, _whole(data, begin, adts_frame))


def _behind_tags(data: mmap.mmap) -> int:
    begin = tags_end(lambda place: data[place : place + 10])
    if begin >= len(data):
        raise broken("the sound ends inside its tag", cut_off=True)
    return begin


def _whole(data: mmap.mmap, begin: int, frame_at: Callable[[bytes], Frame | None]) -> int:
    """The file's end, unless its last frame is cut off."""
    if ends_inside_a_frame(data, begin, frame_at):
        raise broken("the sound ends inside a frame", cut_off=True)
    return len(data)


_PARTS: dict[str, Callable[[mmap.mmap], Iterator[StreamPart]]] = {"OGG": _ogg, "FLAC": _flac, "MP3": _mp3, "AAC": _aac}
