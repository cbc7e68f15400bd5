"""Jobs that wait at a polled provider, with real worker processes: they end, are asked about once at a time, and survive kills."""

from pathlib import Path

import pytest

from models.db import transaction
from models.jobs import cancel
from tests.support import System, account, assert_books_are_clean, eventually, model, one, placed, rows

POLLED = {"pending": True, "ready_seconds": 3.0, "poll_after_seconds": 0.3, "cost_usd_micros": 1}
JOBS = 30


def order_all() -> None:
    who, offer = account(amount=100, plan="studio"), model("polled", options=POLLED)
    with transaction() as conn:
        conn.execute("update plans set slots = 100 where id = 'studio'")
    for _ in range(JOBS):
        placed(who, offer)


def until_all_have_ended(system: System) -> None:
    eventually(lambda: one("select count(*) from job_runs") == (0,), seconds=120, what="the end of all jobs")


def assert_each_was_made_once(system: System) -> None:
    assert rows("select ended, count(*) from jobs group by 1") == [("succeeded", JOBS)]
    assert set(system.book.starts_per_key().values()) == {1}
    assert len(system.book.generations()) == JOBS
    assert_books_are_clean()


def test_two_workers_share_the_polls_without_a_message_for_any(system: System) -> None:
    order_all()
    system.start("scheduler", "worker")
    eventually(lambda: one("select count(*) from attempts where phase = 'accepted'")[0] > 0, what="the first at work")
    system.processes.start_one("worker", number=2)
    until_all_have_ended(system)
    assert_each_was_made_once(system)


@pytest.mark.parametrize("point", ["leased", "polled"])
def test_a_worker_killed_with_a_group_in_its_hands_costs_no_job_anything(
    system: System, tmp_path: Path, point: str
) -> None:
    order_all()
    # Its leases outlive the look at them, however slow the machine is.
    marker = {"HEADRACE_FAULT_POINT": point, "HEADRACE_FAULT_MARKER": str(tmp_path / "killed"), "LEASE_SECONDS": "15"}
    system.start("scheduler")
    system.start("worker", worker=marker)
    eventually(lambda: bool(system.processes.dead()), what="the kill")
    assert rows("select 1 from job_runs where lease_owner like '%%+'") != [], "there was a group in its hands"
    system.processes.forget("worker")
    system.start("worker")
    until_all_have_ended(system)
    assert_each_was_made_once(system)


def test_a_cancel_of_one_of_many_that_are_polled_is_carried_out(system: System) -> None:
    order_all()
    system.start("scheduler", "worker")
    eventually(lambda: one("select count(*) from attempts where phase = 'accepted'") == (JOBS,), what="all at work")
    (victim,) = one("select job_id from job_runs order by job_id limit 1")
    with transaction() as conn:
        cancel.cancel(conn, victim)
    until_all_have_ended(system)
    assert one("select ended from jobs where id = %s", victim) == ("canceled",)
    assert rows("select ended, count(*) from jobs where id <> %s group by 1", victim) == [("succeeded", JOBS - 1)]
    assert_books_are_clean()
