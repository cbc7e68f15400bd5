"""Admission: what becomes of an order, by what its account, its key and its model have left. No database is asked."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from common.errors import (
    AccountBlocked,
    BudgetExceeded,
    DailyLimitReached,
    IdempotencyMismatch,
    NotAuthenticated,
    NotEnoughCredits,
    StorageQuotaExceeded,
)
from models.access.budgets import Budgets
from models.catalogue.entries import Entry, Offer
from models.catalogue.prices import PriceRule
from models.credits.ledger import Fund
from models.jobs.admission import (
    EXPECTED_BYTES,
    Accepted,
    AccountState,
    Answer,
    Counts,
    Locked,
    Order,
    Writes,
    body_hash,
    decide,
)
from tests.conftest import environment
from tests.support import SCHEMA

NOW = datetime(2031, 3, 1, tzinfo=UTC)
WHO, KEY, LINE = UUID(int=1), UUID(int=2), UUID(int=3)
IMAGE = EXPECTED_BYTES["image"]


def offer(name: str = "test-model", costs: int = 4, **fields: Any) -> Offer:
    price = PriceRule.model_validate({"unit": "job", "credits": costs})
    entry = {
        "id": name, "name": name, "kind": "image", "input_schema": SCHEMA, "price": price,
        "routes": [{"provider": "sketch", "model": "image"}], **fields,
    }  # fmt: skip
    return Offer(Entry.model_validate(entry), 7)


def state(**fields: Any) -> AccountState:
    given: dict[str, Any] = {
        "available": 100, "reserved": 0, "debt": 0, "slots_in_use": 0, "event_number": 10, "storage_bytes": 0,
        "expected_bytes": 0, "slots": 2, "storage_quota_bytes": 10 * IMAGE, "credit_price_usd_micros": 125_000,
        "markup_bp": 8500, "has_webhooks": False, "now": NOW, "daily_text_jobs": None, "priority": 0, "credit_alerts": None, "has_label_limits": False, **fields,
    }  # fmt: skip
    return AccountState(**{"funds": [Fund(UUID(int=9), given["available"])], **given})


class Desk:
    """One transaction's orders, one after the other, against one account."""

    def __init__(self, account: AccountState | None = None, **counted: Any) -> None:
        self.account = account or state()
        self.accounts = {WHO: self.account}
        self.known: dict[tuple[UUID, str], tuple[bytes, UUID, str]] = {}
        self.counts = Counts(counted.get("in_use", {}), counted.get("budgets", Budgets()), counted.get("texts", {}))
        self.writes = Writes()

    def order(self, wanted: Offer | None = None, *, wait: bool = False, who: UUID = WHO, **fields: Any) -> Answer:
        order = Order(uuid7(), who, wanted or offer(), {"prompt": "x"}, **fields)
        return decide(order, self.accounts, self.known, self.counts, self.writes, wait=wait)

    def untouched(self) -> bool:
        return not self.account.changed and self.writes == Writes() and self.account.event_number == 10


def test_an_accepted_order_holds_its_price_takes_a_slot_and_is_told() -> None:
    desk = Desk()
    answer = desk.order(offer(queue="batch"), priority=5)
    assert isinstance(answer, Accepted)
    assert (answer.replayed, answer.dispatched, answer.queue, answer.price_credits) == (False, True, "batch", 4)
    assert (answer.created_at, answer.slots, answer.slots_in_use) == (NOW, 2, 1)
    assert (desk.account.available, desk.account.reserved, desk.account.expected_bytes) == (96, 4, IMAGE)
    [job] = desk.writes.jobs
    assert (job["id"], job["priority"], job["model_version"], job["event_number"]) == (answer.job_id, 5, 7, 11)
    assert (job["available"], job["reserved"]) == (96, 4)
    assert desk.writes.lots == [{"job_id": answer.job_id, "grant_id": UUID(int=9), "amount": 4}]
    assert desk.writes.grants == {UUID(int=9): 96}


def test_an_order_goes_to_the_queue_that_it_names() -> None:
    answer = Desk().order(queue="batch")
    assert isinstance(answer, Accepted)
    assert answer.queue == "batch"


def test_an_account_that_another_holds_is_asked_again_and_one_that_is_gone_is_not() -> None:
    desk = Desk()
    assert isinstance(desk.order(who=UUID(int=77)), Locked)
    assert isinstance(desk.order(who=UUID(int=77), wait=True), NotAuthenticated)
    assert desk.untouched()


# Credits


@pytest.mark.parametrize(("available", "accepted"), [(4, True), (3, False), (0, False)])
def test_the_last_credit_can_be_spent_and_not_one_more(available: int, accepted: bool) -> None:
    desk = Desk(state(available=available))
    answer = desk.order()
    assert isinstance(answer, Accepted) is accepted
    if not accepted:
        assert isinstance(answer, NotEnoughCredits)
        assert answer.extra == {"needed": 4, "available": available}
        assert desk.untouched()


def test_orders_of_one_batch_see_what_the_ones_before_them_have_taken() -> None:
    desk = Desk(state(available=9))
    assert [type(desk.order()).__name__ for _ in range(3)] == ["Accepted", "Accepted", "NotEnoughCredits"]
    assert isinstance(desk.order(offer("cheap", 1)), Accepted), "what is refused takes nothing"
    assert (desk.account.available, desk.account.reserved) == (0, 9)


def test_grants_are_used_in_their_order_and_each_is_written_once() -> None:
    first, second = UUID(int=21), UUID(int=22)
    desk = Desk(state(available=10, funds=[Fund(first, 6), Fund(second, 4)]))
    desk.order()
    desk.order()
    assert [(each["grant_id"], each["amount"]) for each in desk.writes.lots] == [(first, 4), (first, 2), (second, 2)]
    assert desk.writes.grants == {first: 0, second: 2}


def test_whoever_owes_anything_orders_nothing_however_much_they_have() -> None:
    desk = Desk(state(debt=1))
    answer = desk.order(offer(costs=0))
    assert isinstance(answer, AccountBlocked)
    assert answer.extra == {"owed": 1}
    assert desk.untouched()


def test_the_order_that_brings_the_credits_below_the_limit_tells_it_and_the_next_does_not() -> None:
    with environment({"LOW_CREDITS": "10"}):
        desk = Desk(state(available=14))
        desk.order()  # 10 are left: not below
        assert desk.writes.low == []
        desk.order(offer(costs=1))
        desk.order(offer(costs=1))
    assert desk.writes.low == [{"account_id": WHO, "number": 13, "data": {"available": 9, "limit": 10}}]
    assert [each["event_number"] for each in desk.writes.jobs] == [11, 12, 14], "its number lies between theirs"


# Storage


@pytest.mark.parametrize(("used", "coming", "accepted"), [
    (0, 9 * IMAGE, True), (0, 9 * IMAGE + 1, False), (10 * IMAGE - 1, 0, True), (10 * IMAGE, 0, False),
    (9 * IMAGE, 1, False),
])  # fmt: skip
def test_what_is_stored_and_what_may_come_fit_the_quota_but_one_job_is_always_allowed(
    used: int, coming: int, accepted: bool
) -> None:
    desk = Desk(state(storage_bytes=used, expected_bytes=coming))
    answer = desk.order()
    assert isinstance(answer, Accepted) is accepted
    if not accepted:
        assert isinstance(answer, StorageQuotaExceeded)
        assert answer.extra == {"used_bytes": used, "expected_bytes": coming, "quota_bytes": 10 * IMAGE}
        assert desk.untouched()


# Slots


def test_slots_of_the_account_and_of_the_model_are_taken_one_by_one() -> None:
    desk = Desk(state(slots=3), in_use={(WHO, "narrow"): 1, (UUID(int=88), "narrow"): 9})
    narrow = offer("narrow", slots=2)
    answers = [desk.order(narrow), desk.order(narrow), desk.order(), desk.order(), desk.order()]
    assert [isinstance(each, Accepted) and each.dispatched for each in answers] == [True, False, True, True, False]
    assert desk.account.slots_in_use == 3


def test_an_account_whose_plan_has_shrunk_takes_no_slot() -> None:
    answer = Desk(state(slots=2, slots_in_use=5)).order()
    assert isinstance(answer, Accepted)
    assert (answer.dispatched, answer.slots_in_use) == (False, 5)


# Keys, days and idempotency


def test_a_keys_budget_is_spent_by_the_orders_that_were_accepted() -> None:
    budgets = Budgets(of={KEY: [(LINE, 10)]}, spent={LINE: 2})
    desk = Desk(budgets=budgets)
    keyed = {"api_key_id": KEY, "key_budget": 10}
    answers = [desk.order(**keyed), desk.order(**keyed), desk.order(**keyed)]
    assert [type(each).__name__ for each in answers] == ["Accepted", "Accepted", "BudgetExceeded"]
    assert isinstance(answers[2], BudgetExceeded)
    assert answers[2].extra == {"needed": 4, "spent": 10, "budget": 10}
    assert budgets.new == {LINE: 8}
    assert isinstance(desk.order(api_key_id=KEY), Accepted), "a key without a budget is not looked up"
    assert budgets.new == {LINE: 8}


def test_a_key_that_is_gone_since_the_request_came_orders_nothing() -> None:
    desk = Desk()
    assert isinstance(desk.order(api_key_id=KEY, key_budget=10), NotAuthenticated)
    assert desk.untouched()


def test_texts_of_a_day_are_counted_and_nothing_else_is() -> None:
    text = offer("writer", 1, kind="text")
    desk = Desk(state(daily_text_jobs=3), texts={WHO: 1})
    answers = [desk.order(text), desk.order(), desk.order(text), desk.order(text), desk.order()]
    assert [type(each).__name__ for each in answers] == [
        "Accepted", "Accepted", "Accepted", "DailyLimitReached", "Accepted",
    ]  # fmt: skip
    assert isinstance(answers[3], DailyLimitReached)
    assert answers[3].extra == {"limit": 3}


def test_an_idempotency_key_answers_its_own_request_whatever_has_become_of_the_account() -> None:
    desk = Desk(state(available=4))
    same = {"idempotency_key": "k", "body_hash": b"a"}
    first, again = desk.order(**same), desk.order(**same)
    assert isinstance(first, Accepted)
    assert again == Accepted(first.job_id, replayed=True, dispatched=False, queue="interactive")
    assert isinstance(desk.order(idempotency_key="k", body_hash=b"b"), IdempotencyMismatch)
    assert len(desk.writes.jobs) == 1


def test_a_refused_order_leaves_its_idempotency_key_free() -> None:
    desk = Desk(state(available=3))
    assert isinstance(desk.order(idempotency_key="k", body_hash=b"a"), NotEnoughCredits)
    assert desk.known == {}
    assert isinstance(desk.order(offer("cheap", 1), idempotency_key="k", body_hash=b"b"), Accepted)


def test_what_follows_the_events_of_a_transaction_begins_with_its_first_one() -> None:
    desk = Desk(state(has_webhooks=False))
    assert desk.account.event_number_before is None
    desk.order()
    assert (desk.account.event_number_before, desk.account.has_addresses) == (10, False)
    desk.order(webhook={"url": "https://example.com"})
    desk.order()
    assert (desk.account.event_number_before, desk.account.has_addresses) == (10, True)


def test_a_request_is_the_same_in_any_order_of_its_fields_and_no_other_way() -> None:
    assert body_hash({"a": 1, "b": {"c": 2, "d": 3}}) == body_hash({"b": {"d": 3, "c": 2}, "a": 1})
    different = [{"a": 1}, {"a": "1"}, {"a": 1.5}, {"a": None}, {}, {"a": [1, 2]}, {"a": [2, 1]}]
    assert len({body_hash(each) for each in different}) == len(different)
