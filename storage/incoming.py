"""Files that clients give as inputs: to disk with a limit, then told from their bytes what they are."""

import base64
import binascii
import re
from collections.abc import Hashable, Iterable, Iterator
from pathlib import Path
from typing import IO

from common import spooling
from common.spooling import Spooled
from storage.media import SVG, Media, UnusableResult, measure

PIECE_CHARACTERS = 1024 * 1024  # of a data: URI decoded at a time; a multiple of four
_DATA_URI = re.compile(r"data:[a-zA-Z0-9.+-]*/?[a-zA-Z0-9.+-]*(;[a-zA-Z0-9.+-]+=[^;,]{0,100})*;base64,", re.ASCII)
_FILES = {
    "broken_result": ("broken_file", "the file is broken, or not what it begins as"),
    "empty_result": ("empty_file", "the file is empty"),
    "result_too_large": ("file_too_large", None),
    "unread_kind": ("unknown_file", None),
    "unknown_result": ("unknown_file", "the file is of no kind that is known"),
}  # how a result's codes are said of a file, and in which words if not in its own


class RefusedFile(Exception):
    """A file cannot be an input. Codes: empty_file, broken_file, unknown_file, unwanted_file, file_too_large, invalid_data_uri."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def spool(chunks: Iterable[bytes], file: IO[bytes], max_bytes: int) -> Spooled:
    """Write a stream to disk. Raises RefusedFile (empty_file, file_too_large)."""
    spooled = spooling.spool(_bounded(chunks, max_bytes), file)
    if spooled.size_bytes == 0:
        raise RefusedFile("empty_file", "the file is empty")
    return spooled


def _bounded(chunks: Iterable[bytes], max_bytes: int) -> Iterator[bytes]:
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if size > max_bytes:
            raise RefusedFile("file_too_large", f"the file has more than {max_bytes} bytes")
        yield chunk


def examine(path: Path, account: Hashable) -> Media:
    """What a file on disk is. Raises RefusedFile where it is broken, has too many pixels, or is no picture, sound or film;
    SandboxAway where nobody can read it just now.
    """
    try:
        media = measure(path, account=account)
    except UnusableResult as error:
        # What the bytes were is for those who asked a provider; an address may lead where not everybody may read.
        code, message = _FILES.get(error.code, _FILES["unknown_result"])
        raise RefusedFile(code, message or error.message) from error
    if not fits("file", media.media_type) or media.media_type == SVG:  # no provider reads drawings
        raise RefusedFile("unknown_file", f"only pictures, sounds and films are taken; this is {media.media_type}")
    return media


def fits(wanted: str, media_type: str) -> bool:
    """Whether a file of this type may stand in a field of this format: image, audio, video, or file for any of them."""
    kind = media_type.partition("/")[0]
    return kind in {"image", "audio", "video"} if wanted == "file" else kind == wanted


def data_uri_bytes(uri: str) -> Iterator[bytes]:
    """The bytes of a `data:` URI in base64, piece by piece; the type that it claims is not believed.

    Raises RefusedFile (invalid_data_uri).
    """
    head = _DATA_URI.match(uri[:1000])
    if head is None:
        raise RefusedFile("invalid_data_uri", "it must begin like data:image/png;base64,")
    begin = head.end()
    for place in range(begin, len(uri), PIECE_CHARACTERS):
        try:
            yield base64.b64decode(uri[place : place + PIECE_CHARACTERS], validate=True)
        except (binascii.Error, ValueError):
            raise RefusedFile("invalid_data_uri", "what follows base64, is not base64") from None
