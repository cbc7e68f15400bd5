"""The boxes of MP4, QuickTime, AVIF: enough of them to see that a file was cut off, or promises more than it can hold."""

import io
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from storage.media.base import LEAST_STEPS, STEP_BYTES, broken, too_large

NAMED = 256  # outermost boxes whose names are kept
_FOLDERS = {b"moov", b"trak", b"mdia", b"minf", b"stbl", b"moof", b"traf"}  # boxes of boxes, on the way to samples
_DEEP = 8
SPARE_SAMPLES = 1000  # that may have no byte of their own


class Row(NamedTuple):
    """The outermost boxes. `open`: the last one goes to the end of the file, wherever that is."""

    names: frozenset[bytes]
    open: bool


class _Box(NamedTuple):
    """`begin` of what it holds."""

    name: bytes
    begin: int
    end: int
    open: bool


def outer_boxes(file: BinaryIO) -> Row:
    """A row of boxes, each with its length: one that ends behind the file says that the file was cut off."""
    size, names, is_open = file.seek(0, io.SEEK_END), set[bytes](), False
    for number, box in enumerate(_boxes(file, 0, size)):
        if box.end > size:
            raise broken("the file ends before its boxes do", cut_off=True)
        if number > LEAST_STEPS + size // STEP_BYTES:
            raise too_large(f"a file of {size} bytes in more than {number} boxes")
        if len(names) < NAMED:
            names.add(box.name)
        is_open = box.open
    return Row(frozenset(names), is_open)


def check_samples(file: BinaryIO) -> None:
    """A table of samples can claim millions in a few bytes, and decoders make room for all of them: there are no more than
    the file has bytes.
    """
    size = file.seek(0, io.SEEK_END)
    most, claimed, boxes = size + SPARE_SAMPLES, 0, 0
    rows = [(_boxes(file, 0, size), 0)]
    while rows:
        row, depth = rows[-1]
        box = next(row, None)
        if box is None:
            rows.pop()
            continue
        boxes += 1
        if box.name in _FOLDERS and depth < _DEEP:
            rows.append((_boxes(file, box.begin, min(box.end, size)), depth + 1))
        claimed += _samples(file, box)
        if claimed > most or boxes > LEAST_STEPS + size // STEP_BYTES:
            raise too_large(f"a film of {size} bytes claims {claimed} samples in {boxes} boxes")


def _samples(file: BinaryIO, box: _Box) -> int:
    place = {b"stsz": 8, b"stz2": 8, b"trun": 4}.get(box.name)
    if place is None:
        return 0
    file.seek(box.begin + place)
    return int.from_bytes(file.read(4), "big")


def _boxes(file: BinaryIO, place: int, end: int) -> Iterator[_Box]:
    first = True
    while place < end:
        file.seek(place)
        head = file.read(16)
        name, length, least = head[4:8], int.from_bytes(head[:4], "big"), 8
        if not first and not _is_name(name):
            return  # what some tools leave behind the last box
        if length == 1:
            length, least = int.from_bytes(head[8:16], "big"), 16
        elif length == 0:
            yield _Box(name, place + least, end, open=True)
            return
        if length < least:
            raise broken("the file ends before its boxes do", cut_off=True)
        yield _Box(name, place + least, place + length, open=False)
        place += length
        first = False


def _is_name(name: bytes) -> bool:
    """Whether these bytes, or as many as are left of them, name a box."""
    return all(0x20 <= each < 0x7F or each == 0xA9 for each in name)
