"""What a result is, read from its bytes; what the provider claims is not believed.

Decoders are large programs in C, and files come from strangers: they are read in processes that can do nothing else and
that may be lost (`storage.sandbox`). Small pictures of simple kinds and small texts are read here: that takes less time
than a process, and little even for the worst of them (benchmarks/hostile_files.py shows it).
"""

import base64
import binascii
import io
import os
import re
import tempfile
from collections.abc import Hashable
from pathlib import Path
from typing import Any

from common.settings import settings
from storage.media import decoding, pcm, pictures
from storage.media.base import (
    MAX_PIXELS,
    SVG,
    Larger,
    Media,
    UnusableResult,
    broken,
    kind_of,
    kinds_of,
    too_large,
    unknown,
)
from storage.media.signs import HEAD_BYTES, describe, sniff
from storage.media.source import MediaSource
from storage.sandbox import pool
from storage.sandbox.pool import ChildLimits, Died, SandboxAway

__all__ = [
    "SVG",
    "Media",
    "SandboxAway",
    "UnusableResult",
    "describe",
    "is_picture",
    "kind_of",
    "kinds_of",
    "measure",
    "measure_picture",
]

QUICK_BYTES = 1024 * 1024  # of a picture that is read here
QUICK_TEXT_BYTES = 64 * 1024
BYTES_A_SECOND = 20_000_000  # that a decoder gets through of a large file, on a slow machine
MAX_CPU_SECONDS = 120
COMMON_PIXELS = 13_000_000  # of a picture, as telephones make them; of a film a sixth of it (HD)
COMMON_BYTES = 256 * 1024 * 1024  # in which so many can be unpacked
THUMBNAIL_BYTES = 512 * 1024
_TYPE = re.compile(r"[a-z]+/[a-zA-Z0-9.+-]+(;[ a-z0-9=-]+)*", re.ASCII)
_EXTENSION = re.compile(r"[a-z0-9]{1,5}", re.ASCII)
_CODES = {
    "empty_result", "broken_result", "unknown_result", "unread_kind", "result_too_large", "unexpected_page",
}  # fmt: skip


def is_picture(head: bytes) -> bool:
    """Whether a file that begins with these bytes is a picture, for `measure_picture`."""
    return sniff(head) in pictures.KINDS


def measure_picture(data: bytes, *, account: Hashable = None) -> Media:
    """Type and size of a picture in memory. Raises UnusableResult where it is broken, SandboxAway."""
    kind = sniff(data[:HEAD_BYTES])
    if kind not in pictures.KINDS:
        raise unknown(describe(data[:HEAD_BYTES]))
    found = _quick_picture(data, kind)
    if found is not None:
        return found
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        return _in_sandbox(file.fileno(), {}, account)


def measure(path: Path, *, claimed: str | None = None, ordered: str | None = None, account: Hashable = None) -> Media:
    """Type, size and duration of a file on disk, whose `account` takes its turn among the others.

    `claimed` is believed in two things that no byte can tell: the rate of raw samples (audio/L16;rate=24000), and that a
    page was written as a text, where `ordered`, the model's kind, is text. Raises UnusableResult where the file is
    broken, or nothing that is known, OSError where it cannot be read from this machine's disk, and SandboxAway where
    nobody can read it just now.
    """
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
        size = os.fstat(file.fileno()).st_size
        raw = pcm.claim(claimed)
        kind = sniff(head, strong_only=raw is not None)
        if not head or (kind is None and size <= QUICK_TEXT_BYTES):
            return decoding.measure(MediaSource(file.fileno()), claimed=claimed, ordered=ordered)
        if kind is not None and size <= QUICK_BYTES:
            found = _quick_picture(head + file.read(QUICK_BYTES), kind)
            if found is not None:
                return found
        return _in_sandbox(file.fileno(), {"claimed": (claimed or "")[:200], "ordered": ordered}, account)


def _quick_picture(data: bytes, kind: str) -> Media | None:
    """None: it may be more than little work."""
    if kind not in pictures.QUICK_KINDS or len(data) > QUICK_BYTES:
        return None
    try:
        with decoding.reading(kind):
            return pictures.measure(io.BytesIO(data), kind, pictures.QUICK)
    except Larger:
        return None


def _in_sandbox(descriptor: int, request: dict[str, Any], account: Hashable) -> Media:
    """Most files with little memory; what says that it has many pixels with more, one at a time."""
    size = os.fstat(descriptor).st_size
    seconds = min(MAX_CPU_SECONDS, settings().decode_seconds + size // BYTES_A_SECOND)
    limits = ChildLimits(seconds, COMMON_BYTES, settings().decode_wait_seconds)
    places = settings().decoders
    readers = pool.pool("storage.media.work", places, max(1, places // 2))
    try:
        found = readers.run(account, descriptor, {**request, "pixels": COMMON_PIXELS}, limits)
        if "larger" in found:
            limits = limits._replace(memory_bytes=settings().decode_megabytes * 1024 * 1024, large=True)
            found = readers.run(account, descriptor, {**request, "pixels": MAX_PIXELS}, limits)
    except Died as death:
        if death.reason == "time":
            raise too_large(f"it takes more than {limits.cpu_seconds} seconds to read") from None
        if death.reason == "memory":
            raise too_large("it takes more memory to read than a file may") from None
        raise broken("it cannot be read: what reads it dies of it") from None
    if "unread" in found:
        raise OSError(found["unread"], "the file cannot be read from disk")
    return _believed(found)


def _believed(found: dict[str, Any]) -> Media:
    """What a child says, if a decoder could say it: a stranger's file may have taken the child over."""
    try:
        if "unusable" in found:
            code, message = str(found["unusable"]), str(found["message"])[:500]
            if code not in _CODES:
                raise ValueError(code)  # noqa: TRY301 - refused below, like whatever else no decoder says
            said = "".join(each if each.isprintable() else "\ufffd" for each in message)
            raise UnusableResult(code, said, cut_off=bool(found["cut_off"]))
        facts = found["media"]
        media = Media(
            _fitting(_TYPE, facts["media_type"]), _fitting(_EXTENSION, facts["extension"]), _number(facts["width"]),
            _number(facts["height"]), _number(facts["duration_ms"]), _thumbnail(facts["thumbnail"]), bool(facts["moving"]),
        )  # fmt: skip
    except (KeyError, TypeError, ValueError) as error:
        raise broken("it cannot be read: what reads it answers nonsense") from error
    return media


def _fitting(pattern: re.Pattern[str], value: Any) -> str:
    if not isinstance(value, str) or len(value) > 100 or not pattern.fullmatch(value):
        raise ValueError("not a name")
    return value


def _number(value: Any) -> int | None:
    if value is None:
        return None
    if type(value) is not int or not 0 <= value < 2**31:
        raise ValueError("not a measure")
    return value


def _thumbnail(value: Any) -> bytes | None:
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > THUMBNAIL_BYTES:
        raise ValueError("no thumbnail")
    try:
        data = base64.b64decode(value, validate=True)
    except binascii.Error as error:
        raise ValueError("no thumbnail") from error
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP":
        raise ValueError("no thumbnail")
    return data
