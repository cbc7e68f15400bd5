"""Streams on their way to disk."""

import hashlib
from collections.abc import Iterable
from typing import IO, NamedTuple


class Spooled(NamedTuple):
    """What was written."""

    sha256: bytes
    size_bytes: int


def spool(chunks: Iterable[bytes], file: IO[bytes]) -> Spooled:
    """Write a stream to disk, so that no whole file is in memory. Raises OSError, and whatever the stream raises."""
    digest, size = hashlib.sha256(), 0
    for chunk in chunks:
        size += len(chunk)
        digest.update(chunk)
        file.write(chunk)
    file.flush()
    return Spooled(digest.digest(), size)
