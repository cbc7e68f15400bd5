"""`/readyz` names what is away, answers in time whatever the servers do, and is ready where orders are accepted."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from starlette.testclient import TestClient

from api.main import make_app
from api.services import services
from storage import s3
from tests.conftest import environment
from tests.support import OWN_SECRET, account, key_of, model

AWAY = "127.0.0.1:1"


@pytest.fixture
def http(database: str) -> Iterator[TestClient]:
    model("quick")
    with TestClient(make_app(), headers={"authorization": f"Bearer {key_of(account(amount=5))}"}) as client:
        yield client


@contextmanager
def silent() -> Iterator[str]:
    """A server that accepts and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def asked(http: TestClient, **changes: str) -> tuple[int, dict[str, Any]]:
    """What `/readyz` says in these settings."""
    with environment(changes):
        services(http.app).readiness.forget()  # type: ignore[arg-type]  # the app is ours
        answer = http.get("/readyz")
        return answer.status_code, answer.json()


def test_all_servers_are_there(http: TestClient) -> None:
    status, body = asked(http)
    assert (status, body["status"]) == (200, "ok")
    assert body["dependencies"] == {
        "database": {"status": "ok", "needed": True},
        "redis": {"status": "ok", "needed": False},
        "storage": {"status": "ok", "needed": False},
    }


@pytest.mark.parametrize(
    ("name", "changes"),
    [("redis", {"REDIS_URL": f"redis://{AWAY}/0"}), ("storage", {"S3_ENDPOINT_URL": f"http://{AWAY}"})],
)
def test_what_may_be_away_is_named_and_orders_are_accepted(
    http: TestClient, name: str, changes: dict[str, str]
) -> None:
    status, body = asked(http, **changes)
    assert (status, body["status"]) == (200, "degraded")
    assert {each: found["status"] for each, found in body["dependencies"].items() if found["status"] != "ok"} == {
        name: "away"
    }
    why = body["dependencies"][name]["why"]
    assert why
    assert "127.0.0.1" not in why
    with environment(changes):
        assert http.post("/v1/jobs", json={"model": "quick", "input": {}}).status_code == 201


def test_a_bucket_that_is_not_there_is_storage_that_is_away(http: TestClient) -> None:
    status, body = asked(http, S3_BUCKET="nobodys-bucket")
    assert (status, body["dependencies"]["storage"]["status"]) == (200, "away")
    assert "bucket" in body["dependencies"]["storage"]["why"]


def test_without_a_database_it_is_not_ready_and_says_so(http: TestClient) -> None:
    status, body = asked(http, DATABASE_URL=f"postgresql://app:{OWN_SECRET}@{AWAY}/none")
    assert (status, body["retryable"], body["code"]) == (503, True, "unavailable")
    assert body["dependencies"]["database"]["status"] == "away"
    assert body["dependencies"]["redis"]["status"] == "ok"
    assert "database" in body["detail"]
    assert OWN_SECRET not in str(body)
    assert "127.0.0.1" not in str(body)
    assert http.get("/healthz").json() == {"status": "ok"}


def test_servers_that_say_nothing_are_not_waited_for(http: TestClient) -> None:
    """Storage would be waited for through its own time-out, three times."""
    with silent() as redis, silent() as storage:
        begun = time.monotonic()
        status, body = asked(http, REDIS_URL=f"redis://{redis}/0", S3_ENDPOINT_URL=f"http://{storage}", S3_SECONDS="2")
        assert time.monotonic() - begun < 2
        assert status == 200
        assert {name for name, each in body["dependencies"].items() if each["status"] == "away"} == {"redis", "storage"}
    s3.close()


def test_a_look_serves_all_who_ask_while_it_is_fresh(http: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = list[None]()
    monkeypatch.setattr("models.fleet.probes.probe", lambda _conn: looks.append(None))
    monkeypatch.setattr("common.telemetry.health.FRESH_SECONDS", 60.0)
    services(http.app).readiness.forget()  # type: ignore[arg-type]  # the app is ours
    assert [http.get("/readyz").status_code for _ in range(5)] == [200] * 5
    assert len(looks) == 1
