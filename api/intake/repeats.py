"""Orders that libraries send again by themselves and without a name: recognised, so that they are one job and one answer.

An order is the same as another if the same account sent the same words to the same route. It is the other, sent again, if its
sender says so (`x-stainless-retry-count`), or if the connection of the other was closed before its answer was written. Two equal
orders whose connections are both open are two. Since the second order may be here before the loss of the first is seen, an
identical order in flight gets a moment. What this process cannot see (an answer that was lost behind it, a process that was
killed) is not known: only a client's own Idempotency-Key helps there.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from api.edge.flow import CLOSING
from api.tasks import end
from api.turns.places import Places
from common.errors import DomainError
from models.db import certain
from models.jobs import repeats

log = logging.getLogger(__name__)

MOMENT_SECONDS = 0.25  # in which the loss of an equal order's connection may still be seen
COUNT_HEADER = "x-stainless-retry-count"
GONE = "http.disconnect"

_Name = tuple[UUID, bytes]  # whose order, and what it says


class Flight:
    """An order on its way: from when it is understood until its answer is written, or its connection is lost."""

    def __init__(self, name: _Name, request: Request) -> None:
        self.name = name
        self.job: asyncio.Future[UUID | None] = asyncio.get_running_loop().create_future()  # None: it was refused
        self.taken = False  # by the same order, sent again, or it has its answer
        self._request, self._lost = request, asyncio.Event()
        self._closing: Callable[[], bool] = request.scope.get(CLOSING, _never)
        self._watch: asyncio.Task[None] | None = None  # only where somebody waits for its loss

    @property
    def is_lost(self) -> bool:
        """Whether its connection is, as far as this process can see."""
        if self._closing():  # asked without a task for it: most orders are answered before anybody asks twice
            self._lost.set()
        return self._lost.is_set()

    def lose(self) -> None:
        """Whatever becomes of its connection: its answer says nothing of its job."""
        self._lost.set()

    async def wait_lost(self) -> None:
        """Wait until its connection is lost."""
        if self._watch is None:
            self._watch = asyncio.create_task(_watch(self._request, self._lost))
        await self._lost.wait()

    async def stop_watching(self) -> None:
        """Whatever becomes of the connection from here on says nothing of this order."""
        if self._watch is not None:
            await end([self._watch])


async def _watch(request: Request, lost: asyncio.Event) -> None:
    while (await request.receive())["type"] != GONE:
        pass
    lost.set()


def _never() -> bool:
    return False  # of a server that is not ours: only `_watch` sees a loss


def is_retried(request: Request) -> bool:
    """Whether its sender says that it has sent this before."""
    count = request.headers.get(COUNT_HEADER, "")
    return count.isascii() and count.isdigit() and int(count[:9]) > 0


class Repeats:
    """For one event loop."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._flights: dict[_Name, list[Flight]] = {}

    def begin(self, request: Request, account_id: UUID, asked: bytes) -> Flight:
        """An order whose whole body has been read begins. It must `land`."""
        flight = Flight((account_id, asked), request)
        self._flights.setdefault(flight.name, []).append(flight)
        return flight

    async def under_way(self, flight: Flight, *, retried: bool) -> UUID | None:
        """The job of an order on its way here, which this one is, sent again; None: there is none. `retried`: its sender says so."""
        others = [each for each in self._flights.get(flight.name, ()) if each is not flight and not each.taken]
        found = await _sent_before(others, retried=retried)
        if found is None:
            return None
        found.taken = not retried
        return await asyncio.shield(found.job)

    async def land(self, flight: Flight, *, lost: bool, maybe: UUID | None = None) -> None:
        """The order's answer was written, or could not be. A loss is written down, for whoever sends it again later or elsewhere.
        `maybe`: the order's job, of which nobody knows whether it was committed.
        """
        try:
            if not flight.job.done():
                flight.job.set_result(None)
            await flight.stop_watching()
            job_id = flight.job.result() or maybe
            if lost and job_id is not None and not flight.taken:
                with suppress(DomainError):
                    await self._places.ordinary.run(partial(_mark_lost, flight, job_id))
        finally:
            flights = self._flights[flight.name]
            flights.remove(flight)
            if not flights:
                del self._flights[flight.name]


async def _sent_before(others: Sequence[Flight], *, retried: bool) -> Flight | None:
    """The one of these orders that is the same as another which comes now."""
    if not others or retried:
        return others[0] if others else None
    looks = [asyncio.create_task(each.wait_lost()) for each in others]
    await asyncio.wait(looks, timeout=MOMENT_SECONDS, return_when=asyncio.FIRST_COMPLETED)
    await end(looks)
    return next((each for each in others if each.is_lost and not each.taken), None)


def _mark_lost(flight: Flight, job_id: UUID) -> None:
    if flight.taken:
        return
    with certain() as conn:
        repeats.mark_lost(conn, flight.name[0], job_id)


class Landing(Response):
    """An answer with which an order's flight ends."""

    def __init__(self, inner: Response, flights: Repeats, flight: Flight) -> None:
        self.background = None
        self.status_code = inner.status_code
        self.raw_headers = inner.raw_headers
        self._inner, self._flights, self._flight = inner, flights, flight

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        lost = True  # until its last bytes are sent while its client is there

        async def sending(message: Message) -> None:
            nonlocal lost
            if message["type"] == "http.response.body" and not message.get("more_body"):
                lost = self._flight.is_lost
                self._flight.taken = self._flight.taken or not lost  # the same words from here on are another order
            await send(message)

        try:
            await self._inner(scope, receive, sending)
        finally:
            await self._flights.land(self._flight, lost=lost)
