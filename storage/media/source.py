"""A file that is open already. Whoever decodes it may open no other, so each reader has a place of its own in this one."""

import io
import os
from typing import BinaryIO, cast

from typing_extensions import Buffer


class DiskFailed(OSError):
    """Our disk's fault, not the file's."""


class MediaSource:
    """`descriptor` stays open as long as its owner likes."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def open(self) -> BinaryIO:
        """A reader that begins at the beginning."""
        return cast(BinaryIO, io.BufferedReader(_Reader(self._descriptor)))

    def size(self) -> int:
        return os.fstat(self._descriptor).st_size

    def read_bytes(self) -> bytes:
        with self.open() as file:
            return file.read()


class _Reader(io.RawIOBase):
    def __init__(self, descriptor: int) -> None:
        self._descriptor, self._place = descriptor, 0

    def fileno(self) -> int:
        return self._descriptor

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        begin = {io.SEEK_SET: 0, io.SEEK_CUR: self._place}.get(whence)
        place = offset + (os.fstat(self._descriptor).st_size if begin is None else begin)
        if place < 0:
            raise ValueError("a place before the beginning")
        self._place = place
        return place

    def readinto(self, buffer: Buffer) -> int:
        wanted = memoryview(buffer).cast("B")
        try:
            data = os.pread(self._descriptor, len(wanted), self._place)
        except OSError as error:
            raise DiskFailed(error.errno, "the file cannot be read from disk") from error
        wanted[: len(data)] = data
        self._place += len(data)
        return len(data)
