"""Statements that change several rows lock them in the order of their ids, whatever order they are named or stored in.

Each is made to wait for the first row: the last one must be free meanwhile. Whoever locks in another order and waits holds
what somebody else, in the right order, waits for.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from psycopg import Connection, sql

from models.access import api_keys
from models.db import transaction
from models.events import deliveries, sending
from models.events.sending import HeldQueue
from models.identity import erasure
from models.jobs import clock, polls, ringing, steps
from models.jobs.clock import Shift
from models.jobs.polls import StillPending
from models.jobs.ringing import Due
from models.payments import hints
from tests.models.payments.shop import ordered, pack
from tests.models.test_locks import holder
from tests.support import account, claimed, eventually, lock_waits, model, placed, rows

pytestmark = pytest.mark.usefixtures("database")

Change = Callable[[Connection[Any]], Any]
Case = tuple[str, list[Any], Change]  # a table, its rows as they are changed together, and how


def queues(how: Callable[[Connection[Any], list[UUID]], Any]) -> Case:
    """Three delivery queues, each with something that waits, held by a sender."""
    who = account()
    ids = [uuid4() for _ in range(3)]
    with transaction() as conn:
        for each in ids:
            deliveries.send(conn, who, each, "announcement", {})
        conn.execute("update delivery_queues set leased_by = 's', token = 1")
    ids.sort()
    return "delivery_queues", ids, lambda conn: how(conn, ids[::-1])


def a_sender_keeps_its_leases() -> Case:
    return queues(lambda conn, ids: sending.extend(conn, [HeldQueue(each, 1) for each in ids]))


def the_clock_was_set_back_for_deliveries() -> Case:
    case = queues(lambda conn, _: clock.shift_delivery_queues(conn, -60.0, datetime.now(UTC).timestamp()))
    with transaction() as conn:
        conn.execute("update delivery_queues set wake_at = app_now() + interval '1 hour'")
        conn.execute("update deliveries set next_at = app_now() + interval '1 hour'")
    return case


def a_worker_keeps_its_leases() -> Case:
    jobs = sorted(placed(account(amount=9), model()) for _ in range(3))
    claims = {each: claimed(each) for each in jobs}
    held = [(each, claims[each].token, "tester") for each in jobs[::-1]]
    return "job_runs", jobs, lambda conn: steps.extend(conn, held)


def many_polls_are_let_go() -> Case:
    jobs = sorted(placed(account(amount=9), model()) for _ in range(3))
    answers = [StillPending(claimed(each), 1.0) for each in jobs[::-1]]
    return "job_runs", jobs, lambda conn: polls.write_waits(conn, answers)


def rings_are_taken_back() -> Case:
    jobs = sorted(placed(account(amount=9), model()) for _ in range(3))
    due = [Due(*row, True) for row in rows("select job_id, queue, token from job_runs order by job_id desc")]
    return "job_runs", jobs, lambda conn: ringing.not_rung(conn, due, 1.0)


def the_clock_was_set_back_for_jobs() -> Case:
    jobs = sorted(placed(account(amount=9), model()) for _ in range(3))
    at = {row[0]: row[1] for row in rows("select job_id, wake_at from job_runs")}
    shifts = [Shift(each, at[each], None, at[each] + timedelta(seconds=1), None) for each in jobs[::-1]]
    return "job_runs", jobs, lambda conn: clock.apply(conn, shifts)


def keys() -> tuple[UUID, list[UUID]]:
    who = account()
    with transaction() as conn:
        return who, sorted(api_keys.create(conn, who, api_keys.NewKey("k"))[0] for _ in range(3))


def uses_of_keys_are_counted() -> Case:
    _, ids = keys()
    return "api_keys", ids, lambda conn: api_keys.record_uses(conn, dict.fromkeys(ids[::-1], 1))


def a_key_is_revoked_with_what_it_made() -> Case:
    _, ids = keys()
    with transaction() as conn:
        conn.execute("update api_keys set makers = array[%s::uuid] where id <> %s", [ids[1], ids[1]])
    return "api_keys", ids, lambda conn: api_keys.revoke(conn, ids[1])


def an_account_is_erased() -> Case:
    who, ids = keys()
    return "api_keys", ids, lambda conn: erasure.erase_account(conn, who)


def a_hook_points_at_several_payments() -> Case:
    pack()
    ids = sorted(ordered(account()) for _ in range(3))
    names = tuple(f"there-{each}" for each in ids[::-1])
    return "payments", ids, lambda conn: hints.receive(conn, "xendit", str(uuid4()), "x", names, {})


CASES: list[Callable[[], Case]] = [
    a_sender_keeps_its_leases, the_clock_was_set_back_for_deliveries, a_worker_keeps_its_leases, many_polls_are_let_go, rings_are_taken_back,
    the_clock_was_set_back_for_jobs, uses_of_keys_are_counted, a_key_is_revoked_with_what_it_made, an_account_is_erased,
    a_hook_points_at_several_payments,
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_rows_that_are_changed_together_are_locked_in_the_order_of_their_ids(case: Callable[[], Case]) -> None:
    table, ids, change = case()
    key = sql.Identifier("job_id" if table == "job_runs" else "id")
    name = sql.Identifier(table)
    with transaction() as conn:  # the first is stored last
        conn.execute(sql.SQL("update {} set {} = {} where {} = %s").format(name, key, key, key), [ids[0]])

    def do() -> None:
        with transaction() as conn:
            change(conn)

    lock = sql.SQL("select 1 from {} where {} = %s for no key update skip locked").format(name, key)
    with ThreadPoolExecutor(1) as threads, holder() as other:
        other.execute(lock, [ids[0]])
        late = threads.submit(do)
        eventually(lambda: lock_waits() > 0, what="a wait")
        with holder() as third:
            free = [third.execute(lock, [each]).fetchone() is not None for each in ids[1:]]
        other.rollback()
        late.result()
    assert free == [True, True]


def test_senders_and_events_that_wake_their_queues_never_wait_in_a_circle() -> None:
    """Deliveries are locked after their queue, as a sender locks them, also when the clock was set back."""
    table, ids, change = the_clock_was_set_back_for_deliveries()
    assert table == "delivery_queues"

    def do() -> None:
        with transaction() as conn:
            change(conn)

    with ThreadPoolExecutor(1) as threads, holder() as sender:
        sender.execute("select 1 from delivery_queues where id = %s for update", [ids[1]])
        late = threads.submit(do)
        eventually(lambda: lock_waits() > 0, what="a wait")
        sender.execute(
            "update deliveries set begun = 1 where queue_id = %s", [ids[1]]
        )  # or it waits for who waits for it
        sender.commit()
        late.result()
