"""Polls of jobs that wait at their providers, many at a time: leased by one statement, and let go by one.

Nearly all of them change nothing. What does is done as any other step, under the claim that the job has then. A job whose
lease was lost, or that was rung, is not taken with others again until it has been claimed alone: should it be what ends
its workers, it ends the next one alone, and the others that were leased with it have nothing held against them.
"""

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Connection

from common import uptime
from common.settings import settings
from models.catalogue.entries import Entry
from models.jobs import steps
from models.jobs.states import AttemptPhase
from models.jobs.steps import Claim, LiveAttempt, wake

MAX_ENTRIES = 1000  # that a process remembers

# A run (`r`) that only waits for its provider. It is due for nothing else: no cancel, no call back, no time limit.
WAITING = """r.status = 'running' and r.dispatched and r.lease_owner is null and r.rings = 0 and r.rescues = 0
             and not r.called_back and r.cancel_requested_at is null and r.deadline_at > app_now()"""

# As `steps.claim`, a run with another token than before is left alone: its attempt may have changed with it.
_LEASE = f"""
with due as materialized (
  select r.job_id, a.number, a.route, a.provider, a.provider_job_id, a.own_key, a.started_at
    from job_runs r join attempts a on a.job_id = r.job_id and a.ended_at is null
   where r.wake_at <= app_now() and {WAITING} and r.queue = any(%(queues)s) and a.phase = 'accepted'
     and r.token = (select t.token from job_runs t where t.job_id = r.job_id)
   order by r.wake_at limit %(limit)s for update of r skip locked
)
update job_runs r set token = r.token + 1, lease_owner = %(owner)s, wake_at = app_now() + make_interval(secs => %(lease)s)
  from due d join jobs j on j.id = d.job_id join models m on m.id = j.model_id and m.version = j.model_version
 where r.job_id = d.job_id
returning r.job_id, r.account_id, r.token, m.id, m.version, m.xmin::text, j.input, r.queue, r.attempts, r.attempts_spent,
          extract(epoch from r.deadline_at - app_now())::float, j.price_credits, j.quantity_milli, j.price_numerator,
          j.price_denominator, r.late_tries, d.number, d.route, d.provider, d.provider_job_id, d.own_key,
          extract(epoch from app_now() - d.started_at)::float, extract(epoch from app_now())::float,
          exists (select 1 from provider_callbacks c where c.job_id = d.job_id and c.number = d.number)
"""


def lease(conn: Connection[Any], owner: str, queues: Collection[str], limit: int) -> list[Claim]:
    """Claim the polls that are due, at most so many, the latest first. `owner` is the name of this lease alone
    (`steps.TOGETHER`). Needs a second statement for models that this process has not seen.
    """
    before = uptime.seconds()
    rows = conn.execute(
        _LEASE, {"owner": owner, "queues": list(queues), "limit": limit, "lease": settings().lease_seconds}
    ).fetchall()
    entries = steps.entries_of(conn, {row[3:6] for row in rows})
    return [_claim(row, owner, entries[row[3:6]], before) for row in rows]


def _claim(row: tuple[Any, ...], owner: str, entry: Entry, before: float) -> Claim:
    (job_id, account_id, token, _, _, _, given, queue, attempts, spent, left, price, quantity, num, den, late_tries) = (
        row[:16]
    )
    number, route, provider, provider_job_id, own_key, age, now, has_calls = row[16:]
    live = LiveAttempt(
        number, route, provider, AttemptPhase.ACCEPTED, provider_job_id, own_key, age_seconds=age
    )  # fmt: skip
    return Claim(
        job_id, account_id, token, owner, entry, given, queue, attempts, spent, False, left, price, quantity, (num, den),
        False, live, before, now, late_tries=late_tries, has_calls=has_calls,
    )  # fmt: skip


class StillPending(NamedTuple):
    """A poll whose answer is that the provider is still at it, under the id that is known."""

    claim: Claim
    after_seconds: float  # until the next
    progress: int | None = None


def write_waits(conn: Connection[Any], answers: Sequence[StillPending]) -> set[UUID]:
    """Let go of these jobs until their next polls. Returns those whose progress is news; where a claim is stale, nothing is
    written, since more is known of the job already. Their attempts are as they were, and are not touched.
    """
    rows = conn.execute(
        f"""with mine as materialized (
              select r.job_id, w.after, w.knew, w.progress, w.progress is distinct from r.progress as is_news
                from job_runs r join unnest(%s::uuid[], %s::bigint[], %s::text[], %s::float[], %s::bool[], %s::int[])
                       as w(job_id, token, owner, after, knew, progress)
                  on r.job_id = w.job_id and r.token = w.token and r.lease_owner = w.owner
               order by r.job_id for no key update of r
            )
            update job_runs r set status = 'running', lease_owner = null, rings = 0, rescues = 0, late_tries = 0, reason = null,
                   progress = coalesce(mine.progress, r.progress), wake_at = {wake("mine.after", "mine.knew")}
              from mine where r.job_id = mine.job_id
            returning r.job_id, mine.is_news and mine.progress is not null""",
        [
            [each.claim.job_id for each in answers], [each.claim.token for each in answers],
            [each.claim.owner for each in answers], [each.after_seconds for each in answers],
            [each.claim.cancel_requested for each in answers], [each.progress for each in answers],
        ],
    ).fetchall()  # fmt: skip
    return {row[0] for row in rows if row[1]}


def give_back_lease(conn: Connection[Any], owner: str) -> int:
    """Give back a lease whose answer was lost, so that nobody works under it. Returns how many jobs it had: they are due."""
    return conn.execute(
        """with theirs as materialized (
             select job_id from job_runs where lease_owner = %s order by job_id for no key update
           )
           update job_runs r set lease_owner = null, token = r.token + 1, wake_at = app_now()
             from theirs where r.job_id = theirs.job_id""",
        [owner],
    ).rowcount
