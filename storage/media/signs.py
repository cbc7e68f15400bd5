"""Which kind of file begins with these bytes, and how that is said to people."""

import re
from typing import BinaryIO

from storage.media.mpeg import adts_frame, mpeg_frame, tags_end

HEAD_BYTES = 512
SHOWN_CHARACTERS = 100

_SIGNS = (
    (0, b"\x89PNG\r\n\x1a\n", "PNG"),
    (0, b"\xff\xd8\xff", "JPEG"),
    (8, b"WEBP", "WEBP"),
    (8, b"WAVE", "WAV"),
    (0, b"GIF87a", "GIF"),
    (0, b"GIF89a", "GIF"),
    (4, b"ftyp", "MP4"),
    (0, b"\x1a\x45\xdf\xa3", "WEBM"),
    (0, b"OggS", "OGG"),
    (0, b"fLaC", "FLAC"),
    (0, b"ID3", "ID3"),
)
_FIRST_BOXES = {b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"}  # of QuickTime files older than `ftyp`
_AVIF = {b"avif", b"avis"}
_HEIC = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
_NAMES = {"WEBP": "WebP", "WEBM": "WebM", "OGG": "Ogg", "AAC": "AAC (ADTS)", "ID3": "MP3"}


def sniff(head: bytes, *, strong_only: bool = False) -> str | None:
    """The kind of file that begins with these bytes (64 are enough). `strong_only`: signs of two bytes are not believed."""
    for offset, sign, kind in _SIGNS:
        if head[offset : offset + len(sign)] == sign and (offset != 8 or head[:4] in {b"RIFF", b"RF64"}):
            return _boxed(head) if kind == "MP4" else kind
    # The first box of an old QuickTime file says how long it is, in a number whose first byte no text has.
    if head[4:8] in _FIRST_BOXES and head[0] < 9:
        return "MOV"
    return None if strong_only else _frames(head)


def _boxed(head: bytes) -> str:
    """A film, or a picture in the box of a film: the brands say which."""
    length = min(max(int.from_bytes(head[:4], "big"), 12), 64)
    brands = [head[8:12], *(head[place : place + 4] for place in range(16, length - 3, 4))]
    if brands[0] in _AVIF:
        return "AVIF"
    if brands[0] in _HEIC:
        return "AVIF" if brands[0] in {b"mif1", b"msf1"} and _AVIF & set(brands) else "HEIC"
    return "MP4"


def _frames(head: bytes) -> str | None:
    """Sounds without a header: nothing but frames."""
    if mpeg_frame(head):
        return "MP3"
    return "AAC" if adts_frame(head) else None


def after_tags(file: BinaryIO) -> str:
    """What ID3 tags stand in front of: mostly MP3."""

    def head_at(place: int) -> bytes:
        file.seek(place)
        return file.read(16)

    head = head_at(tags_end(head_at))
    if head[:4] == b"fLaC":
        return "FLAC"
    return "AAC" if adts_frame(head) else "MP3"


def describe(head: bytes) -> str:
    """What bytes that are no wanted result are, for the people who read why; `head` is their beginning, 512 are enough."""
    if not head:
        return "no bytes at all"
    kind = sniff(head)
    if kind:
        return f"a file of kind {_NAMES.get(kind, kind)}"
    text = _as_text(head)
    if text is None:
        return "unknown bytes " + head[:16].hex(" ")
    begin = re.sub(r"\s+", " ", text).strip()[:SHOWN_CHARACTERS]
    shown = "".join(each if each.isprintable() else "\ufffd" for each in begin)
    if re.match(r"<!doctype html|<html|<head|<body", shown, re.IGNORECASE):
        return f"an HTML page beginning with '{shown}'"
    if re.match(r'\{\s*["}]|\[\s*[\["{\]0-9tfn-]', shown):
        return f"JSON: {shown}"
    return f"a text beginning with '{shown}'"


def _as_text(head: bytes) -> str | None:
    """The head as UTF-8, of which the last character may be cut in two."""
    for cut in range(min(4, len(head))):
        try:
            text = head[: len(head) - cut].decode()
        except UnicodeDecodeError:
            continue
        return None if "\x00" in text else text.lstrip("\ufeff")
    return None
