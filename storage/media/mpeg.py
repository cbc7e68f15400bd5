"""Sounds that are nothing but frames, MPEG audio and ADTS: enough of them to know one, and to see that its last frame is
cut off. What lies in them is the decoder's to say.
"""

import mmap
from collections.abc import Callable
from typing import NamedTuple

MAX_FRAMES = 4_000_000  # looked at in one file: a day of sound

_KBIT = {
    (True, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}  # by "MPEG 1?" and layer
_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}  # by version


class Frame(NamedTuple):
    """A frame's header. `length` in bytes, the header included; `side` bytes before its first samples (layer III)."""

    length: int
    samples: int
    rate: int
    side: int


def mpeg_frame(head: bytes) -> Frame | None:
    """The frame of layer II or III that begins here. None: none does, or one of free length."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    version, layer = head[1] >> 3 & 3, 4 - (head[1] >> 1 & 3)
    kbit, rate = head[2] >> 4, head[2] >> 2 & 3
    if version == 1 or layer not in {2, 3} or kbit in {0, 15} or rate == 3:
        return None
    first = version == 3
    samples = 576 if layer == 3 and not first else 1152
    hertz = _RATES[version][rate]
    length = samples // 8 * _KBIT[first, layer][kbit] * 1000 // hertz + (head[2] >> 1 & 1)
    mono = head[3] >> 6 == 3
    side = {(True, False): 32, (True, True): 17, (False, False): 17, (False, True): 9}[first, mono]
    return Frame(length, samples, hertz, 4 + side + (0 if head[1] & 1 else 2))


def adts_frame(head: bytes) -> Frame | None:
    """The ADTS frame that begins here, or None."""
    if len(head) < 7 or head[0] != 0xFF or head[1] & 0xF6 != 0xF0 or head[2] >> 2 & 15 > 12:
        return None
    length = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
    return Frame(length, 1024, 0, 0) if length >= 7 else None


def tags_end(head_at: Callable[[int], bytes]) -> int:
    """Where the ID3 tags at the beginning end; several stand in a row where tools could not agree."""
    place = 0
    for _ in range(8):
        head = head_at(place)
        if len(head) < 10 or head[:3] != b"ID3":
            break
        length = 0
        for each in head[6:10]:
            length = length << 7 | each & 0x7F
        place += 10 + length
    return place


def ends_inside_a_frame(data: mmap.mmap, begin: int, frame_at: Callable[[bytes], Frame | None]) -> bool:
    """Whether the file ends before its last frame does. Where no frame follows a frame, tags do: nothing can be said."""
    place = begin
    for _ in range(MAX_FRAMES):
        frame = frame_at(data[place : place + 8])
        if frame is None:
            return False
        place += frame.length
        if place >= len(data):
            return place > len(data)
    return False
