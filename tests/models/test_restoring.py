"""What a restored database is made safe by."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from models import restoring
from models.access.audit_log import By
from models.columns import NEVER
from models.db import transaction
from models.jobs import cancel, pauses, reconcile, steps
from models.jobs.ending import AttemptEnd, put_back
from models.jobs.states import AttemptPhase
from models.restoring import Restored
from models.schema import migrations
from scheduler.duties.jobs import retry_due
from tests.support import account, assert_books_are_clean, balance, claimed, model, one, placed, rows

BY = By("test")
pytestmark = pytest.mark.usefixtures("database")


def made_safe(*, went_on: bool, ago: float = 7200) -> Restored:
    with transaction() as conn:
        return restoring.make_safe(
            conn, BY, migrations.newest(), datetime.now(UTC) - timedelta(seconds=ago), went_on=went_on
        )


def claim(job_id: UUID) -> steps.Claim | None:
    with transaction() as conn:
        return steps.claim(conn, job_id, "after")


def run_of(job_id: UUID) -> tuple[object, ...]:
    return one(
        f"select status, dispatched, wake_at = {NEVER}, lease_owner, attempts from job_runs where job_id = %s", job_id
    )


def test_what_was_called_or_may_have_been_is_parked_and_nobody_claims_it() -> None:
    who, offer = account(amount=100, plan="studio"), model()
    called, waiting = placed(who, offer), placed(who, offer)
    claimed(called)
    done = made_safe(went_on=True)
    assert done[:3] == (2, 0, 0)
    for job_id in (called, waiting):
        assert run_of(job_id) == ("reconciling", True, True, None, 1)
        assert one("select number, phase, provider from attempts where job_id = %s", job_id) == (1, "unknown", "sketch")
        assert claim(job_id) is None
    assert balance(who) == (98, 2)
    assert_books_are_clean()


def test_jobs_beyond_an_accounts_slots_hold_one_each_until_they_are_decided() -> None:
    who, offer = account(amount=100), model()
    jobs = [placed(who, offer) for _ in range(6)]
    assert one("select slots_in_use from accounts where id = %s", who)[0] < 6
    made_safe(went_on=True)
    assert one("select slots_in_use from accounts where id = %s", who) == (6,)
    assert_books_are_clean()
    for job_id in jobs:
        with transaction() as conn:
            reconcile.decide(conn, job_id, again=False)
    assert one("select slots_in_use from accounts where id = %s", who) == (0,)
    assert balance(who) == (100, 0)
    assert_books_are_clean()


def test_a_job_that_an_operator_lets_begin_does_so_as_any_other() -> None:
    who, offer = account(amount=100, plan="studio"), model()
    job_id = placed(who, offer)
    made_safe(went_on=True)
    with transaction() as conn:
        conn.execute("delete from pauses")
        pauses.forget_seen()
        reconcile.decide(conn, job_id, again=True)
    retry_due(10)
    assert rows("select 1 from restored_jobs") == []
    again = claim(job_id)
    assert again is not None
    assert (again.begins, again.attempts, again.attempts_spent) == (True, 2, 1)


def test_an_accepted_attempt_is_asked_about_and_no_other_follows_it() -> None:
    who, offer = account(amount=100, plan="studio"), model(max_attempts=3)
    job_id = placed(who, offer)
    held = claimed(job_id)
    with transaction() as conn:
        conn.execute("update attempts set phase = 'accepted', provider_job_id = 'p-1' where job_id = %s", [job_id])
    assert made_safe(went_on=True)[:3] == (0, 1, 0)
    asked = claim(job_id)
    assert asked is not None
    assert asked.live is not None
    assert (asked.begins, asked.live.phase, asked.token > held.token) == (False, AttemptPhase.ACCEPTED, True)
    assert asked.seconds_left > 0  # the two hours are nobody's
    _put_back(asked)
    retry_due(10)
    last = claim(job_id)
    assert last is not None
    assert (last.begins, last.live, last.exhausted) == (False, None, True)


def _put_back(held: steps.Claim) -> None:
    attempt = AttemptEnd(1, AttemptPhase.FAILED, "broke", "it broke", charged=False)
    with transaction() as conn:
        conn.execute("delete from pauses")
        pauses.forget_seen()
        put_back(
            conn, held.account_id, held.job_id, token=held.token, after_seconds=0, reason="it broke", attempt=attempt,
            spends_attempt=True, next_route=0,
        )  # fmt: skip


def test_a_parked_job_that_its_client_cancels_is_looked_at() -> None:
    who, offer = account(amount=100, plan="studio"), model()
    job_id = placed(who, offer)
    made_safe(went_on=True)
    with transaction() as conn:
        cancel.cancel(conn, job_id)
    found = claim(job_id)
    assert found is not None
    assert (found.begins, found.cancel_requested) == (False, True)


def test_where_nothing_ran_since_what_waits_runs_and_what_was_called_is_asked_about() -> None:
    who, offer = account(amount=100, plan="studio"), model()
    called, waiting = placed(who, offer), placed(who, offer)
    claimed(called)
    assert made_safe(went_on=False)[:3] == (0, 1, 1)
    assert rows("select 1 from restored_jobs") == []
    found, begun = claim(called), claim(waiting)
    assert found is not None
    assert begun is not None
    assert (found.begins, begun.begins) == (False, True)
    assert_books_are_clean()


def test_both_queues_are_paused_and_the_audit_log_says_why() -> None:
    made_safe(went_on=True)
    assert rows("select name, reason from pauses order by name") == [
        ("batch", restoring.WHY), ("interactive", restoring.WHY)
    ]  # fmt: skip
    assert one("select count(*) from acts where action = 'database.restore'") == (1,)
