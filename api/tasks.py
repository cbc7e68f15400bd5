"""What runs all the time in an API process."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

log = logging.getLogger(__name__)

AGAIN_SECONDS = 1.0


async def keep(name: str, work: Callable[[], Awaitable[object]]) -> None:
    """Do work that has no end until cancelled; whatever it breaks off with is logged, and it begins anew."""
    while True:
        try:
            await work()
            log.error("%s has ended by itself; it begins anew", name)
        except Exception:
            log.exception("%s broke off; it begins anew", name)
        await asyncio.sleep(AGAIN_SECONDS)
