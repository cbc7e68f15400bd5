"""A bulk run does one act to each job of its filter once, whatever is stopped, killed or raced meanwhile."""

import threading
from collections.abc import Iterator
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import pytest

from common.errors import ActRefused, InvalidInput, NotFound
from models.access.audit_log import By
from models.catalogue.entries import offers
from models.db import transaction
from models.jobs import facts
from models.operations import bulk
from models.operations.bulk import BulkRow, Overtaken
from models.operations.finding import JobFilter
from scheduler.duties import operations
from tests.models.jobs.standing import ADDRESSES, parked_job
from tests.models.operations.test_finding import failed
from tests.models.operations.test_job_acts import patiently, succeeded
from tests.races.test_races import together
from tests.support import account, assert_books_are_clean, balance, claimed, model, one, placed, rows

pytestmark = pytest.mark.usefixtures("database")
BY = By("tester", None, "10.0.0.1")


@pytest.fixture(autouse=True)
def _books(database: str) -> Iterator[None]:
    yield
    assert_books_are_clean()


def started(act: Any, **fields: Any) -> BulkRow:
    with transaction() as conn:
        return bulk.start(conn, BY, act, JobFilter(**fields), "because")


def counted(act: Any, **fields: Any) -> tuple[int, int]:
    with transaction() as conn:
        return bulk.count(conn, act, JobFilter(**fields))


def carried_out(batch: int = 3) -> None:
    for _ in range(200):
        if not operations.carry_out_bulk(batch).more and not rows("select 1 from bulk_runs where status = 'running'"):
            return
    raise AssertionError("it has no end")


def now(row: BulkRow) -> BulkRow:
    with transaction() as conn:
        return bulk.run(conn, row.id)


def broken(who: UUID, count: int, credits: int = 1) -> list[UUID]:
    offer = model(price={"credits": credits})
    return [failed(placed(who, offer)) for _ in range(count)]


def test_all_failed_jobs_are_ordered_again_once_and_the_dry_run_said_how_many() -> None:
    people = [account(amount=20, plan="studio") for _ in range(3)]
    jobs = [job for who in people for job in broken(who, 3, credits=2)]
    waits = placed(people[0], model(price={"credits": 2}))
    assert counted("retry") == (9, 18)
    assert rows("select 1 from bulk_runs union all select 1 from acts") == []
    made = started("retry")
    assert (made.jobs, made.credits, made.left, made.status) == (9, 18, 9, "running")
    carried_out()
    done = now(made)
    assert (done.status, done.done, done.skipped, done.credits_done, done.left) == ("done", 9, 0, 18, 0)
    assert sorted(row[0] for row in rows("select retry_of from jobs where retry_of is not null")) == sorted(jobs)
    assert one("select ended from jobs where id = %s", waits) == (None,)
    assert (
        len(
            rows(
                "select 1 from acts where action = 'job.retry' and details->>'bulk' = %s and address = '10.0.0.1'",
                str(made.id),
            )
        )
        == 9
    )
    carried_out()
    assert len(rows("select 1 from jobs where retry_of is not null")) == 9, "what it ordered itself is none of it"


def test_what_an_act_is_refused_for_is_skipped_and_counted_by_why() -> None:
    rich, poor = account(amount=20, plan="studio"), account(amount=4, plan="studio")
    first, _ = broken(rich, 2, credits=2)
    placed(rich, model(price={"credits": 2}), retry_of=first)
    broken(poor, 3, credits=2)
    made = started("retry")
    carried_out()
    done = now(made)
    assert (done.done, done.skipped) == (3, 2)
    assert done.reasons == {"retried_already": 1, "not_enough_credits": 1}
    assert balance(poor) == (0, 4)


@pytest.mark.parametrize(("act", "expected"), [
    ("refund", (2, 6)), ("discard", (1, 3)), ("cancel", (2, 6)),
])  # fmt: skip
def test_each_act_takes_the_jobs_that_it_is_for(act: str, expected: tuple[int, int]) -> None:
    who = account(amount=60, plan="studio")
    for _ in range(2):
        succeeded(who, 3)
    parked_job(claimed(placed(who, model(price={"credits": 3}))))
    for _ in range(2):
        placed(who, model(price={"credits": 3}))
    assert counted(act) == expected
    before = sum(balance(who))
    made = started(act)
    carried_out()
    done = now(made)
    assert (done.done, done.credits_done, done.skipped) == (*expected, 0)
    assert sum(balance(who)) == before + (6 if act == "refund" else 0)


@pytest.mark.parametrize(
    ("act", "status"), [("retry", "queued"), ("cancel", "failed"), ("discard", "running"), ("refund", "failed")]
)
def test_an_act_that_is_not_for_such_jobs_is_refused(act: str, status: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        counted(act, status=status)
    assert refused.value.param == "filter.status"


def test_a_run_is_stopped_where_it_is_and_goes_on_from_there() -> None:
    who = account(amount=50, plan="studio")
    broken(who, 7)
    made = started("retry")
    assert operations.carry_out_bulk(3).more
    with transaction() as conn:
        stopped = bulk.stop(conn, BY, made.id, "wait")
    assert (stopped.status, stopped.done, stopped.left) == ("stopped", 3, 4)
    carried_out()
    assert now(made).done == 3
    with transaction() as conn, pytest.raises(ActRefused):
        bulk.stop(conn, BY, made.id, "wait")
    with transaction() as conn:
        bulk.go_on(conn, BY, made.id, "well")
    carried_out()
    assert (now(made).done, len(rows("select distinct retry_of from jobs where retry_of is not null"))) == (7, 7)
    assert len(rows("select 1 from jobs where retry_of is not null")) == 7
    with transaction() as conn, pytest.raises(ActRefused):
        bulk.go_on(conn, BY, made.id, "again")
    with transaction() as conn, pytest.raises(NotFound):
        bulk.stop(conn, BY, uuid4(), "x")
    assert [row[0] for row in rows("select action from acts where action like 'bulk.%%' order by id")] == [
        "bulk.start", "bulk.stop", "bulk.resume",
    ]  # fmt: skip


def test_whoever_dies_between_two_jobs_or_before_a_commit_leaves_none_out_and_does_none_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    who = account(amount=50, plan="studio")
    jobs = broken(who, 6)
    made = started("retry")
    real, calls = bulk._advance, 0

    def dies(*values: Any, **fields: Any) -> None:
        nonlocal calls
        calls += 1
        if calls % 2:
            raise KeyboardInterrupt  # the process ends here: what was done for this job is not committed
        real(*values, **fields)

    monkeypatch.setattr(bulk, "_advance", dies)
    for _ in range(20):
        try:
            operations.carry_out_bulk(2)
        except KeyboardInterrupt:
            continue
    monkeypatch.undo()
    carried_out()
    assert (now(made).status, now(made).done) == ("done", 6)
    assert sorted(row[0] for row in rows("select retry_of from jobs where retry_of is not null")) == sorted(jobs)


@pytest.mark.parametrize("turn", range(3))
def test_many_schedulers_at_one_run_do_each_job_once(turn: int) -> None:
    people = [account(amount=50, plan="studio") for _ in range(2)]
    jobs = [job for who in people for job in broken(who, 6)]
    made = started("retry")

    def work(_: int) -> None:
        while now(made).status == "running":
            operations.carry_out_bulk(2)

    together(4, work)
    assert (now(made).done, now(made).skipped) == (12, 0)
    assert sorted(row[0] for row in rows("select retry_of from jobs where retry_of is not null")) == sorted(jobs)


def test_a_run_beside_its_clients_own_retries_moves_credits_exactly() -> None:
    who, offer = account(amount=100, plan="studio"), model()
    jobs = broken(who, 10)
    made = started("retry")
    gate = threading.Barrier(2)

    def work(number: int) -> None:
        gate.wait()
        if number:
            carried_out(2)
        else:
            for job in jobs:
                patiently(partial(placed, who, offer, retry_of=job))

    together(2, work)
    done = now(made)
    assert done.done + done.skipped == 10
    assert done.reasons in ({}, {"retried_already": done.skipped})
    assert len(rows("select 1 from jobs where retry_of is not null")) == 10 + done.done
    assert balance(who) == (90 - done.done, 10 + done.done)


def test_a_bulk_discard_beside_late_results_ends_each_job_once() -> None:
    who = account(amount=100, plan="studio")
    claims = [parked_job(claimed(placed(who, model(price={"credits": 4})))) for _ in range(8)]
    made = started("discard")

    def work(number: int) -> None:
        if number:
            carried_out(2)
            return
        for claim in claims:
            with transaction() as conn:
                facts.deliver(conn, claim, 1, delivered=ADDRESSES, usage={}, cost_usd_micros=7)

    together(2, work)
    done, failed_jobs = now(made), len(rows("select 1 from jobs where ended = 'failed'"))
    assert (done.done, done.status) == (failed_jobs, "done")
    assert balance(who) == (100 - 4 * (8 - failed_jobs), 4 * (8 - failed_jobs))


def test_a_job_that_stands_otherwise_by_its_turn_is_skipped() -> None:
    who = account(amount=9, plan="studio")
    job = placed(who, model())
    made = started("cancel")
    with transaction() as conn:
        part = bulk.next_slice(conn, made.id, 10)
    assert part is not None
    claimed(job)
    with transaction() as conn, pytest.raises(ActRefused, match="running by now"):
        bulk.act_on(conn, part, part.place, job, {})
    assert operations._carry_out(part) == 1
    assert now(made).reasons == {"changed": 1}
    assert one("select cancel_requested_at from job_runs") == (None,)


def test_a_stopped_run_undoes_what_was_being_done_and_a_locked_account_is_tried_again() -> None:
    who = account(amount=9, plan="studio")
    [job] = broken(who, 1)
    made = started("retry")
    with transaction() as conn:
        part = bulk.next_slice(conn, made.id, 10)
        known = offers(conn)
        bulk.stop(conn, BY, made.id, "no")
    assert part is not None
    with pytest.raises(Overtaken), transaction() as conn:
        bulk.act_on(conn, part, part.place, job, known)
    assert rows("select 1 from jobs where retry_of is not null") == []
    with transaction() as conn:
        bulk.go_on(conn, BY, made.id, "yes")
    with transaction() as other:
        other.execute("select 1 from accounts where id = %s for no key update", [who])
        assert not operations.carry_out_bulk(10).more
    carried_out()
    assert (now(made).done, now(made).skipped) == (1, 0)


def test_each_step_of_a_run_is_done_from_the_place_that_it_began_at() -> None:
    who = account(amount=50, plan="studio")
    broken(who, 2)
    made = started("retry")
    with transaction() as conn:
        part, known = bulk.next_slice(conn, made.id, 10), offers(conn)
    assert part is not None
    with transaction() as conn:
        bulk.act_on(conn, part, part.place, part.jobs[0], known)
    with pytest.raises(Overtaken), transaction() as conn:
        bulk.act_on(conn, part, part.place, part.jobs[1], known)  # another scheduler, which began where this one did
    with pytest.raises(Overtaken), transaction() as conn:
        bulk.skip(conn, part.id, part.place, part.jobs[1], "x")
    with pytest.raises(Overtaken), transaction() as conn:
        bulk.finish_slice(conn, part, part.place)
    assert (now(made).done, now(made).skipped, now(made).status) == (1, 0, "running")


def test_a_filter_that_leads_to_too_many_jobs_says_what_to_add(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "MAX_JOBS", 3)
    who = account(amount=50, plan="studio")
    broken(who, 4)
    with pytest.raises(InvalidInput, match="shorter time") as refused:
        started("retry", text="nothing has this")
    assert refused.value.param == "filter"
    other = account(amount=5, plan="studio")
    broken(other, 2)
    assert counted("retry", account_id=other) == (2, 2)


def test_more_than_a_look_is_walked_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk.finding, "LOOKED_AT", 4)
    who = account(amount=50, plan="studio")
    old, new = broken(who, 3), broken(who, 9)
    with transaction() as conn:
        conn.execute("set local session_replication_role = replica")
        conn.execute('update jobs set labels = \'{"a": "b"}\' where id = any(%s)', [old])
    made = started("retry", label="a:b")
    assert made.jobs == 3
    carried_out()
    assert (now(made).done, now(made).status) == (3, "done")
    assert rows("select 1 from jobs where retry_of = any(%s)", new) == []
