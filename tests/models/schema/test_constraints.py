"""What must never be is refused by the database itself, whatever the code does."""

import psycopg
import pytest

from models.db import transaction
from tests.support import account, claimed, model, placed, rows

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def job():
    return placed(account(amount=10), model(price={"credits": 4}))


def refused(*statements: tuple[str, list[object]]) -> str:
    """Run in one transaction that must not commit; returns the constraint or message that stopped it."""
    with pytest.raises(psycopg.Error) as caught, transaction() as conn:
        for statement, values in statements:
            conn.execute(statement, values)
    return str(caught.value)


END = "update jobs set ended = 'failed', ended_at = app_now(), resolution = 'refund', error_code = 'x', charged_credits = 0 where id = %s"
RESOLVE = "update reservations set resolution = 'refund', settled = 0, refunded = amount, resolved_at = app_now() where job_id = %s"
SETTLE = "update reservation_grants set settled = 0 where job_id = %s"
FORGET = "delete from job_runs where job_id = %s"


def test_a_job_cannot_end_without_a_resolution(job) -> None:
    assert "fk_jobs_resolution" in refused((FORGET, [job]), (END, [job]))


def test_a_reservation_cannot_be_resolved_while_its_job_is_alive(job) -> None:
    assert "fk_reservations_resolution" in refused((RESOLVE, [job]))


def test_a_job_cannot_end_while_it_has_a_run(job) -> None:
    assert "fk_job_runs_job_id" in refused((END, [job]), (RESOLVE, [job]))


def test_a_living_job_cannot_lose_its_run(job) -> None:
    assert "fk_jobs_live_id" in refused((FORGET, [job]))


def test_the_ends_must_agree(job) -> None:
    wrong = RESOLVE.replace("'refund', settled = 0, refunded = amount", "'settle', settled = amount, refunded = 0")
    assert "fk_" in refused((FORGET, [job]), (END, [job]), (wrong, [job]))


def test_a_reservation_is_resolved_only_with_each_of_its_grants(job) -> None:
    assert "only with each of its grants" in refused((FORGET, [job]), (END, [job]), (RESOLVE, [job]))


def test_a_failed_job_cannot_be_settled(job) -> None:
    assert "ck_jobs_resolution" in refused((END.replace("'refund'", "'settle'"), [job]))


def test_an_ended_job_never_changes_and_no_job_is_deleted(job) -> None:
    with transaction() as conn:
        for statement in (FORGET, END, SETTLE, RESOLVE):
            conn.execute(statement, [job])
    assert "an ended job never changes" in refused(("update jobs set error_code = 'z' where id = %s", [job]))
    assert "kept for ever" in refused(("delete from jobs where id = %s", [job]))


@pytest.mark.parametrize(
    "statement", ["update ledger_entries set amount = 1", "delete from ledger_entries", "truncate ledger_entries"]
)
def test_the_ledger_refuses_change(job, statement: str) -> None:
    assert "repaired by another entry" in refused((statement, []))
    assert len(rows("select 1 from ledger_entries")) == 2


def test_credits_cannot_become_negative(job) -> None:
    assert "credits_not_negative" in refused(("update accounts set available = -1", []))
    assert "ck_grants_amount" in refused(("update grants set remaining = -1", []))
    assert "ck_grants_amount" in refused(("update grants set remaining = amount + 1", []))


def test_a_job_is_reserved_for_once(job) -> None:
    again = """insert into ledger_entries (account_id, kind, amount, from_bucket, to_bucket, job_id, available_after, reserved_after)
               select account_id, kind, amount, from_bucket, to_bucket, job_id, 0, 0 from ledger_entries where job_id = %s"""
    assert "uq_ledger_entries_job" in refused((again, [job]))


def test_an_entry_moves_between_the_buckets_of_its_kind(job) -> None:
    wrong = """insert into ledger_entries (account_id, kind, amount, from_bucket, to_bucket, job_id, available_after, reserved_after)
               select account_id, 'settle', 1, 'available', 'spent', job_id, 0, 0 from ledger_entries where job_id = %s"""
    assert "ck_ledger_entries_move" in refused((wrong, [job]))


def test_a_token_never_falls(job) -> None:
    claimed(job)
    assert "never falls" in refused(("update job_runs set token = 0", []))


def test_one_live_attempt_per_job(job) -> None:
    attempt = (
        "insert into attempts (job_id, number, token, provider, route, phase) values (%s, %s, 1, 'sketch', 0, 'intent')"
    )
    assert "ix_attempts_live" in refused((attempt, [job, 1]), (attempt, [job, 2]))


def test_a_provider_job_belongs_to_one_attempt() -> None:
    who, offer = account(amount=10), model()
    first, second = placed(who, offer), placed(who, offer)
    attempt = """insert into attempts (job_id, number, token, provider, route, phase, provider_job_id)
                 values (%s, 1, 1, 'sketch', 0, 'accepted', 'same')"""
    assert "provider_job_id" in refused((attempt, [first]), (attempt, [second]))
