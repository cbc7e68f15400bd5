"""Orders that are sent again by libraries which give them no name: which job an order is, that came before and was not answered.

Such an order's job has a key of our own making (`sent_key`), and as `body_hash` what makes two of them the same. An order that is
sent again finds its job by that, if its sender says so, or if the answer to the first is known to have been lost.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Connection, Cursor

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


class _Known(NamedTuple):
    job_id: UUID
    queue: str
    is_lost: bool


Answers = Cursor[tuple[Any, ...]]  # of a statement that was sent


# Of one that says it was sent before, the last that says the same; of others, only lost ones are looked through: an account may
# order the same ten thousand times. Apart, since nearly every order is one of the others, and nearly no answer is lost.
# The arrays are written out here, as text: the driver takes 20 us an order to look through their values.
_LOST = """
select k.account_id, k.body_hash, k.job_id, j.queue, true
  from unnest(%s::uuid[], %s::text[]) as w(account_id, asked)
  join idempotency_keys k on k.account_id = w.account_id and k.body_hash = decode(w.asked, 'hex') and k.lost_at is not null
   and k.created_at > app_now() - make_interval(secs => %s)
  join jobs j on j.id = k.job_id order by k.created_at"""
_LAST = """
select w.account_id, k.body_hash, k.job_id, j.queue, k.lost_at is not null
  from unnest(%s::uuid[], %s::text[]) as w(account_id, asked)
  cross join lateral (
    select i.body_hash, i.job_id, i.lost_at from idempotency_keys i
     where i.account_id = w.account_id and i.body_hash = decode(w.asked, 'hex') and i.key like '~%%'
       and i.created_at > app_now() - make_interval(secs => %s)
     order by i.created_at desc limit 1) k
  join jobs j on j.id = k.job_id"""
_TAKE = """
update idempotency_keys k set lost_at = null
  from (select account_id, key from unnest(%s::uuid[], %s::text[]) as w(account_id, key) join idempotency_keys using (account_id, key)
         where lost_at is not null order by account_id, key for update of idempotency_keys) t
 where k.account_id = t.account_id and k.key = t.key returning k.job_id"""


def ask_lost(conn: Connection[Any], orders: Sequence[SentOrder]) -> Answers | None:
    """Ask which of these have a job whose answer was lost, for `earlier`; None: none of them can. In a pipeline it costs no wait."""
    fresh = [order for order in orders if not order.retried]
    return _ask(conn, _LOST, fresh) if fresh else None


def earlier(conn: Connection[Any], orders: Sequence[SentOrder], asked_lost: Answers | None) -> list[EarlierJob | None]:
    """The job that each of these is, if it was sent before; None: it is new. A lost answer is given once. `asked_lost`: what
    `ask_lost` has asked, of these orders at least.
    """
    retried = [order for order in orders if order.retried]
    lost, last = _found(asked_lost), _found(_ask(conn, _LAST, retried) if retried else None)
    looked = [(last if order.retried else lost).get((order.account_id, order.asked)) for order in orders]
    gone = [(order.account_id, job.job_id) for order, job in zip(orders, looked, strict=True) if job and job.is_lost]
    taken = _take(conn, gone) if gone else set()
    found: list[EarlierJob | None] = []
    for order, job in zip(orders, looked, strict=True):
        is_ours = job is not None and (order.retried or job.job_id in taken)
        found.append(EarlierJob(job.job_id, job.queue) if job is not None and is_ours else None)
        if job is not None:
            taken.discard(job.job_id)
    return found


def _ask(conn: Connection[Any], statement: str, orders: Sequence[SentOrder]) -> Answers:
    accounts = ",".join(str(order.account_id) for order in orders)
    asked = ",".join(order.asked.hex() for order in orders)
    return conn.execute(statement, [f"{{{accounts}}}", f"{{{asked}}}", REPEATED_WITHIN_SECONDS])


def _found(asked: Answers | None) -> dict[tuple[UUID, bytes], _Known]:
    """The newest of each account and words."""
    rows = asked.fetchall() if asked is not None else ()
    return {(account_id, body_hash): _Known(*known) for account_id, body_hash, *known in rows}


def job_sent_before(conn: Connection[Any], order: SentOrder) -> UUID | None:
    """The job that one of these is."""
    [found] = earlier(conn, [order], ask_lost(conn, [order]))
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
