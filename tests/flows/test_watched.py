"""A whole system that is watched: every process is scraped, traces go to a receiver, lines of the log are read."""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple
from uuid import UUID

import httpx
import pytest

from cli.embedded.servers import free_ports
from common.telemetry.serving import PARTS
from tests.collectors import Collector, ReceivedSpan, Sample, collector, samples, total
from tests.support import System, account, ended, eventually, model

TOKEN = "7b1e0c5f92d84ab3a6e1f0d47c2859be6d03fa18"


class Watched(NamedTuple):
    """A system, where its processes are looked at, and who receives its traces."""

    system: System
    ports: dict[str, int]
    collector: Collector

    def scrape(self, part: str) -> dict[Sample, float]:
        """What a process says of itself."""
        answer = httpx.get(
            f"http://127.0.0.1:{self.ports[part]}/metrics", headers={"authorization": f"Bearer {TOKEN}"}, timeout=20
        )
        assert answer.status_code == 200, answer.text
        return samples(answer.text)

    def lines(self, part: str) -> list[dict[str, Any]]:
        """A process's log, which is JSON from its first line to its last."""
        return [json.loads(line) for line in self.system.processes.log(part).read_text().splitlines()]


@pytest.fixture
def watched(system: System) -> Iterator[Watched]:
    with collector() as receiver:
        ports = dict(zip(PARTS, free_ports(4), strict=True))
        settings = {
            "METRICS_TOKEN": TOKEN, "LOG_FORMAT": "json", "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url,
            "OTEL_EXPORTER_OTLP_HEADERS": "x-tenant=ours", "TRACE_SHARE": "1",
        }  # fmt: skip
        extra = {part: {**settings, "METRICS_PORT": str(ports[part] - PARTS.index(part))} for part in PARTS}
        system.start(*PARTS, **extra)
        yield Watched(system, ports, receiver)


def test_all_processes_are_watched_and_a_job_is_one_trace_over_all_its_attempts(watched: Watched) -> None:
    model("quick")
    model("second-try", options={"instant": False, "fail": "retryable", "fail_times": 1}, max_attempts=3)
    model("broken", options={"fail": "permanent"}, max_attempts=1)
    who = account(amount=50)
    with watched.system.client(who) as client:
        eventually(
            lambda: (
                {"quick", "second-try", "broken"} <= {each["id"] for each in client.get("/v1/models").json()["data"]}
            )
        )
        jobs = {}
        for name in ("quick", "second-try", "broken"):
            ordered = client.post("/v1/jobs", json={"model": name, "input": {}})
            jobs[name] = ended(client, ordered.json()["id"])
        assert client.get("/v1/jobs/none").status_code == 404
    assert {name: job["status"] for name, job in jobs.items()} == {
        "quick": "succeeded", "second-try": "succeeded", "broken": "failed",
    }  # fmt: skip
    assert jobs["second-try"]["attempts"] == 2
    _figures(watched)
    _traces(watched, jobs, who)
    _logs(watched, jobs, who)


def test_processes_that_are_stopped_say_what_they_know_before_they_end(watched: Watched) -> None:
    """Spans are sent every few seconds, and lines of orders wait a moment: those of the last are not lost."""
    model("quick")
    with watched.system.client(account(amount=5)) as client:
        eventually(lambda: "quick" in {each["id"] for each in client.get("/v1/models").json()["data"]})
        job = ended(client, client.post("/v1/jobs", json={"model": "quick", "input": {}}).json()["id"])
        last = client.post("/v1/jobs", json={"model": "quick", "input": {}}).json()
    children = [watched.system.processes._children[part] for part in PARTS]
    watched.system.stop()
    assert [each.returncode for each in children] == [0, 0, 0, 0]
    for each in (job, last):
        names = {span.name for span in watched.collector.of(each["id"].replace("-", ""))}
        assert {"request", "submit", "message"} <= names
    assert _is_whole(watched.collector.of(job["id"].replace("-", "")))
    ordered = [line["job"] for line in watched.lines("api") if line["event"] == "job ordered"]
    assert ordered == [job["id"], last["id"]]


def _figures(watched: Watched) -> None:
    api, worker, scheduler = (watched.scrape(part) for part in ("api", "worker", "scheduler"))
    assert total(api, "headrace_http_request_seconds_count", route="/v1/jobs", method="POST", status="2xx") == 3
    assert total(api, "headrace_http_request_seconds_count", route="/v1/jobs/{job_id}", status="4xx") == 1
    assert total(api, "headrace_http_refused_total", code="not_found") == 1
    assert total(api, "headrace_jobs_ordered_total") == 3
    assert total(api, "headrace_pool_connections", state="size") >= 1
    assert total(worker, "headrace_jobs_claimed_total", model="second-try") == 2
    assert total(worker, "headrace_jobs_ended_total", outcome="succeeded") == 2
    assert total(worker, "headrace_jobs_ended_total", model="broken", outcome="failed") == 1
    assert total(worker, "headrace_job_seconds_count", outcome="succeeded") == 2
    assert total(worker, "headrace_job_retries_total") == 1
    assert total(worker, "headrace_credits_spent_total", by="job") == 2
    assert total(worker, "headrace_provider_call_seconds_count", provider="sketch", call="start") == 4
    assert total(worker, "headrace_provider_call_seconds_count", provider="sketch", outcome="done") == 2
    assert total(worker, "headrace_storage_put_seconds_count", outcome="ok") >= 2
    assert total(worker, "headrace_worker_threads", state="alive") == 8
    assert total(scheduler, "headrace_queue_jobs") == 0
    assert {dict(labels)["queue"] for (name, labels) in scheduler if name == "headrace_queue_jobs"} == {
        "interactive",
        "batch",
    }
    assert total(scheduler, "headrace_active_accounts", plan="free") == 1
    assert total(scheduler, "headrace_credits_reserved") == 0
    assert total(scheduler, "headrace_duty_turn_seconds_count") > 0
    for part in PARTS:
        found = watched.scrape(part)
        assert total(found, "process_resident_memory_bytes") > 0
        bare = f"http://127.0.0.1:{watched.ports[part]}"
        assert httpx.get(f"{bare}/metrics").status_code == 401
        assert httpx.get(f"{bare}/healthz").json() == {"status": "ok"}
        if part != "api":  # which has its own, for everybody
            ready = httpx.get(f"{bare}/readyz")
            assert (ready.status_code, ready.json()["status"]) == (200, "ok")
            assert total(found, "headrace_dependency_up", dependency="database") == 1
    assert httpx.get(f"{watched.system.url}/metrics").status_code == 404


def _is_whole(spans: list[ReceivedSpan]) -> bool:
    """Whether the request and the end are there, and nothing hangs in the air."""
    known = {each.span for each in spans}
    return {"request", "job", "settle"} <= {each.name for each in spans} and all(
        each.parent in known for each in spans if each.name != "job"
    )


def _traces(watched: Watched, jobs: dict[str, Any], who: UUID) -> None:
    receiver = watched.collector
    traces = {name: job["id"].replace("-", "") for name, job in jobs.items()}
    for trace in traces.values():
        eventually(lambda trace=trace: _is_whole(receiver.of(trace)), what="a whole trace")
    again = traces["second-try"]
    eventually(
        lambda: [each.name for each in receiver.of(again)].count("message") >= 2, what="who rang the second time"
    )
    spans = receiver.of(again)
    names = [each.name for each in spans]
    for name, times in {"job": 1, "request": 1, "submit": 1, "provider.start": 2, "put back": 1, "settle": 1}.items():
        assert names.count(name) == times, names
    assert names.count("step") == names.count("claim") >= 2
    assert "put" in names
    root = next(each for each in spans if each.name == "job")
    assert root.parent == ""
    assert (root.attributes["headrace.account_id"], root.attributes["headrace.outcome"]) == (str(who), "succeeded")
    assert root.attributes["headrace.attempts"] == 2
    services = {each.service for each in spans}
    assert {"headrace-api", "headrace-worker"} <= services
    steps = [each.span for each in spans if each.name == "step"]
    begun = [each.parent for each in spans if each.name == "provider.start"]
    assert len(set(begun)) == 2, "each attempt in a step of its own"
    assert set(begun) <= set(steps)
    assert [each.failed for each in spans if each.name == "provider.start"] == [True, False]
    assert next(each for each in receiver.of(traces["broken"]) if each.name == "job").failed
    assert {each["x-tenant"] for each in receiver.headers} == {"ours"}


def _logs(watched: Watched, jobs: dict[str, Any], who: UUID) -> None:
    job = jobs["second-try"]["id"]
    told = [each for part in ("api", "worker") for each in watched.lines(part) if each.get("job") == job]
    events = [each["event"] for each in told]
    assert [events.count(each) for each in ("job ordered", "job started", "job succeeded")] == [1, 2, 1]
    for line in told:
        assert line["trace"] == job.replace("-", "")
        assert {"time", "level", "logger"} <= set(line)
    first, last = told[0], next(each for each in told if each["event"] == "job succeeded")
    assert (first["account"], first["model"], len(first["request"])) == (str(who), "second-try", 36)
    assert [each["attempt"] for each in told if each["event"] == "job started"] == [1, 2]
    assert (last["account"], last["attempt"], last["credits"]) == (str(who), 2, 1)
    failed = [each for each in watched.lines("worker") if each["event"] == "job failed"]
    assert [(each["job"], bool(each["code"])) for each in failed] == [(jobs["broken"]["id"], True)]
