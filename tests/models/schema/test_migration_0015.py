"""Migration 0015 renames what has two names, and what living jobs keep under them; ended jobs never change."""

import pytest

from models.db import close, transaction
from models.events import endpoints
from models.schema import migrations
from tests.models.credits.test_ledger import finish
from tests.support import account, assert_books_are_clean, model, one, placed

ADDRESS = "https://example.com/hook"


@pytest.mark.usefixtures("database")
def test_living_jobs_deliver_to_the_same_queue_before_and_after_it() -> None:
    who, offer = account(amount=9), model()
    kept = endpoints.for_job(who, ADDRESS, None)
    living, ended, silent = (placed(who, offer, webhook=each) for each in (kept, kept, None))
    finish(ended, "failed")
    close()
    migrations.downgrade("0014")
    older = {**{key: value for key, value in kept.items() if key != "queue"}, "line": kept["queue"]}
    with transaction() as conn:
        found = conn.execute("select id, webhook from jobs order by id").fetchall()
        lines = conn.execute("select distinct line_id::text from deliveries").fetchall()
    assert found == [(living, older), (ended, kept), (silent, None)]
    assert lines == [(kept["queue"],)]
    close()
    migrations.upgrade()
    assert one("select webhook from jobs where id = %s", living) == (kept,)
    finish(living, "failed")
    assert one("select count(*), count(distinct queue_id) from deliveries") == (2, 1)
    assert migrations.differences() == []
    assert_books_are_clean()
