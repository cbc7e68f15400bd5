"""Polls that a worker takes together: what is asked and written, and what a cancel, a loss or an end does in the middle."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch
from uuid import UUID

import pytest

from models.db import transaction
from models.jobs import cancel, polls, steps
from scheduler.duties import jobs
from tests.conftest import environment
from tests.models.hands import change
from tests.models.jobs.standing import run_of
from tests.support import account, assert_books_are_clean, claimed, eventually, model, one, placed, rows
from workers.leases import Keeper
from workers.providers.base import Outcome, OutcomeUnknown, Request
from workers.providers.sketch import Sketch
from workers.providers.sketch.book import Book
from workers.steps import polling
from workers.steps.advance import Advance
from workers.steps.polling import Poller

WAITS = {"pending": True, "ready_seconds": 1e6, "poll_after_seconds": 0.01}


@pytest.fixture
def book(database: str, tmp_path: Any) -> Iterator[Book]:
    with environment({"SKETCH_BOOK": str(tmp_path / "book.db")}):
        yield Book(tmp_path / "book.db")


@contextmanager
def poller(threads: int = 2, *, during: Callable[[Request, str], None] | None = None) -> Iterator[Poller]:
    """A poller in this process. `during`: called in the middle of each poll, before it is answered."""
    keeper = Keeper("tester", "interactive", threads)
    made = Poller(Advance(keeper), keeper, ["interactive"], threads)
    keeper.start()
    ask = Sketch.poll

    def hooked(self: Sketch, request: Request, provider_job_id: str) -> Outcome:
        if during is not None:
            during(request, provider_job_id)
        return ask(self, request, provider_job_id)

    with patch.object(Sketch, "poll", hooked):
        made.start()
        try:
            yield made
        finally:
            keeper.stopping.set()
            eventually(lambda: made.has_ended, what="the end of the poller")
            keeper.stop()


def at_the_provider(count: int, *, poll: float = 3600, **fields: Any) -> list[UUID]:
    """Jobs that sketch is at, due for their polls now; the next is `poll` seconds later."""
    who = account(amount=10_000, plan="studio")
    change("update plans set slots = 5000 where id = 'studio'")
    offer = model("waits", options={**WAITS, "poll_after_seconds": poll}, **fields)
    keeper = Keeper("beginner", "interactive", 1)
    advance = Advance(keeper)
    found = [placed(who, offer) for _ in range(count)]
    for each in found:
        advance(each)
    change("update job_runs set wake_at = app_now()")
    return found


def asked(book: Book) -> dict[str | None, int]:
    told = [call.provider_job_id for call in book.calls("poll")]
    return {each: told.count(each) for each in told}


def test_polls_that_change_nothing_cost_a_bounded_number_of_statements_and_touch_no_attempt(book: Book) -> None:
    count, statements = 200, []
    ids = at_the_provider(count)
    before = rows("select job_id, xmin::text from attempts order by 1")
    lease, write = polls.lease, polls.write_waits

    def leased(*values: Any) -> Any:
        statements.append("lease")
        return lease(*values)

    def written(*values: Any) -> Any:
        statements.append("write")
        return write(*values)

    with patch.object(polls, "lease", leased), patch.object(polls, "write_waits", written), poller(8):
        eventually(
            lambda: one("select count(*) from job_runs where wake_at > app_now() + interval '5 minutes'") == (count,),
            what="all polls",
        )
    assert asked(book) == {f"sketch-{each}:1": 1 for each in ids}, "each was asked about once"
    assert rows("select job_id, xmin::text from attempts order by 1") == before
    assert rows("select distinct token, lease_owner, rings from job_runs") == [(2, None, 0)]
    assert statements.count("write") <= 40, "one for many"


def test_a_result_that_a_poll_brings_is_collected_under_the_same_claim(book: Book) -> None:
    ids = at_the_provider(3)
    with book._open() as connection:
        connection.execute("update generations set ready_at = 0 where idempotency_key = ?", [f"{ids[0]}:1"])
    with poller():
        eventually(lambda: one("select ended from jobs where id = %s", ids[0]) == ("succeeded",), what="its end")
        eventually(lambda: rows("select 1 from job_runs where lease_owner is not null") == [], what="the others")
    assert sorted(asked(book).values()) == [1, 1, 1]
    assert one("select token from attempts where job_id = %s", ids[0]) == (1,)
    assert_books_are_clean()


def test_a_cancel_in_the_middle_of_a_group_is_carried_out_and_the_others_wait_on(book: Book) -> None:
    ids = at_the_provider(5)
    victim = ids[2]

    def during(_request: Request, provider_job_id: str) -> None:
        if provider_job_id == f"sketch-{victim}:1":
            with transaction() as conn:
                assert cancel.cancel(conn, victim).ended is False

    with poller(during=during) as made:
        eventually(lambda: len(asked(book)) == len(ids), what="all polls")
        eventually(lambda: rows("select 1 from job_runs where lease_owner is not null") == [], what="all answers")
        assert run_of(victim, "cancel_requested_at is not null and wake_at <= app_now()") == (True,), "it is due"
        assert made.dead == []
    assert jobs.ring_due(10) == 1
    keeper = Keeper("ender", "interactive", 1)
    Advance(keeper)(victim)
    assert rows("select id, ended from jobs where ended is not null") == [(victim, "canceled")]
    assert [call.kind for call in book.calls("cancel")] == ["cancel"]
    assert_books_are_clean()


def test_a_lease_that_is_lost_in_a_group_leaves_its_job_to_whoever_has_it(book: Book) -> None:
    ids = at_the_provider(4)
    victim = ids[1]

    def during(_request: Request, provider_job_id: str) -> None:
        if provider_job_id == f"sketch-{victim}:1" and run_of(victim, "lease_owner")[0] != "another":
            change("update job_runs set wake_at = app_now() - interval '1 minute' where job_id = %s", victim)
            [token] = run_of(victim, "token")
            with transaction() as conn:
                assert steps.rescue(conn, victim, token) is not None
            claimed(victim, "another")

    with poller(during=during):
        eventually(
            lambda: rows("select job_id from job_runs where lease_owner is not null") == [(victim,)], what="the others"
        )
    assert run_of(victim, "lease_owner", "token", "rescues") == ("another", 4, 0)
    assert sorted(asked(book).values()) == [1, 1, 1, 1]


def test_what_was_leased_and_not_asked_about_is_let_go_when_the_worker_stops(book: Book) -> None:
    ids = at_the_provider(12)
    keeper = Keeper("tester", "interactive", 1)
    made = Poller(Advance(keeper), keeper, ["interactive"], 1)

    def during(_self: Sketch, _request: Request, provider_job_id: str) -> Outcome:
        keeper.stopping.set()
        raise OutcomeUnknown(provider_job_id)

    with patch.object(Sketch, "poll", during):
        made.start()
        eventually(lambda: made.has_ended, what="the end of the poller")
    assert rows("select 1 from job_runs where lease_owner is not null") == []
    assert len(rows("select 1 from job_runs where wake_at <= app_now()")) >= len(ids) - 1
    assert one("select max(rescues) from job_runs") == (0,)


def test_a_lease_whose_answer_is_lost_is_given_back(book: Book) -> None:
    [job_id] = at_the_provider(1)
    lease, lost = polls.lease, []

    def leased(conn: Any, *values: Any) -> Any:
        claims = lease(conn, *values)
        if claims and not lost:
            lost.extend(claims)
            raise ConnectionError("the answer was lost")
        return claims

    with environment({"LEASE_SECONDS": "2"}), patch.object(polls, "lease", leased), poller():
        eventually(lambda: asked(book) == {f"sketch-{job_id}:1": 1}, what="the poll, by another lease")
    assert len(lost) == 1
    assert run_of(job_id, "rescues") == (0,)


def test_a_job_of_another_queue_is_left_to_workers_that_serve_it(book: Book) -> None:
    [other] = at_the_provider(1, queue="batch")
    offer = model("ours", options={**WAITS, "poll_after_seconds": 3600})
    ours = placed(account(amount=1), offer)
    Advance(Keeper("beginner", "interactive", 1))(ours)
    change("update job_runs set wake_at = app_now()")
    with poller():
        eventually(lambda: f"sketch-{ours}:1" in asked(book), what="a poll of ours")
    assert set(asked(book)) == {f"sketch-{ours}:1"}
    assert run_of(other, "token") == (1,)


def test_polls_held_at_once_are_bounded(book: Book) -> None:
    at_the_provider(2 * polling.AT_ONCE)
    most: list[int] = []

    def during(_request: Request, _provider_job_id: str) -> None:
        most.append(one("select count(*) from job_runs where lease_owner is not null")[0])

    with poller(1, during=during):
        eventually(lambda: len(most) == 2 * polling.AT_ONCE, what="all polls")
    assert max(most) <= polling.AT_ONCE
