"""How often shared pages are seen: counted in the process, and written down together every few seconds, so that a view costs
no write. What a killed process had not written down yet is lost.
"""

import asyncio
import contextlib
import logging
from collections import Counter
from uuid import UUID

from starlette.concurrency import run_in_threadpool

from models.db import transaction
from models.gallery import links

log = logging.getLogger(__name__)

COUNT_SECONDS = 10.0


class Views:
    """For one event loop."""

    def __init__(self) -> None:
        self._seen: Counter[UUID] = Counter()
        self._counting: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to write down what is seen."""
        self._counting = asyncio.create_task(self._count())

    def count(self, link_id: UUID) -> None:
        """Somebody sees what this link leads to."""
        self._seen[link_id] += 1

    async def _count(self) -> None:
        while True:
            await asyncio.sleep(COUNT_SECONDS)
            if self._seen:
                await run_in_threadpool(self._write)

    def _write(self) -> None:
        seen, self._seen = self._seen, Counter()
        try:
            with transaction() as conn:
                links.record_views(conn, seen)
        except Exception as error:  # noqa: BLE001 - a count that is lost harms nobody
            log.warning("could not count the views of shared pages: %s", error)

    async def close(self) -> None:
        if self._counting is not None:
            self._counting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._counting
        if self._seen:
            await run_in_threadpool(self._write)
