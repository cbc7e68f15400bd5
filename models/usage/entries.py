"""What is still to be added up for usage: a short entry for each job that ended and for each change of an account's storage.

An end writes one row that nobody else touches (`note_*.sql`), and a duty adds up many at once. Reports read both, so usage is exact
at any time, however late the duty comes.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Connection
from sqlalchemy import BigInteger, CheckConstraint, Column, Identity, PrimaryKeyConstraint, Uuid
from sqlmodel import Field, SQLModel

from models.columns import UTC_TIME, counter
from models.usage.usage import NO_LABELS

_KEY = "account_id, at, source, model_id, labels_key"
_COUNTED = (
    "succeeded", "failed", "canceled", "credits", "results", "cost_usd_micros", "tokens_in", "tokens_out",
    "bytes_added", "bytes_removed",
)  # fmt: skip


class UsageEntry(SQLModel, table=True):
    """A job that ended, or (`job_id` null) what an account's storage changed by in the quarter of an hour from `at` on."""

    __tablename__ = "usage_entries"
    __table_args__ = (
        PrimaryKeyConstraint("account_id", "id"),
        CheckConstraint("(job_id is null) = (at is not null)", name="what"),
    )

    account_id: UUID = Field(sa_type=Uuid, nullable=False)
    id: int = Field(sa_column=Column(BigInteger, Identity(always=True), nullable=False))
    job_id: UUID | None = Field(default=None, sa_type=Uuid, nullable=True)
    at: datetime | None = Field(default=None, sa_column=Column(UTC_TIME, nullable=True))
    bytes_added: int = counter()
    bytes_removed: int = counter()


def quarters_of(entries: str) -> str:
    """SQL of a row like one of `usage` for each entry. What a provider says of one job is bounded, so that no sum overflows."""
    return f"""
        select e.account_id, date_bin('15 min', j.ended_at, 'epoch') as at, 'job' as source, j.model_id,
               md5(coalesce(j.labels::text, ''))::uuid as labels_key, j.labels, (j.ended = 'succeeded')::int as succeeded,
               (j.ended = 'failed')::int as failed, (j.ended = 'canceled')::int as canceled, coalesce(j.charged_credits, 0) as credits,
               s.results, a.cost_usd_micros, a.tokens_in, a.tokens_out, 0 as requests, 0 as bytes_added, 0 as bytes_removed
          from {entries} e join jobs j on j.id = e.job_id
         cross join lateral (select count(*) as results from assets where job_id = j.id) s
         cross join lateral (select least(coalesce(sum(cost_usd_micros), 0), 1e12)::bigint as cost_usd_micros,
                                    least(coalesce(sum((usage->>'tokens_in')::numeric), 0), 1e12)::bigint as tokens_in,
                                    least(coalesce(sum((usage->>'tokens_out')::numeric), 0), 1e12)::bigint as tokens_out
                               from attempts where job_id = j.id) a
         union all
        select e.account_id, e.at, 'storage', '', '{NO_LABELS}'::uuid, null::jsonb, 0, 0, 0, 0, 0, 0, 0, 0, 0, e.bytes_added, e.bytes_removed
          from {entries} e where e.job_id is null"""


ALL_USAGE = f"""(
        select {_KEY}, labels, {", ".join(_COUNTED[:8])}, requests, bytes_added, bytes_removed from usage
         union all{quarters_of("usage_entries")}) u"""


def add_up(conn: Connection[Any], limit: int) -> int:
    """Count the next entries for their quarters of an hour, and let them go. Returns how many. One that a late cost holds is passed over."""
    # Locked in a statement of its own: what the next one sees of their jobs' costs is all that was said before.
    taken = conn.execute(
        "select account_id, id from usage_entries order by account_id, id limit %s for update skip locked", [limit]
    ).fetchall()
    if not taken:
        return 0
    sums = ", ".join(f"sum({name})" for name in _COUNTED)
    more = ", ".join(f"{name} = usage.{name} + excluded.{name}" for name in _COUNTED)
    conn.execute(
        f"""with entries as (
              delete from usage_entries d using unnest(%s::uuid[], %s::bigint[]) as x(account_id, id)
               where d.account_id = x.account_id and d.id = x.id returning d.*)
            insert into usage ({_KEY}, labels, {", ".join(_COUNTED)})
            select {_KEY}, labels, {sums} from ({quarters_of("entries")}) x group by {_KEY}, labels order by {_KEY}
                on conflict ({_KEY}) do update set {more}""",
        [[account_id for account_id, _ in taken], [number for _, number in taken]],
    )
    return len(taken)
