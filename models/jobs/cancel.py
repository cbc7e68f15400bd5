"""Cancel: a refund until the job has started, then a request that the job's next step carries out."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg import Connection

from common.errors import NotCancelable
from models.absence import refuse_absent
from models.jobs.dispatch import Ring
from models.jobs.ending import Ending, end
from models.jobs.states import JobEnd
from models.locks import lock_account


@dataclass(frozen=True, slots=True)
class Canceled:
    """`ended`: the job is over and refunded. Otherwise the provider was started, and the next step decides."""

    ended: bool
    rings: list[Ring]
    before: bool = False  # it had been canceled already


def cancel(conn: Connection[Any], job_id: UUID, *, account_id: UUID | None = None) -> Canceled:
    """Cancel a job; with `account_id`, only a job of that account. Canceling a canceled job again changes nothing.

    Raises NotFound, JobForgotten, and NotCancelable where the job has succeeded or failed.
    """
    found = conn.execute("select account_id from jobs where id = %s", [job_id]).fetchone()
    if found is None or found[0] is None or (account_id is not None and found[0] != account_id):
        refuse_absent(conn, job_id, account_id)
    owner: UUID = found[0]
    lock_account(conn, owner)
    run = conn.execute("select lease_owner from job_runs where job_id = %s for update", [job_id]).fetchone()
    if run is None:
        ended = conn.execute("select ended from jobs where id = %s", [job_id]).fetchone()
        if ended and ended[0] == JobEnd.CANCELED:
            return Canceled(ended=True, rings=[], before=True)
        raise NotCancelable(f"the job has {ended[0] if ended else 'ended'} already", param="id")
    lease_owner = run[0]
    # A statement of its own: in the one that waited for the run's lock, an attempt written meanwhile is not seen.
    started = conn.execute("select 1 from attempts where job_id = %s and ended_at is null", [job_id]).fetchone()
    if started is None:
        # No attempt has been written, so no provider was called; a worker that holds the claim finds it stale.
        done = end(conn, owner, job_id, Ending(JobEnd.CANCELED), token=None)
        return Canceled(ended=True, rings=done.rings if done else [])
    row = conn.execute(
        """update job_runs set cancel_requested_at = coalesce(cancel_requested_at, app_now()),
                  wake_at = case when lease_owner is null then app_now() else wake_at end
            where job_id = %s returning queue""",
        [job_id],
    ).fetchone()
    return Canceled(ended=False, rings=[Ring(job_id, row[0])] if row and lease_owner is None else [])


def cancel_unbegun(conn: Connection[Any], job_id: UUID, account_id: UUID) -> Canceled | None:
    """Cancel a job that no worker has ever claimed, and refund it. None: it has begun, or has ended."""
    lock_account(conn, account_id)
    waits = conn.execute(
        "select 1 from job_runs where job_id = %s and account_id = %s and started_at is null for update",
        [job_id, account_id],
    ).fetchone()
    if waits is None:
        return None
    done = end(conn, account_id, job_id, Ending(JobEnd.CANCELED), token=None)
    return Canceled(ended=True, rings=done.rings if done else [])
