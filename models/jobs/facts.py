"""Facts about an attempt: what its provider has answered. They are written first, whoever holds the job meanwhile.

A decision (wait, put back, end) rests on what the claim read, and names the claim's token. A fact is true whatever has
been decided since, so it names the attempt's number and the phases in which it is news, and needs no lease. If it comes
from a worker whose lease was lost, it takes the job from whoever holds it, since what is decided there rests on less.
Each may be repeated until it is answered, in any order (docs: DESIGN section 12; tests/models/jobs/border_model.py).

Lock order: a fact locks the run and the attempt, never the account.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg.types.json import Jsonb

from models.columns import in_list, within
from models.jobs.ending import AttemptEnd
from models.jobs.states import PENDING_PHASES, UNANSWERED_PHASES, AttemptPhase
from models.jobs.steps import Claim, wake

NOWHERE = -1  # as next_route: no further attempt would mend it


class FactResult(StrEnum):
    """What a fact came to."""

    MINE = "mine"  # written under the claim
    LATE = "late"  # written after the claim was lost: whoever claims next goes on from there
    OLD = "old"  # no news: the attempt is over, or more is known of it already


# Late, a fact raises the token, frees the lease and makes the job due. Rescues are counted afresh: there is progress. Tries after
# a limit are not where the fact is only more of a delivery: of a result that is never whole a part may come for ever.
_FACT = """
with run as (
  select job_id, token, lease_owner is not distinct from %(owner)s and token = %(token)s as mine
    from job_runs where job_id = %(job)s for update
), written as (
  update attempts a set {attempt} from run
   where a.job_id = run.job_id and a.number = %(number)s and a.ended_at is null and {news} returning a.job_id, {fresh} as is_fresh
)
update job_runs r
   set rescues = 0, late_tries = case when written.is_fresh then 0 else r.late_tries end, rings = 0, reason = null, status = 'running', token = r.token + (not run.mine)::int,
       lease_owner = case when run.mine and %(keeps)s then r.lease_owner end,
       wake_at = case when not run.mine then app_now() when %(keeps)s then r.wake_at else {wake} end {more}
  from run, written where r.job_id = run.job_id returning run.mine
"""


def _sql(attempt: str, news: str, *, fresh: str = "true", wake: str = "app_now()", more: str = "") -> str:
    return _FACT.format(attempt=attempt, news=news, fresh=fresh, wake=wake, more=more)


_ACCEPTED = _sql(
    "phase = 'accepted', provider_job_id = %(id)s",
    f"({in_list('a.phase', *UNANSWERED_PHASES)} or a.phase = 'accepted' and run.mine)",
    wake=wake(),
    more=", progress = coalesce(%(progress)s, r.progress)",
)
_DELIVERED = _sql(
    "phase = 'delivered', delivered = %(delivered)s, delivered_at = coalesce(a.delivered_at, app_now()),"
    " provider_job_id = coalesce(a.provider_job_id, %(id)s), usage = %(usage)s, cost_usd_micros = %(cost)s,"
    " charged = %(charged)s",
    "(a.phase <> 'delivered' or run.mine)",
    fresh="a.delivered_at = app_now()",
)
_FAILED = _sql(
    "phase = 'failed', ended_at = app_now(), delivered = null, own_key = null, error_code = %(code)s,"
    " error_message = %(message)s, charged = %(charged)s, cost_usd_micros = %(cost)s",
    "a.phase = any(%(phases)s)",
    more=", next_route = case when exists (select 1 from restored_jobs x where x.job_id = r.job_id) then -1 else %(route)s end"
    ", attempts_spent = r.attempts_spent - %(unspent)s, progress = null",
)


def _write(conn: Connection[Any], sql: str, claim: Claim, number: int, *, keeps: bool, **values: Any) -> FactResult:
    row = conn.execute(
        sql,
        {"job": claim.job_id, "token": claim.token, "owner": claim.owner, "number": number, "keeps": keeps, **values},
    ).fetchone()
    return FactResult.OLD if row is None else FactResult.MINE if row[0] else FactResult.LATE


def accept(
    conn: Connection[Any],
    claim: Claim,
    number: int,
    *,
    provider_job_id: str,
    after_seconds: float,
    progress: int | None,
) -> FactResult:
    """The provider knows it under this id. The job is let go, and waits so long for its next poll."""
    return _write(
        conn, _ACCEPTED, claim, number, keeps=False, id=provider_job_id, after=after_seconds, progress=progress,
        knew=claim.cancel_requested,
    )  # fmt: skip


def deliver(
    conn: Connection[Any],
    claim: Claim,
    number: int,
    *,
    delivered: Mapping[str, Any],
    usage: Mapping[str, int],
    cost_usd_micros: int | None,
    provider_job_id: str | None = None,
) -> FactResult:
    """The provider has answered with the result, and it is known where that is. The claim is kept.

    A word on an attempt that is over changes nothing but its cost, if that was not known (and usage, count_cost.sql).
    """
    cost_usd_micros = None if cost_usd_micros is None else within(cost_usd_micros)
    result = _write(
        conn, _DELIVERED, claim, number, keeps=True, delivered=Jsonb(dict(delivered)),
        usage=Jsonb(dict(usage)) if usage else None, cost=cost_usd_micros, charged=bool(cost_usd_micros),
        id=provider_job_id,
    )  # fmt: skip
    if result is FactResult.OLD and cost_usd_micros is not None:
        conn.execute(
            """update attempts set cost_usd_micros = %s, charged = %s
                where job_id = %s and number = %s and ended_at is not null and cost_usd_micros is null""",
            [cost_usd_micros, cost_usd_micros > 0, claim.job_id, number],
        )
    return result


def fail(conn: Connection[Any], claim: Claim, end: AttemptEnd, *, next_route: int, spends_attempt: bool) -> FactResult:
    """The provider has failed it, or refused the call, and the claim is lost: whoever claims next begins another attempt by
    `next_route`, or with NOWHERE ends the job. (Who has the claim writes this with its decision, in one transaction.)

    A call that was turned away says nothing against a generation that the provider has accepted by another.
    """
    phases = UNANSWERED_PHASES if end.refused else PENDING_PHASES
    return _fail(conn, claim, end, phases, next_route, spends_attempt=spends_attempt)


def never_called(conn: Connection[Any], claim: Claim, number: int, route: int) -> FactResult:
    """The worker that wrote the attempt down found its lease lost before its call, and did not make it."""
    end = AttemptEnd(number, AttemptPhase.FAILED, "never_called", "the call was not made", charged=False)
    return _fail(conn, claim, end, UNANSWERED_PHASES, route, spends_attempt=False)


def is_over(conn: Connection[Any], job_id: UUID, number: int) -> bool:
    """Whether an attempt has ended, or was taken off the record."""
    return not conn.execute(
        "select 1 from attempts where job_id = %s and number = %s and ended_at is null", [job_id, number]
    ).fetchone()


def _fail(
    conn: Connection[Any],
    claim: Claim,
    end: AttemptEnd,
    phases: Sequence[AttemptPhase],
    next_route: int,
    *,
    spends_attempt: bool,
) -> FactResult:
    return _write(
        conn, _FAILED, claim, end.number, keeps=False, phases=list(phases), code=end.error_code, message=end.error_message,
        charged=end.charged, cost=end.cost_usd_micros, route=next_route, unspent=0 if spends_attempt else 1,
    )  # fmt: skip
