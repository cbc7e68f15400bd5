"""Jobs whose provider's answer was lost and cannot be asked for: parked until an operator decides, or their time is up."""

from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Connection

from common.errors import NotFound
from models.jobs import restored
from models.jobs.ending import AttemptEnd, Ending, end, put_back
from models.jobs.rescues import GivenUp, slot_of
from models.jobs.states import AttemptPhase, JobEnd
from models.locks import lock_account


class Parked(NamedTuple):
    """A job in `reconciling`. It fails and is refunded `reconcile_seconds` after its attempt began, once it was asked about in vain for
    three times after that where it can be asked about.
    """

    job_id: UUID
    account_id: UUID
    model_id: str
    provider: str
    attempt: int
    begun_at: datetime
    price_credits: int
    reason: str | None


def list_parked(conn: Connection[Any], limit: int = 100) -> list[Parked]:
    """The parked jobs, oldest attempt first."""
    rows = conn.execute(
        """select r.job_id, r.account_id, r.model_id, a.provider, a.number, a.started_at, j.price_credits, r.reason
             from job_runs r join jobs j on j.id = r.job_id
             join attempts a on a.job_id = r.job_id and a.ended_at is null
            where r.status = 'reconciling' and r.wake_at is not null order by a.started_at limit %s""",
        [limit],
    ).fetchall()
    return [Parked(*row) for row in rows]


def decide(conn: Connection[Any], job_id: UUID, *, again: bool) -> GivenUp:
    """What an operator has found out at the provider: nothing was generated, so try `again`; or give the job up, which
    refunds it. Raises NotFound where the job is not parked, a worker looks after it just now, or its provider has called
    back and nobody has read that yet.
    """
    owner = conn.execute("select account_id from job_runs where job_id = %s", [job_id]).fetchone()
    if owner is not None:
        lock_account(conn, owner[0])
    run = conn.execute(
        """select r.token, a.number, a.provider, a.own_key is not null from job_runs r
             join attempts a on a.job_id = r.job_id and a.ended_at is null
            where r.job_id = %s and r.status = 'reconciling' and r.lease_owner is null and not r.called_back
              for update of r""",
        [job_id],
    ).fetchone()
    if owner is None or run is None:
        raise NotFound(f"job {job_id} is not parked, or a worker is asking for it just now", param="id")
    token, number, provider, own = run
    why = "an operator gave it up" if not again else "an operator found that it never began"
    attempt = AttemptEnd(number, AttemptPhase.ABANDONED, "outcome_unknown", why)
    if again:
        restored.let_begin(conn, job_id)
        done = put_back(
            conn, owner[0], job_id, token=token, after_seconds=0.0, reason=why, attempt=attempt, spends_attempt=False
        )
    else:
        ending = Ending(JobEnd.FAILED, error_code="outcome_unknown", error_message=why, attempt=attempt)
        done = end(conn, owner[0], job_id, ending, token=token)
    assert done is not None  # noqa: S101 - both locks are held
    return GivenUp(done, slot_of(owner[0], job_id, number, provider, own=own))
