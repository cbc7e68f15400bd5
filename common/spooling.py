"""Streams on their way to disk."""

import hashlib
from collections.abc import Iterable
from typing import IO, NamedTuple


class Spooled(NamedTuple):
    """What was written."""

    sha256: bytes
    size_bytes: int


class Spooler:
    """Writes a stream to disk, so that no whole file is in memory."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._digest, self._size = file, hashlib.sha256(), 0

    def write(self, chunk: bytes) -> None:
        """The next part. Raises OSError."""
        self._size += len(chunk)
        self._digest.update(chunk)
        self._file.write(chunk)

    def done(self) -> Spooled:
        """All is written. Raises OSError."""
        self._file.flush()
        return Spooled(self._digest.digest(), self._size)


def spool(chunks: Iterable[bytes], file: IO[bytes]) -> Spooled:
    """Write a stream to disk. Raises OSError, and whatever the stream raises."""
    spooler = Spooler(file)
    for chunk in chunks:
        spooler.write(chunk)
    return spooler.done()
