"""Bad input: each kind has its own clear error, and nothing is spent."""

from collections.abc import Iterator
from uuid import uuid4

import pytest
from starlette.testclient import TestClient

from api.main import make_app
from models.access import api_keys
from models.db import transaction
from tests.support import account, assert_books_are_clean, balance, key_of, model, one, placed, rows

pytestmark = [
    pytest.mark.usefixtures("database"),
    # Starlette's test client still uses what AnyIO and httpx are about to rename.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


ENDLESS = {"type": "object", "additionalProperties": False, "properties": {"n": {"type": "number"}}}


@pytest.fixture
def http(database: str) -> Iterator[TestClient]:
    model("slow", options={"pending": True, "ready_seconds": 60})
    model("endless", price={"unit": "second", "credits": 1, "quantity_field": "n"}, input_schema=ENDLESS)
    with TestClient(make_app(), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def who():
    return account(amount=20)


@pytest.fixture
def head(who) -> dict[str, str]:
    return {"authorization": f"Bearer {key_of(who)}"}


def order(http: TestClient, head: dict[str, str], body: object = None, **headers: str):
    body = body if body is not None else {"model": "sketch-image", "input": {"prompt": "x"}}
    if isinstance(body, str | bytes):
        return http.post("/v1/jobs", content=body, headers={**head, **headers})
    return http.post("/v1/jobs", json=body, headers={**head, **headers})


def image(**values: object) -> dict[str, object]:
    return {"model": "sketch-image", "input": {"prompt": "x", **values}}


@pytest.mark.parametrize(("body", "status", "code", "param"), [
    ({"model": "nothing", "input": {}}, 404, "unknown_model", "model"),
    (image(colour="red"), 422, "invalid_input", "input.colour"),
    (image(prompt=5), 422, "invalid_input", "input.prompt"),
    (image(prompt="x" * 2001), 422, "invalid_input", "input.prompt"),
    (image(width=10_000), 422, "invalid_input", "input.width"),
    (image(seed=-1), 422, "invalid_input", "input.seed"),
    ({"model": "sketch-video", "input": {"prompt": "x", "duration_seconds": 7}}, 422, "invalid_input", "input.duration_seconds"),
    ({"model": "sketch-image"}, 422, "invalid_input", "input"),
    ({"model": "sketch-image", "input": []}, 422, "invalid_input", "input"),
    ({**image(), "extra": 1}, 422, "invalid_input", "extra"),
    ({**image(), "priority": 1000}, 422, "invalid_input", "priority"),
    ({**image(), "queue": "fast"}, 422, "invalid_input", "queue"),
    ("[]", 400, "invalid_request", "body"),
    ("{", 400, "invalid_request", "body"),
    ("", 400, "invalid_request", "body"),
    ('{"model":"sketch-image","input":{"prompt":NaN}}', 400, "invalid_request", "body"),
    ('{"model":"sketch-image","input":{"prompt":"\\u0000"}}', 422, "invalid_input", "body"),
    ('{"model":"sketch-image","input":{"prompt":"\\ud800"}}', 422, "invalid_input", "body"),
    (b"\xff\xfe", 400, "invalid_request", "body"),
    ("[" * 100_000, 400, "invalid_request", "body"),
    ("x" * 1_100_000, 413, "body_too_large", "body"),
])  # fmt: skip
def test_a_bad_order_is_refused_in_the_one_error_shape(http, head, who, body, status, code, param) -> None:
    answer = order(http, head, body)
    assert (answer.status_code, answer.json()["code"], answer.json()["param"]) == (status, code, param)
    problem = answer.json()
    assert set(problem) >= {"type", "title", "status", "detail", "code", "param", "retryable", "request_id"}
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-request-id"] == problem["request_id"]
    assert "Traceback" not in answer.text
    assert len(answer.text) < 2000
    assert balance(who) == (20, 0)
    assert rows("select 1 from jobs") == []


def test_too_few_credits_say_what_is_needed_and_what_is_there(http) -> None:
    poor = {"authorization": f"Bearer {key_of(account(amount=2))}"}
    answer = order(http, poor, image(count=4))
    assert answer.status_code == 402
    assert (answer.json()["needed"], answer.json()["available"]) == (4, 2)
    assert not answer.json()["retryable"]


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer nonsense", "Basic abc", "Bearer " + "x" * 5000])
def test_a_missing_or_wrong_key_is_401(http, header) -> None:
    answer = http.get("/v1/credits", headers={"authorization": header} if header is not None else {})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert order(http, {"authorization": header} if header is not None else {}).status_code == 401


def test_a_revoked_key_is_refused(http, who) -> None:
    with transaction() as conn:
        key_id, secret = api_keys.create(conn, who, api_keys.NewKey("short-lived"))
        api_keys.revoke(conn, key_id)
    assert http.get("/v1/credits", headers={"authorization": f"Bearer {secret}"}).status_code == 401
    assert secret.encode() not in one("select hash from api_keys where id = %s", key_id)[0]


@pytest.mark.parametrize("method", ["get", "cancel", "retry"])
def test_somebody_elses_job_looks_like_none(http, head, method) -> None:
    other = account(amount=5)
    job_id = placed(other, model())
    path = f"/v1/jobs/{job_id}" + ("" if method == "get" else f"/{method}")
    call = http.get if method == "get" else http.post
    theirs, none = call(path, headers=head), call(path.replace(str(job_id), str(uuid4())), headers=head)
    assert theirs.status_code == none.status_code == 404
    assert theirs.json()["detail"].replace(str(job_id), "") == f"no job {''}"
    assert one("select ended from jobs where id = %s", job_id) == (None,)
    assert call(path.replace(str(job_id), "nonsense"), headers=head).status_code == 404


def test_the_same_key_with_another_body_is_422_and_with_the_same_the_same_job(http, head, who) -> None:
    first = order(http, head, image(), **{"Idempotency-Key": "k"})
    again = order(http, head, {"input": {"prompt": "x"}, "model": "sketch-image"}, **{"Idempotency-Key": "k"})
    assert again.json()["id"] == first.json()["id"]
    assert again.headers["idempotent-replayed"] == "true"
    other = order(http, head, image(seed=1), **{"Idempotency-Key": "k"})
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")
    assert order(http, head, image(), **{"Idempotency-Key": "k" * 256}).status_code == 400
    assert balance(who) == (19, 1)


@pytest.mark.parametrize("query", [
    "cursor=nonsense", "cursor=%00", "limit=0", "limit=1000", "limit=x", "status=sleeping",
])  # fmt: skip
def test_a_bad_list_query_is_refused(http, head, query) -> None:
    answer = http.get(f"/v1/jobs?{query}", headers=head)
    name = query.partition("=")[0]
    assert (answer.status_code, answer.json()["param"]) == (422, name)
    assert answer.json()["code"] == ("invalid_cursor" if query == "cursor=nonsense" else "invalid_request")


def test_a_bad_ledger_cursor_is_refused(http, head) -> None:
    assert http.get("/v1/credits/entries?cursor=-1", headers=head).status_code == 422


def test_lists_page_newest_first_and_filter(http, head, who) -> None:
    ids = [order(http, head, image(seed=n)).json()["id"] for n in range(5)]
    for job_id in ids[:2]:
        assert http.post(f"/v1/jobs/{job_id}/cancel", headers=head).json()["status"] == "canceled"
    seen, cursor = [], None
    while True:
        page = http.get("/v1/jobs", params={"limit": 2, **({"cursor": cursor} if cursor else {})}, headers=head).json()
        seen += [job["id"] for job in page["data"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert seen == ids[::-1]

    def names(**query: str) -> list[str]:
        return [job["id"] for job in http.get("/v1/jobs", params=query, headers=head).json()["data"]]

    assert names(status="canceled") == ids[:2][::-1]
    assert names(status="queued") == ids[2:][::-1]
    assert names(status="succeeded") == names(model="sketch-video") == []
    assert names(model="sketch-image") == ids[::-1]
    assert_books_are_clean()


def test_a_waiting_job_tells_its_place_and_why(http, head) -> None:
    jobs = [order(http, head, image(seed=n)).json() for n in range(4)]
    last = http.get(f"/v1/jobs/{jobs[3]['id']}", headers=head).json()["waiting"]
    assert last["position"] == 2
    assert "2 of the account's 2 slots" in last["reason"]
    assert last["estimate_seconds"] > 0


def test_a_quote_costs_nothing(http, head, who) -> None:
    answer = http.post("/v1/quotes", json=image(count=3), headers=head).json()
    assert (answer["credits"], answer["available"], answer["enough"]) == (3, 20, True)
    video = {"model": "sketch-video", "input": {"prompt": "x", "duration_seconds": 15}}
    assert http.post("/v1/quotes", json=video, headers=head).json()["credits"] == 9  # 15 x 0.04 x 1.85 / 0.125 = 8.88
    assert http.post("/v1/quotes", json=image(count=99), headers=head).status_code == 422
    assert balance(who) == (20, 0)


@pytest.mark.parametrize("path", ["/v1/quotes", "/v1/jobs"])
@pytest.mark.parametrize("number", ["1e300", "1000000001", str(2**63), "9" * 60])
def test_a_quantity_that_no_job_may_have_is_refused_by_its_field(http, head, path: str, number: str) -> None:
    answer = http.post(
        path, content=f'{{"model": "endless", "input": {{"n": {number}}}}}',
        headers={**head, "content-type": "application/json"},
    )  # fmt: skip
    assert (answer.status_code, answer.json()["param"]) == (422, "input.n")


def test_an_ended_job_can_be_ordered_again_and_a_living_one_not(http, head) -> None:
    job_id = order(http, head).json()["id"]
    assert http.post(f"/v1/jobs/{job_id}/retry", headers=head).json()["code"] == "job_not_ended"
    http.post(f"/v1/jobs/{job_id}/cancel", headers=head)
    again = http.post(f"/v1/jobs/{job_id}/retry", headers=head)
    assert again.status_code == 201
    assert again.json()["retry_of"] == job_id


def test_a_file_token_cannot_be_made_up(http) -> None:
    for token in ("x", "A" * 43, "ü", "A" * 4000):
        assert http.get(f"/files/{token}").status_code == 404
    assert http.get("/files/%00").status_code == 422


def test_the_document_is_openapi_3_1_with_an_example(http) -> None:
    document = http.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    assert document["components"]["schemas"]["Job"]["example"]["status"] == "succeeded"
    assert set(document["paths"]) >= {
        "/v1/jobs",
        "/v1/jobs/{job_id}",
        "/v1/quotes",
        "/v1/models",
        "/v1/plans",
        "/v1/packs",
        "/v1/credits",
    }
    assert document["paths"]["/v1/jobs"]["post"]["security"] == [{"key": ["generate"]}]


def test_unknown_paths_and_methods_have_the_same_shape(http) -> None:
    assert http.get("/nothing").json()["code"] == "not_found"
    assert http.delete("/v1/jobs").json()["code"] == "method_not_allowed"
    assert http.get("/v1/jobs?" + "x" * 9000).json()["code"] == "url_too_long"


def test_plans_and_models_are_listed(http) -> None:
    assert [plan["id"] for plan in http.get("/v1/plans").json()["data"]][:2] == ["free", "starter"]
    assert http.get("/v1/plans/creator").json()["credits"] == 250
    assert http.get("/v1/plans/none").status_code == 404
    assert http.get("/v1/plans/reimaji-pro").json()["prices"]["monthly"] == {"IDR": "155000"}
    assert (http.get("/v1/packs").json()["data"], http.get("/v1/packs/none").status_code) == ([], 404)
    assert http.get("/v1/models/sketch-image").json()["price"]["credits"] == 1
    assert "routes" not in http.get("/v1/models").text
