"""What runs all the time in an API process."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection

log = logging.getLogger(__name__)

AGAIN_SECONDS = 1.0
CANCEL_AGAIN_SECONDS = 0.5


async def keep(name: str, work: Callable[[], Awaitable[object]]) -> None:
    """Do work that has no end until cancelled; whatever it breaks off with is logged, and it begins anew."""
    while True:
        try:
            await work()
            log.error("%s has ended by itself; it begins anew", name)
        except Exception:
            log.exception("%s broke off; it begins anew", name)
        await asyncio.sleep(AGAIN_SECONDS)


async def end(tasks: Collection[asyncio.Task[None]]) -> None:
    """Cancel tasks until they have ended: `asyncio.wait_for` of Python 3.11 swallows a cancellation that comes in the moment
    in which what it waits for is done, and its task goes on.
    """
    waiting = set(tasks)
    while waiting:
        for task in waiting:
            task.cancel()
        _, waiting = await asyncio.wait(waiting, timeout=CANCEL_AGAIN_SECONDS)
