"""Results over HTTP: deleted, kept, left to their time again; and what is stored."""

import hashlib
from collections.abc import Iterator
from uuid import UUID, uuid4

import pytest
from fastapi.testclient import TestClient
from uuid_utils.compat import uuid7

from api.main import make_app
from common.retention_settings import MAX_HOURS
from models.access import api_keys
from models.db import transaction
from models.jobs.ending import Ending, NewAsset, end
from scheduler.duties import results
from storage import keys
from storage.s3 import storage
from tests.conftest import environment
from tests.models.hands import change
from tests.support import account, assert_books_are_clean, claimed, key_of, model, one, placed

pytestmark = pytest.mark.usefixtures("database")

BODY = b"a picture, more or less"
CDN = {"CDN_URL": "https://cdn.example.com", "CDN_CACHE_SECONDS": "7200"}


@pytest.fixture
def http() -> Iterator[TestClient]:
    model("picture")
    with TestClient(make_app()) as client:
        yield client


@pytest.fixture
def who() -> UUID:
    return account(amount=100)


@pytest.fixture
def head(who: UUID) -> dict[str, str]:
    return {"authorization": f"Bearer {key_of(who)}"}


def job_with(who: UUID, count: int = 1, hours: int = 24) -> UUID:
    """A job that has ended with so many results, whose objects lie in the bucket."""
    job = placed(who, model())
    claim, assets = claimed(job), []
    for n in range(count):
        key = keys.result_key(who, job, 1, n, hashlib.sha256(BODY).digest(), "png")
        storage().put_bytes(key, BODY, "image/png")
        assets.append(NewAsset(uuid7(), n, key, "image/png", len(BODY), hashlib.sha256(BODY).digest()))
    with transaction() as conn:
        ending = Ending("succeeded", cost_credits=1, assets=assets, result_hours=hours)
        assert end(conn, who, job, ending, token=claim.token)
    return job


def outputs(http: TestClient, head: dict[str, str], job: UUID) -> list[dict]:
    return http.get(f"/v1/jobs/{job}", headers=head).json()["outputs"]


def path_of(url: str) -> str:
    return url[url.index("/files/") :]


def used(http: TestClient, head: dict[str, str]) -> int:
    return http.get("/v1/storage", headers=head).json()["used_bytes"]


def test_a_result_is_deleted_at_once_and_its_address_says_why_and_its_object_goes(http, head, who) -> None:
    job = job_with(who, 2)
    first, second = (path_of(each["url"]) for each in outputs(http, head, job))
    key = one("select key from assets where index = 0")[0]
    assert http.get(first).content == BODY
    for _ in range(2):
        gone = http.delete(f"/v1/jobs/{job}/outputs/0", headers=head)
        assert (gone.status_code, gone.content) == (204, b"")
        answer = http.get(first)
        assert (answer.status_code, answer.json()["code"], answer.json()["reason"]) == (410, "result_gone", "deleted")
        assert answer.headers["cache-control"] == "no-store"
        assert used(http, head) == len(BODY)
    assert http.get(second).content == BODY
    assert [each["status"] for each in outputs(http, head, job)] == ["deleted", "stored"]
    for _ in range(2):
        assert http.delete(f"/v1/jobs/{job}/outputs", headers=head).status_code == 204
        assert used(http, head) == 0
    with environment({"CLOCK_OFFSET_SECONDS": "3600"}):
        assert results.purge_results(10) == 2
    assert storage().list_page(key, None, 1) == []
    events = http.get("/v1/events?after=0", headers=head).json()["data"]
    assert [each["data"]["outputs"] for each in events if each["type"] == "assets.deleted"] == [[0], [1]]
    assert_books_are_clean()


def test_a_result_is_kept_past_its_time_and_left_to_it_again(http, head, who) -> None:
    job = job_with(who)
    before = outputs(http, head, job)[0]
    assert before["kept"] is False
    address = f"/v1/jobs/{job}/outputs/0/keep"
    kept = http.post(address, headers=head)
    assert (kept.status_code, kept.json()["kept"], kept.json()["expires_at"]) == (200, True, None)
    assert kept.json() == outputs(http, head, job)[0] == http.post(address, headers=head).json()
    left = http.delete(address, headers=head)
    assert (left.status_code, left.json()["kept"]) == (200, False)
    assert left.json()["expires_at"] >= before["expires_at"]
    assert http.delete(address, headers=head).json() == left.json() == outputs(http, head, job)[0]


def test_over_the_quota_nothing_is_kept_and_it_says_how_much_is_used(http, head, who) -> None:
    job = job_with(who)
    change("update plans set storage_quota_bytes = %s", len(BODY) - 1)
    full = http.post(f"/v1/jobs/{job}/outputs/0/keep", headers=head)
    assert (full.status_code, full.json()["code"]) == (403, "storage_quota_exceeded")
    assert (full.json()["used_bytes"], full.json()["quota_bytes"]) == (len(BODY), len(BODY) - 1)
    assert one("select plan_ends_at from assets") == (None,)


WAYS = [("delete", ""), ("post", "/keep"), ("delete", "/keep")]


@pytest.mark.parametrize(("method", "tail"), WAYS)
@pytest.mark.parametrize(
    "index", ["x", "-1", "1.0", "+0", " 0", "0x0", "32768", "9" * 5000, "٣", "²", "1_0", "00000000"]
)
def test_what_is_no_place_is_a_404_that_names_the_field_and_its_limit(http, head, who, method, tail, index) -> None:
    job = job_with(who)
    answer = http.request(method, f"/v1/jobs/{job}/outputs/{index}{tail}", headers=head)
    assert (answer.status_code, answer.json()["param"]) == (404, "index")
    assert "from 0 to 32767" in answer.json()["detail"]
    assert f"({len(index)} characters)" in answer.json()["detail"]
    assert one("select status, plan_ends_at from assets") == ("stored", None)


@pytest.mark.parametrize(("method", "tail"), WAYS)
def test_what_is_not_there_is_a_404_a_job_under_way_says_so_and_a_nul_is_refused(http, head, who, method, tail) -> None:
    job, living = job_with(who), placed(who, model())

    def ask(job: object, index: str = "0") -> tuple[int, str, str]:
        answer = http.request(method, f"/v1/jobs/{job}/outputs/{index}{tail}", headers=head)
        return answer.status_code, answer.json()["code"], answer.json()["param"]

    assert ask(living) == (400, "job_not_ended", "id")
    assert ask(job, "1") == (404, "not_found", "index")
    assert ask(uuid4()) == ask("nonsense") == (404, "not_found", "id")
    assert ask(job, "a%00b")[0] == 422
    assert ask(job_with(account(amount=5))) == (404, "not_found", "id")
    assert one("select count(*) from assets where status = 'stored' and plan_ends_at is null") == (2,)


def test_each_route_wants_its_scope(http, who) -> None:
    job = job_with(who)
    wanted = {
        ("get", "/v1/storage"): "read", ("delete", f"/v1/jobs/{job}/outputs"): "delete",
        ("delete", f"/v1/jobs/{job}/outputs/0"): "delete", ("post", f"/v1/jobs/{job}/outputs/0/keep"): "write",
        ("delete", f"/v1/jobs/{job}/outputs/0/keep"): "write",
    }  # fmt: skip
    for (method, path), scope in wanted.items():
        others = {"generate", "read", "write", "delete"} - {scope}
        with transaction() as conn:
            secret = api_keys.create(conn, who, api_keys.NewKey("x", scopes=others))[1]
        answer = http.request(method, path, headers={"authorization": f"Bearer {secret}"})
        assert (answer.status_code, answer.json()["needed"]) == (403, scope)
    assert one("select status from assets") == ("stored",)


def test_storage_says_what_is_used_by_what_and_where_to_delete_it(http, head, who) -> None:
    job = job_with(who, 2)
    file = http.post("/v1/files", json={"data": "data:text/plain;base64,aGVsbG8="}, headers=head)
    assert file.status_code in {201, 422}
    change("update assets set size_bytes = size_bytes + 5 where index = 1")
    change("update accounts set storage_bytes = storage_bytes + 5 where id = %s", who)
    placed(who, model(kind="video"))
    shown = http.get("/v1/storage", headers=head).json()
    assert shown["used_bytes"] == sum(each["bytes"] for each in shown["kinds"]) == 2 * len(BODY) + 5
    assert (shown["expected_bytes"], shown["quota_bytes"]) == (8 * 2**20, 1_000_000_000)
    assert [each["kind"] for each in shown["kinds"]] == ["image", "video", "speech", "text", "uploads"]
    assert shown["kinds"][0] == {"kind": "image", "bytes": 2 * len(BODY) + 5, "files": 2}
    largest = shown["largest"]
    assert [(each["job_id"], each["index"], each["size_bytes"]) for each in largest] == [
        (str(job), 1, len(BODY) + 5), (str(job), 0, len(BODY)),
    ]  # fmt: skip
    address = largest[0]["delete_url"]
    assert address == f"http://127.0.0.1:8000/v1/jobs/{job}/outputs/1"
    assert http.delete(address.partition(":8000")[2], headers=head).status_code == 204
    assert [each["index"] for each in http.get("/v1/storage", headers=head).json()["largest"]] == [0]
    stranger = {"authorization": f"Bearer {key_of(account())}"}
    assert http.get("/v1/storage", headers=stranger).json()["largest"] == []
    assert used(http, stranger) == 0


def test_a_plan_that_keeps_results_for_ever_says_0_hours(http) -> None:
    assert http.get("/v1/plans/free").json()["result_hours"] is None
    change("update plans set result_hours = %s where id = 'free'", MAX_HOURS)
    assert http.get("/v1/plans/free").json()["result_hours"] == 0
    change("update plans set result_hours = 72 where id = 'free'")
    assert http.get("/v1/plans/free").json()["result_hours"] == 72


# In front of files: browsers' caches, and a CDN


def test_without_a_cdn_a_browser_alone_keeps_a_file_and_not_past_its_end(http, head, who) -> None:
    path = path_of(outputs(http, head, job_with(who))[0]["url"])
    answer = http.get(path)
    assert answer.headers["cache-control"] == "private, max-age=3600"
    assert "vary" not in answer.headers
    change("update assets set expires_at = app_now() + interval '100 seconds'")
    seconds = int(http.get(path).headers["cache-control"].removeprefix("private, max-age="))
    assert 90 < seconds <= 100


def test_with_a_cdn_addresses_are_its_own_stay_the_same_and_say_how_long_it_may_keep_them(who) -> None:
    job = job_with(who)
    with environment({**CDN, "CORS_ORIGINS": "https://app.example.com"}), TestClient(make_app()) as http:
        head = {"authorization": f"Bearer {key_of(who)}"}
        shown = outputs(http, head, job)[0]["url"]
        assert shown.startswith("https://cdn.example.com/files/")
        assert outputs(http, head, job)[0]["url"] == shown
        assert http.get("/v1/storage", headers=head).json()["largest"][0]["url"] == shown
        path = path_of(shown)
        for asked in (
            http.get(path), http.head(path), http.get(path, headers={"range": "bytes=1-2"}),
            http.get(path, headers={"if-none-match": f'"{hashlib.sha256(BODY).hexdigest()}"'}),
        ):  # fmt: skip
            assert asked.status_code in {200, 206, 304}
            assert asked.headers["cache-control"] == "public, max-age=3600, s-maxage=7200"
            assert asked.headers["etag"] == f'"{hashlib.sha256(BODY).hexdigest()}"'
            assert (
                asked.headers["vary"] == "Origin"
            )  # also to who names none, or a CDN would give that answer to a page
        for odd in ("?x=1", "?thumbnail=0", "?thumbnail=1&x=1"):  # the CDN is told to forget no such address
            assert http.get(path + odd).headers.get("cache-control", "no-store") in {
                "private, max-age=3600",
                "no-store",
            }
        assert http.get(f"{path}=").status_code == 404
        other = http.get(path[:-9] + ("A" if path[-9] != "A" else "B") + path[-8:])
        assert (other.status_code, other.headers["cache-control"]) == (404, "no-store")
        change("update assets set expires_at = app_now() + interval '100 seconds'")
        own, shared = http.get(path).headers["cache-control"].removeprefix("public, max-age=").split(", s-maxage=")
        assert own == shared
        assert 90 < int(shared) <= 100
