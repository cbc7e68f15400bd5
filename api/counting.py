"""What is read or seen, counted in memory and written down together: no write per view. A process that is killed loses the
views of its last seconds, and so does one whose database is away; nothing else hangs on them.
"""

import asyncio
import contextlib
import logging
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from psycopg import Connection
from starlette.concurrency import run_in_threadpool

from models.db import transaction

log = logging.getLogger(__name__)

WRITE_SECONDS = 5.0


class Views:
    """How often each of `things` (a word for the log) is seen in one process; `record` adds to what is written down."""

    def __init__(self, things: str, record: Callable[[Connection[Any], Mapping[UUID, int]], object]) -> None:
        self._things, self._record = things, record
        self._seen: Counter[UUID] = Counter()
        self._lock = threading.Lock()
        self._writing: asyncio.Task[None] | None = None

    def note(self, seen_id: UUID) -> None:
        """One of them was seen. From any thread."""
        with self._lock:
            self._seen[seen_id] += 1

    def start(self) -> None:
        """Begin to write them down."""
        self._writing = asyncio.create_task(self._write_often())

    async def _write_often(self) -> None:
        while True:
            await asyncio.sleep(WRITE_SECONDS)
            if self._seen:
                await run_in_threadpool(self.write)

    def write(self) -> None:
        """Write down what was seen since the last time."""
        with self._lock:
            seen, self._seen = self._seen, Counter()
        if not seen:
            return
        try:
            with transaction() as conn:
                self._record(conn, seen)
        except Exception as error:  # noqa: BLE001 - a count that is lost harms nobody
            log.warning("could not count the views of %s: %s", self._things, error)

    async def close(self) -> None:
        """Stop, and write down the last ones."""
        if self._writing is not None:
            self._writing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._writing
        await run_in_threadpool(self.write)
