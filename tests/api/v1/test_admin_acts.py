"""What operators do over HTTP: once, with a reason, for operators alone."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from fastapi.testclient import TestClient

from api.main import make_app
from models.catalogue import providers
from models.catalogue.providers import ProviderEntry, ProviderLimits
from models.db import transaction
from models.fleet import processes
from tests.api.v1.test_holds import admin, head
from tests.conftest import environment
from tests.models.jobs.standing import parked_job
from tests.models.operations.test_finding import failed
from tests.models.operations.test_job_acts import succeeded
from tests.support import account, assert_books_are_clean, balance, claimed, model, one, placed, rows
from workers.calls import limits
from workers.calls.limits import Denied, Granted

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def http() -> Iterator[TestClient]:
    with TestClient(make_app(), raise_server_exceptions=False) as client:
        yield client


def said(http: TestClient, path: str, key: str | None = None, who: dict[str, str] | None = None, **body: Any) -> Any:
    headers = {**(who or admin()), **({"idempotency-key": key} if key else {})}
    return http.post(f"/v1/admin/{path}", json={"reason": "because", **body}, headers=headers)


def test_a_job_is_retried_refunded_discarded_and_canceled_over_http(http: TestClient) -> None:
    who, boss = account(amount=20, plan="studio"), admin()
    broken, done = failed(placed(who, model(price={"credits": 2}))), succeeded(who, 3)
    parked, waits = (
        parked_job(claimed(placed(who, model(price={"credits": 2})))).job_id,
        placed(who, model(price={"credits": 2})),
    )
    first, again = (said(http, f"jobs/{broken}/retry", "k", boss) for _ in range(2))
    assert (first.status_code, first.json()["credits"], again.json()) == (201, 2, first.json())
    assert again.headers["idempotent-replayed"] == "true"
    assert said(http, f"jobs/{done}/refund").json() == {"job_id": str(done), "credits": 3, "new_job_id": None}
    assert said(http, f"jobs/{done}/refund").json()["code"] == "act_refused"
    assert said(http, f"jobs/{parked}/discard").json()["credits"] == 2
    assert said(http, f"jobs/{waits}/cancel").json()["credits"] == 2
    assert balance(who) == (18, 2)
    actors = {row[0] for row in rows("select actor from acts where action like 'job.%%'")}
    assert "because" in {row[0] for row in rows("select details->>'reason' from acts where action like 'job.%%'")}
    assert not any(actor.startswith("command line") for actor in actors)
    for act in ("retry", "refund", "discard", "cancel", "replay"):
        assert said(http, f"jobs/{uuid4()}/{act}").status_code == 404
        assert said(http, f"jobs/none/{act}").status_code == 404
        assert said(http, f"jobs/{broken}/{act}", who=head(who)).status_code == 403
        assert http.post(f"/v1/admin/jobs/{broken}/{act}", json={}, headers=admin()).json()["param"] == "reason"
    assert_books_are_clean()


def test_a_provider_is_rested_and_woken_and_shown_as_it_stands(http: TestClient) -> None:
    with transaction() as conn:
        providers.apply(conn, [ProviderEntry(name="router", adapter="openai", base_url="http://127.0.0.1:1/v1")])
    pressure, known = limits.pressure(), ProviderLimits()
    assert said(http, "providers/router/rest", seconds=60).json() == {"provider": "router", "resting_seconds": 60}
    assert isinstance(pressure.acquire("router", known, "m"), Denied)
    [shown] = [
        row
        for row in http.get("/v1/admin/providers", headers=admin()).json()["providers"]
        if row["provider"] == "router"
    ]
    assert 50 < shown["resting_seconds"] <= 60
    assert said(http, "providers/router/wake").json() == {"provider": "router", "resting_seconds": 0}
    assert pressure.acquire("router", known, "m") == Granted()
    assert [row[0] for row in rows("select action from acts where subject = 'provider:router' order by id")] == [
        "provider.rest", "provider.wake",
    ]  # fmt: skip
    for wrong, status in (("providers/gone/rest", 404), ("providers/sketch/rest", 400)):
        assert said(http, wrong).status_code == status
    assert said(http, "providers/router/rest", seconds=0).json()["param"] == "seconds"
    with environment({"REDIS_URL": "redis://127.0.0.1:1/0"}):
        away = said(http, "providers/router/wake")
        assert (away.status_code, away.json()["code"]) == (503, "unavailable")


def test_a_provider_that_was_woken_forgets_its_429_and_its_faults(http: TestClient) -> None:
    pressure, known = limits.pressure(), ProviderLimits(faults=2)
    for _ in range(2):
        pressure.report("router", known, "m", limits.Report.FAULT, account="a")
    pressure.report("router", known, "m", limits.Report.LIMITED, account="a", retry_after_seconds=100)
    assert isinstance(pressure.acquire("router", known, "m"), Denied)
    assert pressure.rest("router", 0)
    assert pressure.acquire("router", known, "m") == Granted()


def test_a_worker_is_drained_and_an_accounts_webhooks_are_replayed(http: TestClient) -> None:
    who = account(amount=5)
    with transaction() as conn:
        processes.report_worker(conn, "host:1:abc", "batch", 2, 2, 0)
    assert said(http, "workers/host:1:abc/drain").status_code == 202
    assert http.get("/v1/admin/workers", headers=admin()).json()["workers"][0]["drained_at"]
    assert said(http, "workers/nobody/drain").status_code == 404
    answer = said(http, f"accounts/{who}/replay", since="2020-01-01T00:00:00Z")
    assert (answer.status_code, answer.json()) == (200, {"count": 0})
    assert said(http, f"accounts/{uuid4()}/replay", since="2020-01-01T00:00:00Z").status_code == 404
    job = failed(placed(who, model()))
    assert said(http, f"jobs/{job}/replay").json() == {"count": 0}
    assert one("select count(*) from acts where action in ('worker.drain', 'deliveries.replay', 'job.replay')") == (3,)
