"""Pauses with real API, workers and scheduler."""

import httpx

from models.catalogue import providers
from models.catalogue.providers import ProviderEntry
from models.db import transaction
from tests.api.v1.test_holds import admin
from tests.support import System, account, assert_books_are_clean, ended, eventually, model, one, rows


def said(system: System, path: str, **body: object) -> httpx.Response:
    return httpx.post(f"{system.url}/v1/admin/{path}", json={"reason": "test", **body}, headers=admin(), timeout=30)


def test_a_paused_model_starts_nothing_and_all_of_it_runs_once_it_is_resumed(system: System) -> None:
    who = account(amount=100, plan="studio")
    model()
    model("other-model")
    system.start("api", "worker", "scheduler")
    with system.client(who) as http:
        answer = said(system, "pauses", what="model", name="test-model", seconds=600)
        assert (answer.status_code, answer.json()["name"]) == (201, "test-model")
        ids = [http.post("/v1/jobs", json={"model": "test-model", "input": {}}).json()["id"] for _ in range(12)]
        other = http.post("/v1/jobs", json={"model": "other-model", "input": {}}).json()["id"]
        assert ended(http, other)["status"] == "succeeded"
        waits = [http.get(f"/v1/jobs/{job_id}").json() for job_id in ids]
        assert {job["status"] for job in waits} == {"queued"}
        eventually(
            lambda: all("paused" in http.get(f"/v1/jobs/{each}").json()["waiting"]["reason"] for each in ids), what="the reason"
        )  # fmt: skip
        assert rows("select 1 from attempts a join jobs j on j.id = a.job_id where j.model_id = 'test-model'") == []
        assert said(system, "pauses/resume", what="model", name="test-model").status_code == 200
        done = [ended(http, job_id) for job_id in ids]
    assert [(job["status"], job["attempts"]) for job in done] == [("succeeded", 1)] * 12
    assert one("select slots_in_use from accounts where id = %s", who) == (0,)
    assert_books_are_clean()


def test_a_pause_that_ends_by_its_time_lets_what_waited_run(system: System) -> None:
    who = account(amount=100, plan="studio")
    model()
    system.start("api", "worker", "scheduler")
    with system.client(who) as http:
        assert said(system, "pauses", what="queue", name="interactive", seconds=3).status_code == 201
        ids = [http.post("/v1/jobs", json={"model": "test-model", "input": {}}).json()["id"] for _ in range(3)]
        begun = [ended(http, job_id)["started_at"] for job_id in ids]
    until = one("select details->>'until' from acts where action = 'pause'")[0]
    assert min(begun)[:19] >= until[:19].replace("+00:00", "")
    eventually(lambda: rows("select 1 from pauses") == [], what="the end of the pause")


def test_a_paused_provider_is_passed_over_for_the_next_of_the_route(system: System) -> None:
    who = account(amount=100, plan="studio")
    with transaction() as conn:
        providers.apply(conn, [ProviderEntry(name="spare", adapter="sketch")])
    model(routes=[{"provider": name, "model": "image", "options": {"instant": True}} for name in ("sketch", "spare")])
    system.start("api", "worker", "scheduler")
    with system.client(who) as http:
        assert said(system, "pauses", what="provider", name="sketch", seconds=600).status_code == 201
        first = http.post("/v1/jobs", json={"model": "test-model", "input": {}}).json()["id"]
        assert ended(http, first)["status"] == "succeeded"

        def one_more_at_the_spare() -> bool:  # once every process has heard of it
            job_id = http.post("/v1/jobs", json={"model": "test-model", "input": {}}).json()["id"]
            ended(http, job_id)
            return one("select provider from attempts where job_id = %s", job_id) == ("spare",)

        eventually(one_more_at_the_spare, what="the other provider")
        assert said(system, "pauses", what="provider", name="spare", seconds=600).status_code == 201
        assert len(httpx.get(f"{system.url}/v1/admin/pauses", headers=admin()).json()["pauses"]) == 2
        last = http.post("/v1/jobs", json={"model": "test-model", "input": {}}).json()["id"]
        assert said(system, "pauses/resume", what="provider", name="sketch").status_code == 200
        assert ended(http, last)["status"] == "succeeded"
    assert_books_are_clean()
