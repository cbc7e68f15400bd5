"""A stream of what is told of a job, in a dialect's words, until the job has ended. One that breaks off before is cut, so that nobody
takes it for whole.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence

from starlette.requests import Request
from starlette.types import Send

from api.live.sse import HEADERS, EventStream
from api.services import services
from common.settings import settings
from models.identity.people import Visitor
from models.jobs.reads import JobRow

PING = b": ping\n\n"


class ToldStream(EventStream, ABC):
    """`reads`: whether it is of a text as it is written. What a method says nothing to may be empty."""

    def __init__(
        self,
        request: Request,
        row: JobRow,
        visitor: Visitor,
        *,
        reads: bool,
        headers: Sequence[tuple[bytes, bytes]] = (),
    ) -> None:
        self._request, self._row = request, row
        live = services(request.app).live
        listener = live.listen(row.account_id, job_id=row.id, visitor=visitor, after=row.event_number, reads=reads)
        if row.ended:
            listener.finish("ended")
        super().__init__(live, listener)
        self.raw_headers = [*HEADERS, *headers]

    async def _pump(self, send: Send) -> None:
        async def write(chunk: bytes) -> None:
            if chunk:
                async with asyncio.timeout(settings().slow_reader_seconds):
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})

        async def pass_on(frames: bytes) -> None:
            await write(await self._said(frames))

        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        await write(self._begun())
        await self._live.catch_up(self._listener, pass_on)
        while frames := await self._listener.take():
            await pass_on(frames)
        row = await services(self._request.app).jobs.ask(self._row.id) or self._row
        if self._listener.over != "ended" or row.ended is None:
            raise ConnectionAbortedError(f"the stream is over before its job: {self._listener.over}")
        await write(await self._ended(row))
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _begun(self) -> bytes:
        """What is sent at once."""
        return PING

    @abstractmethod
    async def _said(self, frames: bytes) -> bytes:
        """What frames of ours are in this dialect."""

    @abstractmethod
    async def _ended(self, row: JobRow) -> bytes:
        """What is sent of a job that has ended."""
