"""Walks along all jobs, oldest first, each job once its time has come. A walk is a cursor along their ids, which have their time in
them, and a list of the few that it had to pass over: what lived still, or something of it is kept. Those are looked at again a
day later. So a turn reads what it does, however many jobs are stored; cursor and list move with what is done, so a kill loses
nothing.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Connection
from sqlalchemy import Column, Index, Text
from sqlmodel import Field, SQLModel

from models.columns import UTC_TIME
from models.fleet import processes
from models.operations.finding import id_at

NOWHERE = UUID(int=0)


class PassedOver(SQLModel, table=True):
    """A job that a walk could do nothing with, and looks at again."""

    __tablename__ = "passed_over"
    __table_args__ = (Index("ix_passed_over_due", "walk", "look_again_at"),)

    walk: str = Field(primary_key=True, sa_type=Text)
    job_id: UUID = Field(primary_key=True, foreign_key="jobs.id")
    look_again_at: datetime = Field(sa_column=Column(UTC_TIME, nullable=False))


def next_jobs(conn: Connection[Any], walk: str, days: int, limit: int) -> list[UUID]:
    """The next jobs that were ordered more than so many days ago, at most half of them such as were passed over. The walk goes
    on behind them; who walks says with `settle` which of them are kept.
    """
    due = conn.execute(
        "select job_id from passed_over where walk = %s and look_again_at <= app_now() order by look_again_at limit %s",
        [walk, max(1, limit // 2)],
    ).fetchall()
    before = conn.execute("select app_now() - make_interval(days => %s)", [days]).fetchone()
    assert before is not None  # noqa: S101 - always one
    new = conn.execute(
        "select id from jobs where id > %s and id < %s order by id limit %s",
        [processes.cursor(conn, walk) or NOWHERE, id_at(before[0]), max(1, limit - len(due))],
    ).fetchall()
    if new:
        processes.set_cursor(conn, walk, str(new[-1][0]))
    return [row[0] for row in (*due, *new)]


def settle(conn: Connection[Any], walk: str, looked_at: Sequence[UUID], kept: Sequence[UUID]) -> None:
    """Note which of the jobs that were looked at are to be looked at again."""
    conn.execute(
        "delete from passed_over where walk = %s and job_id = any(%s) and not (job_id = any(%s))",
        [walk, list(looked_at), list(kept)],
    )
    conn.execute(
        """insert into passed_over (walk, job_id, look_again_at)
           select %s, x.id, app_now() + interval '1 day' from unnest(%s::uuid[]) as x(id)
               on conflict (walk, job_id) do update set look_again_at = excluded.look_again_at""",
        [walk, list(kept)],
    )
