"""Reads: what clients and operators are shown of jobs."""

from typing import Any
from uuid import UUID, uuid4

import pytest
from uuid_utils.compat import uuid7

from models.credits.reads import entries_of_job
from models.db import transaction
from models.jobs import cancel, reads
from models.jobs.ending import Ending, NewAsset, end
from models.jobs.reads import JobRow
from scheduler.duties.jobs import retry_due
from tests.models.hands import change, later
from tests.models.jobs.standing import accepted, parked_job, requeued
from tests.support import account, claimed, model, one, placed

pytestmark = pytest.mark.usefixtures("database")


def job(job_id: UUID) -> JobRow:
    with transaction() as conn:
        return reads.jobs_by_id(conn, [job_id])[job_id]


def ids(account_id: UUID | None, **fields: Any) -> list[UUID]:
    with transaction() as conn:
        return [row.id for row in reads.list_jobs(conn, account_id, **fields)]


def finished(job_id: UUID, ended: str = "succeeded", assets: int = 0, **fields: Any) -> UUID:
    claim = claimed(job_id)
    made = [NewAsset(uuid7(), n, f"k/{n}", "image/png", 10, b"x" * 32, 8, 8) for n in reversed(range(assets))]
    what = {"cost_credits": 1} if ended == "succeeded" else {"error_code": "x"}
    with transaction() as conn:
        ending = Ending(ended, assets=made, **what, **fields)
        assert end(conn, claim.account_id, job_id, ending, token=claim.token) is not None
    return job_id


def test_a_job_is_shown_from_its_order_to_its_end() -> None:
    who, offer = account(amount=9), model(price={"credits": 2})
    job_id = placed(who, offer, {"prompt": "a lighthouse"})
    queued = job(job_id)
    assert (queued.account_id, queued.model_id, queued.input["prompt"]) == (who, "test-model", "a lighthouse")
    assert (queued.run_status, queued.dispatched, queued.attempts, queued.started_at) == ("queued", True, 0, None)
    assert (queued.price_credits, queued.charged_credits, queued.ended, queued.assets) == (2, None, None, [])
    accepted(claimed(job_id))
    running = job(job_id)
    assert (running.run_status, running.attempts) == ("running", 1)
    assert running.started_at is not None
    change("update job_runs set wake_at = app_now()")
    finished(job_id, assets=2)
    done = job(job_id)
    assert (done.ended, done.run_status, done.wake_at, done.charged_credits) == ("succeeded", None, None, 1)
    assert (done.attempts, done.started_at) == (1, running.started_at), "what the run knew is kept"
    assert [each["index"] for each in done.assets] == [0, 1]
    assert done.event_number == one("select event_number from accounts")[0] > queued.event_number


def test_a_result_is_shown_as_expired_from_its_hour_on() -> None:
    job_id = finished(placed(account(amount=9), model()), assets=1, result_hours=2)
    for hours, status in ((1.9, "stored"), (2.1, "expired")):
        with later(hours):
            assert [each["status"] for each in job(job_id).assets] == [status]


def test_only_a_job_that_succeeded_has_results() -> None:
    who, offer = account(amount=9), model()
    failed = finished(placed(who, offer), "failed")
    assert (job(failed).assets, job(failed).error_code) == ([], "generation_failed")


def test_jobs_before_this_one_in_its_line_are_counted_and_those_of_others_are_not() -> None:
    who, offer = account(amount=9), model()
    first, _second, third, urgent, last = (placed(who, offer, priority=n) for n in (0, 0, 0, 5, 0))
    other = account(amount=9)
    for _ in range(4):
        placed(other, offer, priority=9)
    assert [job(each).ahead for each in (first, third, urgent, last)] == [None, 1, 0, 2]
    change("update plans set slots = 1 where id = 'free'")
    requeued(claimed(first), after_seconds=3600)
    assert job(last).ahead == 2, "what waits for its hour is in nobody's way"
    change("update job_runs set wake_at = null where job_id = %s", first)
    assert [job(each).ahead for each in (first, urgent, last)] == [0, 1, 3]


def test_jobs_are_found_by_their_ids_whoever_they_belong_to() -> None:
    offer = model()
    jobs = [placed(account(amount=5), offer) for _ in range(2)]
    with transaction() as conn:
        assert set(reads.jobs_by_id(conn, [*jobs, jobs[0], uuid4()])) == set(jobs)
        assert reads.jobs_by_id(conn, []) == {}


def test_a_list_is_of_one_account_newest_first_page_by_page() -> None:
    who, stranger, offer = account(amount=9), account(amount=9), model()
    jobs = [placed(who, offer) for _ in range(4)][::-1]
    foreign = placed(stranger, offer)
    assert ids(who) == jobs
    assert ids(who, limit=2) == jobs[:2]
    assert ids(who, before=jobs[1], limit=2) == jobs[2:]
    assert ids(who, before=foreign) == jobs, "another's id is a place in time like any other"
    assert ids(None) == [foreign, *jobs]
    assert ids(uuid4()) == []


def test_a_list_of_one_status_has_the_living_and_the_ended_where_they_belong() -> None:
    who, stranger, offer, other = account(amount=20, plan="studio"), account(amount=9), model(), model("other")
    queued = placed(who, offer)
    running, lost = accepted(begun_of(who, offer)).job_id, parked_job(begun_of(who, offer)).job_id
    succeeded, failed = finished(placed(who, other)), finished(placed(who, offer), "failed")
    canceled = placed(who, offer)
    with transaction() as conn:
        cancel.cancel(conn, canceled)
    foreign = placed(stranger, offer)
    found = {status: ids(who, status=status) for status in ("queued", "running", "succeeded", "failed", "canceled")}
    assert found == {
        "queued": [queued], "running": [lost, running], "succeeded": [succeeded], "failed": [failed],
        "canceled": [canceled],
    }  # fmt: skip
    assert ids(None, status="queued") == [foreign, queued]
    with pytest.raises(ValueError, match="nonsense"):
        ids(who, status="nonsense")
    assert ids(who, model_id="other") == [succeeded]
    assert ids(who, model_id="other", status="failed") == []


def begun_of(who: UUID, offer: Any) -> Any:
    return claimed(placed(who, offer))


def test_the_job_of_a_key_is_found_by_this_very_request_for_as_long_as_keys_are_kept() -> None:
    who, stranger, offer = account(amount=9), account(amount=9), model()
    job_id = placed(who, offer, idempotency_key="k", body_hash=b"same")

    def found(account_id: UUID, key: str, body_hash: bytes) -> UUID | None:
        with transaction() as conn:
            return reads.job_of_key(conn, account_id, key, body_hash)

    assert found(who, "k", b"same") == job_id
    assert (found(who, "k", b"other"), found(who, "K", b"same"), found(stranger, "k", b"same")) == (None, None, None)
    with later(23.9):
        assert found(who, "k", b"same") == job_id
    with later(24.1):
        assert found(who, "k", b"same") is None


def test_the_address_of_a_job_is_the_one_it_brought() -> None:
    job_id = placed(account(amount=5), model())
    with transaction() as conn:
        assert reads.webhook(conn, job_id) is None
        assert reads.webhook(conn, uuid4()) is None
        conn.execute(
            "update jobs set webhook = jsonb_build_object('url', 'https://example.com') where id = %s", [job_id]
        )
        assert reads.webhook(conn, job_id) == {"url": "https://example.com"}


def test_attempts_and_entries_of_a_job_are_told_oldest_first_and_no_other_jobs() -> None:
    who, offer = account(amount=9), model(price={"credits": 3})
    job_id = requeued(claimed(placed(who, offer))).job_id
    assert retry_due(10) == 1
    finished(job_id)
    finished(placed(who, offer))
    with transaction() as conn:
        attempts, entries = reads.attempts(conn, job_id), entries_of_job(conn, job_id)
        assert reads.attempts(conn, uuid4()) == []
    assert (attempts[0]["phase"], attempts[0]["error_code"]) == ("failed", "broken")
    assert [each["number"] for each in attempts] == [1, 2]
    assert [(each["kind"], each["amount"]) for each in entries] == [("reserve", 3), ("settle", 1), ("refund", 2)]


def test_jobs_of_a_kind_are_listed_from_either_end() -> None:
    who, other = account(amount=99, plan="studio"), account(amount=9, plan="studio")
    film, short, picture = model("film", kind="video"), model("short", kind="video"), model("picture")
    made = [placed(who, offer) for offer in (film, picture, short, film, picture, film)]
    placed(other, film)
    films = [made[0], made[2], made[3], made[5]]

    def listed(**wanted: Any) -> list[UUID]:
        with transaction() as conn:
            given = {"after": None, "oldest_first": False, "limit": 9, **wanted}
            return [row.id for row in reads.jobs_of_kind(conn, who, "video", **given)]

    assert listed() == films[::-1]
    assert listed(oldest_first=True, limit=2) == films[:2]
    assert listed(oldest_first=True, after=films[1]) == films[2:]
    assert (listed(after=films[2], limit=1), listed(after=films[0])) == ([films[1]], [])
