"""Server-sent events and lines out of bytes, however they were cut on their way. Pure."""

from collections.abc import Iterator

from headrace_client.models import Event


class Lines:
    """Lines out of chunks. Only a line feed ends one: JSON may hold what other splitters take for an end."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """The lines that are whole now."""
        begin = len(self._rest)
        self._rest += chunk
        if self._rest.find(b"\n", begin) < 0:
            return
        *whole, rest = bytes(self._rest).split(b"\n")
        self._rest = bytearray(rest)
        for line in whole:
            yield line.removesuffix(b"\r")

    def end(self) -> Iterator[bytes]:
        """What stands after the last line feed, if anything."""
        if self._rest:
            yield bytes(self._rest)
            self._rest.clear()


class Frames:
    """Events out of chunks. A comment is a sign of life, and no event; a frame that was cut off is none either."""

    def __init__(self) -> None:
        self._lines = Lines()
        self._data: list[bytes] = []

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """The events that are whole now."""
        for line in self._lines.feed(chunk):
            name, _, value = line.partition(b":")
            if name == b"data":
                self._data.append(value.removeprefix(b" "))
            elif not line and self._data:
                whole, self._data = b"\n".join(self._data), []
                yield Event.model_validate_json(whole)
