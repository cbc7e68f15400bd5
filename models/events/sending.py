"""The sender's verbs on delivery queues: claim what is due, take one, record what became of it, let go.

Lock order: account (only where an endpoint is switched off), queue (several by id), endpoint and delivery. What is sent is sent between
two transactions: the first writes down which attempt begins, the second what became of it. A sender that was killed
between the two loses its lease; that attempt counts as one whose outcome is unknown, and the delivery is sent again: at
least once, and never without end.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import orjson
from psycopg import Connection

from common.links import url_of
from common.settings import settings
from models.columns import end_or_never
from models.events import endpoints, events
from models.locks import lock_account

LOG_ENTRIES = 20  # kept of one delivery
LOG_CHARACTERS = 4096  # of each text in an entry
GIVE_UP_BATCH = 1000
MAX_ATTEMPTS = 10  # the pauses between them: workers.deliver.post.SCHEDULE
MAX_LOST = 100  # deliveries of one queue that are given up in one look, because their senders died of each of them
LOST = "its sender was stopped before it could write down the answer"


class HeldQueue(NamedTuple):
    """A claimed queue; `token` guards every change."""

    id: UUID
    token: int


@dataclass(frozen=True, slots=True)
class Parcel:
    """One delivery to send now. `address`: a URL, or where mail goes; None: there is none. `dialect`: in whose words its job wants to
    be told of, at the address that it brought; None: in ours.
    """

    id: UUID
    created_at: datetime
    account_id: UUID
    channel: str
    endpoint_id: UUID | None
    event_type: str
    event_at: datetime
    event_number: int | None
    job_id: UUID | None
    data: dict[str, Any]
    attempts: int
    address: str | None
    secrets: list[str] = field(default_factory=list)
    dialect: str | None = None


_TAKEN = (
    "id", "created_at", "account_id", "channel", "endpoint_id", "event_type", "event_at", "event_number", "job_id", "data",
    "attempts",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class SendResult:
    """What became of an attempt. `again_after`: seconds to the next; None with `delivered` false: it has failed for good."""

    delivered: bool
    again_after: float | None
    pause: float  # seconds in which the whole queue is left alone
    entry: dict[str, Any]  # for the log
    gone: bool = False  # the receiver said that it wants no more


def lease_seconds() -> float:
    """How long a sender may be silent. Longer than a delivery can take; it is renewed four times as often."""
    return settings().webhook_timeout_seconds * 2 + 1


def claim(conn: Connection[Any], sender: str, limit: int, *, suspects: int) -> list[tuple[HeldQueue, bool]]:
    """Queues with something due, each with whether its last attempt failed; of those at most `suspects`, so that receivers
    that hang never hold all threads. An account has at most DELIVER_PER_ACCOUNT, over all senders.
    """
    rows = conn.execute(
        """with due as (
             select id, account_id, failures > 0 as suspect, wake_at,
                    row_number() over (partition by account_id order by failures > 0, wake_at)
                      + (select count(*) from delivery_queues b where b.account_id = d.account_id and b.leased_by is not null
                            and b.wake_at > app_now()) as place
               from ((select * from delivery_queues where wake_at <= app_now() and failures = 0 order by wake_at limit 500)
                     union all
                     (select * from delivery_queues where wake_at <= app_now() and failures > 0 order by wake_at limit 500)) d
           ), fair as (
             select *, row_number() over (partition by suspect order by wake_at) as nth from due where place <= %s
           ), chosen as materialized (
             select id from fair where not suspect or nth <= %s order by suspect, wake_at limit %s
           ), locked as materialized (
             select l.id from delivery_queues l where l.id in (select id from chosen) and l.wake_at <= app_now()
                for update skip locked
           )
           update delivery_queues l set leased_by = %s, token = l.token + 1, used_at = app_now(),
                  wake_at = app_now() + make_interval(secs => %s)
             from locked where l.id = locked.id returning l.id, l.token, l.failures > 0""",
        [settings().deliver_per_account, suspects, limit, sender, lease_seconds()],
    ).fetchall()
    return [(HeldQueue(row[0], row[1]), row[2]) for row in rows]


def extend(conn: Connection[Any], held: Sequence[HeldQueue]) -> set[UUID]:
    """Keep the leases of these queues alive. Returns those that are still held."""
    rows = conn.execute(
        """with mine as materialized (
             select l.id from delivery_queues l join unnest(%s::uuid[], %s::bigint[]) as h(id, token)
                 on l.id = h.id and l.token = h.token
              where l.leased_by is not null order by l.id for update of l  -- as whoever wakes several locks them
           )
           update delivery_queues l set wake_at = app_now() + make_interval(secs => %s)
             from mine where l.id = mine.id returning l.id""",
        [[queue.id for queue in held], [queue.token for queue in held], lease_seconds()],
    ).fetchall()
    return {row[0] for row in rows}


def take(conn: Connection[Any], queue: HeldQueue) -> Parcel | None:
    """The next delivery of a queue that is due, its attempt written down as begun, with the lease renewed; None: none is,
    and the queue is let go, or another sender has it.
    """
    if not _hold(conn, queue):
        return None
    for _ in range(MAX_LOST):
        row = _head(conn, queue)
        if row is None:
            break
        values, (address, enabled, secret, previous, begun, dialect) = row[: len(_TAKEN)], row[len(_TAKEN) :]
        fields = dict(zip(_TAKEN, values, strict=True))
        if fields["endpoint_id"] is not None and not enabled:  # switched off, or removed
            _give_up(conn, queue)
            return None
        if begun > fields["attempts"] and not _count_lost(conn, fields, begun):
            continue
        secrets = endpoints.opened(secret, previous)
        if fields["channel"] == "email":
            address = endpoints.mail_address(conn, fields["account_id"])
        elif fields["endpoint_id"] is None:
            secrets = endpoints.default_secrets(conn, fields["account_id"])
        parcel = Parcel(**fields, address=address, secrets=secrets, dialect=dialect)
        _begin(conn, queue, parcel)
        _add_results(conn, parcel)
        return parcel
    _let_go(conn, queue)
    return None


def _head(conn: Connection[Any], queue: HeldQueue) -> tuple[Any, ...] | None:
    row: tuple[Any, ...] | None = conn.execute(
        """select d.id, d.created_at, d.account_id, d.channel, d.endpoint_id, d.event_type, d.event_at, d.event_number,
                  d.job_id, d.data, d.attempts, coalesce(e.url, d.url), e.enabled, e.secret,
                  case when e.previous_until > app_now() then e.previous_secret end, d.begun,
                  case when d.url is not null then (select j.webhook->>'dialect' from jobs j where j.id = d.job_id) end
             from delivery_queues l
             cross join lateral (
               select * from deliveries where queue_id = l.id and status = 'pending' and next_at <= app_now()
                order by next_at, event_number limit 1) d
             left join webhook_endpoints e on e.id = d.endpoint_id
            where l.id = %s and coalesce(l.paused_until <= app_now(), true)""",
        [queue.id],
    ).fetchone()
    return row


def _begin(conn: Connection[Any], queue: HeldQueue, parcel: Parcel) -> None:
    conn.execute(
        """with l as (update delivery_queues set wake_at = app_now() + make_interval(secs => %s) where id = %s)
           update deliveries set begun = %s where id = %s and created_at = %s""",
        [lease_seconds(), queue.id, parcel.attempts + 1, parcel.id, parcel.created_at],
    )


def _count_lost(conn: Connection[Any], fields: dict[str, Any], begun: int) -> bool:
    """Count an attempt that was begun and of which nobody wrote down the end. Whether another is left."""
    left = begun < MAX_ATTEMPTS
    fields["attempts"] = begun
    conn.execute(
        f"""update deliveries set attempts = %(begun)s, {_LOGGED_ENTRY},
                   status = case when %(left)s then status else 'failed' end,
                   next_at = case when %(left)s then next_at end where id = %(id)s and created_at = %(created_at)s""",
        {
            "begun": begun, "left": left, "id": fields["id"], "created_at": fields["created_at"], "most": LOG_ENTRIES,
            "entry": orjson.dumps({"status": None, "error": LOST, "response": None, "milliseconds": None}).decode(),
        },
    )  # fmt: skip
    return left


_LOGGED_ENTRY = """log = case when jsonb_array_length(log) >= %(most)s then log - 0 else log end
                        || jsonb_build_array(jsonb_build_object('at', app_now()) || %(entry)s::jsonb)"""


def _add_results(conn: Connection[Any], parcel: Parcel) -> None:
    """A job's results, as addresses. Not known to the function that ends jobs, since they are signed; kept with the
    delivery after its first attempt, so that every attempt says the same.
    """
    output = parcel.data.get("output")
    if parcel.event_type == "job.output" and isinstance(output, dict) and "id" in output:
        output["url"] = url_of(UUID(output["id"]))
    if parcel.event_type != "job.succeeded" or "outputs" in parcel.data:
        return
    rows = conn.execute(
        f"select id, media_type, size_bytes, {end_or_never('expires_at')} from assets where job_id = %s and status = 'stored' order by index",
        [parcel.job_id],
    ).fetchall()
    parcel.data["outputs"] = [
        {"id": str(row[0]), "url": url_of(row[0]), "media_type": row[1], "size_bytes": row[2], "expires_at": row[3]}
        for row in rows
    ]


def record(conn: Connection[Any], queue: HeldQueue, parcel: Parcel, outcome: SendResult) -> bool:
    """Write down what became of an attempt; again is fine, should a commit's own outcome be unknown. False: the lease had
    lapsed, and another sender decides.
    """
    reason = _reason_to_disable(conn, parcel, outcome)
    if reason:
        lock_account(conn, parcel.account_id)
    if not _hold(conn, queue):
        return False
    pending = not outcome.delivered and outcome.again_after is not None and not outcome.gone
    status = "delivered" if outcome.delivered else "pending" if pending else "disabled" if outcome.gone else "failed"
    written = conn.execute(
        f"""update deliveries set status = %(status)s, attempts = begun,
                   next_at = case when %(pending)s then app_now() + make_interval(secs => %(after)s) end,
                   delivered_at = case when %(status)s = 'delivered' then app_now() end, {_LOGGED_ENTRY},
                   data = %(data)s::jsonb
             where id = %(id)s and created_at = %(created_at)s and status = 'pending' and begun = %(begun)s
               and attempts < begun""",
        {
            "status": status, "pending": pending, "after": outcome.again_after or 0, "most": LOG_ENTRIES,
            "entry": _entry(outcome.entry), "data": orjson.dumps(parcel.data).decode(), "begun": parcel.attempts + 1,
            "id": parcel.id, "created_at": parcel.created_at,
        },
    ).rowcount  # fmt: skip
    if not written:  # it is written already, or its owner has asked meanwhile for it to be sent again
        return True
    conn.execute(
        """update delivery_queues set failures = case when %s then 0 else failures + 1 end,
                  paused_until = case when %s > 0 then app_now() + make_interval(secs => %s) end where id = %s""",
        [outcome.delivered, outcome.pause, outcome.pause, queue.id],
    )
    if parcel.endpoint_id is not None:
        _note_health(conn, parcel, outcome, reason)
    return True


def _entry(entry: Mapping[str, Any]) -> str:
    """An entry of the log as it can be stored: a far side's text may hold anything, of any length."""
    kept = {
        name: value[:LOG_CHARACTERS].encode("utf-8", "replace").decode().replace("\0", "\ufffd")
        if isinstance(value, str)
        else value
        for name, value in entry.items()
    }
    return orjson.dumps(kept).decode()


def overdue(conn: Connection[Any]) -> tuple[int, float]:
    """How many queues are due and held by no living sender, and for how many seconds the first of those that work. Queues
    that fail may wait for a thread: that is how they keep nobody up.
    """
    row = conn.execute(
        """select count(*), coalesce(extract(epoch from app_now() - min(wake_at) filter (where failures = 0)), 0)
             from delivery_queues where wake_at <= app_now()"""
    ).fetchone()
    return (int(row[0]), float(row[1])) if row else (0, 0.0)


def failures(conn: Connection[Any], queue: HeldQueue) -> int:
    """Attempts on this queue that failed since one arrived."""
    row = conn.execute("select failures from delivery_queues where id = %s", [queue.id]).fetchone()
    return int(row[0]) if row else 0


def release(conn: Connection[Any], queue: HeldQueue) -> None:
    """Let a queue go before all of it is done."""
    if _hold(conn, queue):
        _let_go(conn, queue)


def forget(conn: Connection[Any], limit: int) -> int:
    """Delete queues on which nothing waits and nothing was sent for DELIVERY_QUEUE_DAYS. Returns how many. A token begins anew with
    its queue, so the days are far more than a sender can be late.
    """
    return conn.execute(
        """delete from delivery_queues where id in (
             select id from delivery_queues where wake_at is null and used_at < app_now() - make_interval(days => %s)
              order by used_at limit %s for update skip locked)""",
        [settings().delivery_queue_days, limit],
    ).rowcount


def _hold(conn: Connection[Any], queue: HeldQueue) -> bool:
    """Lock the queue. Its deliveries are read in a later statement, so that one that is just being written is seen."""
    return (
        conn.execute(
            "select 1 from delivery_queues where id = %s and token = %s and leased_by is not null for update",
            [queue.id, queue.token],
        ).fetchone()
        is not None
    )


def _let_go(conn: Connection[Any], queue: HeldQueue) -> None:
    conn.execute(
        """update delivery_queues l set leased_by = null, wake_at = greatest(
             (select d.next_at from deliveries d where d.queue_id = l.id and d.status = 'pending' order by d.next_at limit 1),
             case when exists (select 1 from deliveries d where d.queue_id = l.id and d.status = 'pending')
                  then l.paused_until end) where id = %s""",
        [queue.id],
    )


def _give_up(conn: Connection[Any], queue: HeldQueue) -> None:
    """What waits for an endpoint that is off stays in the log and is not sent."""
    conn.execute(
        f"""update deliveries d set status = 'disabled', next_at = null from (
              select id, created_at from deliveries where queue_id = %s and status = 'pending'
               order by next_at limit {GIVE_UP_BATCH}) x where d.id = x.id and d.created_at = x.created_at""",
        [queue.id],
    )
    _let_go(conn, queue)


def _reason_to_disable(conn: Connection[Any], parcel: Parcel, outcome: SendResult) -> str | None:
    """Why this failure switches its endpoint off, if it does. Read without a lock; the account is locked if so."""
    if parcel.endpoint_id is None or outcome.delivered:
        return None
    if outcome.gone:
        return "it answered 410 Gone"
    row = conn.execute(
        "select 1 from webhook_endpoints where id = %s and failing_since < app_now() - make_interval(secs => %s)",
        [parcel.endpoint_id, settings().webhook_disable_hours * 3600],
    ).fetchone()
    return f"every delivery has failed for {settings().webhook_disable_hours:g} hours" if row else None


def _note_health(conn: Connection[Any], parcel: Parcel, outcome: SendResult, reason: str | None) -> None:
    if reason:
        row = conn.execute(
            """update webhook_endpoints set enabled = false, disabled_reason = %s where id = %s and enabled
               returning url""",
            [reason, parcel.endpoint_id],
        ).fetchone()
        if row:
            endpoints.refresh_has_webhooks(conn, parcel.account_id)
            data = {"webhook_id": str(parcel.endpoint_id), "url": row[0], "reason": reason}
            events.add(conn, parcel.account_id, "webhook.disabled", data)
    elif outcome.delivered:
        conn.execute(
            "update webhook_endpoints set failing_since = null where id = %s and failing_since is not null",
            [parcel.endpoint_id],
        )
    else:
        conn.execute(
            "update webhook_endpoints set failing_since = app_now() where id = %s and failing_since is null",
            [parcel.endpoint_id],
        )
