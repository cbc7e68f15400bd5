"""In-app notifications, and which events also go by mail. Both are written with their event."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID, uuid5

import orjson
from psycopg import Connection
from sqlalchemy import BigInteger, CheckConstraint, Column, Index, Text, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel
from uuid_utils.compat import uuid7

from common.errors import NotFound
from common.settings import settings
from models.columns import created_at, moment
from models.events import deliveries, endpoints

MAX_TITLE = 200
MAX_BODY = 4000


class Notice(NamedTuple):
    """How an event is put to a person: texts with the event's own data in braces, and whether mail goes out too."""

    title: str
    body: str
    mail: bool


# One line makes a kind of event a notice, whoever tells it.
NOTICES: Mapping[str, Notice] = {
    "credits.low": Notice("Your credits are running low", "You have {available} credits left.", True),
    "subscription.overdue": Notice(
        "Your subscription was not renewed", "Your plan {plan} has ended. Pay until {until} to keep it.", True
    ),
    "subscription.expired": Notice(
        "Your subscription has expired", "Your plan {plan} has ended. Your account is on {now} now.", True
    ),
    "payment.succeeded": Notice("Payment received", "Thank you. Your payment of {paid} was received.", True),
    "refill.paused": Notice(
        "Your automatic refill is paused",
        "No more credits are bought by themselves: {reason}. Pay once, or switch it on again.",
        True,
    ),
    "course.completed": Notice("Course completed", "You have completed {course}.", True),
    "announcement": Notice("{title}", "{body}", False),
    "webhook.disabled": Notice(
        "A webhook was switched off",
        "Deliveries to {url} were stopped: {reason}. Switch it on again once it works.",
        True,
    ),
}


class Notification(SQLModel, table=True):
    """One notification of an account, made with the event of that number."""

    __tablename__ = "notifications"
    __table_args__ = (
        CheckConstraint(f"length(title) <= {MAX_TITLE} and length(body) <= {MAX_BODY}", name="size"),
        Index(None, "account_id", text("id desc")),
        Index("ix_notifications_unread", "account_id", postgresql_where=text("read_at is null")),
        Index(None, "created_at"),
    )

    id: UUID = Field(primary_key=True)
    account_id: UUID = Field(foreign_key="accounts.id", nullable=False)
    event_number: int = Field(sa_type=BigInteger, nullable=False)
    kind: str = Field(sa_type=Text, nullable=False)
    title: str = Field(sa_type=Text, nullable=False)
    body: str = Field(sa_type=Text, nullable=False)
    data: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False))
    read_at: datetime | None = moment()
    created_at: datetime = created_at()


class NotificationRow(NamedTuple):
    """A notification as its owner sees it."""

    id: UUID
    kind: str
    title: str
    body: str
    data: dict[str, Any]
    event_number: int
    read_at: datetime | None
    created_at: datetime


_SHOWN = ", ".join(NotificationRow._fields)


class _Known(dict[str, Any]):
    """What an event does not say is left out of the text."""

    def __missing__(self, key: str) -> str:
        return "–"


def texts(kind: str, data: Mapping[str, Any]) -> tuple[str, str]:
    """Title and text of a notice."""
    notice, known = NOTICES[kind], _Known(data)
    return notice.title.format_map(known)[:MAX_TITLE], notice.body.format_map(known)[:MAX_BODY]


def are_noticed(kinds: Collection[str]) -> bool:
    """Whether people are notified of any of these kinds of events."""
    return not NOTICES.keys().isdisjoint(kinds)


def follow(conn: Connection[Any], written: Mapping[UUID, tuple[int, int]]) -> None:
    """Notify of events that this transaction has written, as account → numbers (after, up to), where people are notified of
    their kinds.
    """
    rows = conn.execute(
        """select e.account_id, e.number, e.type, e.data
             from unnest(%s::uuid[], %s::bigint[], %s::bigint[]) as w(account_id, after, until)
             join events e on e.account_id = w.account_id and e.number > w.after and e.number <= w.until
                          and e.created_at = app_now() and e.type = any(%s)
            order by e.account_id, e.number""",
        [list(written), [each[0] for each in written.values()], [each[1] for each in written.values()], list(NOTICES)],
    ).fetchall()
    if not rows:
        return
    wanted = _wanted(conn, {row[0] for row in rows})
    for account_id, number, kind, data in rows:
        notices, mail = wanted[account_id]
        if notices:
            _notify(conn, account_id, number, kind, data, mail=mail)


def _wanted(conn: Connection[Any], accounts: Collection[UUID]) -> dict[UUID, tuple[bool, bool]]:
    """Whether each of these wants notices, and them by mail too; who did not choose wants what the deployment says."""
    rows = conn.execute(
        """select a.id, coalesce((u.preferences->>'notifications')::boolean, %s), coalesce((u.preferences->>'mail')::boolean, true)
             from accounts a join users u on u.id = a.user_id where a.id = any(%s)""",
        [settings().preferred_notifications, list(accounts)],
    ).fetchall()
    return {row[0]: (row[1], row[2]) for row in rows}


def _notify(
    conn: Connection[Any], account_id: UUID, number: int, kind: str, data: Mapping[str, Any], *, mail: bool
) -> None:
    title, body = texts(kind, data)
    conn.execute(
        """insert into notifications (id, account_id, event_number, kind, title, body, data)
           values (%s, %s, %s, %s, %s, %s, %s::jsonb)""",
        [uuid7(), account_id, number, kind, title, body, orjson.dumps(dict(data)).decode()],
    )
    if mail and NOTICES[kind].mail and settings().smtp_url and endpoints.mail_address(conn, account_id):
        deliveries.send(conn, account_id, uuid5(account_id, "mail"), kind, data, number=number)


def list_notifications(
    conn: Connection[Any], account_id: UUID, *, unread: bool = False, before: UUID | None = None, limit: int = 20
) -> list[NotificationRow]:
    """The account's notifications, newest first."""
    rows = conn.execute(
        f"""select {_SHOWN} from notifications
             where account_id = %s and (%s::uuid is null or id < %s) and (read_at is null or not %s)
             order by id desc limit %s""",
        [account_id, before, before, unread, limit],
    ).fetchall()
    return [NotificationRow(*row) for row in rows]


def unread(conn: Connection[Any], account_id: UUID) -> int:
    """How many are unread, counted to 1,000."""
    row = conn.execute(
        """select count(*) from (
             select 1 from notifications where account_id = %s and read_at is null limit 1000) x""",
        [account_id],
    ).fetchone()
    return int(row[0]) if row else 0


def read(conn: Connection[Any], account_id: UUID, notification_id: UUID) -> None:
    """Mark one as read; again is fine. Raises NotFound."""
    if not conn.execute(
        "update notifications set read_at = coalesce(read_at, app_now()) where id = %s and account_id = %s",
        [notification_id, account_id],
    ).rowcount:
        raise NotFound(f"no notification {notification_id}", param="id")


def read_all(conn: Connection[Any], account_id: UUID) -> int:
    """Mark all as read. Returns how many were not."""
    return conn.execute(
        "update notifications set read_at = app_now() where account_id = %s and read_at is null", [account_id]
    ).rowcount


def forget(conn: Connection[Any], limit: int) -> int:
    """Delete notifications that are older than they are kept. Returns how many."""
    return conn.execute(
        """delete from notifications where id in (
             select id from notifications where created_at < app_now() - make_interval(days => %s)
              order by created_at limit %s)""",
        [settings().notification_days, limit],
    ).rowcount
