"""A code gives what it gives while it runs, and says why it does not."""

import pytest

from common.errors import InvalidInput, PromotionRefused
from models.db import transaction
from models.payments import promotions
from tests.models.payments.shop import BY
from tests.support import account, assert_books_are_clean, balance, one, rows

pytestmark = pytest.mark.usefixtures("database")


def refused(code: str) -> str:
    with transaction() as conn, pytest.raises(PromotionRefused) as found:
        promotions.redeem(conn, account(), code, by=BY)
    return str(found.value.extra["reason"])


def test_a_code_that_was_ended_or_has_run_out_gives_nothing() -> None:
    who = account()
    with transaction() as conn:
        promotions.create(conn, BY, "ENDED", credits=10)
        promotions.redeem(conn, who, "ENDED", by=BY)
        ended = promotions.end(conn, BY, "ENDED")
        assert promotions.end(conn, BY, "ENDED") == ended
        (now,) = conn.execute("select app_now()").fetchone() or (None,)
        promotions.create(conn, BY, "LATE", credits=10, expires_at=now)
    assert (refused("ENDED"), refused("LATE"), refused("NEVER-MADE")) == ("ended", "ended", "unknown")
    assert balance(who) == (10, 0)
    assert rows("select code, uses from promotions order by code") == [("ENDED", 1), ("LATE", 0)]
    assert_books_are_clean()


def test_a_code_for_a_plan_gives_its_month_once() -> None:
    who = account()
    with transaction() as conn:
        promotions.create(conn, BY, "PLAN", plan_id="starter", interval="monthly", max_uses=1)
        promotions.redeem(conn, who, "PLAN", by=BY)
    assert one("select status, periods_granted from subscriptions where account_id = %s", who) == ("active", 1)
    assert refused("PLAN") == "used_up"
    with transaction() as conn, pytest.raises(InvalidInput):
        promotions.create(conn, BY, "FREE", plan_id="free", interval="monthly")
    assert_books_are_clean()
