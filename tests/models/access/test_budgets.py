"""What a key may spend in a month: counted in the month of the order, and given back to that month."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from models.access import api_keys
from models.credits import audit
from models.db import transaction
from models.events import events
from models.jobs import cancel, submit
from models.jobs.submit import first_id_of
from tests.conftest import environment
from tests.models.credits.test_ledger import finish
from tests.support import account, assert_books_are_clean, model, one, order, place, placed, rows

pytestmark = pytest.mark.usefixtures("database")


@contextmanager
def at(moment: datetime) -> Iterator[None]:
    """The database's clock at a moment that is still to come."""
    offset = round((moment - datetime.now(UTC)).total_seconds())
    with environment({"CLOCK_OFFSET_SECONDS": str(offset)}):
        with transaction() as conn:
            events.make_partitions(conn)
        yield


def spent() -> dict[str, int]:
    return {str(month): amount for month, amount in rows("select month, credits from key_spending")}


def key(who: UUID, budget: int = 10) -> UUID:
    with transaction() as conn:
        return api_keys.create(conn, who, api_keys.NewKey("test", monthly_credits=budget))[0]


LAST_OF_MARCH = datetime(2031, 3, 31, 23, 0, tzinfo=UTC)
FIRST_OF_APRIL = datetime(2031, 4, 1, 1, 0, tzinfo=UTC)


@pytest.mark.parametrize("how", ["failed", "canceled", "less"])
def test_what_comes_back_goes_to_the_month_of_the_order(how: str) -> None:
    who, offer = account(amount=50), model(price={"credits": 4})
    key_id = key(who)
    with at(LAST_OF_MARCH):
        job_id = placed(who, offer, api_key_id=key_id, key_budget=10)
    with at(FIRST_OF_APRIL):
        placed(who, offer, api_key_id=key_id, key_budget=10)
        assert spent() == {"2031-03-01": 4, "2031-04-01": 4}
        if how == "canceled":
            with transaction() as conn:
                assert cancel.cancel(conn, job_id).ended
        else:
            finish(job_id, "succeeded" if how == "less" else "failed", cost=1 if how == "less" else 0)
        assert spent() == {"2031-03-01": 1 if how == "less" else 0, "2031-04-01": 4}
        assert_books_are_clean()
        # April's budget is April's: two more fit, not three.
        answers = place(*(order(who, offer, api_key_id=key_id, key_budget=10) for _ in range(3)))
        assert [type(each).__name__ for each in answers] == ["Accepted", "BudgetExceeded", "BudgetExceeded"]


def test_a_month_is_utcs_whatever_the_sessions_time_zone() -> None:
    who, offer = account(amount=50), model(price={"credits": 4})
    key_id = key(who)
    with at(LAST_OF_MARCH):  # 1 April in Kiritimati
        with transaction() as conn:
            conn.execute("set local time zone 'Pacific/Kiritimati'")
            answer = submit.submit(conn, [order(who, offer, api_key_id=key_id, key_budget=10)], wait=True)[0]
            assert api_keys.list_keys(conn, who)[0].spent_this_month == 4
        assert spent() == {"2031-03-01": 4}
        with transaction() as conn:
            conn.execute("set local time zone 'Pacific/Kiritimati'")
            assert cancel.cancel(conn, answer.job_id).ended
        assert spent() == {"2031-03-01": 0}
        assert_books_are_clean()


def test_the_audit_finds_what_a_key_has_spent_in_the_wrong_month() -> None:
    who, offer = account(amount=50), model(price={"credits": 4})
    key_id = key(who)
    with at(FIRST_OF_APRIL):
        placed(who, offer, api_key_id=key_id, key_budget=10)
        assert_books_are_clean()
        for wrong in (
            "update key_spending set month = month - interval '1 month'",
            "update key_spending set credits = credits + 1",
            "delete from key_spending",
        ):
            with transaction() as conn:
                conn.execute(wrong)
            with transaction() as conn:
                assert [each.rule for each in audit.audit(conn)] == ["keys_spend_what_their_jobs_hold_or_cost"]
            with transaction() as conn:
                conn.execute("delete from key_spending")
                conn.execute("insert into key_spending values (%s, '2031-04-01', 4)", [key_id])
        assert_books_are_clean()
    assert one("select credits from key_spending") == (4,)


def test_a_key_without_a_budget_is_not_counted_and_breaks_no_rule() -> None:
    who, offer = account(amount=50), model(price={"credits": 4})
    with transaction() as conn:
        key_id, _ = api_keys.create(conn, who, api_keys.NewKey("test"))
    finish(placed(who, offer, api_key_id=key_id), "failed")
    placed(who, offer, api_key_id=key_id)
    assert spent() == {}
    assert_books_are_clean()


def test_a_day_begins_at_midnight_in_utc_wherever_the_moment_was_read() -> None:
    moment = datetime(2031, 3, 31, 23, 30, tzinfo=UTC)
    assert first_id_of(moment.astimezone(ZoneInfo("Asia/Tokyo"))) == first_id_of(moment)
