"""Batches: ordered whole or as far as they can be, behind everything else, at most so many at a time, canceled, told of."""

from collections.abc import Sequence
from threading import Barrier, Thread
from typing import Any
from uuid import UUID

import pytest

from common.errors import BatchRefused, InvalidInput, InvalidRequest, NotFound
from models.columns import NEVER
from models.db import transaction
from models.identity import erasure
from models.jobs import batch_rows, batches, clock, queues
from models.jobs.batch_rows import BatchRow
from models.jobs.batches import BEHIND, Line, OrderedBatch
from models.jobs.dispatch import dispatch
from models.jobs.ending import Ending, end
from scheduler.duties.batches import end_batches, let_batches_go
from tests.models.hands import change
from tests.models.jobs.standing import requeued
from tests.support import account, assert_books_are_clean, balance, claimed, model, one, order, placed, rows

pytestmark = pytest.mark.usefixtures("database")

BAD = InvalidRequest("the line is not JSON", param="line")


def slots(count: int) -> None:
    change("update plans set slots = %s where id = 'free'", count)


def lines(who: UUID, count: int, *bad: int, **fields: Any) -> list[Line]:
    """Orders of one credit each; those of these numbers are no orders."""
    offer = model()
    return [
        Line(
            number, f"c{number}", BAD if number in bad else order(who, offer, priority=-BEHIND, queue="batch", **fields)
        )
        for number in range(1, count + 1)
    ]


def ordered(who: UUID, wanted: Sequence[Line], *, valid: bool = False, **fields: Any) -> OrderedBatch:
    with transaction() as conn:
        return batches.place(conn, who, wanted, all_or_none=not valid, **fields)


def jobs_of(row: BatchRow) -> list[UUID]:
    return [
        job
        for (job,) in rows(
            "select job_id from batch_orders where batch_id = %s and job_id is not null order by number", row.id
        )
    ]


def found(row: BatchRow) -> BatchRow:
    with transaction() as conn:
        return batch_rows.find(conn, row.account_id, row.id)


def finished(who: UUID, job_id: UUID, ending: Ending | None = None) -> None:
    claim = claimed(job_id)
    with transaction() as conn:
        assert end(conn, who, job_id, ending or Ending("succeeded", cost_credits=1), token=claim.token)


def dispatched() -> list[UUID]:
    return [job for (job,) in rows("select job_id from job_runs where dispatched order by job_id")]


def told() -> list[dict[str, Any]]:
    return [data for (data,) in rows("select data from events where type = 'batch.completed' order by number")]


# --- order ---


def test_a_batch_is_ordered_in_its_order_and_reserves_what_it_costs() -> None:
    who = account(amount=9)
    made = ordered(who, lines(who, 5))
    jobs = jobs_of(made.row)
    assert jobs == sorted(jobs), "a job's place in the line is its id"
    assert (made.row.orders, made.row.accepted, made.row.reserved) == (5, 5, 5)
    assert balance(who) == (4, 5)
    assert [ring.job_id for ring in made.rings] == jobs[:2] == dispatched()
    assert {ring.queue for ring in made.rings} == {"batch"}
    counts = found(made.row).counts
    assert counts == {"queued": 5, "running": 0, "succeeded": 0, "failed": 0, "canceled": 0}
    assert_books_are_clean()


def test_one_line_that_is_no_good_refuses_all_and_nothing_is_left() -> None:
    who = account(amount=9)
    with pytest.raises(
        BatchRefused, match="of 5 lines 2 are refused, the first of them line 2: the line is not JSON"
    ) as refused:
        ordered(who, lines(who, 5, 2, 4))
    told = [(each["number"], each["custom_id"], each["code"]) for each in refused.value.extra["refusals"]]
    assert told == [(2, "c2", "invalid_request"), (4, "c4", "invalid_request")]
    assert one("select (select count(*) from jobs), (select count(*) from batches)") == (0, 0)
    assert balance(who) == (9, 0)


def test_credits_that_do_not_suffice_refuse_all_or_what_is_beyond_them() -> None:
    who = account(amount=3)
    with pytest.raises(BatchRefused, match="the first of them line 4"):
        ordered(who, lines(who, 5))
    assert balance(who) == (3, 0)
    assert one("select count(*) from jobs") == (0,)
    made = ordered(who, lines(who, 6, 1), valid=True)
    assert [*made.refused] == [1, 5, 6]
    assert made.refused[6].code == "not_enough_credits"
    assert (made.row.orders, made.row.accepted, made.row.reserved) == (6, 3, 3)
    kept = rows(
        "select number, custom_id, error->>'code', job_id is null from batch_orders where error is not null order by number"
    )
    assert kept == [
        (1, "c1", "invalid_request", True),
        (5, "c5", "not_enough_credits", True),
        (6, "c6", "not_enough_credits", True),
    ]
    assert balance(who) == (0, 3)
    assert_books_are_clean()


def test_a_batch_of_which_nothing_can_be_ordered_is_none() -> None:
    who = account()
    with pytest.raises(BatchRefused):
        ordered(who, lines(who, 2), valid=True)
    assert rows("select 1 from batches") == []


def test_what_is_refused_after_the_first_statement_takes_that_back_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "SUBMITTED_AT_ONCE", 2)
    who = account(amount=5)
    with pytest.raises(BatchRefused, match="line 6"):
        ordered(who, lines(who, 6))
    assert balance(who) == (5, 0)
    assert rows("select 1 from jobs") == []
    made = ordered(who, lines(who, 5), max_running=3)
    assert rows(f"select wake_at = {NEVER} from job_runs where not dispatched order by job_id") == [
        (None,),
        (True,),
        (True,),
    ]
    assert len(made.rings) == 2
    assert_books_are_clean()


def test_no_more_refusals_are_told_than_anybody_reads_and_none_of_any_length() -> None:
    who = account(amount=9)
    long = InvalidInput("x" * 10_000, param="y" * 10_000)
    wanted = [Line(number, None, long) for number in range(1, 200)]
    with pytest.raises(BatchRefused, match="199 are refused") as refused:
        ordered(who, wanted)
    told = refused.value.extra["refusals"]
    assert (len(told), len(told[0]["message"]), len(told[0]["param"])) == (100, 500, 100)


def test_an_account_has_so_many_batches_under_way_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "MAX_OPEN_BATCHES", 1)
    who, other = account(amount=9), account(amount=9)
    made = ordered(who, lines(who, 1))
    with pytest.raises(InvalidInput, match="1 batches of this account are under way, the limit"):
        ordered(who, lines(who, 1))
    ordered(other, lines(other, 1))
    finished(who, jobs_of(made.row)[0])
    assert end_batches(10) == 1
    ordered(who, lines(who, 1))


# --- fair: behind everything else of its account ---


def test_a_job_that_is_ordered_after_a_batch_of_5000_is_next_whatever_its_priority() -> None:
    who = account(amount=6000)
    change("update plans set storage_quota_bytes = 1e15::bigint where id = 'free'")
    made = ordered(who, lines(who, 5000))
    first, _ = dispatched()
    urgent = [placed(who, model(), priority=-100), placed(who, model())]
    finished(who, first)
    assert urgent[1] in dispatched()
    finished(who, urgent[1])
    assert urgent[0] in dispatched()
    finished(who, urgent[0])
    assert jobs_of(made.row)[2] in dispatched(), "and then the batch goes on, in its order"


# --- at most so many at a time ---


def test_no_more_of_a_batch_are_in_line_than_it_may_have_and_others_fill_the_slots() -> None:
    who = account(amount=20)
    slots(4)
    made = ordered(who, lines(who, 6), max_running=2)
    jobs = jobs_of(made.row)
    assert dispatched() == jobs[:2], "though four slots are free"
    with transaction() as conn:
        assert dispatch(conn, who) == []
    other = placed(who, model())
    assert dispatched() == sorted([*jobs[:2], other])
    assert let_batches_go(10) == 0
    finished(who, jobs[1])
    assert dispatched() == sorted([jobs[0], other])
    assert let_batches_go(10) == 1
    assert dispatched() == sorted([jobs[0], jobs[2], other])
    for job in (jobs[0], jobs[2]):
        finished(who, job)
    assert let_batches_go(10) == 2
    assert dispatched() == sorted([jobs[3], jobs[4], other])
    assert_books_are_clean()


def test_a_job_of_a_batch_that_waits_for_another_try_keeps_its_place() -> None:
    who = account(amount=20)
    made = ordered(who, lines(who, 3), max_running=1)
    requeued(claimed(jobs_of(made.row)[0]), after_seconds=3600)
    assert let_batches_go(10) == 0
    assert dispatched() == []


def test_lines_that_were_refused_or_canceled_do_not_hold_the_others_up() -> None:
    who = account(amount=20)
    made = ordered(who, lines(who, 7, 1, 3), valid=True, max_running=1)
    jobs = jobs_of(made.row)
    assert dispatched() == jobs[:1]
    with transaction() as conn:
        batches.cancel(conn, jobs[1])
    finished(who, jobs[0])
    for _ in range(3):  # of what was canceled nothing is let go, so that the next look takes the place
        let_batches_go(10)
    assert dispatched() == [jobs[2]]
    for job in jobs[2:]:
        finished(who, job)
        let_batches_go(10)
    assert end_batches(10) == 1
    assert told()[0]["counts"] == {"queued": 0, "running": 0, "succeeded": 4, "failed": 0, "canceled": 1}
    assert_books_are_clean()


def test_a_limit_that_is_more_than_there_are_lines_holds_nothing_up() -> None:
    who = account(amount=20)
    slots(9)
    ordered(who, lines(who, 3), max_running=1000)
    assert len(dispatched()) == 3
    assert rows(f"select 1 from job_runs where wake_at = {NEVER}") == []
    assert let_batches_go(10) == 0


def test_what_waits_for_its_batch_is_not_mended_moved_by_a_clock_or_counted_as_a_retry() -> None:
    who = account(amount=20)
    ordered(who, lines(who, 3), max_running=1)
    with transaction() as conn:
        assert clock.mend_wakes(conn, 10) == 0
        shifts = clock.shifts(conn, -7200, clock.now(conn), 1, None, 10)
        clock.apply(conn, shifts)
        standing = {row.queue: row for row in queues.read_queues(conn)}["batch"]
    assert one(f"select count(*) from job_runs where wake_at = {NEVER}") == (2,)
    assert (standing.depth, standing.waiting, standing.delayed) == (1, 2, 0)


def test_two_schedulers_let_go_what_one_does() -> None:
    who = account(amount=20)
    slots(9)
    made = ordered(who, lines(who, 9), max_running=2)
    for job in jobs_of(made.row)[:2]:
        finished(who, job)
    both, done = Barrier(2), list[int]()

    def one_of_them() -> None:
        both.wait()
        done.append(let_batches_go(10))

    threads = [Thread(target=one_of_them) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(done) == 2
    assert len(dispatched()) == 2


# --- looked at ---


def test_a_batch_is_found_by_its_account_alone_and_the_newest_is_listed_first() -> None:
    who, stranger = account(amount=9), account(amount=9)
    first, second = (ordered(who, lines(who, 1)).row for _ in range(2))
    with transaction() as conn:
        assert [row.id for row in batch_rows.list_batches(conn, who)] == [second.id, first.id]
        assert [row.id for row in batch_rows.list_batches(conn, who, before=second.id)] == [first.id]
        assert batch_rows.list_batches(conn, stranger) == []
        with pytest.raises(NotFound):
            batch_rows.find(conn, stranger, first.id)


def test_the_results_of_a_batch_are_its_lines_in_their_order() -> None:
    who = account(amount=9)
    made = ordered(who, lines(who, 4, 2), valid=True)
    jobs = jobs_of(made.row)
    finished(who, jobs[0])
    finished(who, jobs[1], Ending("failed", error_code="moderated", error_message="no"))
    with transaction() as conn:
        shown = batch_rows.lines_after(conn, made.row.id, 0, 10)
        assert [row.number for row in batch_rows.lines_after(conn, made.row.id, 2, 1)] == [3]
    assert [(row.number, row.custom_id, row.job_id, row.ended, row.is_over) for row in shown] == [
        (1, "c1", jobs[0], "succeeded", True),
        (2, "c2", None, None, True),
        (3, "c3", jobs[1], "failed", True),
        (4, "c4", jobs[2], None, False),
    ]
    assert (shown[0].charged_credits, shown[2].error_code, shown[3].run_status) == (1, "moderated", "queued")
    assert shown[1].error == {"code": "invalid_request", "message": "the line is not JSON", "param": "line"}


# --- the end ---


def test_a_batch_whose_jobs_have_all_ended_is_told_of_once_with_what_became_of_them() -> None:
    who = account(amount=9)
    made = ordered(who, lines(who, 4, 4), valid=True)
    jobs = jobs_of(made.row)
    finished(who, jobs[0])
    finished(who, jobs[1], Ending("failed", error_code="moderated"))
    assert end_batches(10) == 0
    assert told() == []
    finished(who, jobs[2])
    assert end_batches(10) == 1
    assert end_batches(10) == 0
    counts = {"queued": 0, "running": 0, "succeeded": 2, "failed": 1, "canceled": 0}
    assert told() == [
        {"batch": str(made.row.id), "canceled": False, "orders": 4, "accepted": 3, "counts": counts, "credits": 2}
    ]
    row = found(made.row)
    assert (row.counts, row.charged, row.alive) == (counts, 2, 0)
    assert row.ended_at is not None
    assert_books_are_clean()


def test_two_schedulers_tell_of_an_end_once() -> None:
    who = account(amount=9)
    made = ordered(who, lines(who, 1))
    finished(who, jobs_of(made.row)[0])
    with transaction() as conn:
        (todo,) = batches.look(conn, 10)
    with transaction() as conn:
        assert batches.end(conn, who, todo.batch_id)
        assert not batches.end(conn, who, todo.batch_id)
    assert len(told()) == 1


def test_a_batch_that_is_looked_at_too_early_goes_on() -> None:
    who = account(amount=9)
    made = ordered(who, lines(who, 1))
    with transaction() as conn:
        assert not batches.end(conn, who, made.row.id)
    assert found(made.row).ended_at is None


def test_lines_that_have_ended_are_passed_over_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "MOVED_LINES", 2)
    who = account(amount=9)
    made = ordered(who, lines(who, 5, 1), valid=True)
    jobs = jobs_of(made.row)
    finished(who, jobs[1])

    def look() -> tuple[int, int]:
        with transaction() as conn:
            found = len(batches.look(conn, 10))
        return found, one("select ended_up_to from batches")[0]

    assert look() == (0, 0), "the first that lives is the second line"
    finished(who, jobs[0])
    assert look() == (0, 3)
    assert end_batches(10) == 0
    for job in jobs[2:]:
        finished(who, job)
    assert look()[0] == 1
    assert end_batches(10) == 1


# --- cancel ---


def canceled(row: BatchRow) -> list[UUID]:
    with transaction() as conn:
        return [ring.job_id for ring in batches.request_cancel(conn, row.account_id, row.id)]


@pytest.mark.parametrize("most", [None, 1, 3])
def test_a_canceled_batch_is_refunded_but_for_what_runs_and_none_of_it_begins_any_more(
    most: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "CANCELED_AT_ONCE", 2)
    who = account(amount=20)
    made = ordered(who, lines(who, 9), max_running=most)
    jobs = jobs_of(made.row)
    claim = claimed(jobs[0])
    other = placed(who, model())
    assert canceled(made.row) == []
    assert one("select count(*) from job_runs where wake_at is null and not dispatched and job_id <> %s", other) == (0,)
    assert found(made.row).counts["canceled"] == 2
    assert canceled(made.row) == [], "again changes nothing"
    assert let_batches_go(10) == 0
    turns = [int(end_batches(10)) for _ in range(5)]
    assert sum(turns) == 7, "six more that had not begun, and one that is asked to stop"
    assert turns[-1] == 0
    assert one("select job_id from job_runs where cancel_requested_at is not null") == (jobs[0],)
    assert other in dispatched(), "the slot of one that was canceled went to who else waits"
    assert balance(who) == (18, 2)
    with transaction() as conn:
        assert end(conn, who, jobs[0], Ending("succeeded", cost_credits=1), token=claim.token)
    assert end_batches(10) == 1
    assert told()[0]["canceled"]
    assert told()[0]["counts"] == {"queued": 0, "running": 0, "succeeded": 0, "failed": 0, "canceled": 9}
    assert balance(who) == (19, 1)
    assert canceled(made.row) == [], "nor does it once all is over"
    assert_books_are_clean()


def test_a_batch_that_was_canceled_since_it_was_picked_lets_nothing_go() -> None:
    who = account(amount=20)
    made = ordered(who, lines(who, 4), max_running=1)
    finished(who, jobs_of(made.row)[0])
    change("update batches set cancel_requested_at = app_now()")
    with transaction() as conn:
        assert batches.let_go(conn, who, made.row.id) == (0, [])
    assert dispatched() == []


def test_a_job_that_was_put_back_is_canceled_with_its_batch_and_not_let_in_again() -> None:
    who = account(amount=9)
    made = ordered(who, lines(who, 3))
    claim = claimed(jobs_of(made.row)[0])
    requeued(claim, after_seconds=60, attempt=None, spends_attempt=False, held_back=True)
    canceled(made.row)
    assert found(made.row).counts == {"queued": 0, "running": 0, "succeeded": 0, "failed": 0, "canceled": 3}
    assert balance(who) == (9, 0)
    assert_books_are_clean()


def test_nobody_cancels_another_accounts_batch() -> None:
    who, stranger = account(amount=9), account()
    made = ordered(who, lines(who, 1))
    with transaction() as conn, pytest.raises(NotFound):
        batches.request_cancel(conn, stranger, made.row.id)
    assert found(made.row).cancel_requested_at is None


# --- who leaves ---


def test_who_is_deleted_leaves_no_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    who, stays = account(amount=9), account(amount=9)
    ordered(who, lines(who, 4), max_running=1)
    ordered(stays, lines(stays, 2))
    monkeypatch.setattr(erasure, "MAX_LINES_OF_BATCHES", 3)
    change(
        "update users set deleted_at = app_now() - interval '1 day' where id = (select user_id from accounts where id = %s)",
        who,
    )
    (user,) = one("select user_id from accounts where id = %s", who)
    for done in (False, True):
        with transaction() as conn:
            erasure.erase_account(conn, who)
            assert erasure.confirm_erased(conn, user, who) is done
    assert rows("select account_id from batches") == [(stays,)]
    assert one("select count(*) from batch_orders") == (2,)
    assert balance(who) == (9, 0)
    assert_books_are_clean()
