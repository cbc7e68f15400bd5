"""Orders of libraries that may send them again without a name: one job, and one answer that waits for it."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from api.intake.repeats import Flight, Landing, is_retried
from api.live.prefer_wait import wait_at_most
from api.orders.placing import accept_order, place_order, see_job
from api.routes.once import key_of
from api.services import services
from common.errors import DomainError
from models.access.scopes import Caller
from models.db import CommitUnknown
from models.jobs import repeats
from models.jobs.admission import Order, body_hash
from models.jobs.reads import JobRow
from models.jobs.repeats import SentOrder

LOOK_SECONDS = 0.5  # between looks at a job that cannot be listened to


class OrderName(NamedTuple):
    """What an order is known by, for whoever makes it. `key`: None, where its client gave it none."""

    key: str | None
    asked: bytes  # what makes two orders the same
    retried: bool | None  # whether its sender says that it was sent before; None: the key says it all

    def key_of_job(self, job_id: UUID) -> str:
        """The key that the job keeps."""
        return repeats.sent_key(job_id) if self.key is None else self.key


NamedOrderMaker = Callable[[OrderName], Awaitable[Order]]


class PlacedOrder(NamedTuple):
    """The job that answers an order; `replayed`: it was ordered before. It must be answered with `answer_placed`."""

    row: JobRow
    replayed: bool
    flight: Flight | None


async def place_repeatable(request: Request, who: Caller, said: dict[str, Any], wanted: NamedOrderMaker) -> PlacedOrder:
    """Submit, once for one order however often it comes. `said`: what makes two orders to one route the same.
    Raises the DomainError that refuses it.
    """
    key = key_of(request)
    whole = {"path": request.scope["path"], "by": str(who.key_id or who.user_id), "body": said}
    asked = body_hash(whole)
    if key is not None:
        named = partial(wanted, OrderName(key, asked, None))
        return PlacedOrder(*await place_order(request, who, key, asked, named), None)
    here, retried = services(request.app).repeats, is_retried(request)
    flight = here.begin(request, who.account_id, asked)
    try:
        job_id, row = await here.under_way(flight, retried=retried), None
        if job_id is None:
            earlier = partial(repeats.job_sent_before, order=SentOrder(who.account_id, asked, retried))
            job_id, row = await accept_order(request, earlier, partial(wanted, OrderName(None, asked, retried)))
        flight.job.set_result(job_id)
        return PlacedOrder(row or await see_job(request, job_id, who), row is None, flight)
    except CommitUnknown as error:  # if the job is there, whoever sends its order again is to find it
        await here.land(flight, lost=True, maybe=UUID(error.extra["job_id"]) if "job_id" in error.extra else None)
        raise
    except BaseException:
        await here.land(flight, lost=True)  # of a job that was found, the answer; else there is none
        raise


async def answer_placed(
    request: Request, placed: PlacedOrder, seconds: float, written: Callable[[JobRow], Awaitable[Response]]
) -> Response:
    """The answer to a placed order, `written` of the job once it has ended, or as it stands when so long has passed or nobody
    waits any more.
    """
    here = services(request.app).repeats
    try:
        response = await written(await _waited(request, placed, seconds))
    except BaseException:
        if placed.flight is not None:
            await here.land(placed.flight, lost=True)  # the job is there, and its client does not know of it
        raise
    if placed.replayed:
        response.headers["idempotent-replayed"] = "true"
    return response if placed.flight is None else Landing(response, here, placed.flight)


async def _waited(request: Request, placed: PlacedOrder, seconds: float) -> JobRow:
    if seconds <= 0 or placed.row.ended:
        return placed.row
    waiting = asyncio.ensure_future(_ended(request, placed.row, seconds))
    if placed.flight is None:
        return await waiting
    gone = asyncio.ensure_future(placed.flight.wait_lost())
    try:
        await asyncio.wait({waiting, gone}, return_when=asyncio.FIRST_COMPLETED)
        return waiting.result() if waiting.done() else placed.row
    finally:
        for each in (waiting, gone):
            each.cancel()
        await asyncio.gather(waiting, gone, return_exceptions=True)


async def _ended(request: Request, row: JobRow, seconds: float) -> JobRow:
    """The job once it has ended, or as it stands when the time is over or this process stops. One that cannot be listened to, since
    its account listens to too much, is looked at instead.
    """
    here, until = services(request.app), time.monotonic() + seconds
    found = await wait_at_most(request, row, seconds, here.live, here.jobs)
    if found is not None:
        return found
    while not row.ended and (left := until - time.monotonic()) > 0 and not here.live.is_stopping:
        await asyncio.sleep(min(left, LOOK_SECONDS))
        with suppress(DomainError):
            row = await here.jobs.ask(row.id) or row
    return row
