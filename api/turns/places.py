"""Each kind of slow work has a place of its own, so that none can take the threads of another.

A place has so many threads, and so many may wait for one, for a while. Who finds it full is told so (503, with
`Retry-After`); who waits does so without a thread. Health checks have no place: they wait behind nobody.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from contextvars import ContextVar
from functools import partial, wraps
from typing import Any, TypeVar

from anyio import CancelScope, CapacityLimiter, to_thread

from common.errors import Overloaded
from common.settings import settings

_Result = TypeVar("_Result")

RETRY_SECONDS = 5
ADMIN_AT_ONCE = 2  # of a pool of connections that everybody shares
COMPANIES_AT_ONCE = 4  # that companies are asked for, while a payer waits
BATCHES_AT_ONCE = 2  # that are in memory whole, while they are checked and ordered
OPEN_AT_ONCE = 2  # what strangers may ask of the database without a key


class Place:
    """Threads for one kind of work, for one event loop."""

    def __init__(self, name: str, threads: int, *, waiting: int, seconds: float) -> None:
        self.name, self.threads = name, threads
        self._turns = asyncio.Semaphore(threads)
        self._threads = CapacityLimiter(threads)  # never waited for: who has a turn has a thread
        self._most, self._seconds = waiting, seconds
        self._waiting = 0

    async def run(self, work: Callable[[], _Result]) -> _Result:
        """Do this in one of the place's threads, which inherits the context. Raises Overloaded where it is full, and
        stays so for too long. A thread that runs is not given up: its turn lasts until it ends."""
        await self._turn()
        running = asyncio.ensure_future(to_thread.run_sync(work, limiter=self._threads))
        running.add_done_callback(lambda _: self._turns.release())
        with CancelScope(shield=True):
            await asyncio.shield(running)
        return running.result()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator["PlaceTurn"]:
        """A turn for several pieces of work, one after the other. Raises as `run`; it too lasts until its thread has ended."""
        await self._turn()
        turn = PlaceTurn(self._threads)
        try:
            yield turn
        finally:
            if turn.running is None or turn.running.done():
                self._turns.release()
            else:
                turn.running.add_done_callback(lambda _: self._turns.release())

    @property
    def busy(self) -> int:
        """Threads that work."""
        return int(self._threads.borrowed_tokens)

    @property
    def waiting(self) -> int:
        """Requests that wait for one."""
        return self._waiting

    async def _turn(self) -> None:
        if not self._turns.locked():
            await self._turns.acquire()  # at once
            return
        if self._waiting >= self._most:
            raise self._full()
        self._waiting += 1
        try:
            async with asyncio.timeout(self._seconds):
                await self._turns.acquire()
        except TimeoutError:
            raise self._full() from None
        finally:
            self._waiting -= 1

    def _full(self) -> Overloaded:
        return Overloaded(
            f"too many requests of this kind ({self.name}) are under way; try again soon", retry_after=RETRY_SECONDS
        )


class PlaceTurn:
    """A turn that was had; `running` is the newest piece of its work."""

    def __init__(self, threads: CapacityLimiter) -> None:
        self._threads = threads
        self.running: asyncio.Future[Any] | None = None

    async def run(self, work: Callable[[], _Result]) -> _Result:
        """Do this in the turn's thread. One at a time."""
        running = asyncio.ensure_future(to_thread.run_sync(work, limiter=self._threads))
        self.running = running
        with CancelScope(shield=True):
            await asyncio.shield(running)
        return running.result()


class Places:
    """All places of a process, for one event loop."""

    def __init__(self) -> None:
        config = settings()
        seconds = config.place_wait_seconds
        self.files = Place("files", config.files_at_once, waiting=256, seconds=seconds)
        self.uploads = Place("uploads", config.uploads_at_once, waiting=64, seconds=6 * seconds)
        self.admin = Place("admin", ADMIN_AT_ONCE, waiting=32, seconds=seconds)
        self.batches = Place("batches", BATCHES_AT_ONCE, waiting=32, seconds=6 * seconds)
        self.companies = Place("companies", COMPANIES_AT_ONCE, waiting=64, seconds=6 * seconds)
        self.open = Place("open", OPEN_AT_ONCE, waiting=256, seconds=seconds)
        self.ordinary = Place("ordinary", config.requests_at_once, waiting=1000, seconds=seconds)


_here: ContextVar[Place] = ContextVar("here")


def go_to(place: Place) -> None:
    """Say where the endpoint of the request that runs will be."""
    _here.set(place)


def placed(endpoint: Callable[..., _Result]) -> Callable[..., Coroutine[Any, Any, _Result]]:
    """A synchronous endpoint that runs in its request's place, and not where all of them would share their threads."""

    @wraps(endpoint)
    async def run(**values: Any) -> _Result:
        return await _here.get().run(partial(endpoint, **values))

    return run
