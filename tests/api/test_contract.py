"""One contract for all routes, generated from the OpenAPI document and the code: what is no id is nothing, what is no field is
refused by its name, and what is refused for good has a status that no SDK sends again.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
import pytest
from starlette.testclient import TestClient

from api.main import make_app
from cli.embedded.servers import Addresses
from common.errors import DomainError
from common.redis_client import redis_client
from models.access import api_keys
from models.access.scopes import SCOPES
from models.db import transaction
from tests.api.edge.test_texts import BODIES, DOCUMENT, OPERATIONS, operation, send
from tests.conftest import environment, fresh_database
from tests.files import picture
from tests.support import account

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

ROOT = Path(__file__).resolve().parents[2]
WHOLE = str(uuid4())
NO_IDS = [
    "x", "0", "-1", "null", "undefined", "a" * 300, WHOLE[:-1], WHOLE + "0", WHOLE.replace("-", "_"), "g" + WHOLE[1:],
    "%20", "%C3%A9", "..%2F..%2Fetc", "file_", "file_" + WHOLE, "1e400", "9" * 40, "{}", "%25", "'", ";",
]  # fmt: skip


@pytest.fixture(scope="module")
def http(stack: Addresses) -> Iterator[TestClient]:
    """One system for all: what is refused changes nothing."""
    with redis_client(stack.redis_url, timeout_seconds=15) as client:
        client.flushall()
    with fresh_database(stack), environment({"FAILED_AUTH_PER_MINUTE": "100000"}):
        who = account(amount=9)
        with transaction() as conn:
            conn.execute("update users set role = 'admin'")
            secret = api_keys.create(conn, who, api_keys.NewKey("walks", scopes=SCOPES))[1]
        with TestClient(make_app(), raise_server_exceptions=False) as client:
            client.headers["authorization"] = f"Bearer {secret}"
            yield client


BY_ID = [name for name in OPERATIONS if "{" in name]


@pytest.mark.parametrize("name", BY_ID)
def test_what_is_no_id_is_nothing(http: TestClient, name: str) -> None:
    parts = [each["name"] for each in operation(name)[2]["parameters"] if each["in"] == "path"]
    assert parts
    for wrong in NO_IDS:
        for part in parts:  # the others are ids, of nothing
            answer = send(http, name, path={part: wrong})
            assert (wrong, answer.status_code) == (wrong, 404), answer.text
            assert answer.json()["code"] in {"not_found", "unknown_model"}


@pytest.mark.parametrize("name", BODIES)
def test_a_field_that_is_not_known_is_refused_by_its_name(http: TestClient, name: str) -> None:
    for field in ("priorty", "query", "body", "Model", "x" * 5000):
        answer = send(http, name, raw=orjson.dumps({**BODIES[name], field: 1}))
        assert (answer.status_code, answer.json()["param"]) == (422, field[:100]), answer.text
        assert field[:100] in answer.json()["detail"]


def test_a_form_is_a_body_too(http: TestClient) -> None:
    def form(data: dict[str, str]) -> Any:
        return http.post("/v1/files", files={"file": ("a.png", picture())}, data=data)

    assert form({}).status_code == 201
    answer = form({"purpose": "vision"})
    assert (answer.status_code, answer.json()["param"]) == (422, "purpose")


def shapes(schema: Any) -> Iterator[dict[str, Any]]:
    """The shapes of objects in a schema, with those that it refers to."""
    if isinstance(schema, list):
        for each in schema:
            yield from shapes(each)
    if not isinstance(schema, dict):
        return
    if "$ref" in schema:
        yield from shapes(DOCUMENT["components"]["schemas"][schema["$ref"].rpartition("/")[2]])
        return
    if "properties" in schema:
        yield schema
    for each in schema.values():
        yield from shapes(each)


@pytest.mark.parametrize("name", BODIES)
def test_the_document_says_that_no_other_field_is_taken(name: str) -> None:
    found = list(shapes(operation(name)[2]["requestBody"]["content"]))
    assert found
    assert [each for each in found if each.get("additionalProperties") is not False] == []


# --- statuses ---

# Common SDKs send again, blindly, what was answered 408, 409, 429 or any 5xx; some take a status they do not know for an
# outage. So what is refused for good has one of these.
FOR_GOOD = {400, 401, 402, 403, 404, 405, 410, 413, 414, 415, 422, 431}
AGAIN = {
    408: "the connection was too slow: the same request may do on a better one",
    409: "somebody else is at it",
    429: "too many, for the moment",
    503: "something is away",
}
OTHERS = {
    412: "RFC 9110, 13.1.1: what If-Match asked for; caches and downloads that resume know it, and nothing is sent again",
    416: "RFC 9110, 15.5.17: what Range asked for; programs that download know it, and no other status can say it",
    500: "a fault of ours",
    504: "in OpenAI's words alone, with x-should-retry: false: what was ordered goes on",
}
SAYERS = {"HTTPException", "problem", "Response", "answer", "Refused", "written_refusal"}


def errors(kind: type[DomainError] = DomainError) -> Iterator[type[DomainError]]:
    yield kind
    for each in kind.__subclasses__():
        yield from errors(each)


def test_every_error_of_ours_has_a_status_that_says_whether_to_ask_again() -> None:
    make_app()  # so that all are known
    ours = [each for each in errors() if not each.__module__.startswith("tests.")]
    assert len(ours) > 30
    assert {each.__name__: each.status for each in ours if not each.retryable and each.status not in FOR_GOOD} == {
        "VersionChanged": 412,
        "BegunAnew": 502,  # told within a stream of OpenAI's words, whose status nobody reads
    }
    assert {each.__name__: each.status for each in ours if each.retryable and each.status not in AGAIN} == {}


def said(text: str) -> set[int]:
    """The statuses of refusals that a module writes out."""
    return {
        node.value
        for call in ast.walk(ast.parse(text))
        if isinstance(call, ast.Call) and getattr(call.func, "id", getattr(call.func, "attr", "")) in SAYERS
        for value in (*call.args, *(each.value for each in call.keywords if each.arg in {"status", "status_code"}))
        for node in ast.walk(value)
        if isinstance(node, ast.Constant) and type(node.value) is int and 400 <= node.value < 600
    }


def test_statuses_that_the_code_writes_out_are_seen() -> None:
    assert said("raise HTTPException(418, 'x')") == said("x = Response(status_code=418)") == {418}
    assert said("problem(request, 409 if held else 406, 'x')") == {409, 406}
    assert said("x = Refused(451, 'y')\nz = sleep(451)") == {451}


def test_no_module_refuses_with_a_status_of_its_own() -> None:
    found: dict[int, set[str]] = {}
    for path in (ROOT / "api").rglob("*.py"):
        for status in said(path.read_text()):
            found.setdefault(status, set()).add(path.name)
    assert {
        status: where for status, where in found.items() if status not in FOR_GOOD | AGAIN.keys() | OTHERS.keys()
    } == {}
    assert found[412] == found[416] == {"results.py"}, "for files alone"


def test_the_document_has_no_other_status() -> None:
    told = {
        int(status): f"{method} {path}"
        for path, methods in DOCUMENT["paths"].items()
        for method, each in methods.items()
        for status in each["responses"]
        if int(status) >= 400
    }
    assert {status: where for status, where in told.items() if status not in FOR_GOOD | AGAIN.keys() | {412, 416}} == {}
    assert {status for status in told if status in OTHERS} <= {412, 416}
    assert "/files/{token}" in told[416]


# --- what a generated client's functions are called

VERBS = {
    "accept", "add", "answer", "cancel", "change", "count", "create", "decline", "delete", "discard", "download", "drain", "end", "erase", "export", "extend", "find", "get",
    "give", "invite", "keep", "leave", "let", "like", "list", "mark", "open", "order", "pause", "publish", "put", "read", "record",
    "redeem", "redeliver", "refund", "release", "remove", "replay", "report", "rest", "restore", "resume", "retry", "revoke", "rotate", "save",
    "search", "send", "set", "settle", "start", "stop", "subscribe", "suspend", "take", "unlike", "unpublish", "update", "wake",
}  # fmt: skip


def test_every_operation_has_a_name_of_its_own_that_says_what_it_does() -> None:
    names = [each["operationId"] for methods in DOCUMENT["paths"].values() for each in methods.values()]
    assert len(names) > 150
    assert [name for name in names if names.count(name) > 1] == []
    assert [
        name for name in names if not re.fullmatch("[a-z]+(_[a-z]+)+", name) or name.partition("_")[0] not in VERBS
    ] == []
