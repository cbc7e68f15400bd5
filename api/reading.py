"""Reads that arrive together are one query: jobs by id, and balances."""

import time
from collections.abc import Sequence
from uuid import UUID

from api.edge.grouping import Grouper
from models.credits.reads import balances
from models.db import transaction
from models.jobs import reads
from models.jobs.reads import JobRow

FRESH_SECONDS = 0.25  # for which a living job is told again as it was read: who asks so often sees it that much later
ENDED_SECONDS = 5.0  # for which one that has ended is
MAX_KEPT = 20_000

Jobs = Grouper[UUID, JobRow | None]
Balances = Grouper[UUID, dict[str, int]]


def jobs_together() -> Jobs:
    """Jobs by id, of any account: the caller compares the account."""
    return Grouper(_jobs, name="reads")


def balances_together() -> Balances:
    """Balances of accounts with the event number they are at."""
    return Grouper(_balances, name="balances")


class JobPolls:
    """Looks at jobs by who asks for one again and again: what was read just now is told without asking the database."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs
        self._known: dict[UUID, tuple[float, JobRow]] = {}

    async def look(self, job_id: UUID) -> JobRow | None:
        """A job of any account: the caller compares the account."""
        begun = time.monotonic()
        known = self._known.get(job_id)
        if known is not None and begun < known[0]:
            return known[1]
        row = await self._jobs.ask(job_id)
        if row is None:
            self.forget(job_id)
            return None
        if len(self._known) >= MAX_KEPT:
            self._known.clear()
        self._known[job_id] = (begun + (ENDED_SECONDS if row.ended else FRESH_SECONDS), row)
        return row

    def forget(self, job_id: UUID) -> None:
        """Read it anew: something has just been done to it."""
        self._known.pop(job_id, None)


def _jobs(ids: Sequence[UUID]) -> list[JobRow | None]:
    with transaction() as conn:
        found = reads.jobs_by_id(conn, ids)
    return [found.get(job_id) for job_id in ids]


def _balances(account_ids: Sequence[UUID]) -> list[dict[str, int]]:
    with transaction() as conn:
        return balances(conn, account_ids)
