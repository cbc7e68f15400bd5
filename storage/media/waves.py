"""WAV, chunks read by hand: the standard library knows only integer samples, and speech is often sent as floats, with open
lengths, or as several files joined. How many samples there are is counted; how many bytes a second the header claims
is not asked.
"""

import mmap
from typing import NamedTuple

from storage.media import sounds
from storage.media.base import Media, broken, check_rate, milliseconds
from storage.media.source import MediaSource

MAX_CHUNKS = 10_000
_OPEN = {0, 0xFFFFFFFF, 0x7FFFFFFF}  # what a stream writes, which cannot know its length
_ALMOST_OPEN = 0x7FFFF000  # from here on it may be meant so, too
_LINEAR, _FLOAT, _A_LAW, _MU_LAW, _EXTENSIBLE = 1, 3, 6, 7, 0xFFFE


class _Format(NamedTuple):
    """`frame_bytes` of one sample in all channels; 0: packed, as only a decoder knows."""

    rate: int
    frame_bytes: int


def measure(source: MediaSource) -> Media:
    """All samples of all WAVs that were joined to this one."""
    seconds, begin = 0.0, 0
    with source.open() as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for _ in range(sounds.MAX_PARTS):
            form, samples_begin, samples_end = _samples(data, begin)
            following = _next(data, samples_end)
            if form.frame_bytes:
                seconds += (samples_end - samples_begin) // form.frame_bytes / form.rate
            else:
                seconds += sounds.part_seconds(file, begin, following or len(data), "wav", seconds)
            if following is None:
                break
            begin = following
        else:
            raise sounds.too_many_parts()
    if seconds == 0:
        raise broken("the sound has no samples", cut_off=True)
    return Media("audio/wav", "wav", duration_ms=milliseconds(seconds))


def _samples(data: mmap.mmap, begin: int) -> tuple[_Format, int, int]:
    """Where the samples of the WAV that begins at `begin` lie."""
    place, form, long_length = begin + 12, None, None
    for _ in range(MAX_CHUNKS):
        name, length = data[place : place + 4], int.from_bytes(data[place + 4 : place + 8], "little")
        place += 8
        if place > len(data):
            raise broken("the sound has no samples", cut_off=True)
        if name == b"data":
            break
        if name == b"fmt ":
            form = _format(data[place : place + min(length, 40)])
        elif name == b"ds64":  # of a WAV too long for 32 bits
            long_length = int.from_bytes(data[place + 8 : place + 16], "little")
        place += length + length % 2
    else:
        raise broken("the sound has too many chunks")
    if form is None:
        raise broken("the sound does not say how fast it is")
    left = len(data) - place
    if long_length and length == 0xFFFFFFFF:
        length = long_length
    elif length in _OPEN or (length >= _ALMOST_OPEN and length > left):
        length = (_next(data, place, anywhere=True) or len(data)) - place
    if length > left:
        raise broken("the sound ends before its header says", cut_off=True)
    return form, place, place + length


def _format(body: bytes) -> _Format:
    if len(body) < 16:
        raise broken("the sound's header is cut off", cut_off=True)
    tag, channels = int.from_bytes(body[:2], "little"), int.from_bytes(body[2:4], "little")
    rate, bits = int.from_bytes(body[4:8], "little"), int.from_bytes(body[14:16], "little")
    if tag == _EXTENSIBLE:
        tag = int.from_bytes(body[24:26], "little") if len(body) >= 26 else _LINEAR
    check_rate(rate)
    if not 1 <= channels <= 64:
        raise broken(f"the sound claims {channels} channels")
    if tag not in {_LINEAR, _FLOAT, _A_LAW, _MU_LAW}:
        return _Format(rate, 0)
    if not 1 <= bits <= 64:
        raise broken(f"the sound claims samples of {bits} bits")
    return _Format(rate, channels * ((bits + 7) // 8))


def _next(data: mmap.mmap, place: int, *, anywhere: bool = False) -> int | None:
    """Where another WAV begins: behind the chunks that follow the samples, or `anywhere` where nothing says how long they are."""
    if anywhere:
        while (place := data.find(b"RIFF", place)) >= 0:
            if data[place + 8 : place + 12] == b"WAVE":
                return place
            place += 4
        return None
    for _ in range(MAX_CHUNKS):
        for at in (place, place + 1):  # samples of an odd number of bytes are padded, but not by all
            if data[at : at + 4] in {b"RIFF", b"RF64"} and data[at + 8 : at + 12] == b"WAVE":
                return at
        place += place % 2
        head = data[place : place + 8]
        if len(head) < 8:
            return None
        place += 8 + int.from_bytes(head[4:], "little")
    return None
