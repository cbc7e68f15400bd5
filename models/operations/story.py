"""A job's whole story: all that is stored of one job, in one shape, for whoever looks into it."""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Connection
from psycopg.rows import dict_row
from pydantic import BaseModel

from models.absence import refuse_absent
from models.columns import NEVER

MOST = 200  # of each kind: events, deliveries, acts
_FILE = re.compile(r"file_([0-9a-f]{32})")


class StoryJob(BaseModel):
    """What was ordered, and what became of it."""

    id: UUID
    account_id: UUID
    user_id: UUID | None
    email: str | None
    plan: str
    api_key_id: UUID | None
    model: str
    model_version: int
    input: dict[str, Any]
    queue: str
    labels: dict[str, str] | None
    retry_of: UUID | None
    price_credits: int
    charged_credits: int | None
    overrun_credits: int | None
    created_at: datetime
    started_at: datetime | None
    ended: str | None
    ended_at: datetime | None
    attempts: int
    error_code: str | None
    error_message: str | None


class StoryRun(BaseModel):
    """Where a living job stands."""

    status: str
    dispatched: bool
    lease_owner: str | None
    wake_at: datetime | None
    deadline_at: datetime | None
    attempts_spent: int
    rescues: int
    late_tries: int
    rings: int
    token: int
    progress: int | None
    reason: str | None
    cancel_requested_at: datetime | None


class StoryAttempt(BaseModel):
    """One try: at whom, how far it came, what they said, and what it cost."""

    number: int
    provider: str
    route: int
    phase: str
    provider_job_id: str | None
    own_key: bool
    started_at: datetime
    ended_at: datetime | None
    error_code: str | None
    error_message: str | None
    charged: bool | None
    cost_usd_micros: int | None
    usage: dict[str, Any] | None
    calls_back: int


class StoryEntry(BaseModel):
    """One movement of credits."""

    id: int
    kind: str
    amount: int
    from_bucket: str
    to_bucket: str
    available_after: int
    reserved_after: int
    created_at: datetime


class StoryGrant(BaseModel):
    """A grant that the job's credits came from, or one that was given for it afterwards."""

    id: UUID
    kind: str
    held: int | None
    settled: int | None
    given: int | None


class StoryEvent(BaseModel):
    """One event of the job."""

    number: int
    type: str
    data: dict[str, Any]
    created_at: datetime


class StoryDelivery(BaseModel):
    """One event on its way to one receiver, with each try."""

    id: UUID
    endpoint_id: UUID | None
    url: str | None
    event_number: int | None
    event_type: str
    status: str
    attempts: int
    next_at: datetime | None
    delivered_at: datetime | None
    log: list[dict[str, Any]]


class StoryFile(BaseModel):
    """A file: an upload that the input names, or a result."""

    id: UUID
    media_type: str
    size_bytes: int
    status: str
    created_at: datetime
    expires_at: datetime
    purged_at: datetime | None


class StoryAct(BaseModel):
    """What an operator did to the job."""

    id: int
    at: datetime
    actor: str
    action: str
    details: dict[str, Any]


class Story(BaseModel):
    """A job's whole story. Of what may be many, the first 200 are here."""

    job: StoryJob
    run: StoryRun | None
    attempts: list[StoryAttempt]
    entries: list[StoryEntry]
    grants: list[StoryGrant]
    events: list[StoryEvent]
    deliveries: list[StoryDelivery]
    inputs: list[StoryFile]
    results: list[StoryFile]
    retries: list[UUID]
    acts: list[StoryAct]


class _Reader(NamedTuple):
    """Reads rows as dicts, for one job."""

    conn: Connection[Any]
    job_id: UUID

    def all(self, statement: str, *values: Any) -> list[dict[str, Any]]:
        with self.conn.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(statement, {"job": self.job_id, **dict(zip("abc", values, strict=False))}).fetchall()


_JOB = """
select j.id, j.account_id, u.id as user_id, u.email, a.plan_id as plan, j.api_key_id, j.model_id as model, j.model_version, j.input, j.queue,
       j.labels, j.retry_of, j.price_credits, j.charged_credits, j.overrun_credits, j.created_at,
       coalesce(j.started_at, r.started_at) as started_at, j.ended, j.ended_at, coalesce(j.attempts, r.attempts) as attempts,
       j.error_code, j.error_message
  from jobs j join accounts a on a.id = j.account_id left join users u on u.id = a.user_id
  left join job_runs r on r.job_id = j.id where j.id = %(job)s"""
_RUN = f"""
select status, dispatched, lease_owner, nullif(wake_at, {NEVER}) as wake_at, deadline_at, attempts_spent, rescues, late_tries, rings, token, progress, reason,
       cancel_requested_at from job_runs where job_id = %(job)s"""
_ATTEMPTS = """
select number, provider, route, phase, provider_job_id, own_key is not null as own_key, started_at, ended_at, error_code, error_message,
       charged, cost_usd_micros, usage, (select count(*) from provider_callbacks c where c.job_id = t.job_id and c.number = t.number) as calls_back
  from attempts t where job_id = %(job)s order by number"""
_ENTRIES = """
select id, kind, amount, from_bucket, to_bucket, available_after, reserved_after, created_at from ledger_entries
 where job_id = %(job)s order by id"""
_GRANTS = """
select g.id, g.kind, l.amount as held, l.settled, null::bigint as given from reservation_grants l join grants g on g.id = l.grant_id
 where l.job_id = %(job)s
union all
select id, kind, null, null, amount from grants where account_id = %(a)s and ref = %(b)s"""
_EVENTS = f"""
select number, type, data, created_at from events where job_id = %(job)s and account_id = %(a)s order by number limit {MOST}"""
# A delivery is written with its event, so it has the event's time: by these, and by who may receive, an index finds it.
_DELIVERIES = f"""
select id, endpoint_id, url, event_number, event_type, status, attempts, next_at, delivered_at, log from (
  select * from deliveries where account_id = %(a)s and endpoint_id = any(%(c)s) and created_at = any(%(b)s)
  union all
  select * from deliveries where account_id = %(a)s and endpoint_id is null and created_at = any(%(b)s)) d
 where job_id = %(job)s order by event_number, id limit {MOST}"""
_RESULTS = """
select id, media_type, size_bytes, status, created_at, expires_at, purged_at from assets where job_id = %(job)s order by index"""
_INPUTS = """
select id, media_type, size_bytes, status, created_at, expires_at, purged_at from uploads
 where id = any(%(a)s) and account_id = %(b)s order by id"""
_ACTS = f"select id, at, actor, action, details from acts where subject = %(a)s order by id desc limit {MOST}"


def refund_ref(job_id: UUID) -> str:
    """The reference of the grant by which an ended job is refunded: it makes it single."""
    return f"refund:{job_id}"


def story(conn: Connection[Any], job_id: UUID) -> Story:
    """Read it; best in a snapshot, so that all parts are of one moment. Raises NotFound, JobForgotten."""
    read = _Reader(conn, job_id).all
    job = next(iter(read(_JOB)), None)
    if job is None:
        refuse_absent(conn, job_id)
    who = job["account_id"]
    events = read(_EVENTS, who)
    endpoints = [row["id"] for row in read("select id from webhook_endpoints where account_id = %(a)s", who)]
    times = [each["created_at"] for each in events]
    return Story.model_validate(
        {
            "job": job,
            "run": next(iter(read(_RUN)), None),
            "attempts": read(_ATTEMPTS),
            "entries": read(_ENTRIES),
            "grants": read(_GRANTS, who, refund_ref(job_id)),
            "events": events,
            "deliveries": read(_DELIVERIES, who, times, endpoints) if times else [],
            "inputs": read(_INPUTS, files_named(job["input"]), who),
            "results": read(_RESULTS),
            "retries": [row["id"] for row in read(f"select id from jobs where retry_of = %(job)s order by id limit {MOST}")],
            "acts": read(_ACTS, str(job_id)),
        }
    )  # fmt: skip


def files_named(given: Any) -> Sequence[UUID]:
    """The uploads that an input names, wherever in it. Pure."""
    if isinstance(given, str):
        return [UUID(each) for each in _FILE.findall(given)]
    parts = given.values() if isinstance(given, dict) else given if isinstance(given, list) else ()
    return [file for part in parts for file in files_named(part)]
