"""What operators see of the processes: workers' heartbeats and the scheduler's duties."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from psycopg import Connection
from sqlalchemy import Column, Integer, Text, Uuid
from sqlalchemy.dialects.postgresql import ARRAY
from sqlmodel import Field, SQLModel

from models.columns import UTC_TIME, created_at, moment

MAX_WORKERS = 1000


class WorkerProcess(SQLModel, table=True):
    """A worker process, by its own word a few seconds ago. A process whose threads have died still speaks, and says so."""

    __tablename__ = "worker_processes"

    id: str = Field(primary_key=True, sa_type=Text)  # host:pid:random
    queues: str = Field(sa_type=Text, nullable=False)
    threads: int = Field(sa_type=Integer, nullable=False)
    threads_alive: int = Field(sa_type=Integer, nullable=False)
    busy: int = Field(sa_type=Integer, nullable=False)
    version: str | None = Field(default=None, sa_type=Text, nullable=True)
    jobs: list[UUID] | None = Field(default=None, sa_column=Column(ARRAY(Uuid), nullable=True))  # that it is at
    drained_at: datetime | None = moment()  # an operator has asked it to take no more jobs, and to end
    started_at: datetime = created_at()
    seen_at: datetime = Field(sa_column=Column(UTC_TIME, nullable=False))


class DutyRow(SQLModel, table=True):
    """A scheduler's duty: when it is due next and how it went. Whoever moves `next_at` has the turn."""

    __tablename__ = "duties"

    name: str = Field(primary_key=True, sa_type=Text)
    next_at: datetime = Field(sa_column=Column(UTC_TIME, nullable=False))
    started_at: datetime | None = moment()
    finished_at: datetime | None = moment()
    done: int = Field(default=0, sa_type=Integer, nullable=False, sa_column_kwargs={"server_default": "0"})
    error: str | None = Field(default=None, sa_type=Text, nullable=True)
    cursor: str | None = Field(default=None, sa_type=Text, nullable=True)  # where a long walk goes on


def report_worker(
    conn: Connection[Any],
    worker_id: str,
    queues: str,
    threads: int,
    threads_alive: int,
    busy: int,
    *,
    jobs: Sequence[UUID] = (),
    version: str | None = None,
) -> bool:
    """Say that a worker process is there, how many of its threads are, and which jobs it is at. Returns whether an operator
    wants it drained.
    """
    row = conn.execute(
        """insert into worker_processes (id, queues, threads, threads_alive, busy, jobs, version, seen_at)
           values (%s, %s, %s, %s, %s, %s, %s, app_now())
           on conflict (id) do update set threads_alive = excluded.threads_alive, busy = excluded.busy,
                                          jobs = excluded.jobs, seen_at = excluded.seen_at
           returning drained_at is not null""",
        [worker_id, queues, threads, threads_alive, busy, list(jobs), version],
    ).fetchone()
    return row is not None and row[0]


def drain(conn: Connection[Any], worker_id: str) -> bool | None:
    """Ask a worker process to take no more jobs and to end: it hears of it with its next word. Returns whether that is new;
    None: there is no such process.
    """
    row = conn.execute(
        """with before as (select id, drained_at from worker_processes where id = %s for update)
           update worker_processes w set drained_at = coalesce(w.drained_at, app_now()) from before b where w.id = b.id
           returning b.drained_at is null""",
        [worker_id],
    ).fetchone()
    return None if row is None else bool(row[0])


def forget_worker(conn: Connection[Any], worker_id: str) -> None:
    """A worker process has ended in good order."""
    conn.execute("delete from worker_processes where id = %s", [worker_id])


def take_turn(conn: Connection[Any], name: str, every_seconds: float) -> bool:
    """Whether this process has the duty's turn. The first call of a new duty has it; so has whoever finds it further
    ahead than it ever lies, because the clock was set back.
    """
    row = conn.execute(
        """insert into duties (name, next_at, started_at) values (%s, app_now() + make_interval(secs => %s), app_now())
           on conflict (name) do update set next_at = excluded.next_at, started_at = excluded.started_at
            where duties.next_at <= app_now() or duties.next_at > app_now() + 2 * make_interval(secs => %s + 60)
        returning 1""",
        [name, every_seconds, every_seconds],
    ).fetchone()
    return row is not None


def lengthen_turn(conn: Connection[Any], name: str, seconds: float) -> None:
    """Keep a turn for so many seconds more: for a duty that works for long, and that no other process is to begin meanwhile."""
    conn.execute(
        "update duties set next_at = greatest(next_at, app_now() + make_interval(secs => %s)) where name = %s",
        [seconds, name],
    )


def end_turn(
    conn: Connection[Any], name: str, done: int, error: str | None, *, again_seconds: float | None = None
) -> None:
    """Note how a turn went. `again_seconds`: whoever takes the next need not wait for longer than this."""
    conn.execute(
        """update duties set finished_at = app_now(), done = %s, error = %s,
                  next_at = least(next_at, app_now() + make_interval(secs => %s)) where name = %s""",
        [done, error, again_seconds, name],
    )


def note_turn(conn: Connection[Any], name: str, every_seconds: float, done: int, error: str | None) -> None:
    """Note how a duty goes that is not exclusive, so that it can be seen."""
    conn.execute(
        """insert into duties (name, next_at, started_at, finished_at, done, error)
           values (%(name)s, app_now() + make_interval(secs => %(every)s), app_now(), app_now(), %(done)s, %(error)s)
           on conflict (name) do update set next_at = excluded.next_at, started_at = excluded.started_at,
                  finished_at = excluded.finished_at, done = excluded.done, error = excluded.error""",
        {"name": name, "every": every_seconds, "done": done, "error": error},
    )


def cursor(conn: Connection[Any], name: str) -> str | None:
    """Where a duty's long walk goes on."""
    row = conn.execute("select cursor from duties where name = %s", [name]).fetchone()
    return row[0] if row else None


def set_cursor(conn: Connection[Any], name: str, value: str | None) -> None:
    conn.execute("update duties set cursor = %s where name = %s", [value, name])


def place(conn: Connection[Any], name: str) -> tuple[datetime, UUID] | None:
    """Where a duty's walk goes on, in a walk ordered by a time and an id."""
    text = cursor(conn, name)
    if text is None:
        return None
    at, number = orjson.loads(text)
    return datetime.fromisoformat(at), UUID(number)


def set_place(conn: Connection[Any], name: str, last: tuple[datetime, UUID] | None) -> None:
    """The walk goes on behind this; None: from the beginning."""
    set_cursor(conn, name, orjson.dumps(last).decode() if last else None)


def forget_silent_workers(conn: Connection[Any], after_seconds: float) -> int:
    """Drop worker processes that have not been heard of for so long: they were killed."""
    return conn.execute(
        "delete from worker_processes where seen_at < app_now() - make_interval(secs => %s)", [after_seconds]
    ).rowcount


def workers(conn: Connection[Any]) -> list[dict[str, Any]]:
    """The worker processes, newest first, with the seconds since each was heard of; at most MAX_WORKERS."""
    names = [
        "id", "queues", "threads", "threads_alive", "busy", "version", "jobs", "drained_at", "started_at", "silent_seconds"
    ]  # fmt: skip
    rows = conn.execute(
        f"""select id, queues, threads, threads_alive, busy, version, coalesce(jobs, '{{}}'), drained_at, started_at,
                  extract(epoch from app_now() - seen_at)::float from worker_processes
             order by started_at desc limit {MAX_WORKERS}"""
    ).fetchall()
    return [_placed(dict(zip(names, row, strict=True))) for row in rows]


def _placed(worker: dict[str, Any]) -> dict[str, Any]:
    """A worker with the machine and the process that its name tells (`common.process.new_name`)."""
    host, pid = [*worker["id"].split(":"), ""][:2]
    return {"id": worker.pop("id"), "host": host, "pid": int(pid) if pid.isdigit() else None, **worker}


def duties(conn: Connection[Any]) -> list[dict[str, Any]]:
    """The scheduler's duties: how the last turn went, and by how many seconds the next one is overdue."""
    names = ["name", "started_at", "finished_at", "done", "error", "overdue_seconds"]
    rows = conn.execute(
        """select name, started_at, finished_at, done, error,
                  greatest(0, extract(epoch from app_now() - next_at))::float from duties order by name"""
    ).fetchall()
    return [dict(zip(names, row, strict=True)) for row in rows]


def duty_turns(conn: Connection[Any]) -> list[dict[str, Any]]:
    """The duties with the times of their last and their next turn."""
    names = ["name", "next_at", "started_at", "finished_at", "done", "error"]
    rows = conn.execute(f"select {', '.join(names)} from duties order by name").fetchall()
    return [dict(zip(names, row, strict=True)) for row in rows]


def hasten(conn: Connection[Any], name: str) -> bool:
    """Make a duty due now, for whichever scheduler looks next. False: there is no such duty, or it has never had a turn."""
    return conn.execute("update duties set next_at = app_now() where name = %s", [name]).rowcount == 1
