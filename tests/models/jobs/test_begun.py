"""How jobs stand that have begun, as listeners are told it again."""

import pytest

from models.db import transaction
from models.jobs.begun import BegunJob, begun_jobs
from models.jobs.ending import Ending, end
from tests.models.hands import change
from tests.models.jobs.standing import accepted, begun, parked_job, requeued
from tests.support import account, model, placed, rows

pytestmark = pytest.mark.usefixtures("database")


def test_what_runs_and_what_waits_for_another_attempt_is_told_and_nothing_else() -> None:
    who, other = account(amount=20, plan="enterprise"), account(amount=5)
    offer = model()
    placed(who, offer)  # in line, or with a worker that has not begun it
    held = placed(who, offer)
    change("update job_runs set dispatched = false, wake_at = null where job_id = %s", held)
    runs, polled, unknown, waits = begun(who), accepted(begun(who)), parked_job(begun(who)), requeued(begun(who), 60)
    gone = begun(who)
    with transaction() as conn:
        assert end(conn, who, gone.job_id, Ending("failed", error_code="x"), token=gone.token)
    full = requeued(begun(who), 60, attempt=None, spends_attempt=False, held_back=True)
    other_one = begun(other)
    with transaction() as conn:
        found = begun_jobs(conn, [who, other, account()])
    assert set(found) == {who, other}
    stood = {(job.job_id, job.attempt, job.reason) for job in found[who]}
    assert stood == {
        (runs.job_id, 1, None), (polled.job_id, 1, None), (unknown.job_id, 1, None), (waits.job_id, 1, "once more"),
        (full.job_id, 0, "once more"),
    }  # fmt: skip
    assert {(job.job_id, job.run) for job in found[who]} == set(
        rows("select job_id, token from job_runs where job_id = any(%s)", [each[0] for each in stood])
    )
    assert [round(job.seconds) for job in found[who] if job.reason] == [60, 60]
    assert found[other] == [BegunJob(other_one.job_id, other_one.token, 1, None, 0.0)]


def test_of_a_thousand_jobs_a_few_hundred_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.jobs.begun.MOST", 2)
    who = account(amount=20, plan="enterprise")
    for _ in range(3):
        begun(who)
        requeued(begun(who), 60)
    with transaction() as conn:
        found = begun_jobs(conn, [who])[who]
    assert [job.reason for job in found].count(None) == 2
    assert len(found) == 4
