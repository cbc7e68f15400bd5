"""Ends that come together are one transaction, and whatever befalls one of them, or all, each job ends as it would have alone."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from queue import PriorityQueue
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch
from uuid import UUID

import psycopg
import pytest
from uuid_utils.compat import uuid7

from common.settings import settings
from models.credits import revoking
from models.db import CommitUnknown, single, transaction
from models.jobs import cancel, ending, steps
from models.jobs.ending import AttemptEnd, Ended, Ending, NewAsset
from models.jobs.facts import FactResult
from models.jobs.states import AttemptPhase, JobEnd
from models.jobs.steps import Claim
from tests.models.hands import change
from tests.support import account, assert_books_are_clean, balance, claimed, eventually, model, one, placed, rows
from workers import main
from workers.calls.call import Asking
from workers.leases import Hold, Keeper
from workers.steps import ender
from workers.steps.ender import Ender, HandedEnd
from workers.steps.records import Records

pytestmark = pytest.mark.usefixtures("database")

PRICE = 3


class House:
    """A worker's keeper and records, and the ends that were handed over, which are written when the test says so."""

    def __init__(self) -> None:
        self.keeper = Keeper("tester", "interactive", 8)
        self.records = Records(Asking(lambda: 0.5), self.keeper, lambda: 0.5)
        self.facts: list[UUID] = []

    @property
    def ender(self) -> Ender:
        return self.records.ender

    def hand(self, claim: Claim, ending_: Ending | None = None) -> Hold:
        """End a job as its step would, while another end is under way."""
        with (
            self.keeper.held(self.keeper.take(claim)) as hold,
            patch.object(self.ender, "_under_way", 1),
            patch.object(self.ender, "_start"),
        ):
            self.records.end(hold, ending_ or succeeded(claim), lambda: self._fact(claim.job_id))
        return hold

    def write(self) -> None:
        """Write what was handed over, in one group, and wait for what is done apart from it."""
        group = [self.ender._waiting.popleft() for _ in range(len(self.ender._waiting))]
        self.ender._write_together(group)
        eventually(lambda: not self.ender.busy(), what="ends in lanes of their own")
        assert self.keeper.busy() == 0  # every hold is let go of

    def _fact(self, job_id: UUID) -> FactResult:
        self.facts.append(job_id)
        return FactResult.OLD


def succeeded(claim: Claim, cost: int = PRICE) -> Ending:
    assert claim.live is not None
    asset = NewAsset(uuid7(), 0, f"results/{claim.job_id}", "image/png", 10, b"x" * 32)
    attempt = AttemptEnd(claim.live.number, AttemptPhase.DONE, charged=True, cost_usd_micros=5)
    return Ending(JobEnd.SUCCEEDED, cost_credits=cost, assets=[asset], attempt=attempt)


def running(count: int, who: UUID | None = None) -> list[Claim]:
    """Claims of so many jobs, each of an account of its own unless it is said whose."""
    offer = model(price={"credits": PRICE})
    return [claimed(placed(who or account(amount=10, plan="enterprise"), offer)) for _ in range(count)]


def outcomes(*claims: Claim) -> list[str]:
    found = dict(rows("select id, ended from jobs"))
    return [found[claim.job_id] for claim in claims]


def test_ends_of_many_accounts_and_of_one_are_one_transaction() -> None:
    house, who = House(), account(amount=90, plan="enterprise")
    claims = [*running(3), *running(5, who), *running(2)]
    for number, claim in enumerate(claims):
        house.hand(claim, succeeded(claim, cost=PRICE - number % 2))  # partly refunded
    assert house.keeper.busy() == len(claims)  # their leases are kept
    with patch.object(house.records, "end_alone", lambda _handed: pytest.fail("it was written alone")):
        house.write()
    assert outcomes(*claims) == ["succeeded"] * 10
    assert one("select count(distinct xmin::text) from jobs") == (1,)
    told = rows("select number, type from events where account_id = %s order by number", who)
    assert [number for number, _ in told] == list(range(1, len(told) + 1))
    assert [kind for _, kind in told[-4:]] == ["job.output", "job.succeeded"] * 2
    assert house.facts == []
    assert_books_are_clean()


def test_an_end_that_comes_alone_is_written_by_its_own_thread() -> None:
    house = House()
    for claim in running(3):
        with house.keeper.held(house.keeper.take(claim)) as hold:
            house.records.end(hold, succeeded(claim))
        assert outcomes(claim) == ["succeeded"]
    assert house.ender._thread is None


def test_a_slot_that_an_end_among_others_frees_is_given_to_the_next_in_line() -> None:
    house, who, offer = House(), account(amount=50), model(price={"credits": PRICE})
    change("update plans set slots = 2")
    jobs = [placed(who, offer) for _ in range(4)]
    for job_id in jobs[:2]:
        house.hand(claimed(job_id))
    with patch("workers.steps.records.ring") as rung:
        house.write()
    assert rung.call_count == 1
    assert {each.job_id for each in rung.call_args.args[0]} == set(jobs[2:])
    assert_books_are_clean()


def test_in_a_group_of_64_each_ends_as_it_would_alone() -> None:
    house = House()
    claims = running(64)
    stale, canceled, revoked, locked, lapsed, failed = (
        claims[5],
        claims[9],
        claims[20],
        claims[33],
        claims[40],
        claims[50],
    )
    change("update job_runs set token = token + 1, lease_owner = null where job_id = %s", stale.job_id)
    with transaction() as conn:
        cancel.cancel(conn, canceled.job_id)
        grant = conn.execute("select id from grants where account_id = %s", [revoked.account_id]).fetchone()
        assert grant is not None
        revoking.revoke(conn, grant[0])
    change("update grants set expires_at = app_now() - interval '1 second' where account_id = %s", lapsed.account_id)
    for claim in claims:
        end = Ending(JobEnd.FAILED, error_code="broken", error_message="it broke") if claim is failed else None
        house.hand(claim, end)
    with psycopg.connect(settings().database_url) as other:
        other.execute("select 1 from accounts where id = %s for update", [locked.account_id])
        group = [house.ender._waiting.popleft() for _ in range(64)]
        house.ender._write_together(group)
        others = [claim for claim in claims if claim not in (stale, canceled, revoked, locked, lapsed, failed)]
        assert outcomes(*others) == ["succeeded"] * len(others)  # nobody waited for the account that is locked
        assert outcomes(locked) == [None]
    house.write()
    assert outcomes(stale, canceled, revoked, locked, lapsed, failed) == [
        None, "canceled", "succeeded", "succeeded", "succeeded", "failed",
    ]  # fmt: skip
    assert house.facts == [stale.job_id]  # what its end rested on is known all the same
    assert balance(failed.account_id) == (10, 0)
    assert one("select debt from accounts where id = %s", revoked.account_id) == (PRICE,)
    assert_books_are_clean()


@contextmanager
def cut(*, after_the_commit: bool) -> Iterator[None]:
    """The answer to what is written together is lost."""

    @contextmanager
    def lossy(**how: Any) -> Iterator[Any]:
        with single(**how) as conn:
            if not after_the_commit:
                raise CommitUnknown("the connection was lost")
            yield conn
        raise CommitUnknown("the connection was lost")

    with patch.object(ender, "single", lossy):
        yield


@pytest.mark.parametrize("after", [True, False], ids=["after the commit", "before it"])
def test_where_the_answer_is_lost_each_job_is_read_again_and_no_result_is_thrown_away(after: bool) -> None:
    house, claims = House(), running(4)
    with transaction() as conn:
        cancel.cancel(conn, claims[3].job_id)
    for claim in claims:
        house.hand(claim)
    with cut(after_the_commit=after):
        house.write()
    assert outcomes(*claims) == ["succeeded"] * 3 + ["canceled"]
    assert one("select count(*) from assets where status = 'stored'") == (3,)
    assert set(house.facts) <= {claims[3].job_id}
    assert one("select count(*) from ledger_entries where kind = 'settle'") == (3,)
    assert_books_are_clean()


def test_who_came_first_is_asked_where_the_answer_is_lost() -> None:
    house, (claim,) = House(), running(1)
    house.hand(claim)
    with transaction() as conn:
        ending.end(conn, claim.account_id, claim.job_id, Ending(JobEnd.CANCELED), token=None)
    with cut(after_the_commit=True):
        house.write()
    assert outcomes(claim) == ["canceled"]
    assert house.facts == [claim.job_id]


def test_what_cannot_be_written_is_written_down_as_a_fact_and_decided_again() -> None:
    house, claims = House(), running(3)
    for claim in claims:
        house.hand(claim)
    with patch.object(ender, "_written", lambda group: [ender.Unavailable("it is away")] * len(group)):
        house.write()
    assert sorted(house.facts) == sorted(claim.job_id for claim in claims)
    assert outcomes(*claims) == [None] * 3
    assert rows("select lease_owner, status from job_runs") == [(None, "running")] * 3
    assert_books_are_clean()


def test_one_end_that_the_database_refuses_does_not_harm_the_others() -> None:
    house, claims = House(), running(3)
    twice = succeeded(claims[1])
    house.hand(claims[0])
    house.hand(claims[1], Ending(JobEnd.SUCCEEDED, PRICE, assets=[*twice.assets, *twice.assets], attempt=twice.attempt))
    house.hand(claims[2])
    house.write()
    assert outcomes(*claims) == ["succeeded", None, "succeeded"]
    assert house.facts == [claims[1].job_id]
    assert_books_are_clean()


def test_a_fault_of_ours_after_the_ends_lets_every_job_go() -> None:
    house, claims = House(), running(3)
    for claim in claims[:2]:
        change("update job_runs set token = token + 1 where job_id = %s", claim.job_id)
    for claim in claims:
        house.hand(claim)
    with patch.object(house, "_fact", side_effect=ZeroDivisionError):
        house.write()
    assert outcomes(*claims) == [None, None, "succeeded"]


def test_two_claims_of_one_job_in_one_group_end_it_once() -> None:
    house, (first,) = House(), running(1)
    change("update job_runs set lease_owner = null, wake_at = app_now() where job_id = %s", first.job_id)
    second = claimed(first.job_id)
    for claim in (first, second):
        house.hand(claim, succeeded(second))
    house.write()
    assert outcomes(first) == ["succeeded"]
    assert house.facts == [first.job_id]
    assert_books_are_clean()


def test_where_too_many_wait_a_thread_writes_its_own() -> None:
    house = House()
    first, second = running(2)
    with patch.object(ender, "MAX_WAITING", 1):
        house.hand(first)
        house.hand(second)
    assert outcomes(first, second) == [None, "succeeded"]
    house.write()
    assert outcomes(first) == ["succeeded"]


def test_ends_under_fire_from_leases_and_cancels_meet_no_deadlock() -> None:
    """Groups lock many runs, and so does the keeper that extends their leases: both in one order."""
    house, offer = House(), model(price={"credits": PRICE})
    accounts = [account(amount=10) for _ in range(40)]
    claims = [claimed(placed(who, offer)) for who in accounts[::-1]]  # jobs and accounts have different orders
    leases = [(claim.job_id, claim.token, claim.owner) for claim in claims]
    done = threading.Event()
    troubles: list[Exception] = []

    def disturb(write: Callable[[Any], object]) -> None:
        while not done.is_set():
            try:
                with transaction() as conn:
                    write(conn)
            except Exception as error:  # noqa: BLE001 - the test says so
                troubles.append(error)

    with ExitStack() as stack:
        threads = [threading.Thread(target=disturb, args=(write,)) for write in (
            lambda conn: steps.extend(conn, leases), lambda conn: steps.extend(conn, leases[::-1]),
            lambda conn: steps.claim_many(conn, [each[0] for each in leases], "nobody"),
        )]  # fmt: skip
        stack.callback(lambda: [thread.join() for thread in threads])
        stack.callback(done.set)
        for thread in threads:
            thread.start()
        with patch.object(house.records, "end_alone", lambda _handed: pytest.fail("a group failed")):
            for begin in range(0, 40, 8):
                for claim in claims[begin : begin + 8][::-1]:
                    house.hand(claim)
                house.write()
    assert troubles == []
    assert outcomes(*claims) == ["succeeded"] * 40
    assert_books_are_clean()


def test_what_each_end_did_is_told_in_the_order_in_which_they_were_given() -> None:
    claims = running(6)
    change("update job_runs set token = token + 1 where job_id = %s", claims[2].job_id)
    ends = [ending.ClaimedEnd(c.account_id, c.job_id, succeeded(c), c.token, "refund") for c in claims]
    with single() as conn:
        told_of = ending.end_together(conn, ends)
    assert [isinstance(each, Ended) for each in told_of] == [True, True, False, True, True, True]
    assert told_of[2] is None


@pytest.mark.parametrize("way", ["stop", "drain"])
def test_a_worker_that_stops_waits_for_ends_that_were_handed_over(way: str) -> None:
    """Though its threads and its poller have nothing to do any more."""
    house, (claim,) = House(), running(1)
    house.hand(claim)
    step = SimpleNamespace(busy=house.ender.busy, give_back_ahead=lambda: None)
    worker = SimpleNamespace(workers=[], consumers={}, work_queue=PriorityQueue(), stop=lambda timeout: None)
    poller = SimpleNamespace(has_ended=True)
    if way == "stop":
        waiting = threading.Thread(target=main.stop, args=(worker, house.keeper, step, poller))
    else:
        waiting = threading.Thread(target=main.drain, args=(worker, step, poller, threading.Event()))
    waiting.start()
    waiting.join(0.5)
    assert waiting.is_alive()
    house.write()
    waiting.join(10)
    assert not waiting.is_alive()
    assert outcomes(claim) == ["succeeded"]


def test_a_thread_writes_what_is_handed_over() -> None:
    house, claims = House(), running(12)
    with patch.object(house.ender, "_under_way", 1):
        for claim in claims:
            with house.keeper.held(house.keeper.take(claim)) as hold:
                house.ender.end(HandedEnd(hold, succeeded(claim), None))
        eventually(lambda: house.keeper.busy() == 0, what="the ends")
    assert outcomes(*claims) == ["succeeded"] * 12
    assert_books_are_clean()
