"""Jobs that lived when a backup was taken, and what is known of them in the database that was restored from it: not whether the
old system has called a provider for them since. Whatever may have been begun is parked until an operator has looked, and
no other attempt at such a job begins by itself: it may be the one that the old system has begun.
"""

from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Connection
from sqlmodel import Field, SQLModel

from models.columns import NEVER, created_at, in_list
from models.jobs.states import UNANSWERED_PHASES

REASON = "a backup was restored: whether its provider was called since is not known"


class RestoredJob(SQLModel, table=True):
    """A job of which another attempt begins only once an operator says so, who deletes this row by that."""

    __tablename__ = "restored_jobs"

    job_id: UUID = Field(primary_key=True, foreign_key="jobs.id")
    created_at: datetime = created_at()


class MadeSafe(NamedTuple):
    """What became of the jobs that lived in a backup."""

    parked: int  # an operator decides
    asked: int  # their provider is asked about what it has accepted, or what it made is fetched
    waiting: int  # they are begun as if nothing had happened


# As the claim decides whether it begins an attempt (models.jobs.steps), but for the time limit, which is moved.
_BEGINS = """not exists (select 1 from attempts a where a.job_id = r.job_id and a.ended_at is null)
             and r.cancel_requested_at is null and r.next_route >= 0
             and r.attempts_spent < (m.entry->>'max_attempts')::int"""


def make_safe(conn: Connection[Any], taken_at: datetime, *, went_on: bool) -> MadeSafe:
    """Take over the living jobs of a backup of that time. `went_on`: the old system may have gone on after it.

    For a database that nobody else uses yet: it reads and locks all that lives.
    """
    _free(conn, taken_at)
    if went_on:
        _mark(conn)
        _park_begun(conn)
        _park_waiting(conn)
        # All that a batch holds back is parked one by one now: it lets nothing more into the line.
        conn.execute("update batches set let_go = orders, running = '{}' where ended_at is null")
    row = conn.execute(
        f"""select count(*) filter (where status = 'reconciling' and wake_at = {NEVER}),
                  count(*) filter (where status <> 'queued' and wake_at < {NEVER}), count(*) filter (where status = 'queued')
             from job_runs"""
    ).fetchone()
    assert row is not None  # noqa: S101 - always one
    return MadeSafe(*row)


def _free(conn: Connection[Any], taken_at: datetime) -> None:
    """No lease of a worker of before counts, and the time in which there was no system is nobody's."""
    conn.execute(
        """update job_runs set lease_owner = null, token = token + 1, rings = 0, rescues = 0,
                  wake_at = case when dispatched then app_now() else wake_at end,
                  deadline_at = deadline_at + greatest(app_now() - %s, interval '0')""",
        [taken_at],
    )


def _mark(conn: Connection[Any]) -> None:
    conn.execute("insert into restored_jobs (job_id) select job_id from job_runs on conflict do nothing")


def _park_begun(conn: Connection[Any]) -> None:
    """Attempts that were written down and not answered. What a provider has called back about, or a client wants canceled, is
    looked at all the same: both end it without another call.
    """
    conn.execute(
        f"""with parked as (
              update attempts a set phase = 'unknown'
               where a.ended_at is null and {in_list("a.phase", *UNANSWERED_PHASES)} returning a.job_id)
            update job_runs r set status = 'reconciling', reason = %s, deadline_at = null,
                   wake_at = case when r.called_back or r.cancel_requested_at is not null then app_now() else {NEVER} end
              from parked where r.job_id = parked.job_id""",
        [REASON],
    )


def _park_waiting(conn: Connection[Any]) -> None:
    """Jobs whose next attempt had not begun: the old system may have begun it a moment later. It is written down as that
    attempt, under the key that the provider would know it by, and the job holds its slot until it is decided.
    """
    conn.execute(
        f"""with waiting as materialized (
              select r.job_id, r.account_id, r.dispatched, r.attempts + 1 as number, m.entry,
                     least(r.next_route, jsonb_array_length(m.entry->'routes') - 1) as route
                from job_runs r join jobs j on j.id = r.job_id join models m on m.id = j.model_id and m.version = j.model_version
               where {_BEGINS}
            ), begun as (
              insert into attempts (job_id, number, token, provider, route, phase)
              select w.job_id, w.number, r.token, w.entry->'routes'->w.route->>'provider', w.route, 'unknown'
                from waiting w join job_runs r using (job_id)
            ), parked as (
              update job_runs r set status = 'reconciling', dispatched = true, wake_at = {NEVER}, reason = %s, requeued = false,
                     held_back = false, started_at = coalesce(r.started_at, app_now()), deadline_at = null,
                     attempts = r.attempts + 1, attempts_spent = r.attempts_spent + 1
                from waiting w where r.job_id = w.job_id
            )
            update accounts a set slots_in_use = a.slots_in_use + n.more
              from (select account_id, count(*) as more from waiting where not dispatched group by 1) n where a.id = n.account_id""",
        [REASON],
    )


def is_restored(conn: Connection[Any], job_id: UUID) -> bool:
    """Whether a job lived in a backup, and no operator has let another attempt at it begin."""
    return conn.execute("select 1 from restored_jobs where job_id = %s", [job_id]).fetchone() is not None


def let_begin(conn: Connection[Any], job_id: UUID) -> None:
    """Let a job begin attempts as any other: an operator has looked at its provider."""
    conn.execute("delete from restored_jobs where job_id = %s", [job_id])
