"""Batches: up to 10,000 jobs that are ordered together, looked at together, and canceled together.

A batch is lines, of which each has its job or the reason why it was refused. Nothing of a job's path knows of it: how far it has come is
counted from its own lines, of which there are at most `MAX_LINES`, and kept once all have ended.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Connection
from psycopg.types.json import Jsonb
from sqlalchemy import Column, ForeignKey, Index, Integer, SmallInteger, Text, Uuid, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel
from uuid_utils.compat import uuid7

from common.errors import DomainError, NotFound
from models.columns import counter, created_at, moment
from models.jobs import submit
from models.jobs.admission import Accepted, Order
from models.jobs.dispatch import Ring

MAX_LINES = 10_000
SUBMITTED_AT_ONCE = 1_000  # orders of one statement: the longest that one takes stays far below the limit of statements
MAX_CUSTOM_ID = 100


class Batch(SQLModel, table=True):
    """Jobs that were ordered together. `counts`: what became of them, once all have ended."""

    __tablename__ = "batches"
    __table_args__ = (Index(None, "account_id", text("id desc")),)

    id: UUID = Field(primary_key=True)
    account_id: UUID = Field(foreign_key="accounts.id", nullable=False)
    lines: int = Field(sa_type=Integer, nullable=False)
    accepted: int = Field(sa_type=Integer, nullable=False)
    credits: int = counter()  # reserved for all of it
    cancel_requested_at: datetime | None = moment()
    ended_at: datetime | None = moment()  # when it was seen that all have ended
    counts: dict[str, int] | None = Field(default=None, sa_column=Column(JSONB(none_as_null=True), nullable=True))
    created_at: datetime = created_at()


class BatchLine(SQLModel, table=True):
    """One line of a batch: its job, or why there is none."""

    __tablename__ = "batch_lines"

    batch_id: UUID = Field(
        sa_column=Column(Uuid, ForeignKey("batches.id", ondelete="CASCADE"), primary_key=True, nullable=False)
    )
    line: int = Field(primary_key=True, sa_type=SmallInteger)  # from 1
    job_id: UUID | None = Field(default=None, foreign_key="jobs.id", nullable=True, unique=True)
    custom_id: str | None = Field(default=None, sa_type=Text, nullable=True)
    error: dict[str, Any] | None = Field(default=None, sa_column=Column(JSONB(none_as_null=True), nullable=True))


class Line(NamedTuple):
    """A line as it came: an order that was checked, or what is wrong with it."""

    number: int
    custom_id: str | None
    order: Order | DomainError


class BatchRow(NamedTuple):
    """A batch as it stands."""

    id: UUID
    account_id: UUID
    lines: int
    accepted: int
    credits: int
    cancel_requested_at: datetime | None
    ended_at: datetime | None
    counts: dict[str, int] | None
    created_at: datetime


class Placed(NamedTuple):
    """A batch that was ordered, what is to be rung, and why lines were refused, by their numbers."""

    batch_id: UUID
    rings: list[Ring]
    refused: dict[int, DomainError]


_SHOWN = ", ".join(BatchRow._fields)


def place(conn: Connection[Any], account_id: UUID, lines: Sequence[Line], *, all_or_none: bool) -> Placed | dict[int, DomainError]:
    """Order what can be ordered of these lines, in their order. With `all_or_none` one that is refused refuses them all: what is
    returned then are the refusals, and the caller rolls back.
    """
    refused = {each.number: each.order for each in lines if isinstance(each.order, DomainError)}
    if refused and all_or_none:
        return refused
    wanted = [(each, each.order) for each in lines if isinstance(each.order, Order)]
    taken = list[tuple[Line, Accepted]]()
    for start in range(0, len(wanted), SUBMITTED_AT_ONCE):
        some = wanted[start : start + SUBMITTED_AT_ONCE]
        for (line, _), answer in zip(some, submit.submit(conn, [order for _, order in some], wait=True), strict=True):
            if isinstance(answer, DomainError):
                refused[line.number] = answer
            else:
                assert isinstance(answer, Accepted)  # noqa: S101 - a submit that waits is never told that the account is locked
                taken.append((line, answer))
        if refused and all_or_none:
            return refused
    batch_id = uuid7()
    conn.execute(
        "insert into batches (id, account_id, lines, accepted, credits) values (%s, %s, %s, %s, %s)",
        [batch_id, account_id, len(lines), len(taken), sum(answer.price_credits for _, answer in taken)],
    )
    jobs = {line.number: answer.job_id for line, answer in taken}
    conn.execute(
        """insert into batch_lines (batch_id, line, job_id, custom_id, error)
           select %s, x.line, x.job_id, x.custom_id, x.error
             from unnest(%s::smallint[], %s::uuid[], %s::text[], %s::jsonb[]) as x(line, job_id, custom_id, error)""",
        [
            batch_id, [each.number for each in lines], [jobs.get(each.number) for each in lines], [each.custom_id for each in lines],
            [Jsonb(refused[each.number].as_dict()) if each.number in refused else None for each in lines],
        ],
    )  # fmt: skip
    rings = [Ring(answer.job_id, answer.queue) for _, answer in taken if answer.dispatched]
    return Placed(batch_id, rings, refused)


def find(conn: Connection[Any], account_id: UUID, batch_id: UUID) -> BatchRow:
    """One of an account's own, with what became of its jobs so far. Raises NotFound."""
    row = conn.execute(f"select {_SHOWN} from batches where id = %s and account_id = %s", [batch_id, account_id]).fetchone()
    if row is None:
        raise NotFound(f"no batch {batch_id}", param="id")
    found = BatchRow(*row)
    return found if found.counts is not None else _counted(conn, found)


_COUNT = """
select coalesce(j.ended, case r.status when 'reconciling' then 'running' else r.status end), count(*)
  from batch_lines l join jobs j on j.id = l.job_id left join job_runs r on r.job_id = j.live_id
 where l.batch_id = %s group by 1"""


def _counted(conn: Connection[Any], batch: BatchRow) -> BatchRow:
    """Counted from its lines; once all have ended that is kept, so that nobody counts again."""
    counts: dict[str, int] = dict(conn.execute(_COUNT, [batch.id]).fetchall())
    if not counts.keys() & {"queued", "running"}:
        conn.execute(
            "update batches set counts = %s, ended_at = app_now() where id = %s and counts is null", [Jsonb(counts), batch.id]
        )
    return batch._replace(counts=counts)
