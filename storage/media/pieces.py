"""Some pieces of a file, read as if they were all of it."""

import io
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import BinaryIO

from typing_extensions import Buffer


class Pieces(io.RawIOBase):
    """The pieces (begin, end) of `file`, one behind the other. Whoever gives the file closes it."""

    def __init__(self, file: BinaryIO, pieces: Sequence[tuple[int, int]]) -> None:
        self._file, self._pieces, self._place = file, pieces, 0
        self._ends = list(accumulate(end - begin for begin, end in pieces))
        self.size = self._ends[-1] if self._ends else 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        place = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self.size}[whence]
        if place < 0:
            raise ValueError("a place before the beginning")
        self._place = place
        return place

    def readinto(self, buffer: Buffer) -> int:
        """As much as there is up to the end of a piece."""
        wanted = memoryview(buffer).cast("B")
        number = bisect_right(self._ends, self._place)
        if number >= len(self._pieces) or not wanted:
            return 0
        left = self._ends[number] - self._place
        self._file.seek(self._pieces[number][1] - left)
        data = self._file.read(min(len(wanted), left))
        wanted[: len(data)] = data
        self._place += len(data)
        return len(data)
