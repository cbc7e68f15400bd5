"""Batches on real processes: killed in the middle, run to their end at most so many at a time, told of, canceled."""

import json
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support import System, account, assert_books_are_clean, balance, eventually, model, one, rows


def body(count: int, **values: Any) -> bytes:
    return b"".join(
        json.dumps({"custom_id": f"c{n}", "model": "picture", "input": {"seed": n, **values}}).encode() + b"\n"
        for n in range(count)
    )


def completed(http: httpx.Client, batch_id: str) -> dict[str, Any]:
    found: dict[str, Any] = {}

    def look() -> bool:
        found.update(http.get(f"/v1/batches/{batch_id}").json())
        return found["ended_at"] is not None

    eventually(look, seconds=60, what="the end of the batch")
    return found


def results(http: httpx.Client, batch_id: str, tail: str = "") -> list[dict[str, Any]]:
    return [json.loads(line) for line in http.get(f"/v1/batches/{batch_id}/results{tail}").text.splitlines()]


@pytest.mark.parametrize(("point", "stays"), [("batch:placed", False), ("batch:committed", True)])
def test_an_api_killed_while_it_orders_a_batch_has_ordered_all_of_it_or_nothing(
    system: System, tmp_path: Path, point: str, stays: bool
) -> None:
    model("picture")
    who = account(amount=3000, plan="studio")
    system.start("api", api={"HEADRACE_FAULT_POINT": point, "HEADRACE_FAULT_MARKER": str(tmp_path / "killed")})
    content, once = body(2500), {"idempotency-key": "batch-1"}
    with system.client(who) as http:
        with pytest.raises(httpx.TransportError):
            http.post("/v1/batches", content=content, headers=once)
        assert one("select count(*) from batches") == (int(stays),)
        assert one("select count(*) from jobs") == (2500 * stays,)
        assert balance(who) == ((500, 2500) if stays else (3000, 0))
        system.processes.forget("api")
        system.start("api")
        again = http.post("/v1/batches", content=content, headers=once)
        assert (again.status_code, again.json()["accepted"]) == (201, 2500)
        assert again.headers.get("idempotent-replayed") == ("true" if stays else None)
        third = http.post("/v1/batches", content=content, headers=once)
        assert third.headers["idempotent-replayed"] == "true"
        assert third.json() == again.json()
    assert one("select count(*), count(distinct job_id) from batch_orders") == (2500, 2500)
    assert balance(who) == (500, 2500)
    assert_books_are_clean()


def test_a_batch_runs_to_its_end_with_never_more_at_a_time_than_it_may(system: System) -> None:
    model("picture", options={"delay_seconds": 0.05})
    who = account(amount=100, plan="studio")
    system.start("api", "worker", "scheduler")
    most, over = [0], threading.Event()

    def watch() -> None:
        while not over.wait(0.01):
            most[0] = max(most[0], one("select count(*) from job_runs where dispatched")[0])

    watcher = threading.Thread(target=watch)
    watcher.start()
    with system.client(who) as http:
        made = http.post("/v1/batches?max_running=3", content=body(24)).json()
        assert len({each["custom_id"] for each in results(http, made["id"], "?all=1")}) == 24
        done = completed(http, made["id"])
        over.set()
        watcher.join()
        assert most[0] == 3
        assert done["counts"] == {"queued": 0, "running": 0, "succeeded": 24, "failed": 0, "canceled": 0}
        assert done["credits"] == {"reserved": 24, "charged": 24}
        found = results(http, made["id"])
        assert [each["custom_id"] for each in found] == [f"c{n}" for n in range(24)]
        assert http.get(found[7]["outputs"][0]["url"]).headers["content-type"] == "image/png"
        assert results(http, made["id"], "?after=20") == found[20:]
    assert balance(who) == (76, 0)
    assert_books_are_clean()


def test_a_lone_job_beside_a_large_batch_is_answered_soon_and_a_canceled_batch_is_refunded(system: System) -> None:
    model("picture", options={"delay_seconds": 0.2})
    model("urgent")
    who = account(amount=2000, plan="studio")
    system.start("api", "worker", "scheduler")
    with system.client(who) as http:
        made = http.post("/v1/batches", content=body(1000)).json()
        eventually(lambda: one("select count(*) from jobs where ended is not null")[0] > 0, what="a first result")
        begun = time.monotonic()
        job = http.post("/v1/jobs", json={"model": "urgent", "input": {}}, headers={"prefer": "wait=20"}).json()
        assert job["status"] == "succeeded"
        ahead = one("select count(*) from jobs where model_id = 'picture' and ended is null")[0]
        assert ahead > 500, f"it waited {time.monotonic() - begun:.1f} s, for the batch"
        assert http.post(f"/v1/batches/{made['id']}/cancel").json()["status"] == "canceling"
        begun_by_then = one("select count(*) from attempts")[0]
        done = completed(http, made["id"])
        assert done["status"] == "canceled"
        assert done["counts"]["canceled"] > 500
        assert sum(done["counts"].values()) == 1000
        slots = one("select slots from plans where id = 'studio'")[0]
        assert one("select count(*) from attempts")[0] <= begun_by_then + slots, "no other has begun"
    spent = rows("select coalesce(sum(charged_credits), 0) from jobs")[0][0]
    assert balance(who) == (2000 - spent, 0)
    assert_books_are_clean()
