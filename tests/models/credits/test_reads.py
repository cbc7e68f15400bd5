"""Reads of credits: balances, grants and ledger entries, as clients and operators are shown them."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from models.credits import ledger, reads
from models.credits.reads import GrantPlace
from models.db import transaction
from tests.models.hands import change, later
from tests.support import account, assert_books_are_clean, model, one, placed, rows

pytestmark = pytest.mark.usefixtures("database")


def given(who: UUID, amount: int, ref: str, hours: float | None = None) -> UUID | None:
    ends = None if hours is None else datetime.now(UTC) + timedelta(hours=hours)
    with transaction() as conn:
        return ledger.grant(conn, who, kind="gift", amount=amount, ref=ref, expires_at=ends)


def available(who: UUID) -> int:
    with transaction() as conn:
        return reads.expire_and_read_balance(conn, who).available


def test_a_balance_is_what_can_be_spent_and_what_has_lapsed_is_expired_by_the_look() -> None:
    who = account()
    given(who, 5, "soon", 1)
    given(who, 3, "never")
    assert available(who) == 8
    with later(2):
        assert available(who) == 3
        assert rows("select kind, amount from ledger_entries where kind = 'expire'") == [("expire", 5)]
        assert available(who) == 3
        assert one("select count(*) from ledger_entries where kind = 'expire'") == (1,)
        assert_books_are_clean()


def test_a_look_at_a_balance_waits_for_nobody_and_still_counts_nothing_that_has_lapsed() -> None:
    who = account()
    given(who, 5, "soon", 1)
    given(who, 3, "never")
    with later(2):
        with transaction() as other:
            other.execute("select 1 from accounts where id = %s for no key update", [who])
            assert available(who) == 3
        assert rows("select 1 from ledger_entries where kind = 'expire'") == []


def test_a_balance_says_what_is_held_and_what_the_plan_gives() -> None:
    who = account(amount=9, plan="starter")
    placed(who, model(price={"credits": 4}))
    change("update accounts set storage_bytes = 77 where id = %s", who)
    with transaction() as conn:
        found = reads.expire_and_read_balance(conn, who)
    assert found[:5] == (5, 4, 0, "starter", 77)
    assert (found.slots, found.slots_in_use) == (3, 1)
    assert found.storage_quota_bytes == 10_000_000_000


def test_balances_of_many_accounts_come_in_the_order_asked_for_each_time_it_was_asked() -> None:
    rich, poor = account(amount=9), account(amount=1)
    with transaction() as conn:
        found = reads.balances(conn, [rich, poor, rich])
        assert reads.balances(conn, []) == []
    assert [each["available"] for each in found] == [9, 1, 9]
    found[0]["available"] = 0
    assert found[2]["available"] == 9, "each answer is its own"


def grants(who: UUID, after: GrantPlace | None = None, limit: int = 9) -> list[dict[str, Any]]:
    with transaction() as conn:
        return reads.open_grants(conn, who, after=after, limit=limit)


def test_grants_that_can_be_used_are_listed_in_the_order_of_use() -> None:
    who = account()
    never, late, soon = given(who, 1, "never"), given(who, 2, "late", 48), given(who, 3, "soon", 24)
    given(who, 4, "past", -1)
    given(account(), 5, "another's")
    assert [each["id"] for each in grants(who)] == [soon, late, never]
    assert grants(uuid4()) == []


def test_grants_are_read_page_by_page_though_some_end_at_once_and_some_never() -> None:
    who = account()
    for number in range(2):
        given(who, 1, f"late {number}", 48)
        given(who, 1, f"never {number}")
        given(who, 1, f"soon {number}", 24)
    change("update grants set expires_at = date_trunc('day', expires_at) where account_id = %s", who)
    whole = grants(who)
    assert [each["expires_at"] is None for each in whole] == [False] * 4 + [True] * 2
    for number, each in enumerate(whole):
        assert grants(who, GrantPlace(0, each["expires_at"], each["id"]), 2) == whole[number + 1 : number + 3]


def test_the_ledger_is_read_newest_first_page_by_page() -> None:
    who = account()
    for number in range(1, 5):
        given(who, number, str(number))
    given(account(), 9, "another's")
    with transaction() as conn:
        first = reads.ledger_page(conn, who, before=None, limit=3)
        assert [each["amount"] for each in first] == [4, 3, 2]
        assert [each["amount"] for each in reads.ledger_page(conn, who, before=first[-1]["id"], limit=3)] == [1]
        assert reads.ledger_page(conn, who, before=0, limit=3) == []
        assert reads.ledger_page(conn, uuid4(), before=None, limit=3) == []
    assert (first[0]["kind"], first[0]["from_bucket"], first[0]["to_bucket"]) == ("grant", "issued", "available")
    assert first[0]["available_after"] == 10
