"""Holds without a job: set aside once, spent in parts, given back, ended by themselves; and nobody gets more than there is."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from common.errors import (
    AccountBlocked,
    BudgetExceeded,
    DomainError,
    HoldEnded,
    IdempotencyMismatch,
    InvalidInput,
    NotEnoughCredits,
    NotFound,
)
from models.access import api_keys
from models.access.scopes import Caller
from models.credits import hold_rows, holds, revoking
from models.credits.hold_rows import HoldRow, NewHold
from models.db import transaction
from models.identity import erasure
from models.jobs.admission import Accepted
from scheduler.duties import accounts
from tests.models.credits.test_terms import give, left
from tests.models.hands import change
from tests.support import account, assert_books_are_clean, balance, caller, model, one, order, place, rows

AT_ONCE = 8  # as many as the pool has connections for

pytestmark = pytest.mark.usefixtures("database")


def held(who: UUID, amount: int, *, hours: float = 1, by: Caller | None = None, **more: Any) -> HoldRow:
    by = by or caller(who)
    with transaction() as conn:
        return holds.create(conn, by, NewHold(amount, round(hours * 3600), **more))


def settled(row: HoldRow, amount: int, **more: Any) -> HoldRow:
    with transaction() as conn:
        return holds.settle(conn, row.account_id, row.id, amount, **more)


def released(row: HoldRow, amount: int | None = None) -> HoldRow:
    with transaction() as conn:
        return holds.release(conn, row.account_id, row.id, amount)


def test_a_hold_is_reserved_settled_in_parts_and_the_rest_goes_back() -> None:
    who = account(amount=100)
    row = held(who, 40)
    assert (balance(who), row.held, row.ended) == ((60, 40), 40, None)
    assert settled(row, 15).held == 25
    assert balance(who) == (60, 25)
    assert settled(row, 5).settled == 20
    done = released(row)
    assert (done.settled, done.released, done.ended, balance(who)) == (20, 20, "released", (80, 0))
    assert rows("select kind, amount from ledger_entries where hold_id = %s order by id", row.id) == [
        ("reserve", 40), ("settle", 15), ("settle", 5), ("refund", 20),
    ]  # fmt: skip
    said = rows("select type, (data->>'moved')::int from events where type like 'hold.%%' order by number")
    assert said == [("hold.created", None), ("hold.settled", 15), ("hold.settled", 5), ("hold.released", 20)]
    assert_books_are_clean()


def test_settling_all_of_it_ends_it_and_one_call_can_give_the_rest_back() -> None:
    who = account(amount=30)
    first, second = held(who, 10), held(who, 20)
    assert settled(first, 10).ended == "settled"
    assert settled(second, 7, release_rest=True).ended == "released"
    assert balance(who) == (13, 0)
    for row in (first, second):
        for act in (lambda row=row: settled(row, 1), lambda row=row: released(row)):
            with pytest.raises(HoldEnded):
                act()
    assert_books_are_clean()


@pytest.mark.parametrize(
    "act", [lambda row: settled(row, 11), lambda row: released(row, 11)], ids=["settle", "release"]
)
def test_more_than_is_held_is_refused_and_nothing_moves(act: Callable[[HoldRow], Any]) -> None:
    who = account(amount=10)
    row = held(who, 10)
    with pytest.raises(InvalidInput, match="10 of the 10"):
        act(row)
    assert balance(who) == (0, 10)
    assert_books_are_clean()


def test_what_is_not_there_or_another_accounts_is_not_found() -> None:
    who, stranger = account(amount=10), account(amount=10)
    row = held(who, 5)
    for theirs in (row._replace(account_id=stranger), row._replace(id=uuid7())):
        for act in (lambda each=theirs: settled(each, 1), lambda each=theirs: released(each)):
            with pytest.raises(NotFound):
                act()
    assert balance(who) == (5, 5)


def test_a_reference_names_one_hold() -> None:
    who, other = account(amount=10), account(amount=10)
    row = held(who, 4, reference="video-7", labels={"customer": "acme"})
    assert held(who, 4, reference="video-7", labels={"customer": "acme"}) == row
    assert balance(who) == (6, 4)
    assert held(other, 4, reference="video-7").id != row.id
    with pytest.raises(IdempotencyMismatch):
        held(who, 5, reference="video-7", labels={"customer": "acme"})
    released(row)
    assert held(who, 4, reference="video-7", labels={"customer": "acme"}).ended == "released"


def test_who_owes_or_has_not_enough_holds_nothing_and_is_told_the_figures() -> None:
    who = account(amount=5)
    give(who, 9, "films", kinds=("video",))
    with pytest.raises(NotEnoughCredits) as refused:
        held(who, 6)
    assert refused.value.extra == {"needed": 6, "available": 5, "for_other_models": 9}
    assert held(who, 6, kind="video").amount == 6
    assert left(who) == {"test": 0, "films": 8}
    change("update accounts set debt = 1 where id = %s", who)
    with pytest.raises(AccountBlocked):
        held(who, 1)
    change("update accounts set debt = 0 where id = %s", who)
    assert_books_are_clean()


def test_a_keys_budget_counts_what_it_holds_and_not_what_comes_back() -> None:
    who = account(amount=100)
    with transaction() as conn:
        key = api_keys.create(conn, who, api_keys.NewKey("k", monthly_credits=10))[0]
    by = caller(who, key=key, budget=10)
    row = held(who, 8, by=by)
    with pytest.raises(BudgetExceeded):
        held(who, 3, by=by)
    settled(row, 2, release_rest=True)
    assert one("select credits from key_spending where key_id = %s", key) == (2,)
    assert held(who, 8, by=by).amount == 8
    assert_books_are_clean()


def test_a_hold_ends_by_itself_once_and_an_extended_one_lives_on() -> None:
    who = account(amount=20)
    short, long = held(who, 5), held(who, 6)
    settled(short, 2)
    with transaction() as conn:
        holds.extend(conn, who, long.id, 7200)
        assert holds.extend(conn, who, long.id, 60).expires_at > short.expires_at, "no sooner than it would have"
    assert accounts.expire_holds(100) == 0
    change("update holds set expires_at = app_now() where id = %s", short.id)
    assert accounts.expire_holds(100) == 1
    assert accounts.expire_holds(100) == 0
    with transaction() as conn:
        row = hold_rows.find(conn, short.id, account_id=who)
    assert (row.ended, row.settled, row.released, balance(who)) == ("expired", 2, 3, (12, 6))
    assert rows("select type from events where type = 'hold.expired'") == [("hold.expired",)]
    with pytest.raises(HoldEnded):
        settled(short, 1)
    assert_books_are_clean()


def test_a_hold_that_was_extended_meanwhile_does_not_expire() -> None:
    row = held(account(amount=5), 5)
    with transaction() as conn:
        assert not holds.expire(conn, row.id)
    change("update holds set expires_at = app_now()")
    with transaction() as conn:
        assert holds.expire(conn, row.id)


def test_what_comes_back_to_a_grant_that_has_expired_has_one_time_of_grace() -> None:
    who = account()
    give(who, 10, "short", hours=1)
    row = held(who, 4)
    change("update grants set expires_at = app_now() - interval '1 minute'")
    released(row)
    assert balance(who) == (4, 0)
    assert one("select remaining, expires_at > app_now() + interval '23 h' from grants") == (4, True)
    assert_books_are_clean()


@pytest.mark.parametrize("back", [0, 3, 7])
def test_what_was_taken_back_meanwhile_becomes_debt_where_it_is_spent_and_is_gone_where_it_returns(back: int) -> None:
    who = account()
    grant = give(who, 10, "paid")
    row = held(who, 7)
    with transaction() as conn:
        assert revoking.revoke(conn, grant) == 0
    assert balance(who) == (0, 7)
    if back < 7:
        settled(row, 7 - back)
    if back:
        released(row)
    assert balance(who) == (0, 0)
    assert one("select debt from accounts where id = %s", who) == (7 - back,)
    assert_books_are_clean()


def test_part_of_a_grant_that_a_hold_has_is_owed_at_once() -> None:
    who = account()
    grant = give(who, 10, "paid")
    row = held(who, 7)
    with transaction() as conn:
        assert revoking.take_back(conn, grant, 8) == 5
    released(row)
    assert balance(who) == (7, 0)
    assert one("select debt from accounts where id = %s", who) == (5,)
    assert_books_are_clean()


def test_a_user_who_leaves_holds_nothing_some_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erasure, "MAX_HOLDS", 2)
    who = account(amount=9)
    for _ in range(3):
        held(who, 3)
    change("update users set deleted_at = app_now() - interval '1 day'")
    (user,) = one("select user_id from accounts where id = %s", who)
    with transaction() as conn:
        erasure.erase_account(conn, who)
        assert not erasure.confirm_erased(conn, user, who), "one is held yet"
    assert balance(who) == (6, 3)
    with transaction() as conn:
        erasure.erase_account(conn, who)
        assert erasure.confirm_erased(conn, user, who)
    assert balance(who) == (9, 0)
    assert_books_are_clean()


def at_once(*acts: Callable[[], Any]) -> list[Any]:
    """What each of these came to, all begun together: its result, or its refusal."""
    start = threading.Barrier(min(len(acts), AT_ONCE))

    def run(number: int, act: Callable[[], Any]) -> Any:
        if number < AT_ONCE:
            start.wait()
        try:
            return act()
        except DomainError as refused:
            return refused

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(run, range(len(acts)), acts))


def test_of_64_holds_at_once_only_as_many_as_there_are_credits_are_had() -> None:
    who = account(amount=10)
    found = at_once(*[lambda: held(who, 1) for _ in range(64)])
    assert sum(isinstance(each, HoldRow) for each in found) == 10
    assert [each for each in found if not isinstance(each, HoldRow | NotEnoughCredits)] == []
    assert balance(who) == (0, 10)
    assert_books_are_clean()


def test_one_reference_asked_for_by_many_at_once_is_one_hold() -> None:
    who = account(amount=100)
    found = at_once(*[lambda: held(who, 7, reference="same") for _ in range(12)])
    assert {each.id for each in found} == {found[0].id}
    assert balance(who) == (93, 7)
    assert_books_are_clean()


@pytest.mark.parametrize("attempt", range(5))
def test_settle_release_and_expiry_of_one_hold_move_each_credit_once(attempt: int) -> None:
    who = account(amount=10)
    row = held(who, 10)
    change("update holds set expires_at = app_now() + interval '20 ms'")
    at_once(
        *[lambda: settled(row, 3) for _ in range(3)], lambda: released(row, 2), lambda: released(row),
        lambda: accounts.expire_holds(10), lambda: accounts.expire_holds(10),
    )  # fmt: skip
    with transaction() as conn:
        conn.execute("update holds set expires_at = app_now() where ended is null")
    accounts.expire_holds(10)
    with transaction() as conn:
        done = hold_rows.find(conn, row.id, account_id=who)
    assert done.settled + done.released == 10
    assert balance(who) == (10 - done.settled, 0)
    assert_books_are_clean()
    del attempt


@pytest.mark.parametrize("attempt", range(5))
def test_a_hold_and_a_job_for_the_last_credit(attempt: int) -> None:
    who, offer = account(amount=1), model()
    found = at_once(lambda: held(who, 1), lambda: place(order(who, offer))[0])
    assert sum(isinstance(each, HoldRow | Accepted) for each in found) == 1
    assert balance(who) == (0, 1)
    assert_books_are_clean()
    del attempt


def test_holds_are_listed_newest_first_by_what_is_asked_for() -> None:
    who = account(amount=100)
    first, second = (
        held(who, 1, reference="a", labels={"customer": "acme", "team": "x"}),
        held(who, 2, labels={"customer": "b"}),
    )
    third = released(held(who, 3))
    held(account(amount=5), 1)
    with transaction() as conn:

        def listed(**wanted: Any) -> list[UUID]:
            return [each.id for each in hold_rows.list_holds(conn, who, **wanted)]

        assert listed() == [third.id, second.id, first.id]
        assert listed(is_open=True) == [second.id, first.id]
        assert listed(is_open=False) == [third.id]
        assert listed(label={"customer": "acme"}) == [first.id]
        assert listed(reference="a") == [first.id]
        assert listed(before=second.id) == [first.id]
        assert listed(limit=1) == [third.id]
