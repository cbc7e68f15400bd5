"""A worker process that is drained takes no more jobs, finishes those that it is at, and ends; another does the rest."""

from typing import Any

from models.access.audit_log import By
from models.db import transaction
from models.fleet import processes
from models.operations import fleet_acts
from tests.support import System, account, assert_books_are_clean, ended, eventually, model, one, rows


def workers() -> list[dict[str, Any]]:
    with transaction() as conn:
        return processes.workers(conn)


def test_a_drained_worker_finishes_what_it_is_at_and_another_does_the_rest(system: System) -> None:
    model("slow", options={"instant": False, "delay_seconds": 4}, timeout_seconds=60)
    system.start("api", "scheduler", "worker", worker={"WORKER_THREADS": "2"})
    eventually(lambda: len(workers()) == 1, what="the worker's first word")
    [first] = workers()
    who = account(amount=100, plan="studio")
    with system.client(who) as http:
        ids = [http.post("/v1/jobs", json={"model": "slow", "input": {}}).json()["id"] for _ in range(6)]
        eventually(lambda: len(rows("select 1 from job_runs where status = 'running'")) == 2, what="the first two")
        at = {str(row[0]) for row in rows("select job_id from job_runs where status = 'running'")}
        with transaction() as conn:
            fleet_acts.drain_worker(conn, By("tester"), first["id"], "new machine")
        eventually(lambda: not system.processes.alive("worker"), seconds=40, what="the end of the drained worker")
        assert workers() == []
        assert {str(row[0]) for row in rows("select id from jobs where ended = 'succeeded'")} == at
        assert {row[0] for row in rows("select attempts from jobs where ended is not null")} == {1}
        system.start("worker")
        done = [ended(http, job_id, seconds=60) for job_id in ids]
    assert [(job["status"], job["attempts"]) for job in done] == [("succeeded", 1)] * 6
    assert one("select count(*) from attempts") == (6,)
    assert_books_are_clean()
