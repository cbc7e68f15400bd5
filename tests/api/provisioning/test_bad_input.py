"""Whatever is wrong with a body is a clear refusal that names the field, on every function; nothing of it is a 500."""

import json
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.main import make_app, token_paths
from cli.embedded.servers import Addresses
from common.redis_client import redis_client
from common.settings import settings
from tests.api.edge.test_texts import BODIES
from tests.conftest import fresh_database
from tests.support import ADMIN_TOKEN

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

USUAL: dict[str, dict[str, Any]] = {path: BODIES[f"post {path}"] for path in token_paths()}
HEAD = {"authorization": f"Bearer {ADMIN_TOKEN}", "content-type": "application/json"}
TEXTS = {
    "id", "userId", "provider", "tokenHash", "salt", "planTier", "billingStatus", "status", "credentialId",
    "providerReference", "cursor",
}  # fmt: skip
OPTIONAL = {
    "/api/provisioning/saveCredential": {"record": {"providerReference": "x", "metadata": {"a": 1}, "lastRotatedAt": 1}},
    "/api/provisioning/rotateCredential": {"expiresAt": 4_000_000_000_000},
    "/api/provisioning/listCredentials": {"cursor": "x", "limit": 3},
    "/api/provisioning/listUsage": {"cursor": "x", "limit": 3},
    "/api/account/updateAccount": {"payload": {"premiumExpiresAt": 1}},
}  # fmt: skip
BAD_TEXTS: list[Any] = [None, 5, True, [], {}, "", "a" * 1001, "a\nb", "\x7f"]
BAD_NUMBERS: list[Any] = [
    None, "5", True, [], {}, -1, 1.5, 2**53, 10**30, 1e300, -(10**30), float("nan"), float("inf"),
]  # fmt: skip


@pytest.fixture(scope="module")
def http(stack: Addresses) -> Iterator[TestClient]:
    """One system for all: what is refused changes nothing."""
    with redis_client(stack.redis_url, timeout_seconds=15) as client:
        client.flushall()
    with fresh_database(stack), TestClient(make_app(), raise_server_exceptions=False) as client:
        yield client


def sent(http: TestClient, path: str, body: Any) -> Any:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return http.post(path, content=raw, headers=HEAD)


def whole(path: str) -> dict[str, Any]:
    """A body with all that it may have."""
    body = deepcopy(USUAL[path])
    for name, value in OPTIONAL.get(path, {}).items():
        body[name] = {**body[name], **value} if isinstance(value, dict) else value
    return body


def places(body: dict[str, Any], before: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, value in body.items():
        yield (*before, name)
        if isinstance(value, dict) and name != "metadata":
            yield from places(value, (*before, name))


def put(body: dict[str, Any], place: tuple[str, ...], value: Any) -> dict[str, Any]:
    changed = inner = deepcopy(body)
    for name in place[:-1]:
        inner = inner[name]
    inner[place[-1]] = value
    return changed


def wrong_values(place: tuple[str, ...]) -> list[Any]:
    match place[-1]:
        case name if name in TEXTS:
            return BAD_TEXTS
        case "scopes":
            return [None, "chat", 5, {}, [5], [""], [None], ["a"] * 101, ["a\nb"], [["a"]]]
        case "metadata":
            return [None, "x", 5, [], [1], {"a": 2**64}, {"a": float("nan")}, {"a": [float("-inf")]}]
        case "record" | "entry" | "payload":
            return [None, "x", 5, [], {}]
        case "premiumExpiresAt":
            return [each for each in BAD_NUMBERS if each is not None]
        case _:
            return BAD_NUMBERS


FIELDS = [(path, place) for path in USUAL for place in places(whole(path))]


@pytest.mark.parametrize(("path", "place"), FIELDS, ids=lambda each: each if isinstance(each, str) else ".".join(each))
def test_a_value_that_is_none_of_its_field_is_refused_by_the_fields_name(
    http: TestClient, path: str, place: tuple[str, ...]
) -> None:
    for value in wrong_values(place):
        answer = sent(http, path, put(whole(path), place, value))
        assert answer.status_code == 422, (value, answer.text)
        problem = answer.json()
        assert problem["param"].startswith(".".join(place)), (value, problem)
        assert problem["retryable"] is False


@pytest.mark.parametrize(("path", "place"), FIELDS, ids=lambda each: each if isinstance(each, str) else ".".join(each))
def test_a_field_that_is_missing_is_named_and_one_that_is_not_known_as_well(
    http: TestClient, path: str, place: tuple[str, ...]
) -> None:
    body, optional = whole(path), {"id"} if "entry" in place else set()
    inner = body
    for name in place[:-1]:
        inner = inner[name]
    inner[place[-1] + "x"] = 1
    unknown = sent(http, path, body)
    assert (unknown.status_code, unknown.json()["param"]) == (422, ".".join(place) + "x")
    needed = USUAL[path]
    for name in place[:-1]:
        needed = needed[name]
    if place[-1] in needed and place[-1] not in optional:
        del inner[place[-1] + "x"], inner[place[-1]]
        missing = sent(http, path, body)
        assert (missing.status_code, missing.json()["param"]) == (422, ".".join(place))


@pytest.mark.parametrize("path", USUAL)
@pytest.mark.parametrize("raw", [
    b"", b"null", b"[]", b"5", b'"x"', b"{", b"\xff", b"[" * 300 + b"]" * 300, b'{"a":' * 300 + b"1" + b"}" * 300,
    b'{"userId": "a\\u0000b"}', b'{"userId": "a\x00b"}', b'{"userId": "\\ud800"}', b"9" * 5000, b'{"__proto__": {}}',
])  # fmt: skip
def test_a_body_that_is_none_is_refused(http: TestClient, path: str, raw: bytes) -> None:
    answer = sent(http, path, raw)
    assert 400 <= answer.status_code < 500, answer.text
    assert answer.json()["code"] in {"invalid_request", "invalid_input", "bad_request"}


@pytest.mark.parametrize("place", [place for _, place in FIELDS if place[-1] in TEXTS], ids=".".join)
def test_a_nul_is_refused_in_every_text(http: TestClient, place: tuple[str, ...]) -> None:
    path = next(path for path, each in FIELDS if each == place)
    assert sent(http, path, put(whole(path), place, "a\0b")).status_code == 422


@pytest.mark.parametrize("path", USUAL)
def test_eight_megabytes_are_too_large_and_both_sizes_are_named(http: TestClient, path: str) -> None:
    answer = sent(http, path, put(whole(path), ("metadata",), {"a": "x" * 8_000_000}))
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (413, "body_too_large")
    assert problem["limit"] == settings().max_body_bytes
    assert problem["size"] > 8_000_000


@pytest.mark.parametrize("method", ["get", "put", "patch", "delete"])
def test_other_methods_are_not_taken(http: TestClient, method: str) -> None:
    for path in USUAL:
        answer = http.request(method, path, headers=HEAD)
        assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert http.post("/api/provisioning/dropEverything", json={}, headers=HEAD).status_code == 404


@pytest.mark.parametrize("path", USUAL)
def test_the_document_names_no_null_where_none_is_taken(http: TestClient, path: str) -> None:
    text = json.dumps(http.get("/openapi.json").json()["components"]["schemas"]["WebCredential"])
    assert "null" not in text
