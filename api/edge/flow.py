"""How a connection's line is read and written: not past what waits here, and not for ever to who takes nothing."""

import asyncio
import math
import socket
from collections.abc import Callable
from contextlib import suppress
from weakref import WeakMethod

from uvicorn.protocols.http.flow_control import FlowControl

from common.settings import settings

ABORT = "headrace.abort"  # in a request's scope: cuts its connection without waiting for a reader that does not read
CLOSING = "headrace.closing"  # in a request's scope: asks whether its connection is closed, or about to be


class Flow(FlowControl):
    """Uvicorn's, which reads no more while bytes wait unparsed, and knows since when a peer has taken nothing."""

    def __init__(self, transport: asyncio.Transport, is_behind: Callable[[], bool], now: Callable[[], float]) -> None:
        super().__init__(transport)
        self._is_behind, self._now = WeakMethod(is_behind), now  # weak: the protocol keeps this
        self.stuck_since = math.inf

    def resume_reading(self) -> None:
        is_behind = self._is_behind()
        if is_behind is not None and not is_behind():
            super().resume_reading()

    def pause_writing(self) -> None:
        if not self.write_paused:
            self.stuck_since = self._now()
        super().pause_writing()

    def resume_writing(self) -> None:
        self.stuck_since = math.inf
        super().resume_writing()


def give_up_cut_lines(transport: asyncio.Transport) -> None:
    """End a connection whose peer acknowledges nothing any more."""
    connection = transport.get_extra_info("socket")
    if connection is not None and connection.family in {socket.AF_INET, socket.AF_INET6}:
        # Data that nobody acknowledges, over a cut line, would otherwise be sent again for a quarter of an hour.
        milliseconds = int(settings().slow_reader_seconds * 1000)
        with suppress(OSError):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)


class Together:
    """A transport for one answer: its head goes out with the first part of its body, in one packet and one call of the
    system. Where no body follows in the same turn of the loop, as with a stream, the head goes alone.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._loop = transport, loop
        self._head: bytes | None = None  # None: not written yet; empty: it is out

    def write(self, data: bytes) -> None:
        """Send, or keep what is first for the end of this turn."""
        if self._head is None:
            self._head = data
            self._loop.call_soon(self.flush)
        elif self._head:
            head, self._head = self._head, b""
            self._transport.write(head + data)
        else:
            self._transport.write(data)

    def flush(self) -> None:
        """Send a head that is still kept."""
        if self._head:
            head, self._head = self._head, b""
            self._transport.write(head)

    def close(self) -> None:
        """Close, behind what was written."""
        self.flush()
        self._transport.close()

    def is_closing(self) -> bool:
        """Whether the connection is closed, or about to be."""
        return self._transport.is_closing()
