"""The boxes of MP4, QuickTime, AVIF: enough of them to see that a file was cut off."""

import io
from typing import BinaryIO, NamedTuple

from storage.media.base import broken

MAX_BOXES = 200_000  # looked at in one file; a film in fragments has two for each second or so


class Row(NamedTuple):
    """The outermost boxes. `open`: the last one goes to the end of the file, wherever that is."""

    names: frozenset[bytes]
    open: bool


def outer_boxes(file: BinaryIO) -> Row:
    """A row of boxes, each with its length: one that ends behind the file says that the file was cut off."""
    size, place, names = file.seek(0, io.SEEK_END), 0, set[bytes]()
    for _ in range(MAX_BOXES):
        if place >= size:
            break
        file.seek(place)
        head = file.read(16)
        name, length, least = head[4:8], int.from_bytes(head[:4], "big"), 8
        if names and not _is_name(name):
            break  # what some tools leave behind the last box
        if length == 1:
            length, least = int.from_bytes(head[8:16], "big"), 16
        elif length == 0:
            return Row(frozenset(names | {name}), open=True)
        if length < least or place + length > size:
            raise broken("the file ends before its boxes do", cut_off=True)
        names.add(name)
        place += length
    return Row(frozenset(names), open=False)


def _is_name(name: bytes) -> bool:
    """Whether these bytes, or as many as are left of them, name a box."""
    return all(0x20 <= each < 0x7F or each == 0xA9 for each in name)
