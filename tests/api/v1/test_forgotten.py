"""A job that is not kept any more, over HTTP: its account and operators are told so (410), and nobody else learns of it."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from fastapi.testclient import TestClient

from api.main import make_app
from models.db import transaction
from models.operations import forgetting
from models.usage.entries import add_up
from tests.api.v1.test_holds import admin, head
from tests.models.gallery.things import result
from tests.support import account, one

pytestmark = pytest.mark.usefixtures("database")

_ROUTES = [
    (method, path)
    for path, methods in json.loads(Path("docs/openapi.json").read_text())["paths"].items()
    if "/jobs/{job_id}" in path
    for method in methods
]
# The ways of other services to name a job of ours.
_DIALECTS = (
    ("get", "/compat/replicate/v1/predictions/{job_id}"),
    ("post", "/compat/replicate/v1/predictions/{job_id}/cancel"),
    ("get", "/compat/fal/queue/headrace/gallery-model/requests/{job_id}/status"),
    ("get", "/compat/fal/queue/headrace/gallery-model/requests/{job_id}"),
)


def forgotten(who: UUID) -> UUID:
    """A job that was forgotten."""
    asset = result(who)
    job_id: UUID = one("select job_id from assets where id = %s", asset)[0]
    with transaction() as conn:
        while add_up(conn, 1000):
            pass
        for each in forgetting._FORGET:
            conn.execute(each, {"jobs": [job_id]})
    return job_id


@contextmanager
def client() -> Iterator[TestClient]:
    with TestClient(make_app(), raise_server_exceptions=False) as http:
        yield http


def ask(http: TestClient, method: str, path: str, job_id: UUID, who: dict[str, str]) -> tuple[int, Any]:
    there = path.format(job_id=job_id, index=0)
    body = {"json": {"reason": "because"}} if "/admin/" in path and method == "post" else {}
    answer = http.request(method, there, headers=who, **body)
    assert answer.status_code != 500, answer.text
    return answer.status_code, answer.json()


def test_every_route_that_names_a_job_tells_its_account_that_it_is_gone_and_others_nothing() -> None:
    who, stranger = account(amount=9), account(amount=9)
    job_id = forgotten(who)
    assert len(_ROUTES) >= 13
    with client() as http:
        for method, path in _ROUTES:
            inside = "/admin/" in path
            status, said = ask(http, method, path, job_id, admin() if inside else head(who))
            assert (status, said["code"], said["retryable"]) == (410, "job_forgotten", False), path
            assert (said["reason"], "not kept any more" in said["detail"], "ended_at" in said) == (
                "forgotten",
                True,
                True,
            )
            if not inside:
                status, said = ask(http, method, path, job_id, head(stranger))
                other = ask(http, method, path, made_up := uuid4(), head(stranger))
                assert status == other[0] == 404, path
                assert said["detail"].replace(str(job_id), "") == other[1]["detail"].replace(str(made_up), "")


def test_the_words_of_others_say_it_too() -> None:
    who, stranger = account(amount=9), account(amount=9)
    job_id = forgotten(who)
    with client() as http:
        for method, path in _DIALECTS:
            assert ask(http, method, path, job_id, head(who))[0] == 410, path
            assert ask(http, method, path, job_id, head(stranger))[0] == 404, path


def test_a_token_for_it_is_refused_as_the_job_is() -> None:
    who, stranger = account(amount=9), account(amount=9)
    wanted = {"job": str(forgotten(who)), "may": ["read"]}
    with client() as http:
        refused = http.post("/v1/tokens", headers=head(who), json=wanted)
        assert (refused.status_code, refused.json()["code"]) == (410, "job_forgotten")
        refused = http.post("/v1/tokens", headers=head(stranger), json=wanted)
        assert (refused.status_code, refused.json()["code"]) == (404, "not_found")
    assert one("select count(*) from browser_tokens") == (0,)
