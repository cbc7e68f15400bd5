"""Requests are counted under their routes, and nothing that a stranger sends becomes a label."""

from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from starlette.testclient import TestClient

from api.main import make_app
from common.telemetry import figures
from tests.collectors import Sample, samples, total
from tests.conftest import environment
from tests.support import account, key_of, model

NAME = "headrace_http_request_seconds_count"


@pytest.fixture
def registry() -> Iterator[CollectorRegistry]:
    made = CollectorRegistry(auto_describe=False)
    figures.begin(made)
    yield made
    figures.end()


@pytest.fixture
def http(database: str, registry: CollectorRegistry) -> Iterator[TestClient]:
    model("quick")
    with environment({"METRICS_PORT": "9"}), TestClient(make_app()) as client:
        client.headers["authorization"] = f"Bearer {key_of(account(amount=50))}"
        yield client


def scraped(registry: CollectorRegistry) -> dict[Sample, float]:
    return samples(generate_latest(registry).decode())


def test_requests_are_counted_by_route_method_and_class_of_answer(
    http: TestClient, registry: CollectorRegistry
) -> None:
    job = http.post("/v1/jobs", json={"model": "quick", "input": {}}).json()["id"]
    http.post("/v1/jobs", json={"model": "nothing", "input": {}})
    for _ in range(3):
        http.get(f"/v1/jobs/{job}")
    http.head(f"/v1/jobs/{job}")
    found = scraped(registry)
    assert total(found, NAME, route="/v1/jobs", method="POST", status="2xx") == 1
    assert total(found, NAME, route="/v1/jobs", method="POST", status="4xx") == 1
    assert total(found, NAME, route="/v1/jobs/{job_id}", method="GET", status="2xx") == 4
    assert total(found, "headrace_http_refused_total", code="unknown_model") == 1
    assert total(found, "headrace_http_in_flight") == 0
    assert total(found, "headrace_jobs_ordered_total", model="quick") == 1
    assert job not in str(found)


def test_what_strangers_make_up_is_no_label(http: TestClient, registry: CollectorRegistry) -> None:
    for number in range(30):
        http.get(f"/made-up/{number}")
        http.request(f"MADE{number}", "/v1/models")
        http.get(f"/v1/plans/made-up-{number}")
    found = scraped(registry)
    assert total(found, NAME, route="none", method="GET", status="4xx") == 30
    assert total(found, NAME, method="other", status="4xx") == 30
    assert total(found, NAME, route="/v1/plans/{plan_id}") == 30
    assert len([name for name, _ in found if name == NAME]) <= 4
    assert "made" not in str(found).lower()


def test_places_streams_and_the_pool_are_read_when_somebody_looks(
    http: TestClient, registry: CollectorRegistry
) -> None:
    http.get("/v1/jobs")
    found = scraped(registry)
    places = {dict(labels)["place"] for name, labels in found if name == "headrace_place_threads"}
    assert places == {"files", "uploads", "admin", "batches", "companies", "open", "ordinary"}
    assert total(found, "headrace_streams") == 0
    assert total(found, "headrace_messages_not_sent_total") == 0


def test_a_cancel_and_a_spent_hold_are_counted_once(http: TestClient, registry: CollectorRegistry) -> None:
    job = http.post("/v1/jobs", json={"model": "quick", "input": {}}).json()["id"]
    for _ in range(2):
        assert http.post(f"/v1/jobs/{job}/cancel").json()["status"] == "canceled"
    hold = http.post("/v1/holds", json={"amount": 10, "seconds": 60}).json()["id"]
    for _ in range(2):
        http.post(
            f"/v1/holds/{hold}/settle", json={"amount": 4}, headers={"idempotency-key": "once"}
        ).raise_for_status()
    found = scraped(registry)
    assert total(found, "headrace_jobs_ended_total", outcome="canceled", model="quick") == 1
    assert total(found, "headrace_job_seconds_count", outcome="canceled") == 1
    assert total(found, "headrace_credits_spent_total", by="hold") == 4
    assert total(found, "headrace_credits_spent_total", by="job") == 0


def test_where_nobody_watches_nothing_stands_in_the_way(database: str) -> None:
    assert "Measured" not in {each.cls.__name__ for each in make_app().user_middleware}  # type: ignore[attr-defined]  # a class
