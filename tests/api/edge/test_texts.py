"""Every parameter of every route, as the OpenAPI document names them, with what cannot be stored: nothing is a 500."""

import json
import re
from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any
from uuid import uuid4

import orjson
import pytest
from starlette.testclient import TestClient

from api.edge import texts
from api.main import make_app
from common.errors import InvalidInput
from models.access import api_keys
from models.access.scopes import SCOPES
from models.db import transaction
from tests import documents
from tests.files import picture
from tests.support import ADMIN_TOKEN, account, model, one

pytestmark = [
    pytest.mark.usefixtures("database"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

NUL, HALF = "a\0b", "a\ud800b"
NUMBERS = ["9" * 30, "9" * 5000, "-" + "9" * 30, "²", "٣", "1e400", "0x1", "1_0", " 1", "NaN"]
MOMENTS = ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "²", "1e30"]
# The web client's.
RECORD = {
    "id": "c", "userId": "u", "provider": "p", "tokenHash": "h", "salt": "s", "scopes": ["chat"], "planTier": "free",
    "issuedAt": 1_700_000_000_000, "expiresAt": 4_000_000_000_000, "status": "active",
}  # fmt: skip
ENTRY = {
    "id": "e", "userId": "u", "provider": "p", "tokensUsed": 1, "costMinorUnits": 1, "recordedAt": 1_700_000_000_000,
}  # fmt: skip
WHOLE = "019a0000-0000-7000-8000-000000000001"
# A body that would do, for each route that takes one.
BODIES: dict[str, dict[str, Any]] = {
    "post /v1/jobs": {"model": "words", "input": {"prompt": "x", "count": 1}, "webhook": None, "webhook_events": None},
    "post /v1/quotes": {"model": "words", "input": {"prompt": "x", "count": 1}},
    "post /v1/files": {"data": "data:text/plain;base64,AAAA"},
    "post /v1/tokens": {"may": ["generate"], "model": "one", "credits": 5, "seconds": 600},
    "post /v1/keys": {"name": "x"},
    "post /v1/keys/{key_id}/rotate": {},
    "put /v1/provider-keys/{provider}": {"key": "sk-something-long"},
    "post /v1/webhooks": {"url": "https://example.com/"},
    "patch /v1/webhooks/{webhook_id}": {},
    "post /v1/webhooks/{webhook_id}/redeliver": {"since": "2020-01-01T00:00:00Z"},
    "post /v1/subscription/change": {"plan": "creator", "interval": "monthly", "when": "now"},
    "post /v1/subscription/trial": {"plan": "reimaji-pro"},
    "patch /v1/admin/users/{user_id}": {"role": "user"},
    **{
        f"post /v1/admin/jobs/{{job_id}}/{act}": {"reason": "x"}
        for act in ("retry", "refund", "discard", "cancel", "replay")
    },
    "post /v1/admin/providers/{provider}/rest": {"seconds": 60, "reason": "x"},
    "post /v1/admin/providers/{provider}/wake": {"reason": "x"},
    "post /v1/admin/workers/{worker_id}/drain": {"reason": "x"},
    "post /v1/admin/accounts/{account_id}/replay": {"since": "2020-01-01T00:00:00Z", "reason": "x"},
    "post /v1/admin/bulk-runs": {"act": "cancel", "filter": {"text": "x", "model": "words"}, "reason": "x"},
    "post /v1/admin/bulk-runs/{run_id}/stop": {"reason": "x"},
    "post /v1/admin/bulk-runs/{run_id}/resume": {"reason": "x"},
    "post /v1/admin/pauses": {"what": "queue", "name": "batch", "seconds": 60, "reason": "x"},
    "post /v1/admin/pauses/resume": {"what": "queue", "name": "batch", "reason": "x"},
    "post /v1/admin/announcements": {"title": "x", "body": "y"},
    "post /v1/admin/users": {"subject": "x"},
    "post /v1/admin/users/{user_id}/suspend": {"reason": "x"},
    "post /v1/admin/users/{user_id}/resume": {"reason": "x"},
    "post /v1/admin/accounts/{account_id}/grants": {"amount": 1, "reason": "x"},
    "post /v1/admin/accounts/{account_id}/subscribe": {"plan": "creator", "reason": "x"},
    "post /v1/admin/accounts/{account_id}/change-plan": {"plan": "starter", "reason": "x"},
    "post /v1/admin/accounts/{account_id}/erase": {"reason": "x"},
    "post /v1/admin/accounts/{account_id}/take-back": {"amount": 1, "reason": "x"},
    "post /v1/admin/payments/{payment_id}/paid": {"reason": "x"},
    "post /v1/admin/payments/{payment_id}/refund": {"reason": "x"},
    "post /v1/admin/promotions": {"code": "CODE-1", "credits": 1},
    "post /v1/holds": {
        "amount": 1,
        "seconds": 60,
        "reference": "r",
        "model": "words",
        "kind": "image",
        "labels": {"a": "b"},
    },
    "post /v1/holds/{hold_id}/settle": {"amount": 1},
    "post /v1/holds/{hold_id}/release": {"amount": 1},
    "post /v1/holds/{hold_id}/extend": {"seconds": 60},
    "post /v1/playground/sessions": {"model": "words", "prompt": "x", "title": "t", "explanation": "e", "public": True},
    "patch /v1/playground/sessions/{session_id}": {"title": "t", "explanation": "e", "public": True},
    "post /v1/summaries": {"kind": "article", "text": "x", "title": "t", "model": "words"},
    "put /v1/credits/alerts": {"limits": [5]},
    "put /v1/labels/limits": {"name": "customer", "value": "acme", "monthly_credits": 5},
    "post /v1/content/desk/articles": {"section": "news", "kind": "tool", "title": "x", "body": "y"},
    "patch /v1/content/desk/articles/{article_id}": {},
    "post /v1/content/desk/articles/{article_id}/publish": {},
    "post /v1/promotions/redeem": {"code": "CODE-1"},
    "post /v1/payments": {"pack": "none", "currency": "USD"},
    "put /v1/refill": {"pack": "none", "currency": "USD", "threshold": 1, "monthly_limit": "1.00"},
    "post /v1/courses": {"title": "x", "level": "basic", "description": "y", "cover_url": None, "slug": "x"},
    "patch /v1/courses/{course_id}": {},
    "put /v1/courses/{course_id}/order": {"modules": []},
    "post /v1/courses/{course_id}/modules": {"title": "x"},
    "patch /v1/courses/{course_id}/modules/{module_id}": {},
    "post /v1/courses/{course_id}/lessons": {"module_id": WHOLE, "title": "x", "body": "y"},
    "patch /v1/lessons/{lesson_id}": {},
    "post /v1/lessons/{lesson_id}/questions": {
        "kind": "single",
        "text": "x",
        "options": ["a", "b"],
        "right_options": [0],
        "explanation": "y",
    },
    "patch /v1/lessons/{lesson_id}/questions/{question_id}": {},
    "put /v1/lessons/{lesson_id}/order": {"questions": []},
    "post /v1/lessons/{lesson_id}/progress": {"visit": "a", "seconds": 1},
    "post /v1/lessons/{lesson_id}/attempts": {"answers": {WHOLE: [0]}},
    **{f"patch /v1/{kind}/{{item_id}}": {"title": "x", "public": True} for kind in ("images", "videos", "sounds")},
    "post /v1/collections": {"name": "x", "description": "y", "public": True},
    "patch /v1/collections/{collection_id}": {"name": "x", "description": "y", "cover": None},
    "post /v1/collections/{collection_id}/items": {"items": [str(uuid4())]},
    "post /v1/collections/{collection_id}/items/remove": {"items": [str(uuid4())]},
    "post /v1/collections/{collection_id}/items/order": {"items": [str(uuid4())], "after": None},
    "post /v1/collections/{collection_id}/links": {"password": "x"},
    "post /v1/collections/{collection_id}/members": {"email": "a@example.com", "role": "editor"},
    "patch /v1/collections/{collection_id}/members/{member_id}": {"role": "editor"},
    "patch /v1/me": {},
    "post /api/provisioning/saveCredential": {"record": RECORD},
    "post /api/provisioning/findActiveCredential": {"userId": "u", "provider": "p"},
    "post /api/provisioning/markCredentialRevoked": {"credentialId": "c"},
    "post /api/provisioning/rotateCredential": {"credentialId": "c", "tokenHash": "h", "salt": "s"},
    "post /api/provisioning/listCredentials": {},
    "post /api/provisioning/recordUsage": {"entry": ENTRY},
    "post /api/provisioning/listUsage": {"userId": "u"},
    "post /api/account/getOrCreate": {"userId": "u"},
    "post /api/account/updateAccount": {"payload": {"userId": "u", "planTier": "free", "billingStatus": "free"}},
    "post /api/account/recordUsage": {"userId": "u", "provider": "p", "tokensUsed": 1},
}
# What a request may carry besides, whatever its document says.
HEADERS = (
    "idempotency-key",
    "prefer",
    "range",
    "accept",
    "if-none-match",
    "last-event-id",
    "content-type",
    "x-anything",
    "cookie",
)
DOCUMENT = documents.openapi()
OPERATIONS = [f"{method} {path}" for path, methods in DOCUMENT["paths"].items() for method in methods]


@pytest.fixture
def http(database: str) -> Iterator[TestClient]:
    fields = {"prompt": {"type": "string"}, "count": {"type": "integer"}, "more": {}}
    anything = {"type": "object", "additionalProperties": False, "properties": fields}
    model(
        "words", input_schema=anything, price={"unit": "image", "credits": 3, "quantity_field": "count"}, kind="image"
    )
    asks = account(amount=9)
    with transaction() as conn:
        conn.execute("update users set role = 'admin'")
        secret = api_keys.create(conn, asks, api_keys.NewKey("walks", scopes=SCOPES))[1]
    with TestClient(make_app(), raise_server_exceptions=False) as client:
        client.headers["authorization"] = f"Bearer {secret}"
        yield client


def operation(name: str) -> tuple[str, str, dict[str, Any]]:
    method, _, path = name.partition(" ")
    return method, path, DOCUMENT["paths"][path][method]


def parameters(name: str, place: str) -> list[str]:
    return [each["name"] for each in operation(name)[2].get("parameters", ()) if each["in"] == place]


def who(path: str) -> dict[str, str]:
    """The web client's routes have a token of their own."""
    return {"authorization": f"Bearer {ADMIN_TOKEN}"} if path.startswith("/api/") else {}


def send(
    http: TestClient,
    name: str,
    *,
    path: dict[str, str] | None = None,
    query: str = "",
    raw: bytes | None = None,
    **more: Any,
) -> Any:
    method, template, _ = operation(name)
    values = path or {}
    address = re.sub(r"\{(\w+)(:path)?\}", lambda found: values.get(found[1], str(uuid4())), template)
    if raw is None and name in BODIES:
        raw = orjson.dumps(BODIES[name])
    headers = {"content-type": "application/json", **who(template), **more.pop("headers", {})}
    return http.request(method, address + query, content=raw, headers=headers, **more)


def with_text(body: dict[str, Any], text: str) -> bytes:
    """JSON that escapes what is not ASCII, as most clients do."""
    return json.dumps(body).replace('"@"', json.dumps(text)).encode()


Request = dict[str, Any]


def with_nuls(name: str) -> Iterator[Request]:
    """Requests with a NUL, or half of a character, at every place that a route has for a text."""
    for each in parameters(name, "path"):
        for evil in ("%00", "a%00b", "%ED%A0%80", "%FF"):
            yield {"path": {each: evil}}
    for each in (*parameters(name, "query"), "anything"):
        for evil in ("%00", "a%00b", "%ED%A0%80", "%FF"):
            yield {"query": f"?{each}={evil}"}
    yield {"query": "?%00=x"}
    for each in {*parameters(name, "header"), *HEADERS}:
        yield {"headers": {each: NUL}}
    for each in properties(name):
        yield from ({"raw": raw} for raw in bodies_with_nuls(BODIES[name], each))


def bodies_with_nuls(body: dict[str, Any], field: str) -> Iterator[bytes]:
    for text in (NUL, HALF, "\ude00\ud83d"):
        yield with_text({**body, field: "@"}, text)
        yield with_text({**body, field: {"deep": ["@"]}}, text)
        if field == "input":
            yield with_text({**body, field: {"prompt": "@"}}, text)
    yield with_text({**body, f"{field}@": 1}, "").replace(b"@", b"\\u0000")
    yield b'{"x": "a\x00b"}'
    yield b'\xef\xbb\xbf{"%s": "\\u0000"}' % field.encode()


def test_a_nul_is_refused_wherever_it_stands(http: TestClient) -> None:
    wrong, walked = [], 0
    for name in OPERATIONS:
        for request in with_nuls(name):
            answer = send(http, name, **request)
            walked += 1
            if answer.status_code != 422 or answer.json()["code"] not in {"invalid_request", "invalid_input"}:
                wrong.append((name, request, answer.status_code))
    assert wrong == []
    assert walked > 1000
    assert one("select count(*) from jobs") == (0,)


def odd_ones(name: str) -> Iterator[Request]:
    """Requests with numbers and moments that are none, or past every column. Each place gets a third of them, by its turn: there are
    thousands of places, and each value comes to a thousand of them.
    """
    odd, turns = [*NUMBERS, *MOMENTS], count(OPERATIONS.index(name))

    def third(values: Sequence[str]) -> Sequence[str]:
        return values[next(turns) % 3 :: 3]

    for each in parameters(name, "path"):
        yield from ({"path": {each: evil}} for evil in third(NUMBERS))
    for each in parameters(name, "query"):
        yield from ({"params": {each: evil}} for evil in third(odd))
    for each in parameters(name, "header"):
        yield from ({"headers": {each: evil.encode("latin-1", errors="replace")}} for evil in third(odd))
    for number, each in enumerate(
        ("content-length", "last-event-id", "range")
    ):  # of any route, so that each route has some
        some = odd[(OPERATIONS.index(name) + number) % 5 :: 5]
        yield from ({"headers": {each: evil.encode("latin-1", errors="replace")}} for evil in some)
    bare = [*(number for number in NUMBERS if re.fullmatch("-?9+|1e400|NaN", number)), "[" * 300 + "]" * 300, "1e300"]
    for each in properties(name):
        for evil in third([*bare, *map(json.dumps, odd)]):
            yield {"raw": with_text({**BODIES[name], each: "#"}, "").replace(b'"#"', evil.encode())}
    if "input" in properties(name):
        for at, evil in enumerate((*bare, "9" * 18, "9" * 19, "9" * 20, '{"a":' * 260 + "1" + "}" * 260)):
            for field in ("count", "more"):
                given = with_text({**BODIES[name], "input": {"prompt": "x", field: "#"}}, "")
                yield {"raw": given.replace(b'"#"', evil.encode()), "headers": {"idempotency-key": f"{field}-{at}"}}


@pytest.mark.timeout(400)
def test_no_number_and_no_moment_is_too_much(http: TestClient) -> None:
    wrong = []
    for name in OPERATIONS:
        for request in odd_ones(name):
            answer = send(http, name, **request)
            if answer.status_code >= 500:
                wrong.append((name, request, answer.status_code))
    assert wrong == []
    # Nothing that was taken above may be one that cannot be read any more.
    for path in ("/v1/keys", "/v1/webhooks", "/v1/jobs", "/v1/credits", "/v1/provider-keys", "/v1/admin/acts"):
        assert http.get(path).status_code == 200, path


def properties(name: str) -> list[str]:
    """What a route's body has."""
    schema = operation(name)[2].get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    if "$ref" in schema:
        schema = DOCUMENT["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return [*schema.get("properties", {})]


def test_every_route_with_a_body_has_one_here() -> None:
    # Those of JSON; of a batch each line is checked by itself (tests/api/v1/test_batches.py).
    assert {name for name in OPERATIONS if "application/json" in str(operation(name)[2].get("requestBody"))} == set(
        BODIES
    )
    assert all(properties(name) for name in BODIES)


@pytest.mark.parametrize("text", ["\\u0000", "a\\\\u0000b", "\\\\\\u0000", "\\ud800", "u0000", "😀", "\\"])
def test_a_backslash_before_u0000_is_a_text_like_any_other(http: TestClient, text: str) -> None:
    answer = send(http, "post /v1/jobs", raw=with_text({"model": "words", "input": {"prompt": "@"}}, text))
    assert answer.status_code == 201, answer.text
    assert answer.json()["input"]["prompt"] == text
    assert one("select input->>'prompt' from jobs") == (text,)
    assert http.get(f"/v1/jobs/{answer.json()['id']}").json()["input"]["prompt"] == text


def test_a_form_and_its_file_have_texts_too(http: TestClient) -> None:
    def form(*fields: tuple[bytes, bytes]) -> Any:
        parts = [b'--edge\r\ncontent-disposition: form-data; name="%s"%s\r\n\r\n' % field for field in fields]
        body = b"x\r\n".join(parts) + picture() + b"\r\n--edge--\r\n"
        return http.post("/v1/files", content=body, headers={"content-type": "multipart/form-data; boundary=edge"})

    assert form((b"file", b'; filename="a.png"')).status_code == 201
    refused = [form((b"file", b'; filename="a\0.png"')), form((b"a\0", b""), (b"file", b'; filename="a.png"'))]
    assert [(each.status_code, each.json()["code"]) for each in refused] == [(422, "invalid_input")] * 2
    for name in (b"\xed\xa0\x80", b"\xff"):  # read as Latin-1, as the framework does
        assert form((name, b""), (b"file", b'; filename="%s"' % name)).status_code < 500


def test_a_body_that_is_too_large_is_413_on_every_route(http: TestClient) -> None:
    """The framework turns whatever happens while it reads a body into a 400."""

    def parts() -> Iterator[bytes]:
        for _ in range(20):
            yield b" " * 100_000

    for name in BODIES:
        method, path, _ = operation(name)
        address = re.sub(r"\{\w+\}", str(uuid4()), path)
        head = {"content-type": "application/json", **who(path)}
        answer = http.request(method, address, content=parts(), headers=head)
        assert (name, answer.status_code) == (name, 413)


@pytest.mark.parametrize("raw", [
    b"", b"{}", b"[1]", b'{"a": "\\n"}', b'{"a": "\\\\u0000"}', b'{"\\\\u0000": 1}', b"\xff", b'{"a": "\\u00"}', b"nonsense \\u0000",
    '{"a": "ü"}'.encode(), b'{"a": "\\ud83d\\ude00"}', b"[" * 250 + b"]" * 250,
])  # fmt: skip
def test_what_can_be_stored_or_is_no_json_passes(raw: bytes) -> None:
    texts.check_json(raw)


@pytest.mark.parametrize("raw", [
    b"\0", b'"\\u0000"', b'{"\\u0000": 1}', b'{"a": ["\\\\\\u0000"]}', b'"\\ud800"', b'"\\ude00\\ud83d"', b'"\xed\xa0\x80"',
    b'\xef\xbb\xbf"\\u0000"', '"\\u0000"'.encode("utf-16"), b"[" * 300 + b"]" * 300, b'{"a":' * 300 + b"1" + b"}" * 300,
])  # fmt: skip
def test_what_cannot_be_stored_is_refused(raw: bytes) -> None:
    with pytest.raises(InvalidInput):
        texts.check_json(raw)
