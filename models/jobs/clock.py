"""The database's clock, and what a jump of it does to points in time that were written before.

A limit is a length of time: when the clock is set forward by two hours, a job that had ten minutes left still has them,
and when it is set back, what was to wake in a minute must not sleep for two hours. So whoever sees the clock jump moves
the limits of living jobs and the wakes that lie ahead by as much. Days at which credits or files expire are dates: they
stay as they are.
"""

import threading
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Connection
from sqlalchemy import BigInteger, Column, Float, Identity
from sqlmodel import Field, SQLModel

from common import uptime
from common.settings import settings
from models.columns import NEVER, UTC_TIME, created_at
from models.events import sending

KEPT = 1000  # jumps that are remembered
LONGEST_WAKE_SECONDS = 3600.0  # no pause of a living job is longer than this, or than the settings say
LONGEST_DELIVERY_PAUSE_SECONDS = 30 * 3600.0  # nor of a delivery queue: the last pause between attempts is a day
LOCK = 727276


class ClockJump(SQLModel, table=True):
    """A jump that a scheduler has seen, and acted on. `at` is after it, by the new time."""

    __tablename__ = "clock_jumps"

    id: int = Field(sa_column=Column(BigInteger, Identity(always=True), primary_key=True))
    by_seconds: float = Field(sa_type=Float, nullable=False)
    at: datetime = Field(sa_column=Column(UTC_TIME, nullable=False))
    created_at: datetime = created_at()


def tolerance_seconds() -> float:
    """How much the clock may be off between two looks: a clock that is brought right slowly is no jump."""
    return max(1.0, settings().lease_seconds / 20)


class ClockPace:
    """Whether the database's clock runs evenly, as far as one process has heard of it. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ahead: float | None = None  # the database's time less our own
        self._settled_at = 0.0
        self.heard_at = 0.0

    def hear(self, now: float, asked_at: float, answered_at: float) -> float:
        """The database says that it is `now`; the other times are `common.uptime`'s. Returns by how many seconds it has
        jumped since it was last heard; 0.0: it has not.
        """
        ahead, unsure = now - (asked_at + answered_at) / 2, (answered_at - asked_at) / 2
        with self._lock:
            jump = 0.0 if self._ahead is None else ahead - self._ahead
            if abs(jump) > tolerance_seconds() + unsure:
                self._settled_at = answered_at + settings().lease_seconds
            elif unsure > tolerance_seconds():
                return 0.0  # an answer that took so long says nothing
            else:
                jump = 0.0
            self._ahead, self.heard_at = ahead, answered_at
            return jump

    def is_even(self) -> bool:
        """Whether it has not jumped for one lease: by then a scheduler has moved the limits that lie in its time."""
        return uptime.seconds() >= self._settled_at


class Shift(NamedTuple):
    """A living job's points in time, as they are and as they should be."""

    job_id: UUID
    wake_at: datetime | None
    deadline_at: datetime | None
    new_wake_at: datetime | None
    new_deadline_at: datetime | None


def now(conn: Connection[Any]) -> float:
    """The database's time, in seconds since 1970."""
    row = conn.execute("select extract(epoch from app_now())::float").fetchone()
    assert row is not None  # noqa: S101 - always one
    return float(row[0])


def note(conn: Connection[Any], by_seconds: float, at: float, within_seconds: float) -> bool:
    """Note a jump. False: another scheduler has noted it, and acts on it."""
    conn.execute("select pg_advisory_xact_lock(%s)", [LOCK])
    known = conn.execute(
        """select 1 from clock_jumps where abs(by_seconds - %s) < 1 and abs(extract(epoch from at) - %s) < %s""",
        [by_seconds, at, within_seconds],
    ).fetchone()
    if known:
        return False
    conn.execute("insert into clock_jumps (by_seconds, at) values (%s, to_timestamp(%s))", [by_seconds, at])
    conn.execute("delete from clock_jumps where id <= (select max(id) from clock_jumps) - %s", [KEPT])
    return True


def shifts(
    conn: Connection[Any], by_seconds: float, at: float, gap: float, after: UUID | None, limit: int
) -> list[Shift]:
    """What a jump does to living jobs, in the order of their ids. `gap`: so long before `at` the clock was still right; what
    was written since then is right already, and is known by its time lying where a new one would.
    """
    rows = conn.execute(
        f"""select r.job_id, nullif(r.wake_at, {NEVER}), r.deadline_at,
                  nullif(case when %(by)s < 0 and r.wake_at > n.at + make_interval(secs => %(lease)s + 1)
                       then greatest(r.wake_at + make_interval(secs => %(by)s),
                                     n.at + make_interval(secs => case when r.lease_owner is null then 0 else %(lease)s end))
                       else r.wake_at end, {NEVER}),
                  case when r.deadline_at between n.at + make_interval(secs => t.seconds - %(gap)s - 1)
                                              and n.at + make_interval(secs => t.seconds + 1)
                       then r.deadline_at else r.deadline_at + make_interval(secs => %(by)s) end
             from job_runs r join jobs j on j.live_id = r.job_id
             join models m on m.id = j.model_id and m.version = j.model_version,
                  lateral (select (m.entry->>'timeout_seconds')::float as seconds) t,
                  (select to_timestamp(%(at)s) as at) n
            where %(after)s::uuid is null or r.job_id > %(after)s
            order by r.job_id limit %(limit)s""",
        {
            "by": by_seconds, "at": at, "gap": gap, "lease": settings().lease_seconds, "after": after, "limit": limit,
        },
    ).fetchall()  # fmt: skip
    return [Shift(*row) for row in rows]


def apply(conn: Connection[Any], wanted: Sequence[Shift]) -> int:
    """Move points in time that are still what they were; again is fine. Returns how many jobs were changed."""
    changed = [each for each in wanted if each[1:3] != each[3:5]]
    if not changed:
        return 0
    return conn.execute(
        """with s as materialized (
             select s.* from unnest(%s::uuid[], %s::timestamptz[], %s::timestamptz[], %s::timestamptz[], %s::timestamptz[])
                  as s(job_id, wake_at, deadline_at, new_wake_at, new_deadline_at)
               join job_runs r on r.job_id = s.job_id and (r.wake_at = s.wake_at or r.deadline_at = s.deadline_at)
              order by r.job_id for no key update of r
           )
           update job_runs r set wake_at = case when r.wake_at = s.wake_at then s.new_wake_at else r.wake_at end,
                  deadline_at = case when r.deadline_at = s.deadline_at then s.new_deadline_at else r.deadline_at end
             from s where r.job_id = s.job_id""",
        [list(each) for each in zip(*changed, strict=True)],
    ).rowcount


def shift_delivery_queues(conn: Connection[Any], by_seconds: float, at: float) -> int:
    """After the clock was set back: delivery queues, and what waits on them, wake when they would have. Returns how
    many lines.
    """
    lease = sending.lease_seconds()
    values = {"by": by_seconds, "at": at, "lease": lease}
    # Queues first, by id, and then what waits on them: as senders, and whoever wakes several, lock them.
    conn.execute("select 1 from delivery_queues where wake_at is not null order by id for update")
    conn.execute(
        """update deliveries d set next_at = greatest(d.next_at + make_interval(secs => %(by)s), to_timestamp(%(at)s))
             from delivery_queues l
            where l.wake_at is not null and d.queue_id = l.id and d.status = 'pending' and d.next_at > to_timestamp(%(at)s)""",
        values,
    )
    return conn.execute(
        """update delivery_queues set paused_until = paused_until + make_interval(secs => %(by)s),
                  wake_at = greatest(wake_at + make_interval(secs => %(by)s),
                    to_timestamp(%(at)s) + make_interval(secs => case when leased_by is null then 0 else %(lease)s end))
            where wake_at > to_timestamp(%(at)s) + make_interval(secs => %(lease)s + 1)""",
        values,
    ).rowcount


def mend_wakes(conn: Connection[Any], limit: int) -> int:
    """Wake what lies further ahead than any pause is long: the clock was set back while nobody looked. Returns how many."""
    longest = max(LONGEST_WAKE_SECONDS, settings().retry_max_seconds * 2, settings().ring_again_seconds * 8)
    jobs = conn.execute(
        f"""update job_runs r set wake_at = app_now()
                  + make_interval(secs => case when r.lease_owner is null then 0 else %(lease)s end)
             from (select job_id from job_runs where wake_at > app_now() + make_interval(secs => %(longest)s) and wake_at < {NEVER}
                    order by wake_at limit %(limit)s for update skip locked) far where r.job_id = far.job_id""",
        {"lease": settings().lease_seconds, "longest": longest + settings().lease_seconds, "limit": limit},
    ).rowcount
    return (
        jobs
        + conn.execute(
            """update delivery_queues l set paused_until = null, wake_at = app_now()
                  + make_interval(secs => case when l.leased_by is null then 0 else %(lease)s end)
             from (select id from delivery_queues where wake_at > app_now() + make_interval(secs => %(longest)s)
                    order by wake_at limit %(limit)s for update skip locked) far where l.id = far.id""",
            {"lease": sending.lease_seconds(), "longest": LONGEST_DELIVERY_PAUSE_SECONDS, "limit": limit},
        ).rowcount
    )
