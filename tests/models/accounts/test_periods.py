"""Months of a subscription: each a whole number of months after the start, whatever the months between are like."""

from calendar import monthrange
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import InvalidRequest
from models.accounts import paid_periods
from models.accounts.periods import (
    MAX_MONTHS,
    anchor_for,
    is_upgrade,
    lapses_at,
    month_after,
    months_between,
    prorated,
)
from models.db import transaction
from scheduler.duties import accounts
from tests.models.access.test_budgets import at
from tests.support import account, assert_books_are_clean, balance, one, rows

JANUARY_31 = datetime(2031, 1, 31, 10, tzinfo=UTC)
moments = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - Hypothesis adds the zone


@given(moments, st.integers(0, MAX_MONTHS))
def test_months_are_added_to_the_anchor_and_can_be_told_again(anchor: datetime, months: int) -> None:
    end = month_after(anchor, months)
    assert months_between(anchor, end) == months
    assert end.day == min(anchor.day, monthrange(end.year, end.month)[1])
    assert end.timetz() == anchor.timetz()
    assert end < month_after(anchor, months + 1)


@given(moments, st.integers(0, 40), st.sampled_from(["Asia/Tokyo", "America/New_York", "Pacific/Kiritimati"]))
def test_a_month_is_the_same_in_every_time_zone(anchor: datetime, months: int, zone: str) -> None:
    local = anchor.astimezone(ZoneInfo(zone))
    assert month_after(local, months) == month_after(anchor, months)
    assert months_between(local, month_after(anchor, months).astimezone(ZoneInfo(zone))) == months


@pytest.mark.parametrize(("start", "months", "end"), [
    ((2031, 1, 31), 1, (2031, 2, 28)), ((2031, 1, 31), 12, (2032, 1, 31)), ((2032, 1, 31), 1, (2032, 2, 29)),
    ((2032, 2, 29), 12, (2033, 2, 28)), ((2032, 2, 29), 48, (2036, 2, 29)), ((2031, 8, 31), 1, (2031, 9, 30)),
    ((2031, 12, 31), 2, (2032, 2, 29)),
])  # fmt: skip
def test_short_months_and_leap_years(start: tuple[int, int, int], months: int, end: tuple[int, int, int]) -> None:
    assert month_after(datetime(*start, tzinfo=UTC), months) == datetime(*end, tzinfo=UTC)


def subscribe(who: UUID, plan: str = "creator", interval: str = "monthly") -> UUID:
    with transaction() as conn:
        return paid_periods.subscribe(conn, who, plan, interval)


def ends() -> datetime:
    found: datetime = one("select ends_at from subscriptions where status = 'active'")[0]
    return found


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize("interval", ["monthly", "yearly"])
def test_renewals_from_the_31st_end_on_the_31st(interval: str) -> None:
    who = account()
    with at(JANUARY_31):
        for _ in range(13):
            subscribe(who, interval=interval)
        months = 13 if interval == "monthly" else 13 * 12
        assert ends() - month_after(JANUARY_31, months) < timedelta(minutes=1)
        assert one("select started_at + make_interval(months => %s) = ends_at from subscriptions", months) == (True,)


@pytest.mark.usefixtures("database")
def test_renewing_after_february_comes_back_to_the_31st() -> None:
    who = account()
    with at(JANUARY_31):
        subscribe(who)
        assert (ends().month, ends().day) == (2, 28)
    with at(datetime(2031, 2, 20, tzinfo=UTC)):
        subscribe(who)
        assert (ends().month, ends().day) == (3, 31)
        subscribe(who, interval="yearly")
        assert (ends().year, ends().month, ends().day) == (2032, 3, 31)


@pytest.mark.usefixtures("database")
def test_each_period_has_its_own_month_and_missed_ones_are_not_granted_late() -> None:
    who = account()
    with at(JANUARY_31):
        subscribe(who, interval="yearly")
    with at(datetime(2031, 5, 2, tzinfo=UTC)):  # no scheduler ran for three months
        assert [accounts.grant_periods(100) for _ in range(4)] == [1, 1, 1, 0]
        accounts.expire_grants(100)
        assert balance(who) == (250, 0)
        granted = rows("select ref, expires_at from grants order by expires_at")
        assert [ref.rpartition(":")[2] for ref, _ in granted] == [
            "0",
            "3",
        ]  # those of 28 February and 31 March are gone
        assert [(end.month, end.day) for _, end in granted] == [(2, 28), (5, 31)]
        told = rows("select data->>'granted' from events where type = 'subscription.period' order by number")
        assert [row[0] for row in told] == ["true", "false", "false", "true"]
        assert one("select next_grant_at = started_at + interval '4 months' from subscriptions") == (True,)
        assert_books_are_clean()


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize("plan", ["creator", "pro"])
def test_renewing_what_has_run_out_unseen_starts_anew(plan: str) -> None:
    who = account()
    with at(JANUARY_31):
        first = subscribe(who)
    with at(datetime(2031, 6, 15, 12, tzinfo=UTC)):  # run out in February, and no scheduler has seen it
        second = subscribe(who, plan)
        assert second != first
        assert dict(rows("select id, status from subscriptions")) == {first: "expired", second: "active"}
        assert (ends().month, ends().day) == (7, 15)
        assert one("select plan_id from accounts where id = %s", who) == (plan,)
        told = [
            row[0]
            for row in rows(
                "select type from events where account_id = %s and type like 'subscription%%' order by number", who
            )
        ]
        assert told[2:] == ["subscription.expired", "subscription.started", "subscription.period"]
        with transaction() as conn:
            assert one("select count(*) from grants where expires_at > app_now()") == (1,)
            assert conn.execute("select 1 from subscriptions where next_grant_at < app_now()").fetchone() is None
        accounts.expire_grants(100)
        assert balance(who) == ({"creator": 250, "pro": 500}[plan], 0)
        assert accounts.expire_subscriptions(100) == 0
        assert_books_are_clean()


@pytest.mark.usefixtures("database")
def test_nobody_subscribes_beyond_a_hundred_years() -> None:
    who = account()
    for _ in range(MAX_MONTHS // 12):
        subscribe(who, interval="yearly")
    with pytest.raises(InvalidRequest):
        subscribe(who)
    assert_books_are_clean()


@given(moments, st.integers(-MAX_MONTHS, MAX_MONTHS))
def test_months_are_taken_off_as_they_are_added(anchor: datetime, months: int) -> None:
    assert months_between(anchor, month_after(anchor, months)) == months


@given(moments, st.integers(1, 40))
def test_a_company_that_counts_as_we_do_moves_no_anchor(anchor: datetime, months: int) -> None:
    assert anchor_for(month_after(anchor, months), months, anchor) == anchor


@given(moments, moments, st.integers(1, 40))
def test_an_anchor_leads_to_the_end_that_a_company_names(end: datetime, like: datetime, months: int) -> None:
    # What no number of whole months leads to, the 31st from a month of 30 days, is the last day of its month before.
    found = anchor_for(end, months, like)
    assert months_between(found, end) == months
    assert timedelta() <= end - month_after(found, months) <= timedelta(days=3)


@pytest.mark.parametrize(("end", "months", "like", "anchor"), [
    ((2031, 2, 28), 1, (2031, 1, 31), (2031, 1, 31)), ((2031, 2, 28), 1, (2031, 1, 28), (2031, 1, 28)),
    ((2032, 2, 29), 1, (2032, 1, 30), (2032, 1, 30)), ((2031, 3, 15), 1, (2031, 1, 31), (2031, 2, 15)),
    ((2031, 3, 31), 2, (2031, 1, 31), (2031, 1, 31)), ((2033, 2, 28), 12, (2032, 2, 29), (2032, 2, 29)),
])  # fmt: skip
def test_anchors_of_ends(end: Any, months: int, like: Any, anchor: Any) -> None:
    of = [datetime(*each, tzinfo=UTC) for each in (end, like, anchor)]
    assert anchor_for(of[0], months, of[1]) == of[2]


@pytest.mark.parametrize(("status", "cancel", "days"), [
    ("active", False, 3), ("past_due", False, 3), ("active", True, 0), ("past_due", True, 0), ("trial", False, 0), ("trial", True, 0),
])  # fmt: skip
def test_only_what_is_to_be_renewed_has_days_of_grace(status: str, cancel: bool, days: int) -> None:
    over = lapses_at(status, JANUARY_31, cancel_at_end=cancel, grace_days=3)
    assert over == JANUARY_31 + timedelta(days=days)


@pytest.mark.parametrize(("credits", "days_left", "share"), [
    (300, 30, 300), (300, 15, 150), (300, 1, 10), (100, 1, 3), (1, 29, 0), (0, 15, 0), (300, 0, 0), (300, -5, 0), (300, 40, 300),
])  # fmt: skip
def test_a_share_of_a_periods_credits(credits: int, days_left: int, share: int) -> None:
    end = JANUARY_31 + timedelta(days=30)
    assert prorated(credits, JANUARY_31, end, end - timedelta(days=days_left)) == share


USD_10, USD_9, IDR, YEAR_90 = {"USD": "10.00"}, {"USD": "9.00"}, {"IDR": "155000"}, {"USD": "90"}


@pytest.mark.parametrize(("before", "after", "later", "is_more"), [
    ({"monthly": USD_9}, {"monthly": USD_10}, False, True), ({"monthly": USD_10}, {"monthly": USD_9}, True, False),
    ({"monthly": USD_10}, {"monthly": {"USD": "10.0"}}, True, False),
    ({"monthly": USD_9 | IDR}, {"monthly": {"IDR": "155001"}}, False, True),
    ({"yearly": YEAR_90}, {"monthly": USD_10, "yearly": {"USD": "100"}}, False, True),
    ({"monthly": USD_9}, {"monthly": IDR}, True, True), ({"monthly": USD_9}, {}, False, False), ({}, {}, True, True),
])  # fmt: skip
def test_what_costs_more_is_more_and_what_cannot_be_compared_is_by_its_place(
    before: Any, after: Any, later: bool, is_more: bool
) -> None:
    assert is_upgrade(before, after, later=later) is is_more
