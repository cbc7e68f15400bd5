"""Reads of jobs, as plain rows."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Connection
from psycopg.types.json import Jsonb

from common.errors import InputErased
from common.settings import settings
from models.columns import NEVER
from models.files.results import SHOWN
from models.jobs import pauses
from models.jobs.pauses import Paused
from models.jobs.states import RUNS_SEEN_AS, JobEnd, JobStatus, RunStatus


class JobRow(NamedTuple):
    """A job as clients see it, from `jobs`, its run while it lives, and its assets."""

    id: UUID
    account_id: UUID
    model_id: str
    input: dict[str, Any]
    queue: str
    retry_of: UUID | None
    price_credits: int
    charged_credits: int | None
    created_at: datetime
    started_at: datetime | None
    ended: str | None
    ended_at: datetime | None
    attempts: int
    error_code: str | None
    error_message: str | None
    run_status: str | None
    dispatched: bool | None
    wake_at: datetime | None
    progress: int | None
    reason: str | None
    cancel_requested: bool
    ahead: int | None  # jobs of the account before this one in its queue, counted to 1,000
    slots: int
    slots_in_use: int
    typical_seconds: int
    event_number: int  # of the account's newest event in the same snapshot
    labels: dict[str, str] | None
    assets: list[dict[str, Any]]
    later: bool = False  # outside of the line, until others of its batch have ended
    paused: str | None = None  # the kind of what an operator has paused, and what the job waits for
    input_erased_at: datetime | None = None
    kind: str = ""  # what its model makes
    model_version: int = 0
    outputs: str | None = None  # how its results are told in the words of others: `one` or `list`; None: by its kind

    def given(self) -> dict[str, Any]:
        """The input, to order it again. Raises InputErased."""
        if self.input_erased_at is not None:
            raise InputErased("what this job was asked with is not kept any more; order it as a new job", param="id")
        return self.input


_JOB = f"""
select j.id, j.account_id, j.model_id, j.input, j.queue, j.retry_of, j.price_credits, j.charged_credits, j.created_at,
       coalesce(j.started_at, r.started_at), j.ended, j.ended_at, coalesce(j.attempts, r.attempts), j.error_code,
       j.error_message, r.status, r.dispatched, nullif(r.wake_at, {NEVER}), r.progress, r.reason, r.cancel_requested_at is not null,
       case when not r.dispatched and r.wake_at is distinct from {NEVER} then (
         select count(*) from (
           select 1 from job_runs w where w.account_id = r.account_id and not w.dispatched and w.wake_at is null
              and ((w.requeued, w.priority) > (r.requeued, r.priority)
                   or (w.requeued, w.priority) = (r.requeued, r.priority) and w.job_id < r.job_id) limit 1000) x) end,
       p.slots, a.slots_in_use, (m.entry->>'typical_seconds')::int, a.event_number, j.labels,
       case when j.ended = 'succeeded' then (
         select jsonb_agg({SHOWN}
           order by s.index) from assets s where s.job_id = j.id) end, coalesce(r.wake_at = {NEVER}, false), j.input_erased_at,
       m.kind, j.model_version, m.entry->>'outputs'
  from jobs j join accounts a on a.id = j.account_id join plans p on p.id = a.plan_id
  join models m on m.id = j.model_id and m.version = j.model_version
  left join job_runs r on r.job_id = j.live_id
"""


def _rows(conn: Connection[Any], tail: str, values: Sequence[Any]) -> list[JobRow]:
    rows = [
        JobRow._make((*row[:-6], row[-6] or [], row[-5], None, *row[-4:]))
        for row in conn.execute(_JOB + tail, values).fetchall()
    ]
    if not any(row.run_status == RunStatus.QUEUED for row in rows):
        return rows
    paused = pauses.seen(conn)
    return [_with_pause(row, paused) for row in rows] if paused != pauses.NOTHING else rows


def _with_pause(row: JobRow, paused: Paused) -> JobRow:
    held = paused.holds(row.account_id, row.queue, row.model_id) if row.run_status == RunStatus.QUEUED else None
    return row._replace(paused=held)


def jobs_by_id(conn: Connection[Any], ids: Sequence[UUID]) -> dict[UUID, JobRow]:
    """The jobs with these ids, of any account; the caller compares the account."""
    return {row.id: row for row in _rows(conn, " where j.id = any(%s)", [list(ids)])}


def webhook(conn: Connection[Any], job_id: UUID) -> dict[str, Any] | None:
    """The address that a job brought, as models.events.endpoints.for_job keeps it."""
    row = conn.execute("select webhook from jobs where id = %s", [job_id]).fetchone()
    return row[0] if row else None


def usage(conn: Connection[Any], job_id: UUID) -> dict[str, Any] | None:
    """What the provider counted of a job, as it said at last; None: it did not say."""
    row = conn.execute(
        "select usage from attempts where job_id = %s and usage is not null order by number desc limit 1", [job_id]
    ).fetchone()
    return row[0] if row else None


def job_of_key(conn: Connection[Any], account_id: UUID, key: str, body_hash: bytes) -> UUID | None:
    """The job that this very request was accepted as before, under its idempotency key."""
    row = conn.execute(
        """select job_id from idempotency_keys where account_id = %s and key = %s and body_hash = %s
              and created_at > app_now() - make_interval(hours => %s)""",
        [account_id, key, body_hash, settings().idempotency_key_hours],
    ).fetchone()
    return row[0] if row else None


def list_jobs(
    conn: Connection[Any],
    account_id: UUID | None,
    *,
    before: UUID | None = None,
    status: str | None = None,
    model_id: str | None = None,
    label: dict[str, str] | None = None,
    limit: int = 20,
) -> list[JobRow]:
    """An account's jobs (None: everybody's), newest first, from the job before `before`."""
    where, values = ["true"], list[Any]()
    if account_id is not None:
        where.append("j.account_id = %s")
        values.append(account_id)
    if before is not None:
        where.append("j.id < %s")
        values.append(before)
    if model_id is not None:
        where.append("j.model_id = %s")
        values.append(model_id)
    if label is not None:
        where.append("j.labels @> %s")
        values.append(Jsonb(label))
    if status in set(JobEnd):
        where.append("j.ended = %s")
        values.append(status)
    elif status is not None:  # a living job's status is in its run
        where.append("j.live_id in (select job_id from job_runs where status = any(%s)")
        values.append([*RUNS_SEEN_AS[JobStatus(status)]])
        if account_id is not None:
            where[-1] += " and account_id = %s"
            values.append(account_id)
        where[-1] += ")"
    return _rows(conn, f" where {' and '.join(where)} order by j.id desc limit %s", [*values, limit])


def jobs_of_kind(
    conn: Connection[Any], account_id: UUID, kind: str, *, after: UUID | None, oldest_first: bool, limit: int
) -> list[JobRow]:
    """An account's jobs of models that make this, newest first or oldest first, from the one after `after` in that order. Of each such
    model a page is read, and no job of others, however many there are.
    """
    further, order = (">", "asc") if oldest_first else ("<", "desc")
    ids = conn.execute(
        f"""select i.id from (select distinct id from models where kind = %(kind)s) k cross join lateral (
              select j.id from jobs j join models m on m.id = j.model_id and m.version = j.model_version
               where j.account_id = %(account)s and j.model_id = k.id and m.kind = %(kind)s
                 and (%(after)s::uuid is null or j.id {further} %(after)s) order by j.id {order} limit %(limit)s) i
            order by i.id {order} limit %(limit)s""",
        {"kind": kind, "account": account_id, "after": after, "limit": limit},
    ).fetchall()
    rows = jobs_by_id(conn, [row[0] for row in ids])
    return [rows[job_id] for (job_id,) in ids if job_id in rows]


def attempts(conn: Connection[Any], job_id: UUID) -> list[dict[str, Any]]:
    """A job's attempts, oldest first, for operators."""
    names = [
        "number",
        "token",
        "provider",
        "phase",
        "provider_job_id",
        "started_at",
        "ended_at",
        "error_code",
        "error_message",
        "charged",
        "cost_usd_micros",
    ]
    rows = conn.execute(
        f"select {', '.join(names)} from attempts where job_id = %s order by number", [job_id]
    ).fetchall()
    return [dict(zip(names, row, strict=True)) for row in rows]
