"""Whether this process can serve: `/readyz` writes a row, on a connection and in a thread of its own, so that it waits behind
nobody's work. However many ask, one probe is under way at a time, and its answer serves for a second.
"""

import asyncio
import contextlib
import time
from concurrent.futures import ThreadPoolExecutor

import psycopg

from common.errors import Unavailable
from models import failures
from models.connecting import Linked
from models.db import apart, transaction_on
from models.fleet import probes

PROBE_SECONDS = 3.0  # more than its own time-outs take
FRESH_SECONDS = 1.0
KEPT_SECONDS = 10.0  # a connection: what a new one would meet is found out as well


class Readiness:
    """For one event loop."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="readiness")
        self._apart = contextlib.ExitStack()
        self._conn: Linked | None = None
        self._probe: asyncio.Future[None] | None = None
        self._good_until = 0.0
        self._keep_until = 0.0

    async def check(self) -> None:
        """Raises Unavailable where the database does not take writes, or says nothing within a few seconds."""
        if time.monotonic() < self._good_until:
            return
        if self._probe is None or self._probe.done():
            self._probe = asyncio.get_running_loop().run_in_executor(self._thread, self._write)
        try:
            await asyncio.wait_for(asyncio.shield(self._probe), PROBE_SECONDS)
        except TimeoutError:
            raise Unavailable("the database does not answer") from None
        self._good_until = time.monotonic() + FRESH_SECONDS

    def forget(self) -> None:
        """Look anew, and connect anew, at the next question."""
        self._good_until = self._keep_until = 0.0

    def _write(self) -> None:
        try:
            if self._conn is None or time.monotonic() >= self._keep_until:
                self._apart.close()
                self._conn = self._apart.enter_context(apart())
                self._keep_until = time.monotonic() + KEPT_SECONDS
            with transaction_on(self._conn):
                probes.probe(self._conn)
        except psycopg.Error as error:
            self._apart.close()
            self._conn = None
            raise failures.named(error) or Unavailable("the database does not take writes") from error

    def close(self) -> None:
        self._thread.shutdown(wait=True)
        self._apart.close()
