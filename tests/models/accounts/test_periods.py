"""Months of a subscription: each a whole number of months after the start, whatever the months between are like."""

from calendar import monthrange
from datetime import UTC, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import InvalidRequest
from models.accounts import subscriptions
from models.accounts.subscriptions import MAX_MONTHS, month_after, months_between
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
        return subscriptions.subscribe(conn, who, plan, interval)


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
