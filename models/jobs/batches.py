"""Batches: up to 10,000 jobs that are ordered together, looked at together, and canceled together.

A batch is lines, of which each has its job or the reason why it was refused. Nothing of a job's path knows of it: how far it has come is
counted from its own lines, and what is to be done for it (let its next jobs go, cancel the rest, tell of its end) is found by duties.

Its jobs stand behind all others of their account. With `max_running`, those beyond so many wait outside of the account's line
until others of the batch have ended; being outside costs whoever dispatches nothing, since the line's index does not have them.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Connection
from psycopg.types.json import Jsonb
from uuid_utils.compat import uuid7

from common.errors import BatchRefused, DomainError, InvalidInput, NotFound
from models.columns import NEVER
from models.events import events
from models.jobs import submit
from models.jobs.admission import Accepted, Order
from models.jobs.batch_rows import MAX_OPEN_BATCHES, SHOWN, BatchRow, count, living
from models.jobs.cancel import cancel
from models.jobs.dispatch import Ring, dispatch
from models.locks import lock_account

SUBMITTED_AT_ONCE = 1_000  # orders of one statement, so that each stays far below the limit of time of a statement
CANCELED_AT_ONCE = 100  # jobs of one transaction: each takes about 2 ms, and the account is locked meanwhile
REFUSALS_TOLD = 100  # at once; the others are among the batch's results
# A job's own priority and its plan's are between -100 and 100: whatever they are, a batch's jobs stand behind all others.
BEHIND = 1_000
MAX_MESSAGE, MAX_PARAM = 500, 100  # characters that are kept of a refusal, whose words may hold what the client sent
MOVED_LINES = 200  # how many lines must have ended before it is written down where the next look begins


class Line(NamedTuple):
    """A line as it came: an order that was checked, or what is wrong with it."""

    number: int
    custom_id: str | None
    order: Order | DomainError


class OrderedBatch(NamedTuple):
    """A batch that was ordered, what is to be rung, and why lines were refused, by their numbers."""

    row: BatchRow
    rings: list[Ring]
    refused: dict[int, DomainError]


class Todo(NamedTuple):
    """What a batch needs of the scheduler. `cancel`: jobs of it are still to be canceled; else it seems to be over."""

    batch_id: UUID
    account_id: UUID
    cancel: bool


def place(
    conn: Connection[Any],
    account_id: UUID,
    lines: Sequence[Line],
    *,
    all_or_none: bool,
    max_running: int | None = None,
    said: dict[str, Any] | None = None,
) -> OrderedBatch:
    """Order what can be ordered of these lines, in their order. `said`: what a dialect was told of them. Raises BatchRefused where none can, or, with `all_or_none`, where
    one cannot; then the caller rolls back. Raises InvalidInput for too many open batches.
    """
    lock_account(conn, account_id)
    _check_open(conn, account_id)
    refused = {each.number: each.order for each in lines if isinstance(each.order, DomainError)}
    wanted = [(each, each.order) for each in lines if isinstance(each.order, Order)]
    if all_or_none and refused:
        raise _refused(lines, refused)
    taken = dict[int, Accepted]()
    for line, answer in _submitted(conn, wanted, max_running):
        if isinstance(answer, Accepted):
            taken[line.number] = answer
        else:
            refused[line.number] = answer
            if all_or_none and len(refused) >= REFUSALS_TOLD:
                break
    if not taken or (all_or_none and refused):
        raise _refused(lines, refused)
    first = [line.number for line, _ in wanted[: max_running or len(wanted)]]
    row = conn.execute(
        f"""insert into batches as b (id, account_id, orders, accepted, reserved, max_running, let_go, running, said)
            values (%s, %s, %s, %s, %s, %s, %s, %s, %s) returning {SHOWN}""",
        [
            uuid7(), account_id, lines[-1].number, len(taken), sum(each.price_credits for each in taken.values()), max_running,
            first[-1] if len(first) < len(wanted) else lines[-1].number,
            [taken[each].job_id for each in first if each in taken] if max_running else [],
            None if said is None else Jsonb(said),
        ],
    ).fetchone()  # fmt: skip
    assert row is not None  # noqa: S101 - inserted
    made = BatchRow(*row)
    _write_lines(conn, made.id, lines, taken, refused)
    rings = [Ring(each.job_id, each.queue) for each in taken.values() if each.dispatched]
    return OrderedBatch(made, rings, dict(sorted(refused.items())))


def _check_open(conn: Connection[Any], account_id: UUID) -> None:
    row = conn.execute(
        "select count(*) from batches where account_id = %s and ended_at is null", [account_id]
    ).fetchone()
    if row and row[0] >= MAX_OPEN_BATCHES:
        raise InvalidInput(f"{MAX_OPEN_BATCHES} batches of this account are under way, the limit; let some end first")


def _submitted(
    conn: Connection[Any], wanted: Sequence[tuple[Line, Order]], max_running: int | None
) -> Iterator[tuple[Line, Accepted | DomainError]]:
    for start in range(0, len(wanted), SUBMITTED_AT_ONCE):
        some = wanted[start : start + SUBMITTED_AT_ONCE]
        orders = [order for _, order in some]
        if max_running is not None:
            orders = [replace(each, later=start + at >= max_running) for at, each in enumerate(orders)]
        for (line, _), answer in zip(some, submit.submit(conn, orders, wait=True), strict=True):
            assert isinstance(answer, Accepted | DomainError)  # noqa: S101 - a submit that waits is never told that the account is locked
            yield line, answer


def _write_lines(
    conn: Connection[Any],
    batch_id: UUID,
    lines: Sequence[Line],
    taken: Mapping[int, Accepted],
    refused: Mapping[int, DomainError],
) -> None:
    conn.execute(
        """insert into batch_orders (batch_id, number, job_id, custom_id, error)
           select %s, x.number, x.job_id, x.custom_id, x.error
             from unnest(%s::smallint[], %s::uuid[], %s::text[], %s::jsonb[]) as x(number, job_id, custom_id, error)""",
        [
            batch_id, [each.number for each in lines],
            [taken[each.number].job_id if each.number in taken else None for each in lines],
            [each.custom_id for each in lines],
            [Jsonb(refusal_of(refused[each.number])) if each.number in refused else None for each in lines],
        ],
    )  # fmt: skip


def refusal_of(error: DomainError) -> dict[str, Any]:
    """What is kept and told of a line that was refused. Its words may hold the client's own, of any length."""
    return {
        "code": error.code,
        "message": error.detail[:MAX_MESSAGE],
        "param": error.param[:MAX_PARAM] if error.param else None,
    }


def refusals(lines: Sequence[Line], refused: Mapping[int, DomainError]) -> list[dict[str, Any]]:
    """The first of the lines that were refused, as they are told."""
    named = {each.number: each.custom_id for each in lines}
    return [
        {"number": number, "custom_id": named[number], **refusal_of(refused[number])}
        for number in sorted(refused)[:REFUSALS_TOLD]
    ]


def _refused(lines: Sequence[Line], refused: Mapping[int, DomainError]) -> BatchRefused:
    first = refusals(lines, refused)
    return BatchRefused(
        f"nothing was ordered: of {len(lines)} lines {len(refused)} are refused, the first of them line {first[0]['number']}: {first[0]['message']}",
        param=f"line {first[0]['number']}", refusals=first,
    )  # fmt: skip


def ready_to_let_go(conn: Connection[Any], limit: int, *, without: Sequence[UUID] = ()) -> list[tuple[UUID, UUID]]:
    """Batches of which fewer live than may, and more wait, as (batch, account). Picked without a lock."""
    rows: list[tuple[UUID, UUID]] = conn.execute(
        """select b.id, b.account_id from batches b
            where b.ended_at is null and b.cancel_requested_at is null and b.let_go < b.orders and not (b.id = any(%s))
              and (select count(*) from unnest(b.running) as u(job_id) join job_runs r using (job_id)) < b.max_running
            order by b.id limit %s""",
        [list(without), limit],
    ).fetchall()
    return rows


def let_go(conn: Connection[Any], account_id: UUID, batch_id: UUID) -> tuple[int, list[Ring]]:
    """Let a batch's next jobs into their account's line, as many as others of it have ended. The caller holds the account's lock.
    Returns how many, and what is to be rung after the commit.
    """
    row = conn.execute(
        """select b.orders, b.let_go, b.max_running, array(
                    select u.job_id from unnest(b.running) as u(job_id) join job_runs r using (job_id))
             from batches b where b.id = %s and b.cancel_requested_at is null and b.ended_at is null for update of b""",
        [batch_id],
    ).fetchone()
    if row is None:
        return 0, []
    orders, let_go_to, max_running, running = row
    room = max_running - len(running)
    if room <= 0 or let_go_to >= orders:
        return 0, []
    following = conn.execute(
        "select number, job_id from batch_orders where batch_id = %s and number > %s and job_id is not null order by number limit %s",
        [batch_id, let_go_to, room],
    ).fetchall()
    # Those that were canceled meanwhile are gone; what they leave free is taken at the next look.
    let = conn.execute(
        f"update job_runs set wake_at = null where job_id = any(%s) and wake_at = {NEVER} returning job_id",
        [[job_id for _, job_id in following]],
    ).fetchall()
    conn.execute(
        "update batches set let_go = %s, running = %s where id = %s",
        [following[-1][0] if len(following) == room else orders, [*running, *(each[0] for each in let)], batch_id],
    )
    return len(following), dispatch(conn, account_id)


def request_cancel(conn: Connection[Any], account_id: UUID, batch_id: UUID) -> list[Ring]:
    """Have all jobs of a batch canceled. No other of them begins from now on; the first are canceled here, the rest by the
    scheduler. Again, or once it is over, it changes nothing. Raises NotFound.
    """
    lock_account(conn, account_id)
    row = conn.execute(
        "select ended_at is not null, cancel_requested_at is not null from batches where id = %s and account_id = %s for update",
        [batch_id, account_id],
    ).fetchone()
    if row is None:
        raise NotFound(f"no batch {batch_id}", param="id")
    over, asked = row
    if over or asked:
        return []
    conn.execute("update batches set cancel_requested_at = app_now() where id = %s", [batch_id])
    # Out of the line at once: a slot that becomes free goes to no job that is to be canceled.
    conn.execute(
        f"""update job_runs r set wake_at = {NEVER}, held_back = false from batch_orders l
            where l.batch_id = %s and r.job_id = l.job_id and not r.dispatched and r.wake_at is distinct from {NEVER}""",
        [batch_id],
    )
    return cancel_some(conn, batch_id)[1]


def cancel_some(conn: Connection[Any], batch_id: UUID) -> tuple[int, list[Ring]]:
    """Cancel the next jobs of a batch whose account the caller has locked: first those without a slot. Returns how many, and
    what is to be rung after the commit.
    """
    (after,) = conn.execute("select ended_up_to from batches where id = %s", [batch_id]).fetchone() or (0,)
    found = list(living(conn, batch_id, after, CANCELED_AT_ONCE, dispatched=False))
    found += living(conn, batch_id, after, CANCELED_AT_ONCE - len(found), dispatched=True)
    return len(found), [ring for _, job_id in found for ring in cancel(conn, job_id).rings]


def look(conn: Connection[Any], limit: int, *, without: Sequence[UUID] = ()) -> list[Todo]:
    """Batches that seem to be over, or of which jobs are still to be canceled. Picked without a lock. Where the next look at each
    begins is written down: so each line is passed over once, however often a batch is looked at.
    """
    rows = conn.execute(
        """with looked as materialized (
             select b.id, b.account_id, b.cancel_requested_at is not null as canceled, b.ended_up_to, (
                      select l.number from batch_orders l where l.batch_id = b.id and l.number > b.ended_up_to
                         and (select r.token from job_runs r where r.job_id = l.job_id) is not null
                       order by l.number limit 1) as first
               from batches b where b.ended_at is null
           ), moved as (
             update batches b set ended_up_to = x.first - 1 from looked x
              where b.id = x.id and x.first - 1 - x.ended_up_to >= %s and b.ended_at is null
           )
           select x.id, x.account_id, x.first is not null from looked x
            where not (x.id = any(%s)) and (x.first is null or x.canceled and exists (
                    select 1 from batch_orders l join job_runs r on r.job_id = l.job_id
                     where l.batch_id = x.id and l.number >= x.first and r.cancel_requested_at is null))
            order by x.id limit %s""",
        [MOVED_LINES, list(without), limit],
    ).fetchall()
    return [Todo(*row) for row in rows]


def end(conn: Connection[Any], account_id: UUID, batch_id: UUID) -> bool:
    """Keep what became of a batch whose jobs have all ended, and tell of it. The caller holds the account's lock. False: it is
    told already, or one lives after all.
    """
    row = conn.execute(
        "select orders, accepted, cancel_requested_at is not null from batches where id = %s and ended_at is null for update",
        [batch_id],
    ).fetchone()
    if row is None:
        return False
    counts, charged = count(conn, batch_id)
    if counts["queued"] or counts["running"]:
        return False
    conn.execute(
        """update batches set ended_at = app_now(), counts = %s, charged = %s, ended_up_to = orders, let_go = orders, running = '{}'
            where id = %s""",
        [Jsonb(counts), charged, batch_id],
    )
    orders, accepted, canceled = row
    data = {
        "batch": str(batch_id),
        "canceled": canceled,
        "orders": orders,
        "accepted": accepted,
        "counts": counts,
        "credits": charged,
    }
    events.add(conn, account_id, "batch.completed", data)
    return True


def forget(conn: Connection[Any], account_id: UUID, limit: int) -> None:
    """Delete an account's batches, so many lines at once, once none of its jobs lives. Its jobs stay: they are the books."""
    if conn.execute("select 1 from job_runs where account_id = %s limit 1", [account_id]).fetchone():
        return
    conn.execute(
        """delete from batch_orders l using (
             select x.batch_id, x.number from batches b join batch_orders x on x.batch_id = b.id where b.account_id = %s limit %s) gone
            where l.batch_id = gone.batch_id and l.number = gone.number""",
        [account_id, limit],
    )
    conn.execute(
        "delete from batches b where account_id = %s and not exists (select 1 from batch_orders where batch_id = b.id)",
        [account_id],
    )
