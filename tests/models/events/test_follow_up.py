"""What an event entails does not depend on who has written it: deliveries, notices and their mail, waking of listeners."""

from collections.abc import Callable
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from models.credits import ledger
from models.db import single, transaction
from models.events.notifications import NOTICES, Notice
from models.files import keeping, results
from models.jobs import cancel, ending, reconcile, steps
from models.jobs.ending import AttemptEnd, Ending, NeedsTransaction, NewAsset
from tests.conftest import environment
from tests.support import account, assert_books_are_clean, claimed, model, one, placed, rows

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def who() -> UUID:
    """An account of somebody with an address, who has few credits more than enough."""
    account_id = account(amount=11)
    with transaction() as conn:
        conn.execute(
            "update users set email = 'a@example.com' where id = (select user_id from accounts where id = %s)",
            [account_id],
        )
    return account_id


def result() -> NewAsset:
    return NewAsset(uuid7(), 0, "k/0", "image/png", 10, b"x" * 32, 8, 8)


def end(job_id: UUID, what: Ending) -> None:
    claim = claimed(job_id)
    with transaction() as conn:
        assert ending.end(conn, claim.account_id, job_id, what, token=claim.token)


def order(who: UUID) -> None:
    placed(who, model(price={"credits": 4}))


def succeed(who: UUID) -> None:
    end(placed(who, model()), Ending("succeeded", cost_credits=1, assets=[result()]))


def fail(who: UUID) -> None:
    end(placed(who, model()), Ending("failed", error_code="invalid_input", error_message="why"))


def cancel_before_the_start(who: UUID) -> None:
    job_id = placed(who, model())
    with transaction() as conn:
        assert cancel.cancel(conn, job_id).ended


def cancel_after_the_start(who: UUID) -> None:
    job_id = placed(who, model())
    claim = claimed(job_id)
    with transaction() as conn:
        assert not cancel.cancel(conn, job_id).ended
    with transaction() as conn:
        ending.end(conn, who, job_id, Ending("succeeded", cost_credits=1, assets=[result()]), token=claim.token)


def give_up(who: UUID) -> None:
    job_id = placed(who, model())
    claim = claimed(job_id)
    assert claim.live is not None
    with transaction() as conn:
        assert steps.wait_unknown(conn, claim, claim.live.number, after_seconds=60.0, reason="no answer")
    with transaction() as conn:
        reconcile.decide(conn, job_id, again=False)


def expire_results(who: UUID) -> None:
    succeed(who)
    with transaction() as conn:
        conn.execute("update assets set expires_at = app_now() - interval '1 second'")
    with transaction() as conn:
        assert results.expire(conn, 10).done == 1


def delete_results(who: UUID) -> None:
    succeed(who)
    with transaction() as conn:
        assert keeping.delete(conn, who, one("select id from jobs where account_id = %s", who)[0]) == 1


def expire_credits(who: UUID) -> None:
    with transaction() as conn:
        conn.execute("update grants set expires_at = app_now() where account_id = %s", [who])
    with transaction() as conn:
        conn.execute("select 1 from accounts where id = %s for no key update", [who])
        assert ledger.expire_lapsed(conn, [who]) == 1


TELLERS: dict[str, tuple[Callable[[UUID], None], str]] = {
    "an order": (order, "job.queued"),
    "a result": (succeed, "job.output"),
    "a success": (succeed, "job.succeeded"),
    "a failure": (fail, "job.failed"),
    "a cancel before the start": (cancel_before_the_start, "job.canceled"),
    "a cancel after the start": (cancel_after_the_start, "job.canceled"),
    "a job that is given up": (give_up, "job.failed"),
    "an expiry of results": (expire_results, "assets.expired"),
    "results that are deleted": (delete_results, "assets.deleted"),
    "few credits after an order": (order, "credits.low"),
    "few credits after an expiry": (expire_credits, "credits.low"),
}


@pytest.mark.parametrize("teller", TELLERS)
def test_a_line_of_the_table_makes_any_event_a_notice_with_mail(
    who: UUID, monkeypatch: pytest.MonkeyPatch, teller: str
) -> None:
    tell, kind = TELLERS[teller]
    monkeypatch.setattr("models.events.notifications.NOTICES", {kind: Notice("Hear", "It has come", True)})
    with environment({"SMTP_URL": "smtp://127.0.0.1:2"}):
        tell(who)
    numbers = rows("select number from events where type = %s", kind)
    assert len(numbers) == 1
    assert rows("select event_number from notifications where kind = %s", kind) == numbers
    assert rows("select event_number from deliveries where channel = 'email' and event_type = %s", kind) == numbers
    assert_books_are_clean()


@pytest.mark.parametrize("teller", TELLERS)
def test_whoever_listens_hears_of_any_event_after_its_commit(who: UUID, heard: list[set[UUID]], teller: str) -> None:
    tell, kind = TELLERS[teller]
    tell(who)
    assert heard[-1] == {who}, "the last commit, whose event it is, was not heard of"
    assert rows("select type from events order by number desc limit 2")[0][0] in {kind, "job.succeeded", "credits.low"}


def test_who_rings_in_the_same_round_trip_wakes_listeners_itself(who: UUID, heard: list[set[UUID]]) -> None:
    job_id = placed(who, model())
    claim = claimed(job_id)
    before = len(heard)
    with single(wake=False) as conn:
        assert ending.end(conn, who, job_id, Ending("succeeded", cost_credits=1), token=claim.token)
    assert len(heard) == before


def test_credits_that_run_low_are_mailed_as_the_table_stands() -> None:
    assert NOTICES["credits.low"].mail


@pytest.mark.parametrize("way", [order, expire_credits])
def test_mail_on_few_credits_is_the_same_after_an_order_and_after_an_expiry(
    who: UUID, way: Callable[[UUID], None]
) -> None:
    with environment({"SMTP_URL": "smtp://127.0.0.1:2"}):
        way(who)
    assert rows("select channel, event_type from deliveries") == [("email", "credits.low")]
    assert rows("select title from notifications") == [("Your credits are running low",)]


def test_an_end_of_which_people_are_notified_is_no_statement_of_its_own(
    who: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.events.notifications.NOTICES", {"job.failed": Notice("Failed", "It failed", False)})
    job_id = placed(who, model())
    claim = claimed(job_id)
    assert claim.live is not None
    failed = Ending("failed", error_code="invalid_input", attempt=AttemptEnd(claim.live.number, "failed"))
    with pytest.raises(NeedsTransaction), single() as conn:
        ending.end(conn, who, job_id, failed, token=claim.token)
    with transaction() as conn:
        assert ending.end(conn, who, job_id, failed, token=claim.token)
    assert rows("select title from notifications") == [("Failed",)]


def test_a_result_that_meets_a_cancel_notifies_of_nothing_before_it(who: UUID, monkeypatch: pytest.MonkeyPatch) -> None:
    """A grant that lapses with the end makes an event in its transaction, of which people have been notified already."""
    both = {kind: Notice("Hear", "It has come", False) for kind in ("credits.low", "job.canceled")}
    monkeypatch.setattr("models.events.notifications.NOTICES", both)
    job_id = placed(who, model())
    claim = claimed(job_id)
    with transaction() as conn:
        cancel.cancel(conn, job_id)
        conn.execute("update grants set expires_at = app_now()")
    with transaction() as conn:
        done = ending.end(
            conn, who, job_id, Ending("succeeded", cost_credits=1, assets=[result(), result()]), token=claim.token
        )
    assert done is not None
    assert done.ended == "canceled"
    assert rows("select kind from notifications order by event_number") == [("credits.low",), ("job.canceled",)]
