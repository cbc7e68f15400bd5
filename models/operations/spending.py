"""What providers have cost today, and the limit of a day: a provider that has reached its own is paused until midnight in UTC."""

from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

from psycopg import Connection
from sqlalchemy import BigInteger, Column, Date, Text
from sqlmodel import Field, SQLModel

from models.access.audit_log import By
from models.columns import UTC_TIME
from models.jobs import pauses

BY = By("duty watch_spending")
LATE_SECONDS = 60  # after which an end of a job is committed, or was undone


class ProviderDay(SQLModel, table=True):
    """What the attempts of jobs cost that have ended today (in UTC), up to `counted_until`. One row per provider that has a limit."""

    __tablename__ = "provider_days"

    provider: str = Field(primary_key=True, sa_type=Text)
    day: date = Field(sa_type=Date, nullable=False)
    usd_micros: int = Field(sa_type=BigInteger, nullable=False)
    counted_until: datetime = Field(sa_column=Column(UTC_TIME, nullable=False))


class SpentToday(NamedTuple):
    """What a provider has cost today, its limit, and when the day is over."""

    provider: str
    usd_micros: int
    limit_usd_micros: int
    seconds_left: float


def spent_today(conn: Connection[Any]) -> list[SpentToday]:
    """Count what has been spent since the last look, for each provider that has a limit. Reads the jobs of about a minute."""
    row = conn.execute(_DAY, [LATE_SECONDS]).fetchone()
    assert row is not None  # noqa: S101 - always one
    day, began, until, seconds_left = row
    conn.execute(_FORGET, [day])
    found = []
    for name, limit, known, counted_until in conn.execute(_LIMITED).fetchall():
        since = max(counted_until or began, began)
        sums = conn.execute(_SPENT, [since, until, until, name]).fetchone()
        settled, open_still = sums or (0, 0)
        conn.execute(_WRITE, [name, day, known + settled, max(since, until)])
        found.append(SpentToday(name, known + settled + open_still, limit, seconds_left))
    return found


def is_reached(spent: SpentToday) -> bool:
    """Whether nothing more should begin there today."""
    return spent.usd_micros >= spent.limit_usd_micros


def pause_until_midnight(conn: Connection[Any], spent: SpentToday) -> bool:
    """Begin nothing at a provider for the rest of the day. False: it is paused for longer, or as long, already."""
    until = timedelta(seconds=spent.seconds_left)
    row = conn.execute(
        "select until >= app_now() + %s - interval '1 second' from pauses where what = 'provider' and name = %s",
        [until, spent.provider],
    ).fetchone()
    if row == (True,):
        return False
    reason = f"it has cost ${spent.usd_micros / 1e6:,.2f} today (UTC) and may cost ${spent.limit_usd_micros / 1e6:,.2f}: daily_usd_micros"
    pauses.pause(conn, BY, "provider", spent.provider, reason, seconds=max(1.0, spent.seconds_left))
    return True


# What ended in the last minute may not be committed yet: it is counted for good by a later look, and by each until then.
_DAY = """
select day, began, greatest(began, app_now() - make_interval(secs => %s)),
       extract(epoch from began + interval '1 day' - app_now())::float8
  from (select (app_now() at time zone 'UTC')::date as day,
               date_trunc('day', app_now() at time zone 'UTC') at time zone 'UTC' as began) x"""
# A new day begins at nothing; a provider whose limit was taken away is no longer counted.
_FORGET = """
delete from provider_days
 where day <> %s or provider not in (select name from providers where entry->>'daily_usd_micros' is not null)"""
_LIMITED = """
select p.name, (p.entry->>'daily_usd_micros')::bigint, coalesce(d.usd_micros, 0), d.counted_until
  from providers p left join provider_days d on d.provider = p.name
 where p.entry->>'daily_usd_micros' is not null order by p.name"""
# Time leads to the jobs, and they to their attempts: a provider's own would be all that it ever had.
_SPENT = """
with lately as materialized (select id, ended_at from jobs where ended_at >= %s)
select coalesce(sum(a.cost_usd_micros) filter (where j.ended_at < %s), 0)::bigint,
       coalesce(sum(a.cost_usd_micros) filter (where j.ended_at >= %s), 0)::bigint
  from lately j join attempts a on a.job_id = j.id and a.provider = %s"""
_WRITE = """
insert into provider_days (provider, day, usd_micros, counted_until) values (%s, %s, %s, %s)
on conflict (provider) do update set usd_micros = excluded.usd_micros, counted_until = excluded.counted_until"""
