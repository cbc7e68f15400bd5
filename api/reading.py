"""Reads that arrive together are one query: jobs by id, and balances."""

from collections.abc import Sequence
from uuid import UUID

from api.edge.grouping import Grouper
from models.credits.reads import balances
from models.db import transaction
from models.jobs import reads
from models.jobs.reads import JobRow

Jobs = Grouper[UUID, JobRow | None]
Balances = Grouper[UUID, dict[str, int]]


def jobs_together() -> Jobs:
    """Jobs by id, of any account: the caller compares the account."""
    return Grouper(_jobs, name="reads")


def balances_together() -> Balances:
    """Balances of accounts with the event number they are at."""
    return Grouper(_balances, name="balances")


def _jobs(ids: Sequence[UUID]) -> list[JobRow | None]:
    with transaction() as conn:
        found = reads.jobs_by_id(conn, ids)
    return [found.get(job_id) for job_id in ids]


def _balances(account_ids: Sequence[UUID]) -> list[dict[str, int]]:
    with transaction() as conn:
        return balances(conn, account_ids)
