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


class EarlierJob(NamedTuple):
    """The job of an order that was sent before."""

    job_id: UUID
    queue: str


# Of one that says it was sent before, the last that says the same; of others, only lost ones are looked through: an account may
# order the same ten thousand times.
_EARLIER = """
select k.job_id, j.queue, k.lost_at is not null
  from unnest(%s::uuid[], %s::bytea[], %s::bool[]) with ordinality as w(account_id, asked, retried, number)
  left join lateral (
    (select i.job_id, i.lost_at from idempotency_keys i
      where w.retried and i.account_id = w.account_id and i.body_hash = w.asked and i.key like '~%%'
        and i.created_at > app_now() - make_interval(secs => %s)
      order by i.created_at desc limit 1)
    union all
    (select i.job_id, i.lost_at from idempotency_keys i
      where not w.retried and i.account_id = w.account_id and i.body_hash = w.asked and i.lost_at is not null
        and i.created_at > app_now() - make_interval(secs => %s)
      order by i.created_at desc limit 1)) k on true
  left join jobs j on j.id = k.job_id
 order by w.number"""
_TAKE = """
update idempotency_keys k set lost_at = null
  from (select account_id, key from unnest(%s::uuid[], %s::text[]) as w(account_id, key) join idempotency_keys using (account_id, key)
         where lost_at is not null order by account_id, key for update of idempotency_keys) t
 where k.account_id = t.account_id and k.key = t.key returning k.job_id"""


def earlier(conn: Connection[Any], orders: Sequence[SentOrder]) -> list[EarlierJob | None]:
    """The job that each of these is, if it was sent before; None: it is new. A lost answer is given once."""
    if not orders:
        return []
    values = [list(each) for each in zip(*orders, strict=True)]
    rows = conn.execute(_EARLIER, [*values, REPEATED_WITHIN_SECONDS, REPEATED_WITHIN_SECONDS]).fetchall()
    lost = [(order.account_id, job_id) for order, (job_id, _, is_lost) in zip(orders, rows, strict=True) if is_lost]
    taken = _take(conn, lost) if lost else set()
    found: list[EarlierJob | None] = []
    for order, (job_id, queue, is_lost) in zip(orders, rows, strict=True):
        is_ours = job_id is not None and (order.retried or not is_lost or job_id in taken)
        taken.discard(job_id)
        found.append(EarlierJob(job_id, queue) if is_ours else None)
    return found


def job_sent_before(conn: Connection[Any], order: SentOrder) -> UUID | None:
    """The job that one of these is."""
    [found] = earlier(conn, [order])
    return found and found.job_id


def _take(conn: Connection[Any], lost: Sequence[tuple[UUID, UUID]]) -> set[UUID]:
    """Those of these jobs whose answer is lost no more, in one order, whoever takes them."""
    accounts, jobs = zip(*lost, strict=True)
    return {row[0] for row in conn.execute(_TAKE, [list(accounts), [sent_key(each) for each in jobs]]).fetchall()}


def mark_lost(conn: Connection[Any], account_id: UUID, job_id: UUID) -> None:
    """Write down that the answer to a job's order did not reach its sender."""
    conn.execute(
        "update idempotency_keys set lost_at = app_now() where account_id = %s and key = %s",
        [account_id, sent_key(job_id)],
    )
