"""Events: what is told, in which number, and who hears that there is something to hear."""

from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from models.accounts import paid_periods
from models.credits import ledger, revoking
from models.db import transaction
from models.events import events
from models.jobs import ending
from models.jobs.ending import Ending, NewAsset
from tests.conftest import environment
from tests.support import account, assert_books_are_clean, claimed, model, placed, rows

pytestmark = pytest.mark.usefixtures("database")


def told(account_id: UUID, since: int = 0) -> list[str]:
    return [
        row[0]
        for row in rows(
            "select type from events where account_id = %s and number > %s order by number", account_id, since
        )
    ]


def grant(who: UUID, amount: int) -> None:
    with transaction() as conn:
        ledger.grant(conn, who, kind="gift", amount=amount, ref=str(uuid7()))


def test_few_credits_are_told_once_and_again_after_there_were_enough() -> None:
    with environment({"LOW_CREDITS": "5"}):
        who, offer = account(amount=8), model(price={"credits": 2})
        for _ in range(3):
            placed(who, offer)
        assert told(who) == ["credits.granted", "job.queued", "job.queued", "credits.low", "job.queued"]
        grant(who, 4)
        placed(who, offer)
        assert told(who, 5) == ["credits.granted", "job.queued", "credits.low"]
        low = rows("select data from events where type = 'credits.low' order by number")
        assert [row[0] for row in low] == [{"available": 4, "limit": 5}] * 2
    assert_books_are_clean()


def test_credits_that_expire_or_are_taken_back_are_told_and_may_be_the_last() -> None:
    who = account()
    with transaction() as conn:
        ledger.grant(conn, who, kind="gift", amount=30, ref="soon gone")
        conn.execute("update grants set expires_at = app_now() where account_id = %s", [who])
    with transaction() as conn:
        conn.execute("select 1 from accounts where id = %s for no key update", [who])
        ledger.expire_lapsed(conn, [who])
    assert told(who, 1) == ["credits.expired", "credits.low"]
    with transaction() as conn:
        made = ledger.grant(conn, who, kind="gift", amount=30, ref="a mistake")
        assert made is not None
        revoking.revoke(conn, made)
    assert told(who, 3) == ["credits.granted", "credits.revoked", "credits.low"]
    assert_books_are_clean()


def test_a_job_tells_each_output_before_its_end() -> None:
    who, offer = account(amount=20), model()
    job_id = placed(who, offer)
    assets = [NewAsset(uuid7(), index, f"k/{index}", "image/png", 10, b"x" * 32, 8, 8) for index in range(2)]
    with transaction() as conn:
        done = ending.end(
            conn, who, job_id, Ending("succeeded", cost_credits=1, assets=assets), token=claimed(job_id).token
        )
    found = rows("select number, type, data from events where job_id = %s order by number", job_id)
    assert [row[1] for row in found] == ["job.queued", "job.output", "job.output", "job.succeeded"]
    assert done is not None
    assert done.event_number == found[-1][0]
    assert found[1][2]["output"] == {
        "id": str(assets[0].id), "index": 0, "media_type": "image/png", "size_bytes": 10, "width": 8, "height": 8,
        "duration_ms": None, "thumbnail": False,
    }  # fmt: skip
    assert found[3][2] == {"credits": 1, "available": 19, "reserved": 0}
    assert_books_are_clean()


def test_a_failed_job_tells_why() -> None:
    who, offer = account(amount=20), model()
    job_id = placed(who, offer)
    with transaction() as conn:
        ending.end(
            conn,
            who,
            job_id,
            Ending("failed", error_code="invalid_input", error_message="why"),
            token=claimed(job_id).token,
        )
    data = rows("select data from events where type = 'job.failed'")[0][0]
    assert data == {"credits": 0, "available": 20, "reserved": 0, "error": {"code": "invalid_input", "message": "why"}}


def test_another_plan_is_told_as_a_change() -> None:
    who = account()
    for plan in ("starter", "pro"):
        with transaction() as conn:
            paid_periods.subscribe(conn, who, plan)
    subscription = [kind for kind in told(who) if kind.startswith("subscription")]
    assert subscription == [
        "subscription.started",
        "subscription.period",
        "subscription.changed",
        "subscription.period",
    ]


def test_who_listens_hears_of_accounts_after_the_commit_and_never_of_what_was_rolled_back(
    heard: list[set[UUID]],
) -> None:
    one, two = account(), account()
    heard.clear()
    with transaction() as conn:
        for who in (one, two):
            ledger.grant(conn, who, kind="gift", amount=1, ref="both")
        assert heard == []
    assert heard == [{one, two}]
    with pytest.raises(ZeroDivisionError), transaction() as conn:
        ledger.grant(conn, one, kind="gift", amount=1, ref="never")
        raise ZeroDivisionError
    with transaction() as conn:
        conn.execute("select 1")
    assert heard == [{one, two}]


def test_events_after_a_number_are_read_for_many_accounts_in_one_query() -> None:
    one, two = account(amount=5), account(amount=5)
    for who in (one, one, two):
        grant(who, 1)
    with transaction() as conn:
        pages = events.after(conn, [(two, 1), (one, 0), (one, None), (one, 2), (one, 9), (uuid7(), 0)], 2)
    assert [[event.number for event in page.events] for page in pages] == [[2], [1, 2], [], [3], [], []]
    assert [page.current for page in pages] == [2, 3, 3, 3, 3, 0]
    assert [page.missing for page in pages] == [False, False, False, False, True, False]
    with transaction() as conn:
        conn.execute("delete from events where account_id = %s and number <= 2", [one])
        conn.execute("delete from events where account_id = %s", [two])
        pages = events.after(conn, [(one, 1), (one, 2), (two, 1), (two, 2)], 2)
    assert [page.missing for page in pages] == [True, False, True, False]
