"""Claims of one worker process: one by one, or those of jobs that were fetched together by one statement.

A job that is claimed ahead is held from then on, and taken up by the thread that gets its message. Whatever is not claimed
ahead (nobody is free, something is paused or locked, the database is away) is claimed by that thread as ever.
"""

import logging
import threading
from collections.abc import Sequence
from uuid import UUID

from common import uptime
from common.telemetry import traces
from models.db import single, transaction
from models.jobs import pauses, steps
from models.jobs.clock import ClockPace
from models.jobs.steps import Claim
from workers.doorbell import ring
from workers.leases import Hold, Keeper

log = logging.getLogger(__name__)


class Claiming:
    """Claims steps, and keeps what it has claimed ahead until a thread takes it up."""

    def __init__(self, keeper: Keeper, pace: ClockPace) -> None:
        self._keeper = keeper
        self._pace = pace
        self._ahead: dict[UUID, Hold] = {}
        self._lock = threading.Lock()

    def claim(self, job_id: UUID) -> Hold | None:
        """A hold on the job's next step, if one is due and nobody has it."""
        with self._lock:
            hold = self._ahead.pop(job_id, None)
        if hold is not None and self._keeper.take_up(hold):
            return hold
        owner = self._keeper.owner()
        try:
            with traces.span("claim"), single() as conn:
                if pauses.seen(conn) == pauses.NOTHING or not pauses.waits(conn, job_id):
                    claim = steps.claim(conn, job_id, owner)
                    return self._held(claim) if claim else None
        except Exception:
            self._keeper.doubt(job_id, owner)
            raise
        with transaction() as conn:
            rings = pauses.shelve(conn, job_id)
        ring(rings)
        return None

    def claim_ahead(self, job_ids: Sequence[UUID]) -> None:
        """Claim the steps of jobs that were fetched together, as many as threads are free for. A job that is held keeps the hold
        that it has, whatever message comes of it.
        """
        wanted = list(dict.fromkeys(job_ids))[: self._keeper.free()]
        if len(wanted) < 2:
            return
        owner = self._keeper.owner()
        try:
            with single() as conn:
                if pauses.seen(conn) != pauses.NOTHING:
                    return
                claims = steps.claim_many(conn, wanted, owner)
        except Exception:
            log.warning("jobs that came together are claimed one by one", exc_info=True)
            for job_id in wanted:
                self._keeper.doubt(job_id, owner)
            return
        for claim in claims:
            hold = self._held(claim, waits=True)
            with self._lock:
                self._ahead[claim.job_id] = hold

    def give_back_ahead(self) -> None:
        """Give back what no thread has taken up. Does not raise: a lease that is not given back lapses."""
        with self._lock:
            ahead, self._ahead = list(self._ahead.values()), {}
        for hold in ahead:
            self._keeper.drop(hold)
        try:
            with transaction() as conn:
                rings = [steps.give_back(conn, hold.claim.job_id, hold.claim.owner) for hold in ahead]
        except Exception:
            log.warning("%d jobs that were not begun are not given back; they are rescued", len(ahead), exc_info=True)
        else:
            ring([each for each in rings if each])

    def hear(self, claim: Claim) -> None:
        """The database has said what time it is: the claim was made a moment ago."""
        self._pace.hear(claim.now, claim.claimed_at, uptime.seconds())

    def _held(self, claim: Claim, *, waits: bool = False) -> Hold:
        self.hear(claim)
        return self._keeper.take(claim, waits=waits)
