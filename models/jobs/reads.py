"""Reads of jobs, as plain rows."""

from collections.abc import Collection, Mapping, Sequence
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


COUNTED = 1000  # jobs before one in its line, and no more
_LINE = "job_runs w where w.account_id = r.account_id and not w.dispatched and w.wake_at is null"
# Who is before a job in its line stands in three ranges of the line's index: one condition for all would read the rest of the line as well.
_PLACE = f"""(
         select count(*) from (
           (select 1 from {_LINE} and w.requeued > r.requeued limit {COUNTED})
           union all
           (select 1 from {_LINE} and w.requeued = r.requeued and w.priority > r.priority limit {COUNTED})
           union all
           (select 1 from {_LINE} and w.requeued = r.requeued and w.priority = r.priority and w.job_id < r.job_id limit {COUNTED})
           limit {COUNTED}) x)"""
# In a list of one account the front of its line is read once for all of them.
_PLACE_IN_LIST = f"""case when r.wake_at is not null then {_PLACE} else coalesce(array_position(array(
         select w.job_id from job_runs w where w.account_id = %(account)s and not w.dispatched and w.wake_at is null
          order by w.requeued desc, w.priority desc, w.job_id limit {COUNTED}), r.job_id) - 1, {COUNTED}) end"""
_JOB = f"""
select j.id, j.account_id, j.model_id, j.input, j.queue, j.retry_of, j.price_credits, j.charged_credits, j.created_at,
       coalesce(j.started_at, r.started_at), j.ended, j.ended_at, coalesce(j.attempts, r.attempts), j.error_code,
       j.error_message, r.status, r.dispatched, nullif(r.wake_at, {NEVER}), r.progress, r.reason, r.cancel_requested_at is not null,
       case when not r.dispatched and r.wake_at is distinct from {NEVER} then {{place}} end,
       p.slots, a.slots_in_use, (m.entry->>'typical_seconds')::int, a.event_number, j.labels,
       case when j.ended = 'succeeded' then (
         select jsonb_agg({SHOWN}
           order by s.index) from assets s where s.job_id = j.id) end, coalesce(r.wake_at = {NEVER}, false), j.input_erased_at,
       m.kind, j.model_version, m.entry->>'outputs'
  from jobs j join accounts a on a.id = j.account_id join plans p on p.id = a.plan_id
  join models m on m.id = j.model_id and m.version = j.model_version
  left join job_runs r on r.job_id = j.live_id
"""


def _rows(
    conn: Connection[Any], tail: str, values: Sequence[Any] | Mapping[str, Any], place: str = _PLACE
) -> list[JobRow]:
    rows = [
        JobRow._make((*row[:-6], row[-6] or [], row[-5], None, *row[-4:]))
        for row in conn.execute(_JOB.format(place=place) + tail, values).fetchall()
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


def models_of(conn: Connection[Any], job_ids: Collection[UUID]) -> dict[UUID, str]:
    """Of which model each of these jobs is."""
    return dict(conn.execute("select id, model_id from jobs where id = any(%s)", [list(job_ids)]).fetchall())


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
    wanted = _Wanted(account_id, before, status, model_id, label)
    where, order = ["true"], "j.id desc"
    if account_id is not None:
        where.append("j.account_id = %(account)s")
    if before is not None:
        where.append("j.id < %(before)s")
    if label is not None:
        where.append("j.labels @> %(label)s")
    # A range of one value, and an order that names its column: no index but the one of that column has this order. By an equation
    # the planner may take the newest jobs of all kinds, and read all of a long line to find few of this one.
    if status in set(JobEnd) and account_id is not None:
        where.append("j.ended between %(status)s and %(status)s")
        order = "j.ended, j.id desc"
    elif status in set(JobEnd):
        where.append("j.ended = %(status)s")
    elif status is not None:
        where.append(_living(wanted))
    if model_id is not None and status is None and account_id is not None:
        where.append("j.model_id between %(model)s and %(model)s")
        order = "j.model_id, j.id desc"
    elif model_id is not None:
        where.append("j.model_id = %(model)s")
    values = {
        "account": account_id, "before": before, "model": model_id, "limit": limit, "status": status,
        "label": Jsonb(label), "statuses": [*RUNS_SEEN_AS.get(JobStatus(status), ())] if status else [],
    }  # fmt: skip
    place = _PLACE if account_id is None else _PLACE_IN_LIST
    return _rows(conn, f" where {' and '.join(where)} order by {order} limit %(limit)s", values, place)


class _Wanted(NamedTuple):
    """Which jobs a list is of."""

    account_id: UUID | None
    before: UUID | None
    status: str | None
    model_id: str | None
    label: dict[str, str] | None


def _living(wanted: _Wanted) -> str:
    """The condition for jobs whose run is in one of the statuses. Pure. The ids are gathered first: those that run are as many as have a slot,
    and of those that wait a page of the newest is enough, unless a label, which their runs do not have, chooses among them.
    """
    if wanted.label is not None:
        return "r.status = any(%(statuses)s)"
    where = ["x.status = any(%(statuses)s)"]
    if wanted.account_id is not None:
        where.append("x.account_id = %(account)s")
    if wanted.before is not None:
        where.append("x.job_id < %(before)s")
    if wanted.model_id is not None:
        where.append("x.model_id = %(model)s")
    if wanted.status == JobStatus.RUNNING:
        return f"j.live_id = any(array(select x.job_id from job_runs x where x.dispatched and {' and '.join(where)}))"
    return f"j.live_id = any(array(select x.job_id from job_runs x where {' and '.join(where)} order by x.job_id desc limit %(limit)s))"


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
