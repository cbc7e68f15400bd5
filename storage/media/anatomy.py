"""Which pieces of a PNG, JPEG or GIF make up the picture.

The others (texts, comments, colour profiles, previews) can be made to unpack to gigabytes, or fill the memory as they
are, and decoders refuse whole pictures for them. They never decide whether a picture is usable: the decoder is not
given them.
"""

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from storage.media.base import LEAST_STEPS, STEP_BYTES, Larger, UnusableResult, broken, too_large

MAX_STEPS = 500_000
EXIF_BYTES = 65_536  # larger than this no segment of a JPEG can be
WINDOW_BYTES = 65_536

_MARKER = re.compile(rb"\xff[^\x00\xff]", re.DOTALL)
_BEHIND_SAMPLES = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]", re.DOTALL)  # restarts stand among samples
_PNG_CHUNKS = {b"IHDR", b"PLTE", b"tRNS", b"acTL", b"fcTL", b"fdAT", b"IDAT", b"IEND"}


@dataclass(slots=True)
class Anatomy:
    """`pieces` (begin, end) of the file, `exif` without its signature, `frames` as far as they were counted, `scans` of a
    JPEG.
    """

    pieces: list[tuple[int, int]] = field(default_factory=list)
    exif: bytes = b""
    frames: int = 1
    scans: int = 1

    def keep(self, begin: int, end: int) -> None:
        if self.pieces and self.pieces[-1][1] == begin:
            begin = self.pieces.pop()[0]
        self.pieces.append((begin, end))


def anatomy(file: BinaryIO, kind: str, most: int | None = None) -> Anatomy:
    """Raises UnusableResult where the file ends before the picture does. `most`: how many steps may be taken, behind which
    it raises Larger. None: as many as its size explains, and more are an error.
    """
    size = file.seek(0, io.SEEK_END)
    steps = min(MAX_STEPS, LEAST_STEPS + size // STEP_BYTES) if most is None else most
    found = Anatomy()
    for number, _ in enumerate({"PNG": _png, "JPEG": _jpeg, "GIF": _gif}[kind](file, found, size)):
        if number >= steps:
            if most is not None:
                raise Larger
            raise too_large(f"a picture of {size} bytes in more than {steps} parts")
    return found


def _cut_off() -> Exception:
    return broken("the picture ends too early", cut_off=True)


def _png(file: BinaryIO, found: Anatomy, size: int) -> Iterator[None]:
    found.keep(0, 8)
    place, frames = 8, 0
    while True:
        yield
        file.seek(place)
        head = file.read(8)
        length, name = int.from_bytes(head[:4], "big"), head[4:]
        if len(head) == 8 and not name.isalpha():
            raise broken("the picture's chunks do not follow each other")
        end = place + 12 + length
        if len(head) < 8 or end > size:
            raise _cut_off()
        if name in _PNG_CHUNKS:
            found.keep(place, end)
            frames += name == b"fcTL"
        elif name == b"eXIf" and length <= EXIF_BYTES:
            found.exif = file.read(length)
        place = end
        if name == b"IEND":
            found.frames = max(1, frames)
            return


def _jpeg(file: BinaryIO, found: Anatomy, size: int) -> Iterator[None]:
    """What stands before the first scan is looked at; from there on all is the picture's, and its scans are counted."""
    found.keep(0, 2)
    place = 2
    while True:
        yield
        file.seek(place)
        head = file.read(10)
        if head[:1] != b"\xff" or head[1:2] in {b"\x00", b"\xff"}:
            place = _marker(file, place)
            continue
        if len(head) < 4:
            break
        code, end = head[1], place + 2 + int.from_bytes(head[2:4], "big")
        if code == 0xDA:
            found.keep(place, size)
            yield from _count_scans(file, found, end)
            return
        if code == 0x01 or 0xD0 <= code <= 0xD8:  # they stand alone
            place += 2
            continue
        if code == 0xD9 or end > size:
            break
        if code == 0xE1 and not found.exif and head[4:] == b"Exif\0\0":
            found.exif = file.read(max(0, end - place - 10))
        # Of what applications and people add, only JFIF's and Adobe's say how the picture's colours are meant.
        if code in {0xE0, 0xEE} or not (0xE0 < code <= 0xEF or code == 0xFE):
            found.keep(place, end)
        place = end
    raise _cut_off()


def _count_scans(file: BinaryIO, found: Anatomy, place: int) -> Iterator[None]:
    """From the first scan's samples to the picture's end, or the file's."""
    while True:
        yield
        try:
            place = _marker(file, place, _BEHIND_SAMPLES)
        except UnusableResult:  # a picture that is cut off is the decoder's to find
            return
        file.seek(place)
        head = file.read(4)
        code = head[1]
        if code == 0xD9 or len(head) < 4:
            return
        found.scans += code == 0xDA
        place += 2 if code in {0x01, 0xD8} else 2 + int.from_bytes(head[2:], "big")


def _marker(file: BinaryIO, place: int, sign: re.Pattern[bytes] = _MARKER) -> int:
    """Where the next marker begins; what is no marker is passed over, as decoders do."""
    while True:
        file.seek(place)
        window = file.read(WINDOW_BYTES)
        if len(window) < 2:
            raise _cut_off()
        if found := sign.search(window):
            return place + found.start()
        place += len(window) - (window[-1] == 0xFF)


def _gif(file: BinaryIO, found: Anatomy, size: int) -> Iterator[None]:
    file.seek(0)
    head = file.read(13)
    if len(head) < 13:
        raise _cut_off()
    place = 13 + _colours(head[10])
    found.keep(0, min(place, size))
    frames = 0
    while True:
        yield
        file.seek(place)
        head = file.read(10)
        if not head and frames:  # some writers forget to say that this is all
            break
        if not head or head[:1] == b";":
            found.keep(place, min(size, place + 1))
            if not head:
                raise _cut_off()
            break
        if head[0] not in b"!,":
            place += 1
            continue
        if head[0] == 0x21:
            end = _blocks_end(file, place + 2, size)
        else:
            if len(head) < 10:
                raise _cut_off()
            frames += 1
            end = _blocks_end(file, place + 11 + _colours(head[9]), size)
        if head[:2] not in {b"!\xfe", b"!\x01", b"!\xff"}:  # comments, texts, applications' own
            found.keep(place, end)
        place = end
    found.frames = max(1, frames)


def _colours(flags: int) -> int:
    """How many bytes a table of colours has."""
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _blocks_end(file: BinaryIO, place: int, size: int) -> int:
    """Where a row of blocks ends, each of which says how long it is; the last one says 0."""
    base, window = place, b""
    while True:
        if place - base >= len(window):
            base = place
            file.seek(base)
            window = file.read(WINDOW_BYTES)
            if not window:
                raise _cut_off()
        length = window[place - base]
        place += 1 + length
        if length == 0:
            return place
        if place >= size:
            raise _cut_off()
