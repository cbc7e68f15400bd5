"""Where a download arrives: in memory, or in a file that has its name once it is whole."""

import hashlib
import io
import os
from pathlib import Path
from typing import BinaryIO

from headrace_client.errors import ChecksumMismatch

CHUNK_BYTES = 1 << 20


class Landing:
    """What has arrived, and its SHA-256 so far. `to` None: in memory.

    Bytes lie in `NAME.part` until all of them are there and are right. What an earlier run left there is gone on with.
    """

    def __init__(self, to: Path | None) -> None:
        self._to = to
        self._part = None if to is None else to.with_name(f"{to.name}.part")
        self._hash = hashlib.sha256()
        self.size = 0
        self._file: BinaryIO = io.BytesIO() if self._part is None else self._part.open("ab+")
        self._file.seek(0)
        while chunk := self._file.read(CHUNK_BYTES):
            self._hash.update(chunk)
            self.size += len(chunk)
        self.was_begun = self.size > 0

    def write(self, chunk: bytes) -> None:
        """Take what follows."""
        self._file.write(chunk)
        self._hash.update(chunk)
        self.size += len(chunk)

    def begin_anew(self) -> None:
        """Forget all that is there."""
        self._file.seek(0)
        self._file.truncate()
        self._hash = hashlib.sha256()
        self.size, self.was_begun = 0, False

    def is_right(self, sha256: str | None) -> bool:
        """Whether what is there is what it should be; without a checksum nobody knows better."""
        return sha256 is None or self._hash.hexdigest() == sha256

    def content(self) -> bytes:
        """All of it; empty where it went to a file."""
        return self._file.getvalue() if isinstance(self._file, io.BytesIO) else b""

    def finish(self, sha256: str | None) -> None:
        """Give the file its name. Raises ChecksumMismatch, and then nothing is left."""
        right = self.is_right(sha256)
        if self._part is not None and self._to is not None:
            self._file.close()
            if right:
                os.replace(self._part, self._to)
            else:
                self._part.unlink()
        if not right:
            raise ChecksumMismatch(f"{self.size} bytes came whose SHA-256 is {self._hash.hexdigest()}, not {sha256}")

    def close(self) -> None:
        """Let go of the file; what has arrived of it stays, to be gone on with."""
        self._file.close()
