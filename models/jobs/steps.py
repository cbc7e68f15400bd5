"""The steps of a living job. Each names the job and the token of the claim it works under (DESIGN section 3)."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Connection

from common import uptime
from common.settings import settings
from models.catalogue.entries import Entry
from models.columns import in_list
from models.jobs.dispatch import Ring
from models.jobs.states import UNANSWERED_PHASES, AttemptPhase


class LiveAttempt(NamedTuple):
    """The attempt that a claimed job is in the middle of. Ages are those at the claim."""

    number: int
    route: int
    provider: str
    phase: AttemptPhase
    provider_job_id: str | None = None
    own_key: bytes | None = None  # sealed; see Attempt
    delivered: Mapping[str, Any] | None = None  # workers.steps.delivered
    age_seconds: float = 0.0
    delivered_age_seconds: float = 0.0


TOGETHER = "+"  # ends the owner's name of a lease that many jobs have together (models.jobs.polls)


@dataclass(frozen=True, slots=True)
class Claim:
    """A time-limited right to do a job's next step. `token` fences whoever held it before."""

    job_id: UUID
    account_id: UUID
    token: int
    owner: str
    entry: Entry
    input: Mapping[str, Any]
    queue: str
    attempts: int
    attempts_spent: int
    cancel_requested: bool
    seconds_left: float  # until the model's time limit, at the claim
    price_credits: int
    quantity_milli: int
    rate: tuple[int, int]
    begins: bool  # the live attempt was written down by this claim: its provider has not been called yet
    live: LiveAttempt | None
    claimed_at: float = 0.0  # common.uptime.seconds() before the claim was asked for
    now: float = 0.0  # the database's time at the claim, in seconds since 1970
    exhausted: bool = False  # its last attempt failed, and no other is to follow
    late_tries: int = 0  # how often its attempt was tried for after the limit, and nobody answered
    has_calls: bool = True  # whether something that its provider has called back with may lie here


# The job, its model and its live attempt are read in the statement that claims, and a new attempt is written down in it,
# so that a step costs one round trip. A job without a live attempt begins one, unless it is to be stopped, or its last
# attempt failed in a way that no other would mend (next_route below 0): what follows the claim is then the call.
#
# A statement that waits for the run's lock sees the run as it is then, but the attempts as they were before. Whoever
# changes both raises the token, so a run with another token than before is left alone: it is rung again.
#
# A model's entry is large, and few models have most jobs: what is told is which row it is, since a row is written once and
# never changed but for whether it is current.
_CLAIM = """
with o as materialized (
  select r.* from job_runs r
   where r.job_id {jobs} and r.dispatched and r.lease_owner is null
     and (r.status = 'queued' or r.rings > 0 or r.wake_at <= app_now())
     and r.token = (select t.token from job_runs t where t.job_id = r.job_id)
   order by r.job_id for update of r {wait}
), c as (
  update job_runs r
     set status = case r.status when 'queued' then 'running' else r.status end,
         token = r.token + 1, lease_owner = %(owner)s, rings = 0, called_back = false,
         wake_at = app_now() + make_interval(secs => %(lease)s),
         started_at = coalesce(r.started_at, app_now()),
         deadline_at = coalesce(r.deadline_at, app_now() + make_interval(secs => (m.entry->>'timeout_seconds')::float)),
         attempts = r.attempts + {begins}::int, attempts_spent = r.attempts_spent + {begins}::int, held_back = false,
         late_tries = r.late_tries * (not {begins})::int
    from o join jobs j on j.id = o.job_id join models m on m.id = j.model_id and m.version = j.model_version
         left join attempts a on a.job_id = j.id and a.ended_at is null
   where r.job_id = o.job_id
  returning r.job_id, r.account_id, r.token, m.id as model_id, m.version, m.xmin::text as row, m.entry->'routes' as routes,
            (m.entry->>'max_attempts')::int as max_attempts, j.input, r.queue, r.attempts, r.attempts_spent,
            r.cancel_requested_at is not null as cancel_requested,
            extract(epoch from r.deadline_at - app_now())::float as seconds_left,
            j.price_credits, j.quantity_milli, j.price_numerator, j.price_denominator, {begins} as begins,
            least(r.next_route, jsonb_array_length(m.entry->'routes') - 1) as next_route, a.number, a.route, a.provider,
            a.phase, a.provider_job_id, a.own_key, a.delivered, r.late_tries,
            extract(epoch from app_now() - a.started_at)::float as age,
            coalesce(extract(epoch from app_now() - a.delivered_at), 0)::float as delivered_age
), begun as (
  insert into attempts (job_id, number, token, provider, route, phase)
  select job_id, attempts, token, routes->next_route->>'provider', next_route, 'intent' from c where begins
  returning job_id, number, route, provider, phase
)
select c.job_id, c.account_id, c.token, c.model_id, c.version, c.row,
       c.input, c.queue, c.attempts, c.attempts_spent, c.cancel_requested, c.seconds_left,
       c.price_credits, c.quantity_milli, c.price_numerator, c.price_denominator, c.begins,
       coalesce(b.number, c.number), coalesce(b.route, c.route), coalesce(b.provider, c.provider),
       coalesce(b.phase, c.phase), c.provider_job_id, c.own_key, c.delivered, coalesce(c.age, 0), c.delivered_age,
       extract(epoch from app_now())::float, c.next_route < 0 or c.attempts_spent >= c.max_attempts, c.late_tries
  from c left join begun b on b.job_id = c.job_id
"""
_BEGINS = (
    "(a.number is null and o.cancel_requested_at is null and coalesce(o.deadline_at > app_now(), true) "
    "and o.next_route >= 0 and o.attempts_spent < (m.entry->>'max_attempts')::int)"
)
_CLAIM_ONE = _CLAIM.format(begins=_BEGINS, jobs="= %(jobs)s", wait="")
# Not `= any`: that would be planned anew each time.
_CLAIM_MANY = _CLAIM.format(begins=_BEGINS, jobs="in (select unnest(%(jobs)s::uuid[]))", wait="skip locked")


def claim(conn: Connection[Any], job_id: UUID, owner: str) -> Claim | None:
    """Take the job's next step, if one is due and nobody has it. None: a late or repeated message; there is nothing to do."""
    return next(iter(_claimed(conn, _CLAIM_ONE, job_id, owner)), None)


def claim_many(conn: Connection[Any], job_ids: Sequence[UUID], owner: str) -> list[Claim]:
    """Take the next steps of those of these jobs that one is due of, and that nobody has or changes at this moment."""
    return _claimed(conn, _CLAIM_MANY, list(job_ids), owner)


def _claimed(conn: Connection[Any], sql: str, jobs: UUID | list[UUID], owner: str) -> list[Claim]:
    before = uptime.seconds()
    values = {"jobs": jobs, "owner": owner, "lease": settings().lease_seconds}
    rows = conn.execute(sql, values).fetchall()
    entries = entries_of(conn, {row[3:6] for row in rows})
    return [_claim_of(row, entries[row[3:6]], owner, before) for row in rows]


def _claim_of(row: tuple[Any, ...], entry: Entry, owner: str, claimed_at: float) -> Claim:
    given, queue, attempts, spent, cancel, left, price, quantity, num, den, begins = row[6:17]
    live = _live(row[17:26]) if row[17] is not None else None
    return Claim(
        row[0], row[1], row[2], owner, entry, given, queue, attempts, spent, cancel, left, price, quantity, (num, den), begins, live, claimed_at,
        row[26], row[27], row[28],
    )  # fmt: skip


def _live(row: tuple[Any, ...]) -> LiveAttempt:
    return LiveAttempt(*row)._replace(phase=AttemptPhase(row[3]))


ModelRow = tuple[str, int, str]  # id, version, and which row of the table that is

_entries: dict[ModelRow, Entry] = {}


def entries_of(conn: Connection[Any], rows: Collection[ModelRow]) -> Mapping[ModelRow, Entry]:
    """The entries of model versions, read and parsed once per process."""
    for row in rows:
        if row not in _entries:
            if len(_entries) > 1000:
                _entries.clear()
            read = conn.execute("select entry from models where id = %s and version = %s", row[:2]).fetchone()
            assert read is not None  # noqa: S101 - jobs refer to it
            _entries[row] = Entry.model_validate(read[0])
    return {row: _entries[row] for row in rows}


def reroute(conn: Connection[Any], claim: Claim, number: int, route: int) -> bool:
    """The attempt goes by another route than the claim wrote down: the provider there has no room. False: stale."""
    return bool(
        conn.execute(
            """update attempts a set route = %s, provider = %s from job_runs r
                where r.job_id = %s and r.token = %s and r.lease_owner = %s and a.job_id = r.job_id and a.number = %s""",
            [route, claim.entry.routes[route].provider, claim.job_id, claim.token, claim.owner, number],
        ).rowcount
    )


# When a job that lets go is due: at once if there is something to be done that the claim did not know of, a call back or
# a cancel; else after so many seconds, and at its time limit.
def wake(after: str = "%(after)s", knew: str = "%(knew)s") -> str:
    """The SQL of it; `after` and `knew` are SQL as well."""
    return f"""case when r.called_back or r.cancel_requested_at is not null and not {knew} then app_now()
               when r.deadline_at <= app_now() then app_now() + make_interval(secs => {after})
               else least(app_now() + make_interval(secs => {after}), r.deadline_at) end"""


def wait(
    conn: Connection[Any],
    claim: Claim,
    *,
    after_seconds: float,
    reason: str | None,
    late: bool = False,
) -> bool:
    """Let go of a job whose attempt goes on: it waits for its next look without a worker. False: the claim is stale.

    A job that was called back about meanwhile is due at once. None waits past its time limit before that has come. `late`:
    this was a try after its limit, and nobody answered.
    """
    return bool(
        conn.execute(
            f"""update job_runs r set status = 'running', lease_owner = null, reason = %(reason)s, rings = 0,
                       late_tries = late_tries + %(late)s::int, wake_at = {wake()}
                 where job_id = %(job)s and token = %(token)s and lease_owner = %(owner)s""",
            {
                "reason": reason, "after": after_seconds, "knew": claim.cancel_requested, "late": late, "job": claim.job_id, "token": claim.token, "owner": claim.owner,
            },
        ).rowcount
    )  # fmt: skip


def wait_unknown(
    conn: Connection[Any], claim: Claim, number: int, *, after_seconds: float, reason: str, late: bool = False
) -> bool:
    """The provider's answer was lost and it cannot be asked now: the job is reconciling. False: the claim is stale.
    `late`: it was asked after the limit, and did not answer.

    What is known of the attempt is never overwritten by this.
    """
    return bool(
        conn.execute(
            f"""with r as (update job_runs set status = 'reconciling', lease_owner = null, reason = %s, rings = 0,
                                 late_tries = late_tries + %s::int, wake_at = app_now() + make_interval(secs => case when called_back
                                   or cancel_requested_at is not null and not %s then 0 else %s end)
                           where job_id = %s and token = %s and lease_owner = %s returning job_id)
               update attempts a set phase = 'unknown' from r
                where a.job_id = r.job_id and a.number = %s and {in_list("a.phase", *UNANSWERED_PHASES)}""",
            [reason, late, claim.cancel_requested, after_seconds, claim.job_id, claim.token, claim.owner, number],
        ).rowcount
    )


def last_error(conn: Connection[Any], job_id: UUID) -> tuple[str, str]:
    """Why the newest attempt of a job failed: code and message."""
    row = conn.execute(
        "select error_code, error_message from attempts where job_id = %s order by number desc limit 1", [job_id]
    ).fetchone()
    return (row[0] or "failed", row[1] or "the attempt failed") if row else ("failed", "no attempt was made")


def extend(conn: Connection[Any], leases: Sequence[tuple[UUID, int, str]]) -> dict[tuple[UUID, int], bool]:
    """Keep leases, given as (job, token, owner), alive. Returns those still held, by job and token, and whether their job is
    to be canceled.
    """
    if not leases:
        return {}
    rows = conn.execute(
        """with mine as materialized (
             select r.job_id from job_runs r join unnest(%s::uuid[], %s::bigint[], %s::text[]) as held(job_id, token, owner)
                 on r.job_id = held.job_id and r.token = held.token and r.lease_owner = held.owner
              order by r.job_id for no key update of r
           )
           update job_runs r set wake_at = app_now() + make_interval(secs => %s) from mine where r.job_id = mine.job_id
           returning r.job_id, r.token, r.cancel_requested_at is not null""",
        [*map(list, zip(*leases, strict=True)), settings().lease_seconds],
    ).fetchall()
    return {(row[0], row[1]): row[2] for row in rows}


def cancel_requests(conn: Connection[Any], job_ids: Sequence[UUID]) -> set[UUID]:
    """Which of these jobs are to be canceled."""
    rows = conn.execute(
        "select job_id from job_runs where job_id = any(%s) and cancel_requested_at is not null", [list(job_ids)]
    ).fetchall()
    return {row[0] for row in rows}


def release(conn: Connection[Any], claim: Claim) -> Ring | None:
    """Give a step back undone (the worker is stopping). It is due at once; the claim's token is spent."""
    row = conn.execute(
        """update job_runs set lease_owner = null, wake_at = app_now() where job_id = %s and token = %s
              and lease_owner = %s returning queue""",
        [claim.job_id, claim.token, claim.owner],
    ).fetchone()
    return Ring(claim.job_id, row[0]) if row else None


def give_back(conn: Connection[Any], job_id: UUID, owner: str, *, after_seconds: float = 0.0) -> Ring | None:
    """Give back a claim before its call: its answer was lost, so that nobody works under it, or it must not be made now.
    An attempt that the claim began is taken off the record, and if it was the first the time limit has not begun.
    """
    row = conn.execute(
        """with r as (
             select job_id, token, queue from job_runs where job_id = %s and lease_owner = %s for update
           ), undone as (
             delete from attempts a using r
              where a.job_id = r.job_id and a.token = r.token and a.phase = 'intent' returning a.job_id
           )
           update job_runs j set lease_owner = null, token = j.token + 1, rings = 0,
                  wake_at = greatest(app_now(), least(app_now() + make_interval(secs => %s), j.deadline_at)),
                  deadline_at = case when j.attempts > 1 or not exists (select 1 from undone) then j.deadline_at end,
                  attempts = j.attempts - (select count(*) from undone),
                  attempts_spent = j.attempts_spent - (select count(*) from undone)
             from r where j.job_id = r.job_id returning j.queue""",
        [job_id, owner, after_seconds],
    ).fetchone()
    return Ring(job_id, row[0]) if row else None


def lapsed(conn: Connection[Any], limit: int, *, without: Sequence[UUID] = ()) -> list[tuple[UUID, UUID, int, int]]:
    """Jobs whose worker has stopped speaking, but those: (job, account, token, rescues). Picked without a lock."""
    rows: list[tuple[UUID, UUID, int, int]] = conn.execute(
        """select job_id, account_id, token, rescues from job_runs
            where wake_at <= app_now() and lease_owner is not null and not (job_id = any(%s)) order by wake_at limit %s""",
        [list(without), limit],
    ).fetchall()
    return rows


def rescue(conn: Connection[Any], job_id: UUID, token: int) -> Ring | None:
    """Take a lapsed lease away. The token grows, so its old holder can change nothing more. None: it was not lapsed.

    A lease that it had together with others does not count: any of them may be why. It is claimed alone then.
    """
    row = conn.execute(
        """update job_runs set lease_owner = null, token = token + 1, rings = 1,
                  rescues = rescues + (right(lease_owner, 1) <> %s)::int, wake_at = app_now() + make_interval(secs => %s)
            where job_id = %s and token = %s and lease_owner is not null and wake_at <= app_now() returning queue""",
        [TOGETHER, settings().ring_again_seconds, job_id, token],
    ).fetchone()
    return Ring(job_id, row[0]) if row else None


def accounts_to_dispatch(conn: Connection[Any], limit: int, *, without: Sequence[UUID] = ()) -> list[UUID]:
    """Accounts with a retry that has come due, but those. Picked without a lock."""
    rows = conn.execute(
        """select distinct account_id from (
             select account_id from job_runs where wake_at <= app_now() and not dispatched and not (account_id = any(%s))
              order by wake_at limit %s) x""",
        [list(without), limit],
    ).fetchall()
    return sorted(row[0] for row in rows)


def accounts_with_room(conn: Connection[Any], limit: int, *, without: Sequence[UUID] = ()) -> list[UUID]:
    """Accounts with a free slot and a waiting job that is not paused, but those: none, unless a plan has grown meanwhile."""
    rows = conn.execute(
        """with recursive w as (  -- those with a line: a probe of its index for each, and none for all the others
             (select account_id from job_runs where not dispatched and wake_at is null order by account_id limit 1)
             union all
             select (select r.account_id from job_runs r where not r.dispatched and r.wake_at is null and r.account_id > w.account_id
                      order by r.account_id limit 1) from w where w.account_id is not null)
           select a.id from paused_now_v1() x, w join accounts a on a.id = w.account_id join plans p on p.id = a.plan_id
            where a.slots_in_use < p.slots and not (a.id = any(%s)) and not (a.id = any(coalesce(x.accounts, '{}')))
              and exists (select 1 from job_runs r where r.account_id = a.id and not r.dispatched and r.wake_at is null
                             and r.queue <> all(coalesce(x.queues, '{}')) and r.model_id <> all(coalesce(x.models, '{}')))
            order by a.id limit %s""",
        [list(without), limit],
    ).fetchall()
    return [row[0] for row in rows]


def requeue_due(conn: Connection[Any], account_id: UUID) -> int:
    """Put the account's retries that are due into its queue; returns how many. The caller holds the account's lock, and
    dispatches.
    """
    return conn.execute(
        "update job_runs set wake_at = null where account_id = %s and not dispatched and wake_at <= app_now()",
        [account_id],
    ).rowcount
