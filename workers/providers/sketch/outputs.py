"""Bytes as results: whole, filled up, or cut off."""

import struct
from collections.abc import Iterator

from workers.providers.base import Output
from workers.providers.sketch.switches import Switches

FILLER_CHUNK = bytes(256 * 1024)
BOX_HEAD_BYTES = 8


def output(data: bytes, media_type: str, switches: Switches) -> Output:
    """One result, as the switches want it. Whatever its size, no more than `data` and one chunk is in memory."""
    room = max(BOX_HEAD_BYTES, (switches.size_bytes or 0) - len(data)) if switches.size_bytes else 0
    end = (len(data) + room) // 2 if switches.truncated else len(data) + room

    def chunks() -> Iterator[bytes]:
        left = end
        for chunk in _filled(data, room):
            yield chunk[:left]
            left -= len(chunk)
            if left <= 0:
                return

    return Output(chunks, switches.claimed_media_type or media_type)


def _filled(data: bytes, room: int) -> Iterator[bytes]:
    """The data and a `free` box of `room` bytes: players of MP4 skip it, and readers of the others stop before it."""
    yield data
    if room:
        yield struct.pack(">I4s", room, b"free")
        for start in range(0, room - BOX_HEAD_BYTES, len(FILLER_CHUNK)):
            yield FILLER_CHUNK[: min(len(FILLER_CHUNK), room - BOX_HEAD_BYTES - start)]
