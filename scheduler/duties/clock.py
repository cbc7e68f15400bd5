"""Watches the database's clock against this machine's own, which nobody sets.

Leases and limits are points in the database's time. When that is set by hand, or by a machine that takes over, all of
them are wrong at once: every worker would seem lost, every job late. So a scheduler that sees it jump moves what can be
moved (models/jobs/clock.py), and for one lease takes nothing away and ends nothing: within a quarter of it every living
worker has renewed what it holds.
"""

import logging
import threading
from uuid import UUID

from common import uptime
from common.settings import settings
from models.db import transaction
from models.jobs import clock

log = logging.getLogger(__name__)

BATCH = 500


class Watch:
    """One process's view of the database's clock. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pace = clock.ClockPace()

    def settled(self) -> bool:
        """Look at the clock; act on a jump. Whether it has run evenly for one lease, as far as this process knows."""
        with self._lock:
            before = uptime.seconds()
            with transaction() as conn:
                now = clock.now(conn)
            after = uptime.seconds()
            gap = after - self._pace.heard_at
            jump = self._pace.hear(now, before, after)
            if jump:
                act(jump, now, gap)
            return self._pace.is_even()


def act(by_seconds: float, at: float, gap: float) -> None:
    """Move limits and wakes by a jump, unless another scheduler has."""
    log.error("the database's clock has jumped by %.1f s; nothing is taken away or ended for one lease", by_seconds)
    with transaction() as conn:
        if not clock.note(conn, by_seconds, at, settings().lease_seconds):
            return
    after: UUID | None = None
    while True:
        with transaction() as conn:
            batch = clock.shifts(conn, by_seconds, at, gap, after, BATCH)
            clock.apply(conn, batch)
        if len(batch) < BATCH:
            break
        after = batch[-1].job_id
    if by_seconds < 0:
        with transaction() as conn:
            clock.shift_delivery_queues(conn, by_seconds, at)
