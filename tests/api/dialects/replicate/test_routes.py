"""Replicate's routes, asked by hand: what is taken, how it is refused, and that nobody sees what is another's."""

import json
from collections.abc import Iterator
from uuid import UUID

import pytest
from starlette.testclient import TestClient

from api.dialects.replicate import predictions
from api.main import make_app
from common.dialects.replicate import version_id
from models.db import transaction
from models.jobs import cancel
from models.jobs.reads import webhook
from tests.files import picture
from tests.support import (
    SCHEMA,
    account,
    almost,
    assert_books_are_clean,
    claimed,
    eventually,
    key_of,
    model,
    one,
    placed,
    uploaded,
)

BASE = "/compat/replicate/v1"
PHOTO = {"photo": {"type": "string", "format": "image"}}

pytestmark = [
    pytest.mark.usefixtures("database"),
    # Starlette's test client still uses what AnyIO and httpx are about to rename.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


@pytest.fixture
def http(database: str) -> Iterator[TestClient]:
    """An API in this process; nobody works."""
    model("flux", aliases=["black-forest-labs/flux-schnell"], description="Pictures in a second")
    model("with-photo", input_schema={**SCHEMA, "properties": {**SCHEMA["properties"], **PHOTO}})
    model("words", kind="text", routes=[{"provider": "sketch", "model": "text"}])
    with TestClient(make_app(), raise_server_exceptions=False) as client:
        yield client
    assert_books_are_clean()


@pytest.fixture
def who() -> UUID:
    return account(amount=50)


@pytest.fixture
def head(who: UUID) -> dict[str, str]:
    return {"authorization": f"Bearer {key_of(who)}"}


def order(http: TestClient, head: dict[str, str], **body: object) -> object:
    return http.post(f"{BASE}/predictions", json={"version": "headrace/flux", "input": {}, **body}, headers=head)


def refused(answer, status: int, said: str = "") -> None:
    """As its libraries read it: an object whose detail is a text."""
    body = answer.json()
    assert (answer.status_code, body["status"]) == (status, status), body
    assert isinstance(body["detail"], str)
    assert body["title"]
    assert said in body["detail"] or body.get("param") == said, body
    assert int(answer.headers.get("retry-after", 0)) <= 5


def test_versions_are_the_current_ones(http, head) -> None:
    (number,) = one("select version from models where id = 'flux' and current")
    current = version_id("flux", number)
    for version in (
        current,
        "flux",
        "headrace/flux",
        f"headrace/flux:{current}",
        "black-forest-labs/flux-schnell",
        f"flux:{current}",
    ):
        answer = order(http, head, version=version)
        assert (answer.status_code, answer.json()["version"]) == (201, current), version
    model("flux", description="Another one")
    http.app.state.services.catalogue.load()
    refused(order(http, head, version=current), 422, "is not offered any more")
    refused(order(http, head, version=f"flux:{current}"), 422, "is not offered any more")
    refused(http.get(f"{BASE}/models/headrace/flux/versions/{current}", headers=head), 404, "its current one is")
    for odd in ("f" * 64, "nothing", "a/b:c", ":", "flux:", "x" * 300):
        refused(order(http, head, version=odd), 422, "version")
    for odd in (None, "", 7, "x" * 301, ["flux"]):
        refused(order(http, head, version=odd), 422, "version")


def test_orders_that_make_no_sense_are_refused_in_its_shape(http, head, who) -> None:
    for body, said in (
        ({"input": []}, "input"), ({"input": "x"}, "input"), ({"input": {"count": "many"}}, "input.count"),
        ({"input": {"nonsense": 1}}, "input.nonsense"), ({"webhook_events_filter": ["start"]}, "webhook_events_filter"),
        ({"webhook": "https://example.com/x", "webhook_events_filter": ["never"]}, "webhook_events_filter"),
        ({"webhook": "nonsense"}, "webhook"), ({"webhook": 7}, "webhook"), ({"cancel_after": "soon"}, "cancel_after"),
        ({"cancel_after": "4s"}, "cancel_after"), ({"cancel_after": ""}, "cancel_after"), ({"cancel_after": "25h"}, "cancel_after"),
    ):  # fmt: skip
        refused(order(http, head, **body), 422, said) if said != "webhook_events_filter" else refused(
            order(http, head, **body), 422
        )
    for raw in (b"", b"[]", b"null", b'"x"', b"{", b"\xff", b'{"version": "flux", "input": {"prompt": "\\u0000"}}'):
        answer = http.post(f"{BASE}/predictions", content=raw, headers={**head, "content-type": "application/json"})
        assert answer.status_code in (400, 422), raw
        refused(answer, answer.status_code)
    assert order(http, head, input=None).status_code == 201
    extra = {"stream": True, "cancel_after": "5m", "nobody_knows": [1]}
    made = order(http, head, **extra).json()
    assert (made["status"], "stream" in made["urls"]) == ("starting", False)
    assert one("select count(*) from jobs where account_id = %s", who) == (2,)


def test_a_prediction_that_outlives_its_time_is_canceled(http, head, who, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predictions, "SHORTEST_LIFE", 1)
    begun = claimed(UUID(order(http, head, cancel_after="2s").json()["id"]))
    living = order(http, head, cancel_after="1s").json()
    by_header = order(http, {**head, "cancel-after": "1"}).json()

    def statuses() -> list[str]:
        return [
            http.get(f"{BASE}/predictions/{each['id']}", headers=head).json()["status"] for each in (living, by_header)
        ]

    eventually(lambda: statuses() == ["canceled"] * 2)
    asked = "select cancel_requested_at is not null from job_runs where job_id = %s"
    eventually(lambda: one(asked, begun.job_id) == (True,))  # what has begun is asked to stop


def test_who_has_no_key_no_credits_or_another_method_hears_so_in_its_shape(http, head) -> None:
    refused(http.post(f"{BASE}/predictions", json={"version": "flux"}), 401)
    refused(http.get(f"{BASE}/predictions", headers={"authorization": "Bearer r8_abc"}), 401)
    poor = {"authorization": f"Bearer {key_of(account())}"}
    refused(order(http, poor), 402)
    for method, path, status in (
        ("GET", "/nothing", 404), ("GET", "/collections", 404), ("GET", "/collections/x", 404), ("GET", "/trainings", 404),
        ("POST", "/trainings", 404), ("POST", "/models/a/b/versions/c/trainings", 404), ("GET", "/deployments", 404),
        ("POST", "/deployments", 404), ("PATCH", "/deployments/a/b", 404), ("DELETE", "/deployments/a/b", 404),
        ("GET", "/deployments/a/b", 404), ("GET", "", 404), ("PUT", "/predictions", 405), ("POST", "/models", 405),
        ("DELETE", "/models/a/b", 405), ("GET", "/streams/nobody", 404), ("GET", "/predictions/nothing", 404),
        ("POST", "/predictions/nothing/cancel", 404), ("GET", "/predictions/01a1fd03-f4e4-7365-bf9d-4827335166ca", 404),
        ("GET", "/models/a/b", 404), ("GET", "/models/a/b/versions", 404), ("POST", "/models/a/b/predictions", 404),
        ("GET", "/files/nothing", 404), ("DELETE", "/files/nothing", 404), ("GET", "/predictions?cursor=x", 422),
        ("GET", "/predictions?created_after=yesterday", 422), ("GET", "/models?limit=0", 422),
    ):  # fmt: skip
        body = {"json": {}} if method in {"POST", "PATCH"} else {}
        answer = http.request(method, BASE + path, headers=head, **body)
        assert answer.status_code == status, (method, path, answer.text)
        refused(answer, status)


def test_nobody_sees_or_cancels_what_is_anothers(http, head) -> None:
    other = account(amount=5)
    job_id = placed(other, model("flux"))
    refused(http.get(f"{BASE}/predictions/{job_id}", headers=head), 404)
    refused(http.post(f"{BASE}/predictions/{job_id}/cancel", headers=head), 404)
    assert http.get(f"{BASE}/predictions", headers=head).json()["results"] == []
    theirs = uploaded(other, [picture()])
    refused(http.get(f"{BASE}/files/file_{theirs.id.hex}", headers=head), 404)
    refused(http.delete(f"{BASE}/files/file_{theirs.id.hex}", headers=head), 404)
    address = f"http://127.0.0.1:8000{BASE}/files/file_{theirs.id.hex}"
    refused(order(http, head, version="with-photo", input={"photo": address}), 404, "input.photo")


def test_a_cancel_answers_the_whole_prediction_and_is_no_error_twice(http, head) -> None:
    made = order(http, head).json()
    for _ in range(2):
        answer = http.post(
            made["urls"]["cancel"].partition("8000")[2], headers={**head, "content-type": "application/json"}
        )
        assert (answer.status_code, answer.json()["status"], answer.json()["id"]) == (200, "canceled", made["id"])


def test_lists_go_on_by_whole_addresses_that_keep_what_was_asked(http, head, who) -> None:
    offer = model("flux")
    made = [str(placed(who, offer)) for _ in range(5)][::-1]
    one_page = http.get(f"{BASE}/predictions", headers=head).json()
    assert ([each["id"] for each in one_page["results"]], one_page["next"], one_page["previous"]) == (made, None, None)
    found, path = [], f"{BASE}/predictions?limit=2&created_after=2026-01-01T00:00:00Z"
    while path:
        page = http.get(path, headers=head).json()
        found += [each["id"] for each in page["results"]]
        path = page["next"] and page["next"].removeprefix("http://127.0.0.1:8000")
        assert path is None or path.startswith(
            f"{BASE}/predictions?limit=2&created_after=2026-01-01T00%3A00%3A00Z&cursor="
        )
    assert found == made
    assert http.get(f"{BASE}/predictions?created_before=2020-01-01T00:00:00Z", headers=head).json()["results"] == []
    assert http.get(f"{BASE}/predictions?created_after=2100-01-01T00:00:00Z", headers=head).json()["results"] == []
    names, path = [], f"{BASE}/models?limit=3"
    while path:
        page = http.get(path, headers=head).json()
        names += [each["name"] for each in page["results"]]
        path = page["next"] and page["next"].removeprefix("http://127.0.0.1:8000")
    assert {"flux", "words", "with-photo"} <= set(names)
    assert len(names) == len(set(names))


def test_models_are_found_by_words_of_theirs(http, head) -> None:
    for body in ("black-forest schnell", '"black-forest schnell"', "FLUX pictures"):
        answer = http.request("QUERY", f"{BASE}/models", content=body, headers={**head, "content-type": "text/plain"})
        assert "flux" in [each["name"] for each in answer.json()["results"]], body
    assert http.request("QUERY", f"{BASE}/models", content="no such thing", headers=head).json()["results"] == []
    refused(http.request("QUERY", f"{BASE}/models", content="x" * 500, headers=head), 422, "query")
    refused(http.request("QUERY", f"{BASE}/models", content=b"\xff", headers=head), 400)
    found = http.get(f"{BASE}/search?query=black-forest", headers=head).json()
    assert {each["model"]["name"] for each in found["models"]} == {"flux", "replicate-picture", "replicate-pictures"}
    assert (found["collections"], found["pages"]) == ([], [])


def test_schemas_say_what_goes_in_and_what_comes_out(http, head) -> None:
    shown = {}
    for name in ("flux", "words", "sketch-video", "sketch-speech"):
        found = http.get(f"{BASE}/models/headrace/{name}", headers=head).json()["latest_version"]
        assert tuple(map(int, found["cog_version"].split("."))) >= (0, 9)
        assert found["created_at"]
        shown[name] = found["openapi_schema"]["components"]["schemas"]
    assert shown["flux"]["Input"] == SCHEMA
    assert (shown["flux"]["Output"]["type"], shown["flux"]["Output"]["items"]["format"]) == ("array", "uri")
    assert "x-cog-array-type" not in shown["flux"]["Output"]
    assert (shown["words"]["Output"]["x-cog-array-type"], shown["words"]["Output"]["items"]) == (
        "iterator",
        {"type": "string"},
    )
    for name in ("sketch-video", "sketch-speech"):
        assert (shown[name]["Output"]["type"], shown[name]["Output"]["format"]) == ("string", "uri")
    called = http.get(f"{BASE}/models/black-forest-labs/flux-schnell", headers=head).json()
    assert (called["owner"], called["name"]) == ("black-forest-labs", "flux-schnell")


def send(http: TestClient, head: dict[str, str], content: object = None, **parts: object):
    files = {"content": content or ("boat.png", picture(), "image/png")}
    return http.post(f"{BASE}/files", files={**files, **parts}, headers=head)


def test_files_are_kept_with_what_their_sender_says_of_them(http, head, who) -> None:
    meta = {"of": "a böat", "n": [1, {"deep": None}]}
    by_field = http.post(
        f"{BASE}/files",
        files={"content": ("boat.png", picture(), "image/png")},
        data={"metadata": json.dumps(meta)},
        headers=head,
    ).json()
    by_part = send(http, head, metadata=("blob", json.dumps(meta).encode(), "application/json")).json()
    for made in (by_field, by_part):
        assert (made["name"], made["content_type"], made["size"], made["metadata"]) == (
            "boat.png",
            "image/png",
            len(picture()),
            meta,
        )
        assert made == http.get(f"{BASE}/files/{made['id']}", headers=head).json()
        assert made["urls"]["get"].endswith(f"{BASE}/files/{made['id']}")
    plain = send(http, head, ("", picture(), "image/png"))
    refused(plain, 422)
    listed = http.get(f"{BASE}/files", headers=head).json()
    assert {by_field["id"], by_part["id"]} <= {each["id"] for each in listed["results"]}
    download = http.get(f"{BASE}/files/{by_part['id']}/download", headers=head, follow_redirects=False)
    assert download.status_code == 302
    assert http.get(download.headers["location"].partition("8000")[2]).content == picture()
    assert http.delete(f"{BASE}/files/{by_part['id']}", headers=head).status_code == 204
    refused(http.get(f"{BASE}/files/{by_part['id']}", headers=head), 404)
    assert one("select said from uploads where id = %s", UUID(by_part["id"].removeprefix("file_"))) == (None,)


def test_files_that_cannot_be_taken_are_refused_by_what_is_wrong(http, head) -> None:
    refused(http.post(f"{BASE}/files", json={"content": "x"}, headers=head), 400, "content")
    refused(http.post(f"{BASE}/files", files={"file": ("a.png", picture())}, headers=head), 422, "file")
    refused(http.post(f"{BASE}/files", files={"metadata": ("blob", b"{}")}, headers=head), 400, "content")
    for odd in (b"[]", b"nonsense", b'"x"', b"\xff", b'{"a": "\\u0000"}', b" " * 20_000):
        refused(send(http, head, metadata=("blob", odd, "application/json")), 422, "metadata")
    refused(send(http, head, ("x" * 300 + ".png", picture(), "image/png")), 422, "filename")
    refused(send(http, head, ("a.png", b"no picture", "image/png")), 422)


def test_an_input_may_name_our_own_addresses_of_its_account(http, head, who) -> None:
    mine, thumb = uploaded(who, [picture(colour="blue")]), send(http, head).json()
    public = http.get(f"/v1/files/file_{mine.id.hex}", headers=head).json()["url"]
    for given, kept in (
        (public, f"file_{mine.id.hex}"), (thumb["urls"]["get"], thumb["id"]), (thumb["id"], thumb["id"]),
    ):  # fmt: skip
        made = order(http, head, version="with-photo", input={"photo": given})
        assert (made.status_code, made.json()["input"]["photo"]) == (201, kept), given
    voice = model(
        "with-voice",
        input_schema={**SCHEMA, "properties": {**SCHEMA["properties"], "v": {"type": "string", "format": "audio"}}},
    )
    http.app.state.services.catalogue.load()
    answer = order(http, head, version=voice.entry.id, input={"v": thumb["urls"]["get"]})
    refused(answer, 422, "input.v")


def test_a_job_keeps_in_whose_words_its_address_is_told(http, head, who) -> None:
    made = order(http, head, webhook="https://example.com/hook", webhook_events_filter=["start", "completed"]).json()
    with transaction() as conn:
        kept = webhook(conn, UUID(made["id"]))
        cancel.cancel(conn, UUID(made["id"]))
    assert kept is not None
    assert (kept["dialect"], kept["events"][0]) == ("replicate", "job.queued")
    again = http.post(f"/v1/jobs/{made['id']}/retry", headers=head).json()
    with transaction() as conn:
        assert webhook(conn, UUID(again["id"])) == kept


def test_a_text_may_be_read_by_whoever_has_its_address(http, head) -> None:
    made = order(http, head, version="words").json()
    http.post(f"{BASE}/predictions/{made['id']}/cancel", headers=head)
    path = made["urls"]["stream"].partition("8000")[2]
    for headers in ({}, {"authorization": "Bearer nonsense"}, head):
        answer = http.get(path, headers=headers)
        assert (answer.status_code, answer.headers["content-type"].partition(";")[0]) == (200, "text/event-stream")
        assert answer.text == 'event: done\nid: done\ndata: {"reason":"canceled"}\n\n'
    assert http.get(path, headers={"last-event-id": "done"}).status_code == 204
    refused(http.get(path, headers={"last-event-id": "nonsense"}), 400)
    refused(http.get(almost(path)), 404)


def test_the_account_and_its_secret(http, head, who) -> None:
    key = http.get(f"{BASE}/webhooks/default/secret", headers=head).json()["key"]
    assert key == http.get("/v1/webhooks/default/secret", headers=head).json()["key"]
    assert http.get(f"{BASE}/account", headers=head).json()["type"] == "user"
    assert http.get(f"{BASE}/hardware", headers=head).json()[0]["sku"]
    assert http.get(f"{BASE}/account", headers=head).headers["cache-control"] == "no-store"
