"""The web client's accounts: one per user whatever happens at once, and a month's tokens that are those of that month."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from threading import Barrier
from typing import Any

import psycopg
import pytest

from common.errors import InvalidInput
from common.settings import settings
from models.db import transaction
from models.provisioning import allowances
from models.provisioning.allowances import MAX_MONTH_TOKENS, WebAccountRow
from tests.conftest import environment
from tests.support import eventually, lock_waits, one, rows

pytestmark = pytest.mark.usefixtures("database")

AT_ONCE = 50
NEW_YEAR = datetime(2027, 1, 1, tzinfo=UTC)
LAST = NEW_YEAR - timedelta(milliseconds=1)


def at_once(work: Callable[[int], Any], count: int = AT_ONCE) -> list[Any]:
    """Done by as many threads as there are calls, all of which begin together."""
    gate = Barrier(count)

    def begin(number: int) -> Any:
        gate.wait(30)
        return work(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(begin, range(count)))


def got(user: str = "u", at: datetime | None = None) -> WebAccountRow:
    with transaction() as conn:
        return allowances.get_or_create(conn, user, at=at)


def used(tokens: int, user: str = "u", at: datetime | None = None, provider: str = "openai") -> WebAccountRow:
    with transaction() as conn:
        return allowances.record_tokens(conn, user, provider, tokens, at=at)


def updated(plan: str, billing: str = "active", ends: datetime | None = None, user: str = "u") -> WebAccountRow:
    with transaction() as conn:
        return allowances.update(conn, user, plan, billing, ends)


def test_a_new_account_is_free_and_has_its_month_before_it() -> None:
    found = got()
    assert found[:6] == ("u", "free", "free", None, 0, 50_000)
    assert got() == found


def test_fifty_that_ask_at_once_get_one_account() -> None:
    found = at_once(lambda _: got())
    assert len(set(found)) == 1
    assert one("select count(*) from web_accounts") == (1,)


def test_fifty_of_every_kind_at_once_make_one_account_and_lose_no_token() -> None:
    def work(number: int) -> None:
        if number % 3 == 0:
            got()
        elif number % 3 == 1:
            updated("premium")
        else:
            used(1, provider=f"p{number % 2}")

    at_once(work)
    assert one("select count(*) from web_accounts") == (1,)
    assert (got().plan, got().month_tokens) == ("premium", AT_ONCE // 3)


def test_a_change_is_made_in_place_and_leaves_the_tokens_alone() -> None:
    before = used(700)
    ends = datetime(2030, 5, 1, tzinfo=UTC)
    after = updated("premium", "active", ends)
    assert after == before._replace(plan="premium", billing_status="active", premium_expires_at=ends)
    assert updated("premium", "past_due").premium_expires_at is None, "one that is left out is none"
    assert rows("select plan, billing_status from web_accounts") == [("premium", "past_due")]


def test_tokens_leave_alone_what_is_paid() -> None:
    ends = datetime(2020, 5, 1, tzinfo=UTC)  # past: that is the web client's to judge
    updated("premium", "active", ends)
    assert used(60_000)[:6] == ("u", "premium", "active", ends, 60_000, 50_000)


def test_the_allowance_is_that_of_the_plan_in_the_catalogue_and_else_the_deployments() -> None:
    with transaction() as conn:
        conn.execute("update plans set token_allowance = 777 where id = 'pro'")
    assert updated("pro").monthly_allowance == 777
    assert updated("web-free").monthly_allowance == 50_000
    with environment({"MONTHLY_TOKEN_ALLOWANCE": "9"}):
        assert updated("studio").monthly_allowance == 9, "a plan that names none"
        assert updated("of no catalogue").monthly_allowance == 9
        assert updated("web-free").monthly_allowance == 50_000
        with transaction() as conn:
            conn.execute("update plans set token_allowance = 0 where id = 'pro'")
        assert updated("pro").monthly_allowance == 0, "none at all is an allowance too"


def test_a_month_begins_at_nothing_and_the_one_before_keeps_what_it_had() -> None:
    assert used(30, at=LAST).month_tokens == 30
    assert got(at=NEW_YEAR).month_tokens == 0
    assert used(4, at=NEW_YEAR).month_tokens == 4
    assert got(at=LAST).month_tokens == 30
    assert rows("select month::text, tokens_used from web_months order by 1") == [("2026-12-01", 30), ("2027-01-01", 4)]


def test_the_month_is_that_of_utc() -> None:
    east = timezone(timedelta(hours=7))
    used(1, at=datetime(2027, 1, 1, 6, 59, tzinfo=east))
    used(2, at=datetime(2027, 1, 1, 7, 0, tzinfo=east))
    assert (got(at=LAST).month_tokens, got(at=NEW_YEAR).month_tokens) == (1, 2)


def test_without_a_moment_it_is_the_databases() -> None:
    assert used(5).month_tokens == 5
    with environment({"CLOCK_OFFSET_SECONDS": str(40 * 86_400)}):
        assert got().month_tokens == 0
        assert used(2).month_tokens == 2
    assert got().month_tokens == 5


def test_a_call_that_comes_late_counts_in_its_own_month_and_sets_nothing_back() -> None:
    used(10, at=NEW_YEAR)
    late = used(3, at=LAST)
    assert (late.month_tokens, late.used_at) == (3, NEW_YEAR), "the last word is not an earlier one"
    assert got(at=NEW_YEAR).month_tokens == 10


def test_one_that_waits_for_a_lock_over_the_border_counts_in_the_month_in_which_it_was_made() -> None:
    used(1, at=LAST)
    with psycopg.connect(settings().database_url) as other, ThreadPoolExecutor(1) as pool:
        allowances.record_tokens(other, "u", "openai", 100, at=NEW_YEAR)
        waits = pool.submit(used, 20, at=LAST)
        eventually(lambda: lock_waits() > 0, what="a wait")
        other.commit()
        assert waits.result().month_tokens == 21
    assert got(at=NEW_YEAR).month_tokens == 100


def test_fifty_on_both_sides_of_the_border_are_all_counted_where_they_belong() -> None:
    at_once(lambda number: used(1 + number % 2, at=LAST if number % 2 else NEW_YEAR))
    assert (got(at=NEW_YEAR).month_tokens, got(at=LAST).month_tokens) == (25, 50)
    assert one("select count(*) from web_accounts") == (1,)


def test_a_month_takes_no_more_than_can_be_told() -> None:
    for _ in range(9):
        used(10**15)
    with pytest.raises(InvalidInput, match=str(MAX_MONTH_TOKENS)):
        used(10**15, provider="another")
    assert got().month_tokens == 9 * 10**15, "what was refused is not counted"
