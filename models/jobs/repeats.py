"""Orders that are sent again by libraries which give them no name: which job an order is, that came before and was not answered.

Such an order's job has a key of our own making (`sent_key`), and as `body_hash` what makes two of them the same. An order that is
sent again finds its job by that, if its sender says so, or if the answer to the first is known to have been lost.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Connection

REPEATED_WITHIN_SECONDS = 3600  # longer than any of the libraries waits and tries


class SentOrder(NamedTuple):
    """An order without a key: whose, what it says (a SHA-256), and whether its sender says that it was sent before."""

    account_id: UUID
    asked: bytes
    retried: bool


def sent_key(job_id: UUID) -> str:
    """The key of a job whose order came without one."""
    return f"~{job_id}"


_EARLIER = """
select k.job_id, k.lost_at is not null
  from unnest(%s::uuid[], %s::bytea[], %s::bool[]) with ordinality as w(account_id, asked, retried, number)
  left join lateral (
    select i.job_id, i.lost_at from idempotency_keys i
     where i.account_id = w.account_id and i.body_hash = w.asked and i.key like '~%%' and (w.retried or i.lost_at is not null)
       and i.created_at > app_now() - make_interval(secs => %s)
     order by i.created_at desc limit 1) k on true
 order by w.number"""


def earlier(conn: Connection[Any], orders: Sequence[SentOrder]) -> list[UUID | None]:
    """The job that each of these is, if it was sent before; None: it is new. A lost answer is given once."""
    values = [list(each) for each in zip(*orders, strict=True)]
    rows = conn.execute(_EARLIER, [*values, REPEATED_WITHIN_SECONDS]).fetchall()
    found: list[UUID | None] = [job_id for job_id, _ in rows]
    lost = [
        (order.account_id, job_id, at)
        for at, (order, (job_id, is_lost)) in enumerate(zip(orders, rows, strict=True))
        if is_lost
    ]
    for account_id, job_id, at in sorted(lost):  # in one order, whoever takes them
        if not _take(conn, account_id, job_id) and not orders[at].retried:
            found[at] = None
    return found


def _take(conn: Connection[Any], account_id: UUID, job_id: UUID) -> bool:
    return bool(
        conn.execute(
            "update idempotency_keys set lost_at = null where account_id = %s and key = %s and lost_at is not null",
            [account_id, sent_key(job_id)],
        ).rowcount
    )


def mark_lost(conn: Connection[Any], account_id: UUID, job_id: UUID) -> None:
    """Write down that the answer to a job's order did not reach its sender."""
    conn.execute(
        "update idempotency_keys set lost_at = app_now() where account_id = %s and key = %s",
        [account_id, sent_key(job_id)],
    )
