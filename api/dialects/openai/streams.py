"""Streams of this dialect: server-sent events without ids, since its library makes an empty event of each ping that follows one."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from api.live.prefer_wait import wait_at_most
from api.services import services
from common.dialects.openai import why_failed
from common.errors import DomainError
from common.settings import settings
from models.jobs.outward import told_job
from models.jobs.reads import JobRow
from models.jobs.states import JobEnd

log = logging.getLogger(__name__)

PING = b": ping\n\n"
DONE = b"data: [DONE]\n\n"
CUTTING = {each.encode(): b"\\u%04x" % ord(each) for each in "\x85\u2028\u2029"}
HINDERED_TIMES = 3  # that nobody could wait for a job, after which its stream is given up
PAUSE_SECONDS = 1.0


def event_of(data: dict[str, Any], *, named: bool = True) -> bytes:
    """One event. `named`: with its type as the name, as streams of pictures, speech and responses have it."""
    head = b"event: %s\n" % data["type"].encode() if named else b""
    return head + _line(data)


def _line(data: dict[str, Any]) -> bytes:
    """One line, also to who takes it apart as Python's `splitlines` does."""
    raw = orjson.dumps(data)
    for each, written in CUTTING.items():
        raw = raw.replace(each, written)
    return b"data: " + raw + b"\n\n"


def failure_event(row: JobRow, **more: Any) -> bytes:
    """The end of a stream whose job has brought nothing: its library raises an error of it."""
    failed = why_failed(told_job(row)) or {"code": "still_running", "message": f"the job {row.id} goes on"}
    return error_event(failed["code"], failed["message"], job_id=str(row.id), **more)


def error_event(code: str, message: str, **more: Any) -> bytes:
    """An error within a stream."""
    body = {"message": message, "type": "server_error", "param": None, "code": code, **more}
    return _line({"error": body})


async def watch_until_ended(request: Request, row: JobRow) -> AsyncIterator[JobRow]:
    """A job as it stands, at each heartbeat until it has ended; the last of them is the end. It ends before where nobody can wait
    for it, such as in a process that stops.
    """
    here, hindered = services(request.app), 0
    while not row.ended and hindered < HINDERED_TIMES and not here.live.is_stopping:
        found = await wait_at_most(request, row, settings().heartbeat_seconds, here.live, here.jobs)
        if found is None:
            hindered += 1
            await asyncio.sleep(PAUSE_SECONDS)
            found = await here.jobs.ask(row.id)
        row = found or row
        yield row


async def result_frames(
    request: Request, row: JobRow, shown: Callable[[JobRow], AsyncIterator[bytes]]
) -> AsyncIterator[bytes]:
    """Pings until a job has ended; then what `shown` makes of one that has succeeded, or else why it has brought nothing."""
    yield PING
    last = row
    async for last in watch_until_ended(request, row):
        if not last.ended:
            yield PING
    if last.ended != JobEnd.SUCCEEDED:
        yield failure_event(last)
        return
    async for frame in shown(last):
        yield frame
    yield DONE


class OpenAIStream(StreamingResponse):
    """Frames, as they come. Whoever reads them goes away when they like: the job goes on, since it is paid for, and its result can be
    looked at; a stream that was cut before it began is found again by who sends its order once more.
    """

    def __init__(self, frames: AsyncIterator[bytes]) -> None:
        super().__init__(
            _guarded(frames), 200, {"cache-control": "no-store", "x-accel-buffering": "no"}, "text/event-stream"
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        slow = settings().slow_reader_seconds

        async def patiently(message: Message) -> None:
            async with asyncio.timeout(slow):
                await send(message)

        try:
            await super().__call__(scope, receive, patiently)
        except TimeoutError:
            log.info("a stream is cut off: nobody reads it")


async def _guarded(frames: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same; what goes wrong on the way is told, since the status is sent already."""
    try:
        async for frame in frames:
            yield frame
    except DomainError as error:
        yield error_event(error.code, error.detail)
