"""Files on their way in: whatever a program has, opened anew for each time that it is sent."""

import io
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

Uploadable = str | os.PathLike[str] | bytes | BinaryIO


class Source:
    """A file to be sent: a path, bytes, or an open file (from where it stands)."""

    def __init__(self, file: Uploadable, name: str | None = None) -> None:
        self._file = file
        own = file if isinstance(file, str | os.PathLike) else getattr(file, "name", None)
        self.name = name or (Path(own).name if isinstance(own, str | os.PathLike) else "file")
        self._start: int | None = None
        if isinstance(file, io.TextIOBase):
            raise TypeError("open the file for reading bytes: open(path, 'rb')")
        if not isinstance(file, str | os.PathLike | bytes) and file.seekable():
            self._start = file.tell()

    @property
    def can_rewind(self) -> bool:
        """Whether it can be sent a second time; a pipe cannot."""
        return isinstance(self._file, str | os.PathLike | bytes) or self._start is not None

    @contextmanager
    def opened(self) -> Iterator[BinaryIO]:
        """The file, from its beginning. Only what was opened here is closed."""
        if isinstance(self._file, bytes):
            yield io.BytesIO(self._file)
        elif isinstance(self._file, str | os.PathLike):
            with Path(self._file).open("rb") as handle:
                yield handle
        else:
            yield cast("BinaryIO", _Pipe(self._file) if self._start is None else _Rest(self._file, self._start))


class _Pipe:
    """A file of which nobody knows how long it is. (httpx would ask the system, which says 0 of a pipe.)"""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def read(self, size: int = -1) -> bytes:
        return self._file.read(size)


class _Rest(_Pipe):
    """An open file from where it stood. (httpx would go to its beginning.)"""

    def __init__(self, file: BinaryIO, start: int) -> None:
        super().__init__(file)
        self._start = start
        file.seek(start)

    def tell(self) -> int:
        return self._file.tell() - self._start

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if whence == os.SEEK_SET:
            offset += self._start
        return self._file.seek(offset, whence) - self._start


def is_file(value: object) -> bool:
    """Whether a value of an input is a file to be uploaded: bytes, a path, or a file that is open."""
    return isinstance(value, bytes | os.PathLike) or (hasattr(value, "read") and not isinstance(value, str))


def files_in(value: Any) -> list[Uploadable]:
    """The files in an input, at whatever depth, in order."""
    if is_file(value):
        return [cast("Uploadable", value)]
    if isinstance(value, Mapping):
        return [found for each in value.values() for found in files_in(each)]
    if isinstance(value, list | tuple):
        return [found for each in value for found in files_in(each)]
    return []


def with_names(value: Any, names: Iterator[str]) -> Any:
    """An input whose files are replaced by the names of the uploads, in the order of `files_in`."""
    if is_file(value):
        return next(names)
    if isinstance(value, Mapping):
        return {key: with_names(each, names) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [with_names(each, names) for each in value]
    return value
