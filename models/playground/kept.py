"""The texts of jobs that are kept when their results have expired: of sessions and of summaries.

A text is wanted with its job and fetched from the bucket once the job has ended: by whoever looks at it first, or by the
scheduler, long before the result expires. Twice is the same.
"""

from collections.abc import Collection
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Connection
from sqlalchemy import Boolean, CheckConstraint, Index, Text, text
from sqlmodel import Field, SQLModel

from models.columns import in_list, moment

MAX_KEPT_BYTES = 1_048_576  # of one text; what is longer is cut there, and says so
STATES = ("waiting", "kept", "none")


class KeptText(SQLModel, table=True):
    """One job's text. `waiting`: its job may bring it; `none`: it brought none, or its result had expired."""

    __tablename__ = "kept_texts"
    __table_args__ = (
        CheckConstraint(in_list("state", *STATES), name="state"),
        CheckConstraint("(state = 'kept') = (text is not null)", name="text"),
        Index("ix_kept_texts_waiting", "job_id", postgresql_where=text("state = 'waiting'")),
    )

    job_id: UUID = Field(primary_key=True, foreign_key="jobs.id")
    state: str = Field(default="waiting", sa_type=Text, nullable=False, sa_column_kwargs={"server_default": "waiting"})
    truncated: bool = Field(
        default=False, sa_type=Boolean, nullable=False, sa_column_kwargs={"server_default": text("false")}
    )
    kept_at: datetime | None = moment()
    text: str | None = Field(default=None, sa_type=Text, nullable=True)


class DueText(NamedTuple):
    """A text whose job has ended. `key`: where its result lies; None: there is none."""

    job_id: UUID
    key: str | None


def want(conn: Connection[Any], job_ids: Collection[UUID]) -> None:
    """Keep the texts of these jobs, which may still be on their way."""
    conn.execute("insert into kept_texts (job_id) select unnest(%s::uuid[]) on conflict do nothing", [list(job_ids)])


def due(
    conn: Connection[Any], limit: int, *, among: Collection[UUID] | None = None, without: Collection[UUID] = ()
) -> list[DueText]:
    """Texts that can be fetched now, of these jobs or of any but some. Picked without a lock."""
    rows = conn.execute(
        """select k.job_id, s.key from kept_texts k join jobs j on j.id = k.job_id
             left join assets s on s.job_id = j.id and s.index = 0 and s.status = 'stored' and j.ended = 'succeeded'
            where k.state = 'waiting' and j.ended is not null and (%(all)s or k.job_id = any(%(among)s))
              and not (k.job_id = any(%(without)s)) order by k.job_id limit %(limit)s""",
        {"all": among is None, "among": list(among or ()), "without": list(without), "limit": limit},
    ).fetchall()
    return [DueText(*row) for row in rows]


def keep(conn: Connection[Any], job_id: UUID, found: str | None, truncated: bool = False) -> None:
    """Keep a job's text, or note that it has none. What is kept already stays as it is."""
    # PostgreSQL holds no NUL; a text that was measured as one has none.
    conn.execute(
        """update kept_texts set state = case when %(text)s::text is null then 'none' else 'kept' end, text = %(text)s,
                  truncated = %(truncated)s, kept_at = app_now()
            where job_id = %(job)s and state = 'waiting'""",
        {"job": job_id, "text": found, "truncated": truncated},
    )
