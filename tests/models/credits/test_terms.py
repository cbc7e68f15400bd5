"""Grants that are used first, and grants that pay for some models alone: whatever asks for credits honours both."""

import threading
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uuid_utils.compat import uuid7

from common.errors import NotEnoughCredits
from models.credits import ledger, reads
from models.credits.ledger import Fund, GrantTerms, Lot, allocate, limits_crossed, usable
from models.db import transaction
from models.jobs.admission import Accepted
from tests.models.credits.test_ledger import finish
from tests.models.hands import change
from tests.support import account, assert_books_are_clean, balance, model, one, order, place, placed, rows

pytestmark = pytest.mark.usefixtures("database")


def give(who: UUID, amount: int, name: str, *, hours: float | None = None, **terms: Any) -> UUID:
    with transaction() as conn:
        expires_at = None
        if hours is not None:
            expires_at = one("select app_now() + make_interval(secs => %s)", hours * 3600)[0]
        made = ledger.grant(
            conn, who, kind="gift", amount=amount, ref=name, expires_at=expires_at, terms=GrantTerms(**terms)
        )
    assert made is not None
    return made


def left(who: UUID) -> dict[str, int]:
    return dict(rows("select ref, remaining from grants where account_id = %s", who))


def test_a_higher_priority_is_used_before_what_expires_sooner() -> None:
    who, offer = account(), model(price={"credits": 8})
    give(who, 5, "soon", hours=1)
    give(who, 5, "first", priority=9)
    give(who, 5, "second", hours=9, priority=2)
    placed(who, offer)
    assert left(who) == {"soon": 5, "first": 0, "second": 2}
    assert_books_are_clean()


def test_what_is_spent_for_less_is_spent_in_the_order_of_use_and_the_last_comes_back() -> None:
    who, offer = account(), model(price={"credits": 8}, options={"cost_usd_micros": 0})
    give(who, 5, "soon", hours=1)
    give(who, 5, "first", priority=9)
    job_id = placed(who, offer)
    assert left(who) == {"soon": 2, "first": 0}
    finish(job_id, "succeeded", cost=6)
    assert left(who) == {"soon": 4, "first": 0}
    assert_books_are_clean()


def test_a_scope_pays_for_its_models_and_kinds_alone() -> None:
    who = account()
    named, other = model("named", price={"credits": 3}), model("other", price={"credits": 3})
    give(who, 3, "named", models=("named",))
    give(who, 2, "images", kinds=("image",))
    give(who, 4, "films", kinds=("video",))
    assert balance(who) == (9, 0)
    refused = place(order(who, other))[0]
    assert isinstance(refused, NotEnoughCredits)
    assert refused.extra == {"needed": 3, "available": 2, "for_other_models": 7}
    assert "2 are available; 7 more are for other models; buy a pack" in refused.detail
    assert isinstance(place(order(who, named))[0], Accepted)
    assert left(who) == {"named": 0, "images": 2, "films": 4}
    give(who, 1, "all")
    assert isinstance(place(order(who, other))[0], Accepted)
    assert left(who) == {"named": 0, "images": 0, "films": 4, "all": 0}
    assert_books_are_clean()


def test_what_comes_back_comes_back_to_the_scope_that_it_was_taken_from() -> None:
    who, named = account(), model("named", price={"credits": 3})
    give(who, 5, "named", models=("named",))
    give(who, 5, "all", hours=1)
    finish(placed(who, named), "failed")
    assert left(who) == {"named": 5, "all": 5}
    assert_books_are_clean()


def test_scopes_are_kept_when_many_order_at_once() -> None:
    who = account()
    named, other = model("named", price={"credits": 1}), model("other", price={"credits": 1})
    give(who, 10, "named", models=("named",))
    give(who, 5, "all")
    answers: list[tuple[str, bool]] = []

    def submit(offer: Any, name: str) -> None:
        answers.extend((name, isinstance(place(order(who, offer))[0], Accepted)) for _ in range(8))

    threads = [threading.Thread(target=submit, args=each) for each in [(named, "named"), (other, "other")] * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    accepted = [name for name, good in answers if good]
    assert len(accepted) == 15
    assert accepted.count("other") <= 5
    assert balance(who) == (0, 15)
    assert (
        rows(
            """select 1 from reservation_grants l join grants g on g.id = l.grant_id join jobs j on j.id = l.job_id
            where g.models is not null and not j.model_id = any(g.models)"""
        )
        == []
    )
    assert_books_are_clean()


def test_a_grant_keeps_what_was_paid_for_it_and_is_listed_in_its_place() -> None:
    who = account()
    last, first = give(who, 1, "last", hours=5), give(who, 1, "first", priority=1, models=("m",))
    with transaction() as conn:
        listed = reads.open_grants(conn, who, after=None, limit=9)
        after = reads.open_grants(conn, who, after=reads.GrantPlace(1, None, first), limit=9)
    assert [each["id"] for each in listed] == [first, last]
    assert [each["id"] for each in after] == [last]
    assert (listed[0]["models"], listed[0]["priority"], listed[1]["models"]) == (["m"], 1, None)


def funds() -> st.SearchStrategy[list[Fund]]:
    names = st.none() | st.lists(st.sampled_from("abc"), min_size=1, max_size=2)
    kinds = st.none() | st.lists(st.sampled_from(["image", "text"]), min_size=1, max_size=2)
    return st.lists(st.builds(Fund, st.builds(uuid7), st.integers(0, 9), names, kinds), max_size=6)


@given(funds(), st.sampled_from("abc"), st.sampled_from(["image", "text", "video"]), st.integers(0, 30))
def test_an_allocation_is_exact_takes_in_order_and_only_of_what_may_be_used(
    all_of: list[Fund], name: str, kind: str, amount: int
) -> None:
    there = usable(all_of, name, kind)
    if amount > there:
        with pytest.raises(AssertionError):
            allocate(all_of, amount, name, kind)
        return
    lots = {lot.grant_id: lot.amount for lot in allocate(all_of, amount, name, kind)}
    assert sum(lots.values()) == amount
    fitting = [each for each in all_of if each.pays_for(name, kind) and each.remaining]
    assert set(lots) <= {each.grant_id for each in fitting}
    taken = [lots.get(each.grant_id, 0) for each in fitting]
    part = next((i for i, each in enumerate(fitting) if taken[i] < each.remaining), len(fitting))
    assert all(not each for each in taken[part + 1 :]), "what comes later was taken before what comes first was used up"


@pytest.mark.parametrize(("fund", "model_id", "kind", "pays"), [
    (Fund(uuid7(), 1), "m", "image", True), (Fund(uuid7(), 1), None, None, True), (Fund(uuid7(), 1, ["m"]), "m", "image", True),
    (Fund(uuid7(), 1, ["m"]), "n", "image", False), (Fund(uuid7(), 1, None, ["image"]), "n", "image", True),
    (Fund(uuid7(), 1, ["m"], ["text"]), "m", "image", True), (Fund(uuid7(), 1, ["m"], ["text"]), "n", "image", False),
    (Fund(uuid7(), 1, ["m"]), None, None, False),
])  # fmt: skip
def test_what_a_grant_pays_for(fund: Fund, model_id: str | None, kind: str | None, pays: bool) -> None:
    assert fund.pays_for(model_id, kind) is pays
    assert usable([fund], model_id, kind) == int(pays)
    assert allocate([fund], int(pays), model_id, kind) == ([Lot(fund.grant_id, 1)] if pays else [])


@pytest.mark.parametrize(("before", "after", "alerts", "crossed"), [
    (20, 9, None, [10]), (20, 10, None, []), (9, 5, None, []), (200, 3, [100, 50, 5], [100, 50, 5]), (60, 49, [100, 50, 5], [50]),
    (49, 60, [50], []), (20, 9, [], []),
])  # fmt: skip
def test_each_limit_that_a_fall_crosses_is_told_of(
    before: int, after: int, alerts: list[int] | None, crossed: list[int]
) -> None:
    assert limits_crossed(before, after, alerts) == crossed


def test_alerts_of_ones_own_are_told_once_per_crossing_by_whatever_takes_the_credits() -> None:
    who, offer = account(amount=100), model(price={"credits": 45})
    change("update accounts set credit_alerts = %s where id = %s", [80, 50, 20], who)
    placed(who, offer)  # 55
    placed(who, offer)  # 10
    with transaction() as conn:
        ledger.grant(
            conn, who, kind="gift", amount=80, ref="more", expires_at=one("select app_now() + interval '1 s'")[0]
        )
    change("update grants set expires_at = app_now() - interval '1 s' where ref = 'more'")
    with transaction() as conn:
        reads.expire_and_read_balance(conn, who)
    said = rows("select (data->>'limit')::int from events where type = 'credits.low' order by number")
    assert [limit for (limit,) in said] == [80, 50, 20, 80, 50, 20]
