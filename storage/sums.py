"""What S3 should say of an object that is whole: its size and its ETag, worked out from the bytes that were sent. Pure.

The ETag of an object in one piece is the MD5 of its bytes; in parts, the MD5 of its parts' MD5s and their number. So it
is with AWS (not under SSE-KMS or SSE-C), SeaweedFS, MinIO (not with KMS or --no-compat), Ceph, and R2 since June 2023.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

READ_BYTES = 256 * 1024


class Sums(NamedTuple):
    """`etag` without its quotation marks."""

    size: int
    etag: str

    def may_be(self, etag: str | None) -> bool:
        """Whether an ETag looks like one of an object put as this one was: its kind, whatever its digits."""
        number = self.etag.partition("-")[2]
        return re.fullmatch("[0-9a-f]{32}" + (f"-{number}" if number else ""), bare(etag)) is not None


def bare(etag: str | None) -> str:
    """An ETag without its quotation marks; empty where a server gave none."""
    return (etag or "").strip('"').lower()


def sums_of(chunks: Iterable[bytes], part_bytes: int) -> Sums:
    """The sums of bytes that come in chunks of any size and are put in parts of `part_bytes`, in one if they fit."""
    size, parts, part, room = 0, [], _md5(), part_bytes
    for chunk in chunks:
        view = memoryview(chunk)
        size += len(view)
        while len(view) > room:  # not >=: a last part is never empty
            part.update(view[:room])
            parts.append(part.digest())
            view, part, room = view[room:], _md5(), part_bytes
        part.update(view)
        room -= len(view)
    if not parts:
        return Sums(size, part.hexdigest())
    parts.append(part.digest())
    return Sums(size, f"{_md5(b''.join(parts)).hexdigest()}-{len(parts)}")


def chunks_of(file: Path | BinaryIO | bytes) -> Iterator[bytes]:
    """The bytes of what is to be put. Raises OSError (the local file)."""
    if isinstance(file, bytes):
        yield file
    elif isinstance(file, Path):
        with file.open("rb", buffering=0) as opened:
            yield from iter(lambda: opened.read(READ_BYTES), b"")
    else:
        file.seek(0)
        yield from iter(lambda: file.read(READ_BYTES), b"")
        file.seek(0)


def _md5(data: bytes = b"") -> "hashlib._Hash":
    return hashlib.md5(data, usedforsecurity=False)  # S3's choice; it finds accidents, not forgers
