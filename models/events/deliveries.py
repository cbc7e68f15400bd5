"""Deliveries: telling one receiver of one event. Written with the event (deliver_events_v1.sql), sent by
`workers.deliver`, kept as the log that customers read.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import orjson
from psycopg import Connection
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Index,
    Integer,
    PrimaryKeyConstraint,
    SmallInteger,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from common.errors import EndpointDisabled, NotFound
from models.columns import NOW, UTC_TIME, counter, created_at, in_list, moment
from models.events import endpoints

STATUSES = ("pending", "delivered", "failed", "disabled")
MAX_REDELIVER = 10_000  # per call


class Delivery(SQLModel, table=True):
    """One event for one receiver. Its id is the `webhook-id`: the same in every attempt, so that receivers can tell
    repeats. Partitioned by month like events. Where `endpoint_id` is null, a job brought the address.
    """

    __tablename__ = "deliveries"
    __table_args__ = (
        PrimaryKeyConstraint("id", "created_at"),
        CheckConstraint(in_list("channel", "webhook", "email"), name="channel"),
        CheckConstraint(in_list("status", *STATUSES), name="status"),
        CheckConstraint("(status = 'pending') = (next_at is not null)", name="next_at"),
        CheckConstraint("channel = 'email' or (endpoint_id is null) <> (url is null)", name="receiver"),
        Index("ix_deliveries_due", "queue_id", "next_at", postgresql_where=text("status = 'pending'")),
        # Apart, so that the few that did not arrive are found among however many that did; those pay nothing for it.
        Index(
            "ix_deliveries_failed",
            "account_id",
            "endpoint_id",
            "status",
            text("created_at desc"),
            text("id desc"),
            postgresql_where=text("status in ('failed', 'disabled')"),
        ),
        Index("ix_deliveries_log", "account_id", "endpoint_id", text("created_at desc"), text("id desc")),
        {"postgresql_partition_by": "RANGE (created_at)"},
    )

    id: UUID = Field(sa_type=Uuid, nullable=False)
    queue_id: UUID = Field(sa_type=Uuid, nullable=False)
    account_id: UUID = Field(sa_type=Uuid, nullable=False)
    channel: str = Field(sa_type=Text, nullable=False)
    endpoint_id: UUID | None = Field(default=None, sa_type=Uuid, nullable=True)
    url: str | None = Field(default=None, sa_type=Text, nullable=True)
    event_number: int | None = Field(default=None, sa_type=BigInteger, nullable=True)  # null: a test
    event_type: str = Field(sa_type=Text, nullable=False)
    event_at: datetime = Field(sa_column=Column(UTC_TIME, nullable=False))
    job_id: UUID | None = Field(default=None, sa_type=Uuid, nullable=True)
    data: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False))
    status: str = Field(default="pending", sa_type=Text, nullable=False, sa_column_kwargs={"server_default": "pending"})
    attempts: int = Field(default=0, sa_type=SmallInteger, nullable=False, sa_column_kwargs={"server_default": "0"})
    # The number of the attempt that was begun last; above `attempts` while nobody has written down what became of it.
    begun: int = Field(default=0, sa_type=SmallInteger, nullable=False, sa_column_kwargs={"server_default": "0"})
    next_at: datetime | None = moment()
    delivered_at: datetime | None = moment()
    # Of each attempt, the newest last: at, url, status, milliseconds, error, response. Bounded where it is written.
    log: list[dict[str, Any]] = Field(
        sa_column=Column(JSONB, nullable=False, server_default=text("'[]'::jsonb")), default_factory=list
    )
    created_at: datetime = Field(sa_column=Column(UTC_TIME, nullable=False, server_default=NOW))


class DeliveryQueue(SQLModel, table=True):
    """What is sent one after the other: an endpoint's deliveries, or a part of those of an account's jobs, or its mail.

    `wake_at` is when something is due, or the end of the lease while a sender holds the queue; null: nothing waits. So a
    receiver that hangs holds up its own queue and no other, and at most one sender at a time.
    """

    __tablename__ = "delivery_queues"
    __table_args__ = (
        CheckConstraint("leased_by is null or wake_at is not null", name="lease"),
        # Apart, so that however many queues that fail are due, those that work are found at once.
        Index("ix_delivery_queues_due", "wake_at", postgresql_where=text("wake_at is not null and failures = 0")),
        Index("ix_delivery_queues_suspect", "wake_at", postgresql_where=text("wake_at is not null and failures > 0")),
        Index("ix_delivery_queues_idle", "used_at", postgresql_where=text("wake_at is null")),
        Index("ix_delivery_queues_leased", "account_id", postgresql_where=text("leased_by is not null")),
        {"postgresql_with": {"fillfactor": "70"}},
    )

    id: UUID = Field(primary_key=True)
    account_id: UUID = Field(foreign_key="accounts.id", nullable=False)
    wake_at: datetime | None = moment()
    leased_by: str | None = Field(default=None, sa_type=Text, nullable=True)
    token: int = counter()
    failures: int = Field(default=0, sa_type=Integer, nullable=False, sa_column_kwargs={"server_default": "0"})
    paused_until: datetime | None = moment()
    used_at: datetime = created_at()  # when a sender last had it: one that is idle for long is forgotten


class DeliveryRow(NamedTuple):
    """A delivery as its owner sees it."""

    id: UUID
    endpoint_id: UUID | None
    url: str | None
    event_number: int | None
    event_type: str
    event_at: datetime
    job_id: UUID | None
    data: dict[str, Any]
    status: str
    attempts: int
    next_at: datetime | None
    delivered_at: datetime | None
    log: list[dict[str, Any]]
    created_at: datetime


_LOGGED = ", ".join(DeliveryRow._fields)


def deliver_range(conn: Connection[Any], ranges: Mapping[UUID, tuple[int, int]]) -> None:
    """Write the deliveries of the events that this transaction wrote, as account → numbers (after, up to)."""
    conn.execute(
        "select deliver_events_v1(p_accounts => %(accounts)s, p_after => %(after)s, p_to => %(to)s)",
        {
            "accounts": list(ranges),
            "after": [each[0] for each in ranges.values()],
            "to": [each[1] for each in ranges.values()],
        },
    )


def send(
    conn: Connection[Any],
    account_id: UUID,
    queue_id: UUID,
    kind: str,
    data: Mapping[str, Any],
    *,
    endpoint_id: UUID | None = None,
    number: int | None = None,
) -> UUID:
    """Write one delivery outside the endpoints' filters: a test of an endpoint, or mail where there is no endpoint."""
    delivery_id = uuid4()
    _wake(conn, queue_id, account_id)
    conn.execute(
        """insert into deliveries (id, queue_id, account_id, channel, endpoint_id, event_number, event_type, data,
                                   event_at, next_at) values (%s, %s, %s, %s, %s, %s, %s, %s::jsonb, app_now(), app_now())""",
        [
            delivery_id, queue_id, account_id, "webhook" if endpoint_id else "email", endpoint_id, number, kind,
            orjson.dumps(dict(data)).decode(),
        ],
    )  # fmt: skip
    return delivery_id


def list_deliveries(
    conn: Connection[Any],
    account_id: UUID,
    endpoint_id: UUID | None,
    *,
    status: str | None = None,
    before: tuple[datetime, UUID] | None = None,
    limit: int = 20,
) -> list[DeliveryRow]:
    """An endpoint's deliveries (None: those of addresses that jobs brought), newest first. Raises NotFound."""
    if endpoint_id is not None:
        endpoints.find(conn, account_id, endpoint_id)
    where, values = ["account_id = %s", "channel = 'webhook'"], list[Any]([account_id])
    if endpoint_id is None:
        where.append("endpoint_id is null")
    else:
        where.append("endpoint_id = %s")
        values.append(endpoint_id)
    if status in STATUSES:
        where.append(f"status = '{status}'")  # as it is, so that the index of just these can serve
    if status == "pending":
        where.append("queue_id = any(%s)")
        values.append([endpoint_id] if endpoint_id is not None else endpoints.job_queues(account_id))
    if before is not None:
        where.append("(created_at, id) < (%s, %s)")
        values += before
    rows = conn.execute(
        f"select {_LOGGED} from deliveries where {' and '.join(where)} order by created_at desc, id desc limit %s",
        [*values, limit],
    ).fetchall()
    return [DeliveryRow(*row) for row in rows]


_AGAIN = "status = 'pending', attempts = 0, begun = 0, next_at = app_now(), delivered_at = null"


def redeliver(conn: Connection[Any], account_id: UUID, endpoint_id: UUID | None, delivery_id: UUID) -> DeliveryRow:
    """Send one again, with all its attempts before it. Raises NotFound, EndpointDisabled."""
    must_be_on(conn, account_id, endpoint_id)
    row = conn.execute(
        """select queue_id from deliveries where id = %s and account_id = %s and channel = 'webhook'
              and endpoint_id is not distinct from %s""",
        [delivery_id, account_id, endpoint_id],
    ).fetchone()
    if row is None:
        raise NotFound(f"no delivery {delivery_id}", param="delivery_id")
    _wake(conn, row[0], account_id)
    again = conn.execute(
        f"update deliveries set {_AGAIN} where id = %s and account_id = %s returning {_LOGGED}",
        [delivery_id, account_id],
    ).fetchone()
    assert again is not None  # noqa: S101 - deliveries are not deleted
    return DeliveryRow(*again)


def redeliver_range(
    conn: Connection[Any], account_id: UUID, endpoint_id: UUID | None, since: datetime, until: datetime | None, *,
    all_: bool,
) -> int:  # fmt: skip
    """Send again what was due to an endpoint (None: to addresses that jobs brought) in this time and did not arrive, or
    all of it. Returns how many, at most MAX_REDELIVER. Raises NotFound, EndpointDisabled.
    """
    must_be_on(conn, account_id, endpoint_id)
    which = "endpoint_id is null" if endpoint_id is None else "endpoint_id = %(endpoint_id)s"
    chosen = f"""select id, created_at, queue_id from deliveries
                  where account_id = %(account_id)s and {which} and channel = 'webhook' and created_at >= %(since)s
                    and created_at < coalesce(%(until)s::timestamptz, 'infinity') and status = any(%(statuses)s)
                  order by created_at, id limit {MAX_REDELIVER}"""
    values = {
        "account_id": account_id, "endpoint_id": endpoint_id, "since": since, "until": until,
        "statuses": ["failed", "disabled", *(["delivered"] if all_ else [])],
    }  # fmt: skip
    queues = conn.execute(f"select distinct queue_id from ({chosen}) c order by queue_id", values).fetchall()
    for (queue_id,) in queues:
        _wake(conn, queue_id, account_id)
    return conn.execute(
        f"""update deliveries d set {_AGAIN} from ({chosen}) c
             where d.id = c.id and d.created_at = c.created_at and d.queue_id = any(%(queues)s)""",
        {**values, "queues": [queue_id for (queue_id,) in queues]},
    ).rowcount


def must_be_on(conn: Connection[Any], account_id: UUID, endpoint_id: UUID | None) -> None:
    """Raises NotFound, EndpointDisabled."""
    if endpoint_id is not None and not endpoints.find(conn, account_id, endpoint_id).enabled:
        raise EndpointDisabled("this endpoint is switched off; switch it on first", param="id")


def _wake(conn: Connection[Any], queue_id: UUID, account_id: UUID) -> None:
    """Before the deliveries: queues are locked first, as senders lock them."""
    conn.execute(
        """insert into delivery_queues as l (id, account_id, wake_at) values (%s, %s, app_now())
           on conflict (id) do update set wake_at = case when l.leased_by is null then app_now() else l.wake_at end,
                                          paused_until = null""",
        [queue_id, account_id],
    )
