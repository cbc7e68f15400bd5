"""What happened, in each account's own gapless numbers."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import orjson
from psycopg import Connection
from sqlalchemy import BigInteger, CheckConstraint, Column, Index, PrimaryKeyConstraint, Text, Uuid, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from models import db
from models.columns import NOW, UTC_TIME
from models.events import deliveries, notifications

PARTITIONED = ("events", "deliveries", "usage")
DROPPED = ("events", "deliveries")  # when they are older than they are kept


class Event(SQLModel, table=True):
    """One event. Partitioned by month: nothing refers to it, and old months go at once. Gaplessness rests on
    `accounts.event_number`, taken under the account's lock, and on the audit.
    """

    __tablename__ = "events"
    __table_args__ = (
        PrimaryKeyConstraint("account_id", "number", "created_at"),
        CheckConstraint("number > 0", name="number"),
        # A job's own events, wherever they lie among its account's: its stream must not read all that came after.
        Index("ix_events_job", "job_id", postgresql_where=text("job_id is not null")),
        {"postgresql_partition_by": "RANGE (created_at)"},
    )

    account_id: UUID = Field(sa_type=Uuid, nullable=False)
    number: int = Field(sa_type=BigInteger, nullable=False)
    type: str = Field(sa_type=Text, nullable=False)
    job_id: UUID | None = Field(default=None, sa_type=Uuid, nullable=True)
    data: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False))
    created_at: datetime = Field(sa_column=Column(UTC_TIME, nullable=False, server_default=NOW))


def add(
    conn: Connection[Any], account_id: UUID, kind: str, data: Mapping[str, Any], *, job_id: UUID | None = None
) -> None:
    """Tell one event of an account whose lock the caller holds."""
    add_each(conn, kind, {account_id: data}, job_id=job_id)


def add_each(
    conn: Connection[Any], kind: str, data: Mapping[UUID, Mapping[str, Any]], *, job_id: UUID | None = None
) -> None:
    """Tell an event of one kind to each of these accounts, whose locks the caller holds."""
    rows = conn.execute(
        """with w as (select * from unnest(%(accounts)s::uuid[], %(data)s::jsonb[]) as w(account_id, data)),
           a as (update accounts a set event_number = a.event_number + 1 from w where a.id = w.account_id
                 returning a.id, a.event_number, a.has_webhooks),
           e as (insert into events (account_id, number, type, job_id, data)
                 select a.id, a.event_number, %(kind)s, %(job)s, w.data from a join w on w.account_id = a.id)
           select id, event_number, has_webhooks from a""",
        {
            "accounts": list(data), "data": [orjson.dumps(each).decode() for each in data.values()], "kind": kind,
            "job": job_id,
        },
    ).fetchall()  # fmt: skip
    # The job may have brought an address of its own.
    deliver = [account_id for account_id, _, has_webhooks in rows if has_webhooks or job_id is not None]
    follow_up(conn, {account_id: (number - 1, number) for account_id, number, _ in rows}, {kind}, deliver=deliver)


def follow_up(
    conn: Connection[Any], written: Mapping[UUID, tuple[int, int]], kinds: Collection[str], *, deliver: Collection[UUID]
) -> None:
    """Do what events entail once they are written: deliveries, notices with their mail, waking of listeners.

    `written` are the events of this transaction, as account → numbers (after, up to), of these kinds. Whoever writes events
    in a statement of its own (`jobs.submit`, and the end of a job, whose function writes its deliveries too) comes here.
    `deliver` are the accounts that have endpoints, or jobs with an address.
    """
    if deliver:
        deliveries.deliver_range(conn, {account_id: written[account_id] for account_id in deliver})
    if notifications.are_noticed(kinds):
        notifications.follow(conn, written)
    db.wake_listeners_after_commit(conn, written)


class StoredEvent(NamedTuple):
    """One event as it was written."""

    account_id: UUID
    number: int
    type: str
    job_id: UUID | None
    data: dict[str, Any]
    created_at: datetime


class Page(NamedTuple):
    """An account's events after a number, oldest first. `current` is the number of its newest event. `missing`: what
    follows that number is not kept any more, or it was never given out: whoever asked must look at everything anew.
    """

    current: int
    events: list[StoredEvent]
    missing: bool


def after(conn: Connection[Any], wanted: Sequence[tuple[UUID, int | None]], limit: int) -> list[Page]:
    """For each (account, number), in order, the events after that number; after None there are none, and only `current`
    is read. Numbers are given under the account's lock, so they are committed in order and no reader sees a gap that
    fills later.
    """
    pages = [Page(0, [], missing=False) for _ in wanted]
    if not wanted:
        return pages
    rows = conn.execute(
        """select w.place, w.account_id, a.event_number, e.number, e.type, e.job_id, e.data, e.created_at
             from unnest(%s::uuid[], %s::bigint[]) with ordinality as w(account_id, after, place)
             join accounts a on a.id = w.account_id
             left join lateral (select number, type, job_id, data, created_at from events e
                                 where e.account_id = w.account_id and e.number > w.after order by number limit %s) e on true
            order by w.place, e.number""",
        [[each[0] for each in wanted], [each[1] for each in wanted], limit],
    ).fetchall()
    for place, account_id, current, *event in rows:
        page = pages[place - 1]
        if event[0] is not None:
            page.events.append(StoredEvent(account_id, *event))
        pages[place - 1] = page._replace(current=current)
    return [page._replace(missing=_missing(number, page)) for (_, number), page in zip(wanted, pages, strict=True)]


def of_jobs(conn: Connection[Any], wanted: Sequence[tuple[UUID, int | None, UUID]], limit: int) -> list[Page]:
    """For each (account, number, job), in order, the events of that job after that number, by the job's own index; after
    None there are none. `missing` only says that the number was never given out: what is kept of a job is all that can
    be told of it.
    """
    pages = [Page(0, [], missing=False) for _ in wanted]
    if not wanted:
        return pages
    rows = conn.execute(
        """select w.place, w.account_id, a.event_number, e.number, e.type, e.job_id, e.data, e.created_at
             from unnest(%s::uuid[], %s::bigint[], %s::uuid[]) with ordinality as w(account_id, after, job_id, place)
             join accounts a on a.id = w.account_id
             left join lateral (select number, type, job_id, data, created_at from events e
                                 where e.job_id = w.job_id and e.account_id = w.account_id and e.number > w.after
                                 order by number limit %s) e on true
            order by w.place, e.number""",
        [*map(list, zip(*wanted, strict=True)), limit],
    ).fetchall()
    for place, account_id, current, *event in rows:
        page = pages[place - 1]
        if event[0] is not None:
            page.events.append(StoredEvent(account_id, *event))
        number = wanted[place - 1][1]
        pages[place - 1] = page._replace(current=current, missing=number is not None and number > current)
    return pages


def _missing(number: int | None, page: Page) -> bool:
    if number is None or number == page.current:
        return False
    return number > page.current or not page.events or page.events[0].number > number + 1


def numbers(conn: Connection[Any], account_ids: Iterable[UUID]) -> dict[UUID, int]:
    """The number of each account's newest event."""
    rows = conn.execute("select id, event_number from accounts where id = any(%s)", [list(account_ids)]).fetchall()
    return {row[0]: row[1] for row in rows}


def make_partitions(conn: Connection[Any], ahead: int = 3) -> int:
    """Make the partitions of this month and of `ahead` more, of each table that has some. Returns how many are new."""
    return sum(_make_partition(conn, table, month) for table in PARTITIONED for month in range(ahead + 1))


def _make_partition(conn: Connection[Any], table: str, month: int) -> bool:
    row = conn.execute("select make_month_v1(p_table => %s, p_ahead => %s)", [table, month]).fetchone()
    return row == (True,)


def drop_partitions(conn: Connection[Any], days: int, *, archive: bool = False) -> list[str]:
    """Drop the months of events and deliveries that ended more than so many days ago, or detach them for the archive. Returns
    their tables' names.

    A month in which something still waits to be delivered is kept. Dropping locks the whole table for a moment, behind
    whatever runs; the caller sets how long it may wait, and with it everybody who comes after.
    """
    rows = conn.execute(
        """select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid join pg_class p on p.oid = i.inhparent
            where p.relname = any(%s) and c.relname ~ '_[0-9]{4}_[0-9]{2}$'
              and to_date(right(c.relname, 7), 'YYYY_MM') + interval '1 month'
                  < (app_now() at time zone 'UTC') - make_interval(days => %s)
            order by c.relname""",
        [list(DROPPED), days],
    ).fetchall()
    gone = (
        "select detach_month_v1(p_name => %s, p_days => %s)"
        if archive
        else "select drop_month_v1(p_name => %s, p_days => %s)"
    )
    return [name for (name,) in rows if conn.execute(gone, [name, days]).fetchone() == (True,)]


def partitions_ahead(conn: Connection[Any]) -> int:
    """How many months after this one have their partition, of the table that has the fewest; `doctor` fails when only one
    is left.
    """
    counts = []
    for table in PARTITIONED:
        row = conn.execute(
            """select count(*) from pg_inherits i join pg_class c on c.oid = i.inhrelid
                where i.inhparent = %s::regclass
                  and c.relname > %s || to_char(app_now() at time zone 'UTC', '_YYYY_MM')""",
            [table, table],
        ).fetchone()
        counts.append(int(row[0]) if row else 0)
    return min(counts)
