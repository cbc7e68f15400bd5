"""How the queues stand, as operators are shown it."""

import pytest

from models.db import transaction
from models.jobs.queues import QueueRow, read_queues
from tests.models.hands import change
from tests.models.jobs.standing import accepted, parked_job, requeued
from tests.support import account, claimed, model, placed

pytestmark = pytest.mark.usefixtures("database")


def queues() -> dict[str, QueueRow]:
    with transaction() as conn:
        return {row.queue: row for row in read_queues(conn)}


def test_queues_without_a_job_are_shown_empty() -> None:
    assert queues() == {name: QueueRow(name, 0, 0, 0, 0, 0, 0.0) for name in ("interactive", "batch")}


def test_each_living_job_is_counted_in_one_place_of_its_queue() -> None:
    who, offer, slow = account(amount=20, plan="starter"), model(), model("slow", queue="batch")
    parked_job(claimed(placed(who, offer)))
    accepted(claimed(placed(who, offer)))
    jobs = [placed(who, offer) for _ in range(3)]  # one has the plan's third slot
    placed(account(amount=5), slow)
    change("update plans set slots = 1 where id = 'starter'")
    requeued(claimed(jobs[0]), after_seconds=3600)
    change("update job_runs set created_at = created_at - interval '1 hour' where job_id = %s", jobs[1])
    change("update job_runs set created_at = created_at - interval '9 hours' where started_at is not null")
    found = queues()
    assert found["interactive"][1:6] == (0, 1, 2, 1, 1)
    assert found["interactive"].oldest_seconds == pytest.approx(3600, abs=30)
    assert found["batch"][1:6] == (1, 0, 0, 0, 0)
