"""The routes of webhooks and notifications: limits, isolation, what is shown and what is not."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from starlette.testclient import TestClient

from api.main import make_app
from models.db import transaction
from tests.conftest import environment
from tests.receivers import receivers, sending, tell
from tests.support import account, eventually, key_of, one, rows

pytestmark = [
    pytest.mark.usefixtures("database"),
    # Starlette's test client still uses what AnyIO and httpx are about to rename.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

URL = "https://example.com/hook"


@pytest.fixture
def http(database: str) -> Iterator[TestClient]:
    with TestClient(make_app(), raise_server_exceptions=False) as client:
        yield client


def head(who) -> dict[str, str]:
    return {"authorization": f"Bearer {key_of(who)}"}


def test_a_webhook_is_made_shown_changed_and_removed_and_its_secret_is_shown_once(http: TestClient) -> None:
    who = account()
    mine = head(who)
    made = http.post("/v1/webhooks", json={"url": URL, "events": ["job.failed"], "description": "ops"}, headers=mine)
    assert made.status_code == 201
    assert made.json()["secret"].startswith("whsec_")
    path = made.headers["location"]
    assert "secret" not in http.get(path, headers=mine).json()
    assert one("select has_webhooks from accounts where id = %s", who) == (True,)
    off = http.patch(path, json={"enabled": False, "events": []}, headers=mine).json()
    assert (off["enabled"], off["disabled_reason"], off["events"], off["url"]) == (False, "switched off", [], URL)
    assert one("select has_webhooks from accounts where id = %s", who) == (False,)
    refused = http.post(f"{path}/test", headers=mine)
    assert (refused.status_code, refused.json()["code"]) == (400, "webhook_disabled")
    assert http.patch(path, json={"enabled": True}, headers=mine).json()["disabled_reason"] is None
    again = http.post(f"{path}/rotate", headers=mine).json()
    assert again["secret"] != made.json()["secret"]
    assert again["previous_secret_until"] is not None
    assert [each["id"] for each in http.get("/v1/webhooks", headers=mine).json()["data"]] == [made.json()["id"]]
    assert http.delete(path, headers=mine).status_code == 204
    assert http.get(path, headers=mine).status_code == 404
    stored = rows("select secret from webhook_endpoints")
    assert stored == []


def test_secrets_are_encrypted_at_rest_and_the_default_one_can_be_read_and_replaced(http: TestClient) -> None:
    mine = head(account())
    key = http.get("/v1/webhooks/default/secret", headers=mine).json()["key"]
    assert http.get("/v1/webhooks/default/secret", headers=mine).json()["key"] == key
    assert key.encode() not in bytes(one("select secret from webhook_secrets")[0])
    new = http.post("/v1/webhooks/default/rotate", headers=mine).json()["key"]
    assert new != key
    assert http.get("/v1/webhooks/default/secret", headers=mine).json()["key"] == new


@pytest.mark.parametrize("body", [
    {}, {"url": "ftp://example.com"}, {"url": "http://127.0.0.1/"}, {"url": "http://localhost/"}, {"url": "http://[::1]/"},
    {"url": "http://169.254.169.254/latest"}, {"url": "https://example.com/" + "x" * 2048}, {"url": "http://10.1.2.3/"},
    {"url": URL, "events": ["job.nonsense"]}, {"url": URL, "events": ["job.failed"] * 33}, {"url": URL, "more": 1},
    {"url": URL, "description": "x" * 201}, {"url": URL, "description": "\0"}, {"url": "https://user:pass@/"},
])  # fmt: skip
def test_what_cannot_be_told_to_is_refused(http: TestClient, body: dict[str, object]) -> None:
    assert http.post("/v1/webhooks", json=body, headers=head(account())).status_code == 422
    assert rows("select 1 from webhook_endpoints") == []


def test_an_account_has_only_so_many_webhooks(http: TestClient) -> None:
    mine = head(account())
    with environment({"WEBHOOK_ENDPOINTS_MAX": "2"}):
        answers = [http.post("/v1/webhooks", json={"url": URL}, headers=mine) for _ in range(3)]
    assert [each.status_code for each in answers] == [201, 201, 400]
    assert answers[2].json()["code"] == "too_many_webhooks"


@pytest.mark.parametrize("extra", [
    {"webhook": "http://127.0.0.1/"}, {"webhook": "nonsense"}, {"webhook_events": ["job.failed"]},
    {"webhook": URL, "webhook_events": ["credits.granted"]}, {"webhook": "https://example.com/" + "x" * 2048},
])  # fmt: skip
def test_a_job_whose_address_cannot_be_told_to_is_not_taken(http: TestClient, extra: dict[str, object]) -> None:
    body = {"model": "sketch-image", "input": {"prompt": "x"}, **extra}
    assert http.post("/v1/jobs", json=body, headers=head(account(amount=5))).status_code == 422
    assert rows("select 1 from jobs") == []


def test_nothing_of_one_account_can_be_seen_or_touched_by_another(http: TestClient) -> None:
    owner, stranger = account(), account()
    mine, theirs = head(owner), head(stranger)
    made = http.post("/v1/webhooks", json={"url": URL}, headers=mine).json()
    tell(owner, kind="announcement")
    delivery = str(one("select id from deliveries")[0])
    note = http.get("/v1/notifications", headers=mine).json()["data"][0]["id"]
    path, since = f"/v1/webhooks/{made['id']}", "2020-01-01T00:00:00Z"
    their_hook = http.post("/v1/webhooks", json={"url": URL}, headers=theirs).json()["id"]
    for method, at, body in (
        ("GET", path, None), ("PATCH", path, {"enabled": False}), ("DELETE", path, None), ("POST", path + "/rotate", None),
        ("POST", path + "/test", None), ("GET", path + "/deliveries", None), ("POST", path + "/redeliver", {"since": since}),
        ("POST", f"{path}/deliveries/{delivery}/redeliver", None),
        ("POST", f"/v1/webhooks/default/deliveries/{delivery}/redeliver", None),
        ("POST", f"/v1/webhooks/{their_hook}/deliveries/{delivery}/redeliver", None),
        ("POST", f"/v1/notifications/{note}/read", None), ("GET", "/v1/webhooks/nonsense", None),
        ("POST", f"/v1/notifications/{uuid4()}/read", None),
    ):  # fmt: skip
        answer = http.request(method, at, json=body, headers=theirs)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), (method, at)
    assert http.get("/v1/notifications", headers=theirs).json() == {"data": [], "next": None}
    assert http.get("/v1/webhooks/default/deliveries", headers=theirs).json()["data"] == []
    assert http.post("/v1/notifications/read", headers=theirs).json() == {"count": 0}
    assert one("select read_at is null from notifications where id = %s", note) == (True,)
    keys = {http.get("/v1/webhooks/default/secret", headers=each).json()["key"] for each in (mine, theirs)}
    assert len(keys) == 2
    assert http.get(path, headers=mine).json()["enabled"] is True
    for at in ("/v1/webhooks", "/v1/notifications", "/v1/webhooks/default/secret"):
        assert http.get(at).status_code == 401


def test_a_test_event_is_sent_logged_paged_and_sent_again(http: TestClient) -> None:
    with receivers(1) as [there]:
        mine = head(account())
        made = http.post("/v1/webhooks", json={"url": there.url, "events": ["job.failed"]}, headers=mine).json()
        path = f"/v1/webhooks/{made['id']}"
        with sending():
            sent = [http.post(f"{path}/test", headers=mine).json()["delivery_id"] for _ in range(5)]
            eventually(lambda: len(there.got) == 5)
            eventually(lambda: len(http.get(f"{path}/deliveries?status=delivered", headers=mine).json()["data"]) == 5)
            pages, cursor = [], ""
            while cursor is not None:
                page = http.get(f"{path}/deliveries?limit=2{cursor and '&cursor=' + cursor}", headers=mine).json()
                pages += page["data"]
                cursor = page["next"]
            assert [each["id"] for each in pages] == sent[::-1]
            assert pages[0]["event_type"] == "webhook.test"
            entry = pages[0]["log"][0]
            assert (entry["url"], entry["status"], entry["response"]) == (there.url, 200, "ok")
            assert entry["milliseconds"] >= 0
            again = http.post(f"{path}/deliveries/{sent[0]}/redeliver", headers=mine).json()
            assert (again["id"], again["status"], again["attempts"]) == (sent[0], "pending", 0)
            since = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
            eventually(lambda: len(there.got) == 6)
            eventually(lambda: http.get(f"{path}/deliveries?status=pending", headers=mine).json()["data"] == [])
            body = {"since": since, "which": "all"}
            assert http.post(f"{path}/redeliver", json=body, headers=mine).json() == {"count": 5}
            eventually(lambda: len(there.got) == 11)
        assert set(there.ids()) == set(sent)
        assert http.get(f"{path}/deliveries?cursor=x!", headers=mine).status_code == 422


def test_a_job_ordered_again_tells_the_same_address_and_a_time_of_single_jobs_can_be_sent_again(
    http: TestClient,
) -> None:
    with receivers(1) as [there]:
        who = account(amount=9)
        mine = head(who)
        body = {
            "model": "sketch-image",
            "input": {"prompt": "x"},
            "webhook": there.url,
            "webhook_events": ["job.canceled"],
        }
        first = http.post("/v1/jobs", json=body, headers=mine).json()["id"]
        http.post(f"/v1/jobs/{first}/cancel", headers=mine)
        again = http.post(f"/v1/jobs/{first}/retry", headers=mine).json()["id"]
        http.post(f"/v1/jobs/{again}/cancel", headers=mine)
        with sending():
            eventually(lambda: [each.told["data"]["job_id"] for each in there.got] == [first, again])
            eventually(lambda: rows("select 1 from deliveries where status = 'pending'") == [])
            since = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
            sent = http.post("/v1/webhooks/default/redeliver", json={"since": since, "which": "all"}, headers=mine)
            assert sent.json() == {"count": 2}
            other = head(account())
            assert http.post("/v1/webhooks/default/redeliver", json={"since": since}, headers=other).json() == {
                "count": 0
            }
            eventually(lambda: len(there.got) == 4)
    assert there.ids()[:2] == there.ids()[2:]


def test_a_job_is_ordered_again_whatever_words_its_address_was_kept_in(http: TestClient) -> None:
    who = account(amount=9)
    mine = head(who)
    body = {"model": "sketch-image", "input": {"prompt": "x"}, "webhook": "https://example.com/hook"}
    first = http.post("/v1/jobs", json=body, headers=mine).json()["id"]
    http.post(f"/v1/jobs/{first}/cancel", headers=mine)
    with transaction() as conn:  # as a release before has left it; an ended job is never changed by anybody else
        conn.execute("alter table jobs disable trigger ended_jobs_never_change")
        conn.execute("update jobs set webhook = webhook - 'queue' || jsonb_build_object('line', webhook->'queue')")
        conn.execute("alter table jobs enable trigger ended_jobs_never_change")
    again = http.post(f"/v1/jobs/{first}/retry", headers=mine)
    assert again.status_code == 201
    assert one("select webhook ? 'queue', webhook ? 'line' from jobs where id = %s", again.json()["id"]) == (
        True,
        False,
    )


def test_notifications_are_counted_listed_and_read(http: TestClient) -> None:
    who = account()
    mine = head(who)
    tell(who, 3, kind="announcement")
    tell(who, kind="credits.granted")
    page = http.get("/v1/notifications?limit=2", headers=mine).json()
    assert len(page["data"]) == 2
    assert http.get("/v1/notifications/unread", headers=mine).json() == {"count": 3}
    rest = http.get(f"/v1/notifications?limit=2&cursor={page['next']}", headers=mine).json()
    assert (len(rest["data"]), rest["next"]) == (1, None)
    one_id = rest["data"][0]["id"]
    assert http.post(f"/v1/notifications/{one_id}/read", headers=mine).status_code == 204
    assert http.post(f"/v1/notifications/{one_id}/read", headers=mine).status_code == 204
    unread = http.get("/v1/notifications?unread=true", headers=mine).json()
    assert (len(unread["data"]), unread["next"]) == (2, None)
    assert http.post("/v1/notifications/read", headers=mine).json() == {"count": 2}
    assert http.get("/v1/notifications/unread", headers=mine).json() == {"count": 0}
