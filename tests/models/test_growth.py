"""What is stored and what waits costs nobody: of a long line each call reads as many pages as of a short one.

Pages are counted, not time: in `make test` beside a tenth of what the deep runs store (tests/depth.py).
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from uuid import UUID

import pytest
from psycopg import Connection

from cli.embedded.servers import Addresses
from models.credits import proofs
from models.db import transaction
from models.jobs import cancel, ending, queues, reads, steps, submit
from models.jobs.begun import begun_jobs
from models.jobs.dispatch import dispatch
from models.jobs.ending import AttemptEnd, Ending
from models.locks import lock_account
from tests.conftest import fresh_database
from tests.depth import is_deep
from tests.models.grown import SLOTS, Grown, Line, fill, pages
from tests.models.hands import change
from tests.support import account, claimed, order, placed, rows

STORED, WAITING = (1_000_000, 200_000) if is_deep() else (100_000, 20_000)
pytestmark = pytest.mark.timeout(600)  # to store a million jobs takes most of a minute, and longer beside other tests
MOST = 1.2  # times as many pages as of a short line
FEW = 30  # pages more are no growth: an index branches, a plan looks a model up for each row of a list

Act = Callable[[Connection[Any]], object]


@pytest.fixture(scope="module")
def grown(stack: Addresses) -> Iterator[Grown]:
    with fresh_database(stack) as url:
        made = fill(url, stored=STORED, long=WAITING)
        # Slots are taken from the front of the line: one of the full model, the others by what stands far behind it.
        for line in (made.long, made.short):
            with transaction() as conn:
                lock_account(conn, line.account_id)
                assert len(dispatch(conn, line.account_id)) == SLOTS
        yield made


def running(line: Line) -> UUID:
    """A job of the wide model that has a slot and is claimed."""
    (job_id,) = rows(
        "select job_id from job_runs where account_id = %s and dispatched and model_id = 'wide' order by job_id limit 1",
        line.account_id,
    )[0]
    change("update job_runs set lease_owner = null, status = 'queued' where job_id = %s", job_id)
    claimed(job_id)
    return UUID(str(job_id))


def waiting(line: Line, *, last: bool = False) -> UUID:
    """The first job of the line, or the last."""
    found = rows(
        f"""select job_id from job_runs where account_id = %s and not dispatched and wake_at is null
             order by job_id {"desc" if last else ""} limit 1""",
        line.account_id,
    )
    return UUID(str(found[0][0]))


class Call(NamedTuple):
    """A verb, made ready for one account; what readies it is not counted."""

    name: str
    ready: Callable[[Grown, Line], Act]


def _end(_grown: Grown, line: Line) -> Act:
    job_id = running(line)
    token = rows("select token from job_runs where job_id = %s", job_id)[0][0]
    return lambda conn: ending.end(conn, line.account_id, job_id, Ending("succeeded", cost_credits=1), token=token)


def _put_back(_grown: Grown, line: Line) -> Act:
    job_id = running(line)
    token, number = rows(
        "select r.token, a.number from job_runs r join attempts a using (job_id) where job_id = %s and a.ended_at is null",
        job_id,
    )[0]
    return lambda conn: ending.put_back(
        conn, line.account_id, job_id, token=token, after_seconds=9999.0, reason="x",
        attempt=AttemptEnd(number, "failed", "x", "x"), spends_attempt=True,
    )  # fmt: skip


def _dispatch(grown: Grown, line: Line) -> Act:
    def act(conn: Connection[Any]) -> None:
        conn.execute("select 1 from accounts where id = %s for no key update", [line.account_id])
        assert dispatch(conn, line.account_id)

    _end(grown, line)
    change("update accounts set slots_in_use = slots_in_use - 1 where id = %s", line.account_id)
    return act


def _submit(grown: Grown, line: Line) -> Act:
    wanted = order(line.account_id, grown.narrow)
    return lambda conn: submit.submit(conn, [wanted], wait=True)


def _claim(_grown: Grown, line: Line) -> Act:
    job_id = running(line)
    change("update job_runs set lease_owner = null, status = 'queued', wake_at = app_now() where job_id = %s", job_id)
    return lambda conn: steps.claim(conn, job_id, "tester")


def _cancel(_grown: Grown, line: Line) -> Act:
    job_id = waiting(line)
    return lambda conn: cancel.cancel(conn, job_id)


def _listed(**fields: Any) -> Callable[[Grown, Line], Act]:
    return lambda _grown, line: lambda conn: reads.list_jobs(conn, line.account_id, limit=9, **fields)


def _shown(*, last: bool) -> Callable[[Grown, Line], Act]:
    def ready(_grown: Grown, line: Line) -> Act:
        job_id = waiting(line, last=last)
        return lambda conn: reads.jobs_by_id(conn, [job_id])

    return ready


CALLS = (
    Call("end", _end),
    Call("put back", _put_back),
    Call("dispatch", _dispatch),
    Call("submit", _submit),
    Call("claim", _claim),
    Call("cancel", _cancel),
    Call("requeue what is due", lambda _, line: lambda conn: steps.requeue_due(conn, line.account_id)),
    Call("show the first", _shown(last=False)),
    Call("show the last", _shown(last=True)),
    Call("list", _listed()),
    Call("list what waits", _listed(status="queued")),
    Call("list what runs", _listed(status="running")),
    Call("list what has succeeded", _listed(status="succeeded")),
    Call("list what has failed", _listed(status="failed")),
    Call("list a model's", _listed(model_id="wide")),
    Call("list what runs of a model", _listed(model_id="wide", status="running")),
    Call("tell what has begun", lambda _, line: lambda conn: begun_jobs(conn, [line.account_id])),
)


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.name)
def test_a_call_reads_no_more_of_a_long_line_than_of_a_short_one(grown: Grown, call: Call) -> None:
    found = {line.waiting: min(pages(call.ready(grown, line)) for _ in range(3)) for line in (grown.short, grown.long)}
    short, long = found[grown.short.waiting], found[grown.long.waiting]
    assert long <= max(MOST * short, short + FEW), (long, short)


def test_free_slots_are_looked_for_where_somebody_waits_and_nowhere_else(grown: Grown) -> None:
    (accounts,) = rows("select count(*) from accounts")[0]
    assert pages(lambda conn: steps.accounts_with_room(conn, 200)) < 60 < accounts / 2


def test_what_is_new_is_proven_without_a_look_at_what_is_stored(grown: Grown) -> None:
    who, since = account(amount=50), rows("select app_now()")[0][0]
    pages(lambda conn: proofs.prove_ledger(conn, since))
    for _ in range(2):
        job_id = placed(who, grown.wide)
        with transaction() as conn:
            ending.end(conn, who, job_id, Ending("succeeded", cost_credits=1), token=claimed(job_id).token)
    assert pages(lambda conn: proofs.prove_ledger(conn, since)) < 300
    read = {part.rule: pages(lambda conn, part=part: proofs.prove_part(conn, part)) for part in proofs.new_parts(since)}
    assert {rule: count for rule, count in read.items() if count >= 300} == {}


def test_queues_are_counted_without_a_look_at_the_rows_of_what_waits(grown: Grown) -> None:
    def count() -> int:
        with transaction() as conn:
            row = conn.execute(
                "select coalesce(sum(heap_blks_hit + heap_blks_read), 0) from pg_statio_user_tables where relname = 'job_runs'"
            ).fetchone()
        return int(row[0]) if row else 0

    before = count()
    pages(queues.read_queues)
    assert count() - before < WAITING / 200
    with transaction() as conn:
        assert queues.read_queues(conn)[0].waiting > WAITING * 0.9
