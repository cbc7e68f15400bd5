"""What S3 says of objects, and their bytes as they come."""

from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from types import TracebackType
from typing import Any, NamedTuple, Self

from botocore.compat import set_socket_timeout

from storage.errors import StorageError, mapped

READ_CHUNK_BYTES = 256 * 1024


class Chunks:
    """An object's bytes as they come. Used up it closes itself; otherwise close it, or its connection stays taken."""

    def __init__(self, body: Any, doing: str) -> None:
        self._body, self._doing = body, doing
        self._parts: Iterator[bytes] = body.iter_chunks(READ_CHUNK_BYTES)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        """The next 256 KiB at most. Raises StorageError (retryable) where S3 stops in the middle."""
        try:
            with mapped(self._doing):
                return next(self._parts)
        except (StopIteration, StorageError):
            self.close()
            raise

    def wait_for(self, seconds: float) -> None:
        """From now on S3 may be silent for so long in the middle, whatever the patience for its first byte was."""
        with suppress(AttributeError):  # the line is closed: all is here already
            set_socket_timeout(self._body._raw_stream, seconds)  # noqa: SLF001 - its own method logs what we expect

    def close(self) -> None:
        self._body.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


class Part(NamedTuple):
    """Bytes of an object, streamed, with the whole object's size in bytes and its type."""

    chunks: Chunks
    size: int
    media_type: str | None


class Head(NamedTuple):
    """What is known of an object without reading it; `size` in bytes."""

    size: int
    media_type: str | None


class ListedObject(NamedTuple):
    """An object in a listing; `size` in bytes, `last_modified` by S3's clock."""

    key: str
    size: int
    last_modified: datetime
