"""Migration 0010 mends what older code has written: null for nothing spent, forgotten debts, drifted ends."""

import importlib

import psycopg
import pytest

from models.db import close, transaction
from models.schema import migrations
from tests.models.accounts.test_periods import subscribe
from tests.models.credits.test_debts import owing, revoke
from tests.models.credits.test_ledger import finish, give
from tests.support import account, assert_books_are_clean, model, one, placed, rows

mine = importlib.import_module("models.schema.migrations.versions.0010_credits")


@pytest.mark.usefixtures("database")
def test_what_older_code_has_written_is_mended() -> None:
    who, offer = account(), model(price={"credits": 4})
    grant_id = give(who, 10, "charged back")
    finish(placed(who, offer), "failed")
    finish(placed(who, offer), cost=4)
    held = placed(who, offer)
    assert revoke(grant_id) == 4
    forgetful, _ = owing(6)
    revoke(give(forgetful, 10, "paid and charged back"))
    for plan in ("creator", "pro"):
        subscribe(account(), plan)
    close()
    migrations.downgrade(mine.down_revision)
    with transaction() as conn:  # as the older code has left it
        conn.execute("update reservation_grants set settled = null where settled = 0")
        conn.execute("update accounts set debt = 0")
        conn.execute(
            "update subscriptions set started_at = '2031-01-31 10:00+00', ends_at = '2032-03-28 10:00+00' where plan_id = 'creator'"
        )
        conn.execute(
            "update subscriptions set started_at = '2032-02-29 23:30+00', ends_at = '2033-02-28 23:30+00' where plan_id = 'pro'"
        )
    close()
    migrations.upgrade()
    assert sorted(rows("select job_id = %s, settled from reservation_grants", held)) == [
        (False, 0), (False, 4), (False, 6), (True, None),
    ]  # fmt: skip
    assert dict(rows("select id, debt from accounts where debt > 0")) == {who: 4, forgetful: 6}
    assert one("select ends_at = '2032-03-31 10:00+00' from subscriptions where plan_id = 'creator'") == (True,)
    assert one("select ends_at = '2033-02-28 23:30+00' from subscriptions where plan_id = 'pro'") == (True,)
    finish(held, cost=1)
    assert one("select debt from accounts where id = %s", who) == (5,)
    assert_books_are_clean()
    with pytest.raises(psycopg.errors.RestrictViolation), transaction() as conn:
        conn.execute("update reservation_grants set settled = null")
        conn.execute("update reservations set resolution = resolution")
