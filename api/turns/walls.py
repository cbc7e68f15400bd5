"""The wall between tenants: whoever holds one account's lock, requests of the others do not wait for it.

A request that needs a lock tries for a moment. If it is not had, the connection is given back, and the request tries
again a little later, until its time is over (503). Of one account one request tries at a time, the others wait for their
turn without thread and connection; and of all that try again, few have a connection at once. Submits have a wall of their
own (`api.intake.submits`).
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Hashable
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from typing import TypeVar

from anyio import CapacityLimiter

from common.errors import Busy, Overloaded
from common.settings import settings
from models.db import MOMENT_MILLISECONDS, patience

_Result = TypeVar("_Result")

WAIT_SECONDS = 2.0  # from arrival until the last try begins
PAUSE_SECONDS = (0.05, 0.15)  # between tries
MAX_WAITING = 100  # requests of one account
MAX_WAITING_IN_ALL = 1000


def share_of_waiters() -> int:
    """How many of a process's connections may wait for locks that are known to be held, in each of the two walls."""
    return max(1, settings().database_pool_size // 4)


@dataclass(slots=True)
class _Queue:
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    waiting: int = 0


class Wall:
    """For one event loop."""

    def __init__(self) -> None:
        self._queues: dict[Hashable, _Queue] = {}
        self._again = CapacityLimiter(share_of_waiters())
        self._waiting = 0

    async def run(self, name: Hashable, work: Callable[[], Awaitable[_Result]], *, locks: bool = True) -> _Result:
        """Do what may need a lock of `name`'s, an account as a rule. `work` is one transaction, in a thread that inherits
        the context, and is done again if it raises Busy. Without `locks` it seldom needs one: it tries before its turn.

        Raises Busy, or Overloaded where too many wait.
        """
        if not locks:
            with suppress(Busy):
                return await _tried(work)
        queue = self._queues.setdefault(name, _Queue())
        if queue.waiting >= MAX_WAITING or self._waiting >= MAX_WAITING_IN_ALL:
            raise Overloaded("too many requests wait for this account already; try again soon")
        queue.waiting += 1
        self._waiting += 1
        try:
            return await self._in_turn(queue, work)
        finally:
            queue.waiting -= 1
            self._waiting -= 1
            if not queue.waiting:
                self._queues.pop(name, None)

    async def _in_turn(self, queue: _Queue, work: Callable[[], Awaitable[_Result]]) -> _Result:
        loop = asyncio.get_running_loop()
        end = loop.time() + WAIT_SECONDS
        try:
            async with asyncio.timeout_at(end):
                await queue.turn.acquire()
        except TimeoutError:
            raise Busy("another request holds this account; try again soon") from None
        try:
            first = True
            while True:
                try:
                    async with nullcontext() if first else self._again:
                        return await _tried(work)
                except Busy:
                    if loop.time() >= end:
                        raise
                first = False
                await asyncio.sleep(random.uniform(*PAUSE_SECONDS))  # noqa: S311 - spreads tries, guards nothing
        finally:
            queue.turn.release()


async def _tried(work: Callable[[], Awaitable[_Result]]) -> _Result:
    with patience(MOMENT_MILLISECONDS):
        return await work()
