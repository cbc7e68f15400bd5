"""The time of a simulated year, as a value in its database: every process reads it there, and nobody waits for it."""

import time
from datetime import UTC, datetime

import psycopg


class Clock:
    """Days from the start. `now` is the same for the database and for the companies, but for the seconds that really pass."""

    def __init__(self, url: str) -> None:
        self.ahead_seconds = 0.0
        self._conn = psycopg.connect(url, autocommit=True)
        self._conn.execute("create table year_clock as select '0'::interval as ahead")
        self._conn.execute(
            """create or replace function app_now() returns timestamptz language sql stable parallel safe as $$
                 select now() + (select ahead from year_clock)
               $$"""
        )

    def now(self) -> float:
        """Seconds since 1970."""
        return time.time() + self.ahead_seconds

    def date(self) -> datetime:
        """The time, in UTC."""
        return datetime.fromtimestamp(self.now(), UTC)

    def advance(self, seconds: float) -> None:
        """Let so much time pass at once."""
        self.ahead_seconds += seconds
        self._conn.execute("update year_clock set ahead = make_interval(secs => %s)", [self.ahead_seconds])

    def carry_ends_along(self) -> None:
        """TrueLayer's pages end 15 minutes after the time in the order's id, which is the real clock's: by this one's."""
        self._conn.execute(
            """update payments set expires_at = created_at + interval '15 min'
                where company = 'truelayer' and company_id is not null and expires_at < created_at"""
        )

    def close(self) -> None:
        """End its connection."""
        self._conn.close()
