"""Announcements: one event, and so one notification, for every account there is, or every one on a plan.

Written down once, notified in batches by a duty of the scheduler: the place reached moves on in the transaction that tells a
batch, so whatever is killed, each account hears of it once.
"""

import logging
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import psycopg
from psycopg import Connection
from sqlalchemy import ARRAY, CheckConstraint, Column, Index, Text, Uuid, text
from sqlmodel import Field, SQLModel
from uuid_utils.compat import uuid7

from common.errors import InvalidInput
from models.access import audit_log
from models.access.audit_log import By
from models.columns import counter, created_at, moment
from models.events import events
from models.events.notifications import MAX_BODY, MAX_TITLE
from models.locks import lock_accounts

log = logging.getLogger(__name__)

MISSED_SECONDS = 86_400  # for so long accounts that could not be notified are tried again


class Announcement(SQLModel, table=True):
    """`reached` is the last account that had its turn; `missed` are those that were locked then, tried again once the
    walk is over. Accounts that are opened later are not notified.
    """

    __tablename__ = "announcements"
    __table_args__ = (
        CheckConstraint(f"length(title) <= {MAX_TITLE} and length(body) <= {MAX_BODY}", name="size"),
        Index("ix_announcements_open", "id", postgresql_where=text("finished_at is null")),
    )

    id: UUID = Field(primary_key=True)
    title: str = Field(sa_type=Text, nullable=False)
    body: str = Field(sa_type=Text, nullable=False)
    plan_id: str | None = Field(default=None, sa_type=Text, nullable=True, foreign_key="plans.id")
    reached: UUID | None = Field(default=None, nullable=True)
    notified: int = counter()
    missed: list[UUID] = Field(sa_column=Column(ARRAY(Uuid), nullable=False, server_default=text("'{}'::uuid[]")))
    created_at: datetime = created_at()
    walked_at: datetime | None = moment()
    finished_at: datetime | None = moment()


class AnnouncementRow(NamedTuple):
    """An announcement and how far it has come."""

    id: UUID
    title: str
    body: str
    plan_id: str | None
    notified: int
    created_at: datetime
    finished_at: datetime | None


_SHOWN = ", ".join(AnnouncementRow._fields)


def create(conn: Connection[Any], by: By, title: str, body: str, plan: str | None = None) -> AnnouncementRow:
    """Write an announcement down; the scheduler notifies the accounts. Raises InvalidInput."""
    for name, value, limit in (("title", title, MAX_TITLE), ("body", body, MAX_BODY)):
        if not value.strip():
            raise InvalidInput(f"{name} is empty", param=name)
        if len(value) > limit:
            raise InvalidInput(f"{name} has {len(value)} characters; the limit is {limit}", param=name)
        if "\0" in value:
            raise InvalidInput(f"{name} has a NUL character", param=name)
    if plan is not None and conn.execute("select 1 from plans where id = %s", [plan]).fetchone() is None:
        raise InvalidInput(f"there is no plan {plan[:40]!r}", param="plan")
    row = conn.execute(
        f"insert into announcements (id, title, body, plan_id) values (%s, %s, %s, %s) returning {_SHOWN}",
        [uuid7(), title, body, plan],
    ).fetchone()
    assert row is not None  # noqa: S101 - inserted
    audit_log.record(conn, by, "announcement.create", str(row[0]), title=title, plan=plan)
    return AnnouncementRow(*row)


def list_announcements(conn: Connection[Any], *, before: UUID | None = None, limit: int = 20) -> list[AnnouncementRow]:
    """Announcements, newest first."""
    rows = conn.execute(
        f"select {_SHOWN} from announcements where %s::uuid is null or id < %s order by id desc limit %s",
        [before, before, limit],
    ).fetchall()
    return [AnnouncementRow(*row) for row in rows]


def notify(conn: Connection[Any], limit: int) -> tuple[int, bool]:
    """Notify the next accounts of the oldest announcement whose walk is not over; after that those that were locked, or
    failed, when their turn came. Returns how many were notified, and whether there may be more at once.
    """
    row = conn.execute(
        """select id, title, body, plan_id, reached, created_at from announcements
            where finished_at is null and walked_at is null order by id limit 1 for update skip locked"""
    ).fetchone()
    if row is None:
        return _notify_missed(conn, limit), False
    announcement_id, title, body, plan, reached, at = row
    found = conn.execute(
        """select a.id from accounts a join users u on u.id = a.user_id
            where (%s::uuid is null or a.id > %s) and a.created_at <= %s and (%s::text is null or a.plan_id = %s)
              and u.deleted_at is null
            order by a.id limit %s""",
        [reached, reached, at, plan, plan, limit],
    ).fetchall()
    accounts = [account_id for (account_id,) in found]
    missed = _notify_each(conn, accounts, title, body)
    conn.execute(
        """update announcements set notified = notified + %(notified)s, reached = coalesce(%(reached)s, reached),
                  missed = missed || %(missed)s::uuid[], walked_at = case when %(over)s then app_now() end,
                  finished_at = case when %(over)s and missed || %(missed)s::uuid[] = '{}' then app_now() end
            where id = %(id)s""",
        {
            "notified": len(accounts) - len(missed), "reached": accounts[-1] if accounts else None, "missed": missed,
            "over": len(accounts) < limit, "id": announcement_id,
        },
    )  # fmt: skip
    return len(accounts) - len(missed), len(accounts) >= limit


def _notify_missed(conn: Connection[Any], limit: int) -> int:
    notified = 0
    rows = conn.execute(
        """select id, title, body, missed, walked_at < app_now() - make_interval(secs => %s) from announcements
            where finished_at is null and walked_at is not null order by id limit 10 for update skip locked""",
        [MISSED_SECONDS],
    ).fetchall()
    for announcement_id, title, body, missed, late in rows:
        now, later = missed[:limit], missed[limit:]
        again = _notify_each(conn, now, title, body)
        remaining = [*later, *again]  # those that were tried go to the end
        if late and remaining:
            log.error("announcement %s: %d accounts could not be notified in a day", announcement_id, len(remaining))
        conn.execute(
            """update announcements set notified = notified + %s, missed = %s, finished_at = case when %s then app_now() end
                where id = %s""",
            [len(now) - len(again), remaining, late or not remaining, announcement_id],
        )
        notified += len(now) - len(again)
    return notified


def _notify_each(conn: Connection[Any], accounts: Sequence[UUID], title: str, body: str) -> list[UUID]:
    """Notify accounts, locked in the order of their ids, as everywhere. Returns those that could not be notified now."""
    locked = lock_accounts(conn, accounts, skip_locked=True)
    missed = set(accounts) - locked
    for account_id in sorted(locked):
        try:
            with conn.transaction():  # a savepoint
                events.add(conn, account_id, "announcement", {"title": title, "body": body})
        except psycopg.OperationalError:
            raise
        except Exception:
            log.exception("account %s could not be notified of an announcement", account_id)
            missed.add(account_id)
    return sorted(missed)
