"""HEAD says of every address what GET would say, without its body."""

import re
from collections.abc import Iterator
from uuid import uuid4

import httpx
import pytest
from fastapi.routing import APIRoute

from api.edge.heads import is_answered_as_get
from api.main import ROUTERS, make_app
from tests.support import System, account, ended, model

CHANGING = {
    "x-fal-request-id",
    "x-request-id",
    "date",
    "ratelimit-reset",
    "ratelimit-remaining",
    "set-cookie",  # a new number for each visitor
    "transfer-encoding",  # of a body that a HEAD does not have
}


def paths() -> list[str]:
    """Every path that has a GET, each parameter filled with something that is not there."""
    app = make_app()
    routes = (*app.routes, *(each for router in ROUTERS for each in router.routes))
    found = {route.path for route in routes if isinstance(route, APIRoute) and "GET" in (route.methods or ())}
    return sorted(re.sub(r"\{[^}]*\}", str(uuid4()), path) for path in found)


@pytest.fixture
def client(system: System) -> Iterator[httpx.Client]:
    model("quick")
    system.start("api", "worker")
    with system.client(account(amount=5)) as opened:
        yield opened


def same(client: httpx.Client, path: str, **headers: str) -> int:
    get, head = (client.request(method, path, headers=headers) for method in ("GET", "HEAD"))
    assert head.status_code == get.status_code, path
    assert head.content == b"", path
    wanted, found = ({k: v for k, v in each.headers.items() if k not in CHANGING} for each in (get, head))
    if get.status_code >= 400:  # a problem names its request
        assert abs(int(found.pop("content-length")) - int(wanted.pop("content-length"))) < 10, path
    assert found == wanted, path
    return int(head.status_code)


def test_head_answers_as_get_for_every_route(client: httpx.Client) -> None:
    job = ended(client, client.post("/v1/jobs", json={"model": "quick", "input": {}}).json()["id"])
    routes = paths()
    streams = [path for path in routes if not is_answered_as_get(path) and not path.startswith("/files/")]
    assert len(streams) == 4, streams  # of a job's events, a prediction's text, and a request's statuses by two names
    statuses = {path: same(client, path) for path in routes if path not in {*streams, "/readyz"}}
    assert {
        statuses[path] for path in ("/healthz", "/v1/models", "/v1/plans", "/v1/events", "/v1/jobs", "/v1/credits")
    } == {200}
    assert same(client, "/readyz") == 200
    assert same(client, "/v1/events", accept="application/json") == 200
    assert client.head("/v1/events", headers={"accept": "text/event-stream"}).status_code == 200
    assert same(client, f"/v1/jobs/{job['id']}") == 200
    assert same(client, job["outputs"][0]["url"]) == 200
    assert same(client, "/v1/models/quick") == 200
    with httpx.Client(base_url=str(client.base_url)) as nobody:
        assert same(nobody, "/v1/jobs") == 401
        assert same(nobody, "/v1/models") == 200
    stream = client.head(f"/v1/jobs/{job['id']}/events")
    assert (stream.status_code, "HEAD" in stream.headers["allow"]) == (405, False)
    assert "HEAD" in client.delete("/v1/models").headers["allow"]
