"""Streams of this dialect: events that are one line of JSON each. Without ids, names or pauses to connect again after: one of the
libraries makes an empty event of each blank line once it has seen one of these. They just end; one that breaks off is cut, so that
nobody takes it for whole.
"""

import asyncio
import json
from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Send

from api.auth.keyring import visitor_of
from api.dialects.replicate.streams import told_in
from api.dialects.routes import tell
from api.live.sse import HEADERS, EventStream
from api.services import services
from common.dialects.fal import failure_body, failure_of, request_result
from common.settings import settings
from models.events.kinds import JOB_TEXT
from models.jobs.reads import JobRow

PING = b": ping\n\n"


def data_event(said: Any) -> bytes:
    """One event: ASCII, so that no library finds the end of a line in a text."""
    return b"data: " + json.dumps(said, default=_plain).encode() + b"\n\n"


def _plain(value: Any) -> str:
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


class FalStream(EventStream):
    """Streams what is told of a job, in this dialect's words, until it has ended."""

    def __init__(self, request: Request, row: JobRow, *, reads: bool = False) -> None:
        self._request, self._row = request, row
        who, _ = request.scope["headrace.caller"]
        live = services(request.app).live
        listener = live.listen(
            row.account_id, job_id=row.id, visitor=visitor_of(who), after=row.event_number, reads=reads
        )
        if row.ended:
            listener.finish("ended")
        super().__init__(live, listener)
        self.raw_headers = [*HEADERS, (b"x-fal-request-id", str(row.id).encode())]

    async def _pump(self, send: Send) -> None:
        async def write(chunk: bytes) -> None:
            if chunk:
                async with asyncio.timeout(settings().slow_reader_seconds):
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})

        async def pass_on(frames: bytes) -> None:
            await write(await self._said(frames))

        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        await write(await self._begun())
        await self._live.catch_up(self._listener, pass_on)
        while frames := await self._listener.take():
            await pass_on(frames)
        row = await services(self._request.app).jobs.ask(self._row.id) or self._row
        if self._listener.over != "ended" or row.ended is None:
            raise ConnectionAbortedError(f"the stream is over before its job: {self._listener.over}")
        await write(await self._ended(row))
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _begun(self) -> bytes:
        return PING

    async def _said(self, _frames: bytes) -> bytes:
        return PING

    async def _ended(self, row: JobRow) -> bytes:
        raise NotImplementedError


class StatusStream(FalStream):
    """How a request stands, whenever that changes."""

    _last: dict[str, Any] | None = None
    _logged: Any = None

    def __init__(self, request: Request, row: JobRow, status: Callable[[JobRow], dict[str, Any]]) -> None:
        super().__init__(request, row)
        self._status = status

    @classmethod
    async def opened(cls, request: Request, row: JobRow, status: Callable[[JobRow], dict[str, Any]]) -> Response:
        """The stream of a job. Raises NotAuthenticated for who may not listen any more, TooManyListeners, Unavailable."""
        await _let_in(request)
        return cls(request, row, status)

    async def _begun(self) -> bytes:
        return self._told(self._row)

    async def _said(self, _frames: bytes) -> bytes:
        row = await services(self._request.app).jobs.ask(self._row.id) or self._row
        return PING if row.ended else self._told(row)

    async def _ended(self, row: JobRow) -> bytes:
        return self._told(row, always=self._last is None or self._last["status"] != "COMPLETED")

    def _told(self, row: JobRow, *, always: bool = False) -> bytes:
        found = self._status(row)
        if found == self._last and not always:
            return PING
        self._last = found
        logs = found.get("logs")
        if logs:  # who reads a stream adds each event's to those before
            found, self._logged = {**found, "logs": [] if logs == self._logged else logs}, logs
        return data_event(found)


class ResultStream(FalStream):
    """What a job brings: a text as it is written, anything else once it is there. Each event of a text has all of it so far."""

    def __init__(self, request: Request, row: JobRow) -> None:
        super().__init__(request, row, reads=row.kind == "text")
        self._attempt: int | None = None
        self._text = ""

    @classmethod
    async def opened(cls, request: Request, row: JobRow) -> Response:
        """The stream of a job. Raises NotAuthenticated for who may not listen any more, TooManyListeners, Unavailable."""
        await _let_in(request)
        return cls(request, row)

    async def _said(self, frames: bytes) -> bytes:
        before = self._text
        for kind, data in told_in(frames):
            if kind == JOB_TEXT:
                if data["attempt"] != self._attempt or data["position"] == 0:
                    self._attempt, self._text = data["attempt"], ""
                self._text = self._text[: data["position"]] + data["text"]
        if self._text == before:
            return PING
        return data_event({"output": self._text, "partial": True})

    async def _ended(self, row: JobRow) -> bytes:
        job = await tell(self._request, row)
        failed = failure_of(job)
        if failed is None:
            return data_event(request_result(job))
        return data_event({"error": failed.detail, **failure_body(failed, str(row.id))})


async def _let_in(request: Request) -> None:
    who, _ = request.scope["headrace.caller"]
    await services(request.app).live.let_in(visitor_of(who))
