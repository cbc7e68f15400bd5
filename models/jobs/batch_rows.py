"""Batches as they are kept and read; what is done with them stands in `models.jobs.batches`."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Connection
from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKey, Index, SmallInteger, Text, Uuid, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlmodel import Field, SQLModel

from common.errors import NotFound
from models.columns import counter, created_at, moment
from models.files.results import SHOWN as ASSET

MAX_LINES = 10_000
MAX_CUSTOM_ID = 100
MAX_RUNNING = 1_000  # that may be asked for as the most at a time; the account's slots are a limit in any case
MAX_OPEN_BATCHES = 100  # of one account

ALIVE = ("queued", "running")
COUNTED = (*ALIVE, "succeeded", "failed", "canceled")


class Batch(SQLModel, table=True):
    """Jobs that were ordered together. What became of them is counted from its lines while any lives, and kept in `counts` once
    none does.

    With `max_running` the jobs of the lines after `let_go` wait outside of their account's line (their `wake_at` is infinite),
    and `running` names those that were let go and, when it was last looked at, lived. All lines up to `ended_up_to` have ended.
    """

    __tablename__ = "batches"
    __table_args__ = (
        CheckConstraint(f"orders between 1 and {MAX_LINES} and accepted between 1 and orders", name="orders"),
        CheckConstraint("let_go between 0 and orders and ended_up_to between 0 and orders", name="places"),
        CheckConstraint(f"max_running between 1 and {MAX_RUNNING}", name="max_running"),
        CheckConstraint("(ended_at is null) = (counts is null) and (counts is null) = (charged is null)", name="ended"),
        Index(None, "account_id", text("id desc")),
        Index("ix_batches_open", "id", postgresql_where=text("ended_at is null")),
        Index("ix_batches_open_of", "account_id", postgresql_where=text("ended_at is null")),
        Index(
            "ix_batches_limited", "id",
            postgresql_where=text("ended_at is null and cancel_requested_at is null and let_go < orders"),
        ),
    )  # fmt: skip

    id: UUID = Field(primary_key=True)
    account_id: UUID = Field(foreign_key="accounts.id", nullable=False)
    orders: int = Field(sa_type=SmallInteger, nullable=False)  # as many as the body had lines
    accepted: int = Field(sa_type=SmallInteger, nullable=False)
    reserved: int = counter()  # credits, for all of it, when it was ordered
    max_running: int | None = Field(default=None, sa_type=SmallInteger, nullable=True)
    let_go: int = Field(sa_type=SmallInteger, nullable=False)
    running: list[UUID] = Field(sa_column=Column(ARRAY(Uuid), nullable=False, server_default="{}"))
    ended_up_to: int = Field(
        default=0, sa_type=SmallInteger, nullable=False, sa_column_kwargs={"server_default": text("0")}
    )
    cancel_requested_at: datetime | None = moment()
    ended_at: datetime | None = moment()  # when it was seen that all have ended
    counts: dict[str, int] | None = Field(default=None, sa_column=Column(JSONB(none_as_null=True), nullable=True))
    charged: int | None = Field(default=None, sa_type=BigInteger, nullable=True)
    # What a dialect was told of it, in its words, to tell it again; bounded where it is read.
    said: dict[str, Any] | None = Field(default=None, sa_column=Column(JSONB(none_as_null=True), nullable=True))
    created_at: datetime = created_at()


class BatchOrder(SQLModel, table=True):
    """One order of a batch, which was a line of its body: its job, or why there is none."""

    __tablename__ = "batch_orders"
    __table_args__ = (
        CheckConstraint("(job_id is null) = (error is not null)", name="job_or_error"),
        CheckConstraint(f"length(custom_id) between 1 and {MAX_CUSTOM_ID}", name="custom_id"),
    )

    batch_id: UUID = Field(sa_column=Column(Uuid, ForeignKey("batches.id"), primary_key=True, nullable=False))
    number: int = Field(primary_key=True, sa_type=SmallInteger)  # of its line in the body, from 1
    job_id: UUID | None = Field(default=None, foreign_key="jobs.id", nullable=True)
    custom_id: str | None = Field(default=None, sa_type=Text, nullable=True)
    error: dict[str, Any] | None = Field(default=None, sa_column=Column(JSONB(none_as_null=True), nullable=True))


class BatchRow(NamedTuple):
    """A batch as it stands. Without `counts` nobody has counted: its jobs live."""

    id: UUID
    account_id: UUID
    orders: int
    accepted: int
    reserved: int
    max_running: int | None
    cancel_requested_at: datetime | None
    ended_at: datetime | None
    counts: dict[str, int] | None
    charged: int | None
    created_at: datetime
    said: dict[str, Any] | None
    age_seconds: float

    @property
    def alive(self) -> int | None:
        """How many of its jobs have not ended."""
        return None if self.counts is None else sum(self.counts.get(each, 0) for each in ALIVE)


class LineRow(NamedTuple):
    """A line of a batch, with its job as it stands; of one that was refused there is the reason alone."""

    number: int
    custom_id: str | None
    error: dict[str, Any] | None
    job_id: UUID | None
    model_id: str | None
    ended: str | None
    run_status: str | None
    price_credits: int | None
    charged_credits: int | None
    error_code: str | None
    error_message: str | None
    assets: list[dict[str, Any]]

    @property
    def is_over(self) -> bool:
        """Whether nothing more will become of it."""
        return self.job_id is None or self.ended is not None


SHOWN = (
    ", ".join(f"b.{name}" for name in BatchRow._fields[:-1])
    + ", extract(epoch from coalesce(b.ended_at, app_now()) - b.created_at)::float"
)


def check(conn: Connection[Any], account_id: UUID, batch_id: UUID) -> None:
    """Raises NotFound unless it is one of the account's own."""
    if not conn.execute("select 1 from batches where id = %s and account_id = %s", [batch_id, account_id]).fetchone():
        raise NotFound(f"no batch {batch_id}", param="id")


def find(conn: Connection[Any], account_id: UUID, batch_id: UUID) -> BatchRow:
    """One of an account's own, with what has become of its jobs so far. Raises NotFound."""
    row = conn.execute(
        f"select {SHOWN} from batches b where b.id = %s and b.account_id = %s", [batch_id, account_id]
    ).fetchone()
    if row is None:
        raise NotFound(f"no batch {batch_id}", param="id")
    found = BatchRow(*row)
    if found.counts is not None:
        return found
    counts, charged = count(conn, batch_id)
    return found._replace(counts=counts, charged=charged)


def list_batches(
    conn: Connection[Any], account_id: UUID, *, before: UUID | None = None, said: bool = False, limit: int = 20
) -> list[BatchRow]:
    """An account's, newest first, from the one before `before`; jobs of those that are under way are not counted. `said`: only those
    that were ordered in the words of a dialect.
    """
    rows = conn.execute(
        f"""select {SHOWN} from batches b where b.account_id = %s and (%s::uuid is null or b.id < %s)
               and (not %s or b.said is not null) order by b.id desc limit %s""",
        [account_id, before, before, said, limit],
    ).fetchall()
    return [BatchRow(*row) for row in rows]


_COUNT = """
select coalesce(j.ended, case r.status when 'queued' then 'queued' else 'running' end), count(*), coalesce(sum(j.charged_credits), 0)::bigint
  from batch_orders l join jobs j on j.id = l.job_id left join job_runs r on r.job_id = j.live_id
 where l.batch_id = %s group by 1"""


def count(conn: Connection[Any], batch_id: UUID) -> tuple[dict[str, int], int]:
    """How many of a batch's jobs stand where, and what those that have ended cost."""
    rows = conn.execute(_COUNT, [batch_id]).fetchall()
    return dict.fromkeys(COUNTED, 0) | {row[0]: row[1] for row in rows}, sum(row[2] for row in rows)


_RESULTS = f"""
select l.number, l.custom_id, l.error, l.job_id, j.model_id, j.ended, r.status, j.price_credits, j.charged_credits, j.error_code, j.error_message,
       case when j.ended = 'succeeded' then (select jsonb_agg({ASSET} order by s.index) from assets s where s.job_id = j.id) end
  from batch_orders l left join jobs j on j.id = l.job_id left join job_runs r on r.job_id = j.live_id
 where l.batch_id = %s and l.number > %s order by l.number limit %s"""


def lines_after(conn: Connection[Any], batch_id: UUID, after: int, limit: int) -> list[LineRow]:
    """The next lines after a number, in their order, with what became of their jobs."""
    rows = conn.execute(_RESULTS, [batch_id, after, limit]).fetchall()
    return [LineRow._make((*row[:-1], row[-1] or [])) for row in rows]


def living(
    conn: Connection[Any], batch_id: UUID, after: int, limit: int, *, dispatched: bool
) -> Sequence[tuple[int, UUID]]:
    """The next jobs after a line that live and nobody has asked to stop: (line, job). `dispatched`: of those that have a slot,
    or of the others.
    """
    return conn.execute(
        """select l.number, l.job_id from batch_orders l join job_runs r on r.job_id = l.job_id
            where l.batch_id = %s and l.number > %s and r.dispatched = %s and r.cancel_requested_at is null
            order by l.number limit %s""",
        [batch_id, after, dispatched, limit],
    ).fetchall()
