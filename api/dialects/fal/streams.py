"""Streams of this dialect: events that are one line of JSON each. Without ids, names or pauses to connect again after: one of the
libraries makes an empty event of each blank line once it has seen one of these. They just end; one that breaks off is cut, so that
nobody takes it for whole.
"""

import json
from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from api.auth.keyring import visitor_of
from api.dialects.routes import tell
from api.dialects.told_streams import PING, ToldStream
from api.live.frames import read_frames
from api.services import services
from common.dialects.fal import failure_body, failure_of, request_result
from models.events.kinds import JOB_TEXT
from models.jobs.reads import JobRow


def data_event(said: Any) -> bytes:
    """One event: ASCII, so that no library finds the end of a line in a text."""
    return b"data: " + json.dumps(said, default=_plain).encode() + b"\n\n"


def _plain(value: Any) -> str:
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


class FalStream(ToldStream):
    """Streams what is told of a job, in this dialect's words, until it has ended."""

    def __init__(self, request: Request, row: JobRow, *, reads: bool = False) -> None:
        who, _ = request.scope["headrace.caller"]
        named = [(b"x-fal-request-id", str(row.id).encode())]
        super().__init__(request, row, visitor_of(who), reads=reads, headers=named)


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

    def _begun(self) -> bytes:
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
        self._text = ""

    @classmethod
    async def opened(cls, request: Request, row: JobRow) -> Response:
        """The stream of a job. Raises NotAuthenticated for who may not listen any more, TooManyListeners, Unavailable."""
        await _let_in(request)
        return cls(request, row)

    async def _said(self, frames: bytes) -> bytes:
        before = self._text
        for kind, data in read_frames(frames):
            if kind == JOB_TEXT:
                self._text = (
                    self._text[: data["position"]] + data["text"]
                )  # one at 0 begins it anew, as another attempt does
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
