"""How a living job leaves its claim: it ends and its credits are resolved, or it is put back for another try.

Lock order: account, then the job's run and what hangs on it, then inserts. Everything an end changes, the credits it
moves, the events it tells and the slot it frees included, is one transaction, guarded by the claim's token.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Connection
from psycopg.types.json import Jsonb

from common.settings import settings
from models.columns import MAX_INTEGER, MAX_MEASURED, within
from models.credits import ledger, revoking
from models.events import events, notifications
from models.jobs import words
from models.jobs.dispatch import Ring, dispatch
from models.jobs.states import AttemptPhase, JobEnd, JobStatus
from models.locks import lock_account, read_locked


def _bound(made: object, most: int, *names: str, least: int = 0) -> None:
    """Bring measured fields within what their columns hold, where they are made, so that no end can fail on one."""
    for name in names:
        value = getattr(made, name)
        if value is not None:
            object.__setattr__(made, name, within(value, most, least))


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
    kinds: tuple[str, ...] = ()  # of models that it will do for, besides that of its type

    def __post_init__(self) -> None:
        _bound(self, MAX_INTEGER, "width", "height", "duration_ms")
        _bound(self, MAX_MEASURED, "thumbnail_bytes")
        _bound(self, MAX_MEASURED, "size_bytes", least=1)


@dataclass(frozen=True, slots=True)
class AttemptEnd:
    """What became of the live attempt, as far as is known."""

    number: int
    phase: AttemptPhase  # of those that are over
    error_code: str | None = None
    error_message: str | None = None
    charged: bool | None = None
    cost_usd_micros: int | None = None
    usage: dict[str, int] | None = None
    refused: bool = False  # the call was turned away, which says nothing of another under the same key

    def __post_init__(self) -> None:
        _bound(self, MAX_MEASURED, "cost_usd_micros")
        if self.usage:
            object.__setattr__(self, "usage", {name: within(value) for name, value in self.usage.items()})


@dataclass(frozen=True, slots=True)
class Ending:
    """A job's end. `cost_credits` is what it really cost; the reservation is the ceiling, the rest is the house's loss."""

    ended: JobEnd
    cost_credits: int = 0
    error_code: str | None = None
    error_message: str | None = None
    assets: Sequence[NewAsset] = ()
    result_hours: int | None = None  # as the model says; None: as the plan does, or else the setting
    attempt: AttemptEnd | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _bound(self, MAX_MEASURED, "cost_credits")


class Ended(NamedTuple):
    """What an end did: how the job ended, the jobs to ring, and the account's newest event number."""

    ended: JobStatus  # queued: put back
    rings: list[Ring]
    event_number: int


class Unread(Exception):
    """A provider's call back lies unread: what was decided without it is void. The job was let go, and is due at once."""

    def __init__(self, ring: Ring) -> None:
        super().__init__("a call back lies unread")
        self.ring = ring


class NeedsTransaction(Exception):
    """The end takes several statements (a grant it holds credits of has lapsed or was revoked, or people are notified of it):
    nothing was done.
    """


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
    On a connection in autocommit it is one statement and so a transaction of its own; raises NeedsTransaction where that
    is not enough.
    """
    alone = conn.autocommit
    kinds = _kinds(ending.ended)
    if alone and notifications.are_noticed(kinds):
        raise NeedsTransaction("notices")
    values = _values(account_id, job_id, ending, token, on_cancel, alone=alone)
    for name in ("usage", "assets", "extra"):
        values[name] = Jsonb(values[name]) if values[name] is not None else None
    row = conn.execute(_END, values).fetchone()
    assert row is not None  # noqa: S101 - a function's one row
    if row[0] == "lapsed" and not alone:
        ledger.expire_lapsed(conn, [account_id])
        row = conn.execute(_END, values).fetchone()
        assert row is not None  # noqa: S101 - as above
    outcome, ended, event_number, rings, revoked = row
    if outcome == "stale":
        return None
    if outcome != "ended":
        raise NeedsTransaction(outcome)
    outputs = len(ending.assets) if ended == ending.ended else 0  # dropped where it became a cancel
    written = {account_id: (event_number - 1 - outputs, event_number)}
    events.follow_up(conn, written, kinds, deliver=())  # the function has written the deliveries
    for grant_id, spent, returned in revoked or []:
        revoking.follow_revoked(conn, account_id, UUID(grant_id), spent=spent, returned=returned)
    return Ended(JobStatus(ended), [Ring(UUID(job), queue) for job, queue in rings or []], event_number)


_END = """
select outcome, ended, event_number, rings, revoked from end_job_v6(
  p_account => %(account)s, p_job => %(job)s, p_token => %(token)s, p_alone => %(alone)s, p_ended => %(ended)s,
  p_cost => %(cost)s, p_on_cancel => %(on_cancel)s, p_error_code => %(error_code)s, p_error_message => %(error_message)s,
  p_result_hours => %(result_hours)s, p_usual_hours => %(usual_hours)s, p_grace_hours => %(grace_hours)s, p_ring_again => %(ring_again)s,
  p_number => %(number)s, p_phase => %(phase)s, p_attempt_error_code => %(attempt_error_code)s,
  p_attempt_error_message => %(attempt_error_message)s, p_charged => %(charged)s,
  p_cost_usd_micros => %(cost_usd_micros)s, p_usage => %(usage)s, p_assets => %(assets)s, p_extra => %(extra)s)"""


def _values(
    account_id: UUID, job_id: UUID, ending: Ending, token: int | None, on_cancel: str, *, alone: bool
) -> dict[str, Any]:
    attempt, code, message = ending.attempt, ending.error_code, ending.error_message
    if code is not None:  # the job and its event are the customer's to read; the attempt keeps what was really said
        code, message = words.failure(code, message)
    return {
        "account": account_id, "job": job_id, "token": token, "alone": alone, "ended": ending.ended,
        "cost": ending.cost_credits, "on_cancel": on_cancel, "error_code": code, "error_message": message,
        "result_hours": ending.result_hours, "usual_hours": settings().result_hours, "grace_hours": settings().grant_grace_hours,
        "ring_again": settings().ring_again_seconds,
        "number": attempt.number if attempt else None,
        "phase": attempt.phase if attempt else None,
        "attempt_error_code": attempt.error_code if attempt else None,
        "attempt_error_message": attempt.error_message if attempt else None,
        "charged": attempt.charged if attempt else None,
        "cost_usd_micros": attempt.cost_usd_micros if attempt else None,
        "usage": attempt.usage if attempt and attempt.usage else None,
        "assets": [_asset(asset) for asset in ending.assets] if ending.assets else None,
        "extra": ending.extra,
    }  # fmt: skip


def _asset(a: NewAsset) -> dict[str, Any]:
    return {
        "id": a.id, "index": a.index, "key": a.key, "media_type": a.media_type, "size_bytes": a.size_bytes,
        "sha256": a.sha256.hex(), "width": a.width, "height": a.height, "duration_ms": a.duration_ms,
        "thumbnail_key": a.thumbnail_key, "thumbnail_bytes": a.thumbnail_bytes,
    }  # fmt: skip


class ClaimedEnd(NamedTuple):
    """How a job is to end under a claim."""

    account_id: UUID
    job_id: UUID
    ending: Ending
    token: int
    on_cancel: str


class Undone(NamedTuple):
    """An end that was not made together with others, and why: made alone it waits for its account, or takes more statements."""

    why: str


def end_together(conn: Connection[Any], ends: Sequence[ClaimedEnd]) -> list[Ended | Undone | None]:
    """End jobs as `end` does, in one statement and so in one transaction, and say of each, in order, what it did. None where the
    claim is stale or the job has ended already. No account that is locked elsewhere is waited for.
    """
    given = [
        _values(each.account_id, each.job_id, each.ending, each.token, each.on_cancel, alone=True) for each in ends
    ]
    rows = conn.execute(
        "select outcome, ended, event_number, rings from end_jobs_v1(p_ends => %s) order by place", [Jsonb(given)]
    ).fetchall()
    return [_grouped(*row) for row in rows]


def _grouped(outcome: str, ended: str, event_number: int, rings: list[tuple[str, str]] | None) -> Ended | Undone | None:
    if outcome == "ended":
        return Ended(JobStatus(ended), [Ring(UUID(job), queue) for job, queue in rings or []], event_number)
    return None if outcome == "stale" else Undone(outcome)


def read_ended(conn: Connection[Any], job_ids: Sequence[UUID]) -> dict[UUID, JobStatus]:
    """How those of these jobs that have ended did."""
    rows = conn.execute(
        "select id, ended from jobs where id = any(%s) and ended is not null", [list(job_ids)]
    ).fetchall()
    return {row[0]: JobStatus(row[1]) for row in rows}


def may_be_grouped(ended: JobEnd) -> bool:
    """Whether an end may be made with others: nobody is notified of it, which takes statements of their own."""
    return not notifications.are_noticed(_kinds(ended))


def _kinds(ended: JobEnd) -> set[str]:
    return {"job.output", f"job.{ended}", "job.canceled"}  # the last, where the client has asked for it


def end_blindly(
    conn: Connection[Any], account_id: UUID, job_id: UUID, ending: Ending, *, token: int, on_cancel: str = "refund"
) -> Ended | Unread | None:
    """End a job for want of an answer, unless there is one, called back since the claim: then let go of it instead.

    None: the claim is stale. In a transaction of its own.
    """
    lock_account(conn, account_id)
    row = conn.execute(
        """update job_runs r set lease_owner = null, wake_at = app_now(), rings = 0
            where r.job_id = %s and r.token = %s and (r.called_back or exists (
                  select 1 from attempts a where a.job_id = r.job_id and a.ended_at is null and a.phase = 'delivered'))
           returning r.queue""",
        [job_id, token],
    ).fetchone()
    if row is not None:
        return Unread(Ring(job_id, row[0]))
    return end(conn, account_id, job_id, ending, token=token, on_cancel=on_cancel)


def put_back(
    conn: Connection[Any],
    account_id: UUID,
    job_id: UUID,
    *,
    token: int,
    after_seconds: float,
    reason: str,
    attempt: AttemptEnd | None,
    spends_attempt: bool,
    next_route: int = 0,
    held_back: bool = False,
) -> Ended | None:
    """Put a running job back into its account's queue, due after a pause, and free its slot. None: the claim is stale.

    A provider's limit spends no attempt. Without `attempt` the claim's own was never called: it is taken off the record,
    and if there was none before it the time limit has not begun. `held_back`: the provider has no room, so that the
    account's other jobs of this model need not be tried before this one. A job that is to be canceled is not put back: it
    ends here, refunded. No pause goes past the time limit. One that lived in a backup is begun no more (`models.jobs.restored`).
    """
    locked = read_locked(conn, account_id, "a.event_number")
    run = conn.execute(
        "select cancel_requested_at is not null from job_runs where job_id = %s and token = %s for update",
        [job_id, token],
    ).fetchone()
    if locked is None or run is None:
        return None
    if attempt is None:
        conn.execute("delete from attempts where job_id = %s and phase = 'intent'", [job_id])
        conn.execute(
            """update job_runs set attempts = attempts - 1, attempts_spent = attempts_spent - 1,
                      deadline_at = case when attempts > 1 then deadline_at end where job_id = %s""",
            [job_id],
        )
    if run[0]:
        return end(conn, account_id, job_id, Ending(JobEnd.CANCELED, attempt=attempt), token=token)
    if attempt is not None:
        conn.execute(
            """update attempts set phase = %s, ended_at = app_now(), error_code = %s, error_message = %s, charged = %s,
                      cost_usd_micros = %s, delivered = null, own_key = null where job_id = %s and number = %s""",
            [
                attempt.phase, attempt.error_code, attempt.error_message, attempt.charged, attempt.cost_usd_micros,
                job_id, attempt.number,
            ],
        )  # fmt: skip
    conn.execute(
        """update job_runs set status = 'queued', lease_owner = null, dispatched = false, requeued = true, rings = 0,
                  token = token + 1,
                  progress = null, reason = %s, attempts_spent = attempts_spent - %s, held_back = %s,
                  next_route = case when exists (select 1 from restored_jobs x where x.job_id = job_runs.job_id) then -1 else %s end,
                  wake_at = greatest(app_now(), least(app_now() + make_interval(secs => %s), deadline_at))
            where job_id = %s""",
        [reason, 0 if spends_attempt or attempt is None else 1, held_back, next_route, after_seconds, job_id],
    )
    conn.execute("update accounts set slots_in_use = slots_in_use - 1 where id = %s", [account_id])
    return Ended(JobStatus.QUEUED, dispatch(conn, account_id), locked[0])
