"""A bulk run with real processes: the scheduler is killed in the middle of it, again and again."""

import httpx
import pytest

from tests.api.v1.test_holds import admin
from tests.models.operations.test_finding import failed
from tests.support import System, account, assert_books_are_clean, eventually, model, one, placed, rows


@pytest.mark.parametrize("act", ["retry"])
def test_a_run_whose_scheduler_is_killed_does_each_job_once(system: System, act: str) -> None:
    people = [account(amount=1000, plan="enterprise") for _ in range(4)]
    offer = model()
    jobs = [failed(placed(who, offer)) for who in people for _ in range(50)]
    system.start("api", "scheduler")
    body = {"act": act, "filter": {"model": "test-model"}, "reason": "the provider was down"}
    with httpx.Client(base_url=system.url, headers=admin(), timeout=30) as http:
        dry = http.post("/v1/admin/bulk-runs", json=body).json()
        assert dry == {"jobs": 200, "credits": 200, "run": None}
        made = http.post("/v1/admin/bulk-runs", json={**body, "dry_run": False}, headers={"idempotency-key": "k"})
        again = http.post("/v1/admin/bulk-runs", json={**body, "dry_run": False}, headers={"idempotency-key": "k"})
        assert (made.status_code, again.json()["run"]["id"]) == (202, made.json()["run"]["id"])
        address = f"/v1/admin/bulk-runs/{made.json()['run']['id']}"
        for kill in range(4):
            eventually(lambda: one("select done from bulk_runs")[0] >= 15 * (kill + 1), seconds=60, what="some of it")  # noqa: B023 - called at once
            system.processes.kill("scheduler")
            system.start("scheduler")
        eventually(lambda: http.get(address).json()["status"] == "done", seconds=60, what="all of it")
        found = http.get(address).json()
    assert (found["done"], found["skipped"], found["left"], found["credits_done"]) == (200, 0, 0, 200)
    assert sorted(row[0] for row in rows("select retry_of from jobs where retry_of is not null")) == sorted(jobs)
    assert_books_are_clean()
