"""What goes the short way is answered as the framework would have answered it, to the letter."""

from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient
from uuid_utils.compat import uuid7

from api.main import make_app
from api.routes.short_way import ShortWay
from tests.support import account, key_of, model

pytestmark = [
    pytest.mark.usefixtures("database"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

ORDER = {"model": "quick", "input": {"prompt": "a harbour at dawn"}}
ABSENT = str(uuid7())
ASKED: dict[str, tuple[str, str, dict[str, Any]]] = {
    "an order": ("POST", "/v1/jobs", {"json": ORDER}),
    "a quote": ("POST", "/v1/quotes", {"json": ORDER}),
    "a look": ("GET", "/v1/jobs/{job}", {}),
    "a HEAD": ("HEAD", "/v1/jobs/{job}", {}),
    "a slash more": ("GET", "/v1/jobs/{job}/", {}),
    "an order with a slash": ("POST", "/v1/jobs/", {"json": ORDER}),
    "a word that is none": ("GET", "/v1/jobs/{job}?limit=3", {}),
    "a word of an order's": ("POST", "/v1/jobs?limit=3", {"json": ORDER}),
    "no id": ("GET", "/v1/jobs/nothing", {}),
    "a letter that is written": ("GET", "/v1/jobs/%6eothing", {}),
    "a slash that is written": ("GET", "/v1/jobs/a%2Fb", {}),
    "a line more": ("GET", "/v1/jobs/{job}%0A", {}),
    "nobody's": ("GET", f"/v1/jobs/{ABSENT}", {}),
    "no JSON": ("POST", "/v1/jobs", {"content": b"{"}),
    "half a letter": ("POST", "/v1/jobs", {"content": b'{"model": "\\ud800"}'}),
    "a list": ("POST", "/v1/jobs", {"json": []}),
    "no model": ("POST", "/v1/jobs", {"json": {"input": {}}}),
    "a model that is none": ("POST", "/v1/jobs", {"json": ORDER | {"model": "none"}}),
    "too much": ("POST", "/v1/jobs", {"content": b"x" * 2_000_000}),
    "too dear": ("POST", "/v1/jobs", {"json": {"model": "dear", "input": {}}}),
    "what has not ended": ("POST", "/v1/jobs/{job}/retry", {}),
    "another method": ("PUT", "/v1/jobs", {"json": ORDER}),
    "what is no method": ("BREW", "/v1/jobs/{job}", {}),
    "its options": ("OPTIONS", "/v1/jobs", {}),
    "the list": ("GET", "/v1/jobs?status=failed", {}),
    "no key": ("POST", "/v1/jobs", {"json": ORDER, "headers": {"authorization": ""}}),
    "a wrong key": ("GET", "/v1/jobs/{job}", {"headers": {"authorization": "Bearer hr_wrong"}}),
}
OWN = {"id", "request_id", "created_at", "waiting", "available"}  # of each answer


@pytest.fixture
def http(database: str) -> Iterator[TestClient]:
    model("quick")
    model("dear", price={"unit": "job", "credits": 1000})
    with TestClient(make_app(), raise_server_exceptions=False, follow_redirects=False) as client:
        client.headers["authorization"] = f"Bearer {key_of(account(amount=50))}"
        yield client


def told(http: TestClient, job: str, method: str, path: str, more: dict[str, Any]) -> tuple[int, Any, dict[str, str]]:
    """An answer without what is each answer's own."""
    found = http.request(method, path.format(job=job), **more)
    body = found.json() if found.content else None
    if isinstance(body, dict):
        body.pop("detail" if "available" in body else "", None)  # it names what the orders before have left
        body = {name: value for name, value in body.items() if name not in OWN}
    own = {"x-request-id", "ratelimit-remaining", "ratelimit-reset", "content-length", "location"}
    return found.status_code, body, {name: value for name, value in found.headers.items() if name not in own}


def test_every_answer_is_the_frameworks(http: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    job = http.post("/v1/jobs", json=ORDER).json()["id"]
    short = {name: told(http, job, *asked) for name, asked in ASKED.items()}
    monkeypatch.setattr(ShortWay, "_find", lambda *_: None)
    for name, asked in ASKED.items():
        assert (name, short[name]) == (name, told(http, job, *asked))


def test_the_hot_routes_go_it_and_no_other(http: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    gone: list[str] = []
    finding = ShortWay._find

    def noting(way: ShortWay, scope: Any) -> Any:
        found = finding(way, scope)
        if found is not None:
            gone.append(f"{scope['method']} {scope['route'].path_format}")
        return found

    monkeypatch.setattr(ShortWay, "_find", noting)
    job = http.post("/v1/jobs", json=ORDER).json()["id"]
    for path in (f"/v1/jobs/{job}", "/v1/jobs", "/v1/credits", f"/v1/jobs/{job}/events/", "/healthz"):
        http.get(path)
    assert gone == ["POST /v1/jobs", "GET /v1/jobs/{job_id}"]


def test_a_fault_of_ours_is_logged_and_answered_with_every_header(
    http: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr("api.v1.jobs.scopes.check_model", failing)
    found = http.post("/v1/jobs", json=ORDER)
    assert (found.status_code, found.json()["code"]) == (500, "internal_error")
    assert found.headers["x-request-id"] == found.json()["request_id"]
