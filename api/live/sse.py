"""A stream of server-sent events as an ASGI response."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from api.edge.flow import ABORT
from api.live.hub import Live
from api.live.listeners import Listener
from common.settings import settings

log = logging.getLogger(__name__)

RETRY_MS = 1000  # a browser's pause before it connects again
HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # nginx would hold frames back until its buffer is full
]
PREAMBLE = b"retry: %d\n\n" % RETRY_MS


class EventStream(Response):
    """Streams a listener's frames until its job has ended, its client is gone or too slow, or the process stops.

    `first` is written before what the listener has missed. The listener is let go at the end, whatever happens.
    """

    def __init__(self, live: Live, listener: Listener, first: bytes = b"") -> None:
        self.background = None
        self.status_code = 200
        self._live = live
        self._listener = listener
        self._first = first

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        pump = asyncio.create_task(self._pump(send))
        gone = asyncio.create_task(_gone(receive))
        self._listener.cut = pump.cancel
        clean = False
        try:
            await asyncio.wait({pump, gone}, return_when=asyncio.FIRST_COMPLETED)
            clean = pump.done() and not pump.cancelled() and pump.exception() is None
            if pump.done() and not pump.cancelled() and pump.exception() is not None:
                log.info("a stream is cut off, its client will resume: %r", pump.exception())
        finally:
            self._live.leave(self._listener)
            self._listener.cut = None
            if not clean:
                await _cut(scope, gone)
            for task in (pump, gone):
                task.cancel()
                with suppress(asyncio.CancelledError, Exception):
                    await task

    async def _pump(self, send: Send) -> None:
        slow = settings().slow_reader_seconds

        async def write(chunk: bytes) -> None:
            # `send` waits while the connection's buffers are full, which is for as long as the reader likes.
            async with asyncio.timeout(slow):
                await send({"type": "http.response.body", "body": chunk, "more_body": True})

        await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
        await write(PREAMBLE + self._first)
        await self._live.catch_up(self._listener, write)
        while chunk := await self._listener.take():
            await write(chunk)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _gone(receive: Receive) -> None:
    while True:
        message: Message = await receive()
        if message["type"] == "http.disconnect":
            return


async def _cut(scope: Scope, gone: "asyncio.Task[None]") -> None:
    abort: Callable[[], object] | None = scope.get(ABORT)
    if abort is not None and not gone.done():
        abort()
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(gone), 1)  # uvicorn has seen it then, and does not complain


def wants_stream(request: Request) -> bool:
    """Whether the client asks for server-sent events."""
    return "text/event-stream" in request.headers.get("accept", "")
