"""How a living job leaves its claim: it ends and its credits are resolved, or it is put back for another try.

Lock order: account, then the job's run and what hangs on it, then inserts. Everything an end changes, the credits it
moves, the events it tells and the slot it frees included, is one transaction, guarded by the claim's token.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from uuid import UUID

import orjson
from psycopg import Connection

from models import credits
from models.credits import Lot
from models.dispatch import Ring, dispatch
from models.settings import settings


@dataclass(frozen=True, slots=True)
class NewAsset:
    """A stored object that becomes a result when its job succeeds."""

    id: UUID
    index: int
    key: str
    media_type: str
    size_bytes: int
    sha256: bytes
    width: int | None = None
    height: int | None = None
    duration_ms: int | None = None
    thumbnail_key: str | None = None
    thumbnail_bytes: int = 0


@dataclass(frozen=True, slots=True)
class AttemptEnd:
    """What became of the live attempt, as far as is known."""

    number: int
    phase: str  # done, failed or abandoned
    error_code: str | None = None
    error_message: str | None = None
    charged: bool | None = None
    cost_usd_micros: int | None = None
    usage: dict[str, int] | None = None


@dataclass(frozen=True, slots=True)
class Ending:
    """A job's end. `cost_credits` is what it really cost; the reservation is the ceiling, the rest is the house's loss."""

    ended: str  # succeeded, failed or canceled
    cost_credits: int = 0
    error_code: str | None = None
    error_message: str | None = None
    assets: Sequence[NewAsset] = ()
    result_hours: int | None = None
    attempt: AttemptEnd | None = None
    extra: dict[str, Any] = field(default_factory=dict)


class Ended(NamedTuple):
    """What an end did: how the job ended, the jobs to ring, and the account's newest event number."""

    ended: str
    rings: list[Ring]
    event_number: int


class _Held(NamedTuple):
    """A run and its reservation, locked."""

    token: int
    cancel_requested: bool
    attempts: int
    dispatched: bool
    amount: int
    lots: list[Lot]
    revoked: list[bool]
    available: int
    reserved: int
    event_number: int
    storage_bytes: int
    slots_in_use: int
    slots: int
    waiting: bool


_ACCOUNT = """
select a.available, a.reserved, a.event_number, a.storage_bytes, a.slots_in_use, p.slots
  from accounts a join plans p on p.id = a.plan_id where a.id = %s for no key update of a"""
# A later statement than the account's lock, so that what hangs on the account is seen as it is under it. Lots come
# soonest-expiring first: those are spent; what goes back, goes to the latest.
_RUN = """
select r.token, r.cancel_requested_at is not null, r.attempts, r.dispatched, v.amount,
       (select jsonb_agg(jsonb_build_array(l.grant_id, l.amount, g.revoked_at is not null,
                                           g.open and g.expires_at <= app_now()) order by g.expires_at, g.id)
          from reservation_grants l join grants g on g.id = l.grant_id where l.job_id = r.job_id),
       exists (select 1 from job_runs w where w.account_id = r.account_id and not w.dispatched and w.wake_at is null)
  from job_runs r join reservations v on v.job_id = r.job_id where r.job_id = %s for update of r"""


def end(
    conn: Connection[Any],
    account_id: UUID,
    job_id: UUID,
    ending: Ending,
    *,
    token: int | None,
    on_cancel: str = "refund",
) -> Ended | None:
    """End a job. None where the claim is stale or the job has ended already: nothing was done.

    `token` is the claim's; None skips that guard, for ends that hold the account's lock and need no claim (cancel of a
    job that has not started). A success or failure that meets a cancel request becomes the cancel that `on_cancel` says.
    """
    held = _lock(conn, account_id, job_id)
    if held is None or (token is not None and held.token != token):
        return None
    if ending.ended != "canceled" and held.cancel_requested:
        ending = _canceled_instead(ending, held.amount, on_cancel)
    resolution = "settle" if ending.ended == "succeeded" or ending.cost_credits else "refund"
    settled = min(ending.cost_credits, held.amount)
    spent = credits.consume(held.lots, settled)
    freed = 1 if held.dispatched else 0
    document = _document(account_id, job_id, ending, held, resolution, settled, spent, freed)
    conn.execute(_END, [document.decode()])
    for lot, part, revoked in zip(held.lots, spent, held.revoked, strict=True):
        if revoked:
            credits.follow_revoked(conn, account_id, lot.grant_id, spent=part, returned=lot.amount - part)
    has_room = held.waiting and held.slots_in_use - freed < held.slots
    rings = dispatch(conn, account_id) if has_room else []
    return Ended(ending.ended, rings, held.event_number + 1)


def _lock(conn: Connection[Any], account_id: UUID, job_id: UUID) -> _Held | None:
    with conn.pipeline():
        locked = conn.execute(_ACCOUNT, [account_id])
        run = conn.execute(_RUN, [job_id])
    account, row = locked.fetchone(), run.fetchone()
    if account is None or row is None:
        return None
    lots = row[5] or []
    if any(each[3] for each in lots):
        # What is left of a grant that has lapsed must not live on because some of it comes back: expire it first.
        credits.expire_lapsed(conn, [account_id])
        return _lock(conn, account_id, job_id)
    return _Held(
        token=row[0],
        cancel_requested=row[1],
        attempts=row[2],
        dispatched=row[3],
        amount=row[4],
        lots=[Lot(UUID(each[0]), each[1]) for each in lots],
        revoked=[each[2] for each in lots],
        available=account[0],
        reserved=account[1],
        event_number=account[2],
        storage_bytes=account[3],
        slots_in_use=account[4],
        slots=account[5],
        waiting=row[6],
    )


def _canceled_instead(ending: Ending, held_amount: int, on_cancel: str) -> Ending:
    """The client gave the job up before its result was there: the result is dropped, the cost stays on the attempt."""
    cost = min(ending.cost_credits, held_amount) if on_cancel == "charge" else 0
    return Ending("canceled", cost_credits=cost, attempt=ending.attempt)


def _document(
    account_id: UUID,
    job_id: UUID,
    ending: Ending,
    held: _Held,
    resolution: str,
    settled: int,
    spent: list[int],
    freed: int,
) -> bytes:
    refunded = held.amount - settled
    grace = settings().grant_grace_hours
    assets = [
        {
            "id": a.id, "index": a.index, "key": a.key, "media_type": a.media_type, "size_bytes": a.size_bytes,
            "sha256": a.sha256.hex(), "width": a.width, "height": a.height, "duration_ms": a.duration_ms,
            "thumbnail_key": a.thumbnail_key, "thumbnail_bytes": a.thumbnail_bytes,
        }
        for a in ending.assets
    ]  # fmt: skip
    attempt = ending.attempt
    return orjson.dumps(
        {
            "account_id": account_id, "job_id": job_id, "ended": ending.ended, "resolution": resolution,
            "settled": settled, "refunded": refunded, "overrun": max(0, ending.cost_credits - held.amount) or None,
            "available": held.available + refunded, "reserved": held.reserved - held.amount,
            "reserved_between": held.reserved - settled, "available_before": held.available,
            "event_number": held.event_number + 1, "freed": freed, "attempts": held.attempts,
            "error_code": ending.error_code, "error_message": ending.error_message, "assets": assets,
            "result_hours": ending.result_hours or settings().result_hours, "grace_hours": grace,
            "added_bytes": sum(a.size_bytes + a.thumbnail_bytes for a in ending.assets),
            "lots": [
                {"grant_id": lot.grant_id, "settled": part, "returned": 0 if revoked else lot.amount - part}
                for lot, part, revoked in zip(held.lots, spent, held.revoked, strict=True)
            ],
            "number": attempt.number if attempt else None, "phase": attempt.phase if attempt else None,
            "attempt_error_code": attempt.error_code if attempt else None,
            "attempt_error_message": attempt.error_message if attempt else None,
            "charged": attempt.charged if attempt else None,
            "cost_usd_micros": attempt.cost_usd_micros if attempt else None,
            "usage": (attempt.usage if attempt else None) or None,
            "data": {"credits": settled, "available": held.available + refunded, **ending.extra},
        }
    )  # fmt: skip


_END = """
with doc as materialized (select %s::jsonb as d),
x as materialized (
  select x.* from doc, jsonb_to_record(d) as x(
    account_id uuid, job_id uuid, ended text, resolution text, settled bigint, refunded bigint, overrun bigint,
    available bigint, reserved bigint, reserved_between bigint, available_before bigint, event_number bigint,
    freed int, attempts smallint, error_code text, error_message text, result_hours int, grace_hours int,
    added_bytes bigint, number smallint, phase text, attempt_error_code text, attempt_error_message text,
    charged boolean, cost_usd_micros bigint, usage jsonb, data jsonb)
), gone as (
  delete from job_runs r using x where r.job_id = x.job_id returning r.started_at
), j as (
  update jobs j set ended = x.ended, ended_at = app_now(), resolution = x.resolution, charged_credits = x.settled,
                    overrun_credits = x.overrun, attempts = x.attempts, error_code = x.error_code,
                    error_message = x.error_message, started_at = gone.started_at
    from x, gone where j.id = x.job_id
), a as (
  update attempts a set phase = x.phase, ended_at = app_now(), error_code = x.attempt_error_code,
                        error_message = x.attempt_error_message, charged = x.charged,
                        cost_usd_micros = x.cost_usd_micros, usage = nullif(x.usage, 'null'::jsonb)
    from x where a.job_id = x.job_id and a.number = x.number
), v as (
  update reservations v set resolution = x.resolution, settled = x.settled, refunded = x.refunded, resolved_at = app_now()
    from x where v.job_id = x.job_id
), part as materialized (
  select p.* from doc, jsonb_to_recordset(d->'lots') as p(grant_id uuid, settled bigint, returned bigint)
), l as (
  update reservation_grants l set settled = part.settled from part, x where l.job_id = x.job_id and l.grant_id = part.grant_id
), g as (
  update grants g set remaining = g.remaining + part.returned,
                      expires_at = case when g.expires_at <= app_now()
                                        then app_now() + make_interval(hours => x.grace_hours) else g.expires_at end
    from part, x where g.id = part.grant_id and part.returned > 0
), entries as (
  insert into ledger_entries (account_id, kind, amount, from_bucket, to_bucket, job_id, available_after, reserved_after)
  select account_id, kind, amount, 'reserved', to_bucket, job_id, available_after, reserved_after from (
    select x.account_id, 1 as n, 'settle' as kind, settled as amount, 'spent' as to_bucket, job_id,
           available_before as available_after, reserved_between as reserved_after from x where settled > 0
    union all
    select x.account_id, 2, 'refund', refunded, 'available', job_id, available, reserved from x where refunded > 0
  ) e order by n
), stored as (
  insert into assets (id, job_id, account_id, index, key, media_type, size_bytes, sha256, width, height, duration_ms,
                      thumbnail_key, thumbnail_bytes, expires_at)
  select s.id, x.job_id, x.account_id, s.index, s.key, s.media_type, s.size_bytes, decode(s.sha256, 'hex'), s.width,
         s.height, s.duration_ms, s.thumbnail_key, s.thumbnail_bytes, app_now() + make_interval(hours => x.result_hours)
    from x, doc, jsonb_to_recordset(d->'assets') as s(
      id uuid, index smallint, key text, media_type text, size_bytes bigint, sha256 text, width int, height int,
      duration_ms int, thumbnail_key text, thumbnail_bytes bigint)
), told as (
  insert into events (account_id, number, type, job_id, data)
  select account_id, event_number, 'job.' || ended, job_id, data from x
)
update accounts a set available = x.available, reserved = x.reserved, event_number = x.event_number,
                      slots_in_use = a.slots_in_use - x.freed, storage_bytes = a.storage_bytes + x.added_bytes
  from x where a.id = x.account_id
"""


def put_back(
    conn: Connection[Any],
    account_id: UUID,
    job_id: UUID,
    *,
    token: int,
    after_seconds: float,
    reason: str,
    attempt: AttemptEnd,
    spends_attempt: bool,
) -> Ended | None:
    """Put a running job back into its account's line, due after a pause, and free its slot. None: the claim is stale.

    A provider's limit spends no attempt. A job that is to be canceled is not put back: it ends here, refunded.
    """
    held = _lock(conn, account_id, job_id)
    if held is None or held.token != token:
        return None
    if held.cancel_requested:
        return end(conn, account_id, job_id, Ending("canceled", attempt=attempt), token=token)
    conn.execute(
        """update attempts set phase = %s, ended_at = app_now(), error_code = %s, error_message = %s, charged = %s,
                  cost_usd_micros = %s where job_id = %s and number = %s""",
        [
            attempt.phase, attempt.error_code, attempt.error_message, attempt.charged, attempt.cost_usd_micros,
            job_id, attempt.number,
        ],
    )  # fmt: skip
    conn.execute(
        """update job_runs set status = 'queued', lease_owner = null, dispatched = false, requeued = true, rings = 0,
                  progress = null, reason = %s, attempts_spent = attempts_spent - %s,
                  wake_at = app_now() + make_interval(secs => %s) where job_id = %s""",
        [reason, 0 if spends_attempt else 1, after_seconds, job_id],
    )
    conn.execute("update accounts set slots_in_use = slots_in_use - 1 where id = %s", [account_id])
    return Ended("queued", dispatch(conn, account_id), held.event_number)
