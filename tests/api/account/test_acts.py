"""What an account's people do on their pages: keys, webhooks, jobs. Done once, and said where it could not be."""

import re
from collections.abc import Iterator
from uuid import UUID

import pytest
from httpx import Response
from starlette.testclient import TestClient

from models.access import api_keys
from models.db import transaction
from tests.api.account.test_coming_in import come
from tests.api.console.house import console, token_in
from tests.support import account, assert_books_are_clean, balance, key_of, model, one, placed, rows

pytestmark = [pytest.mark.usefixtures("database"), pytest.mark.filterwarnings("ignore::DeprecationWarning")]


@pytest.fixture
def http() -> Iterator[TestClient]:
    with console() as client:
        yield client


def fill_in(http: TestClient, page: str, **fields: str) -> Response:
    """Open the page of an act, fill its form in and send it."""
    form = http.get(f"/account{page}")
    assert form.status_code == 200, form.text
    hidden = dict(
        re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', form.text.split('<form class="card"')[1])
    )
    return http.post(f"/account{page}", data={**hidden, **fields})


def test_a_key_is_made_shown_once_and_revoked(http: TestClient) -> None:
    who = account(amount=5)
    come(http, key_of(who))
    made = fill_in(
        http,
        "/keys/new",
        **{
            "name": "<b>farm",
            "scope.read": "on",
            "models": "a, b",
            "monthly_credits": "30",
            "expires_at": "2031-05-01T10:00",
        },
    )
    assert made.status_code == 200, made.text
    found = re.search(r'id="secret-made"[^>]*>(hr_[^<]+)</pre>', made.text)
    assert found is not None
    assert "<b>farm" not in made.text
    key_id, scopes, models, most = one(
        "select id, scopes, models, monthly_credits from api_keys where name = '<b>farm'"
    )
    assert (scopes, models, most) == (["read"], ["a", "b"], 30)
    with console() as other:
        assert come(other, found[1]).status_code == 303
    page = http.get("/account/keys").text
    assert found[1] not in page
    assert "&lt;b&gt;farm" in page
    gone = fill_in(http, f"/keys/{key_id}/revoke")
    assert (gone.status_code, gone.headers["location"]) == (303, "/account/keys?done=revoked")
    assert "The key is revoked." in http.get(gone.headers["location"]).text
    assert one("select revoked_at is not null from api_keys where id = %s", key_id) == (True,)
    assert [each[0] for each in rows("select action from acts order by id")] == ["key.create", "key.revoke"]


@pytest.mark.parametrize(("fields", "field", "words"), [
    ({"name": ""}, "name", "at least 1 character"), ({"name": "x" * 101}, "name", "100"), ({"name": "x", "monthly_credits": "1.5"}, "monthly_credits", "whole number"),
    ({"name": "x", "per_minute": "0"}, "per_minute", "1"), ({"name": "x", "expires_at": "soon"}, "expires_at", "a moment is written as"), ({"name": "x", "scope.read": ""}, "scope.generate", "at least one"),
])  # fmt: skip
def test_a_key_that_cannot_be_made_is_said_at_its_field(
    http: TestClient, fields: dict[str, str], field: str, words: str
) -> None:
    come(http, key_of(account()))
    answer = fill_in(http, "/keys/new", **{"scope.read": "on", **fields})
    assert answer.status_code == 422, answer.text
    alert = re.search(rf'id="f-{re.escape(field)}-error" role="alert">.*?</svg>([^<]*)</span>', answer.text)
    assert alert is not None, answer.text
    assert words in alert[1]
    assert one("select count(*) from api_keys") == (1,)


def test_a_key_makes_none_that_may_more_than_itself(http: TestClient) -> None:
    who = account()
    with transaction() as conn:
        own = api_keys.create(conn, who, api_keys.NewKey("small", scopes=("read", "write")))[1]
    come(http, own)
    answer = fill_in(http, "/keys/new", **{"name": "large", "scope.generate": "on"})
    assert (answer.status_code, 'role="alert"' in answer.text) == (403, True)
    assert one("select count(*) from api_keys") == (1,)


def test_a_webhook_is_added_tried_sent_to_again_and_removed(http: TestClient) -> None:
    who = account()
    come(http, key_of(who))
    for fields, words in (
        ({"url": "ftp://x"}, "url"),
        ({"url": "https://example.com/x", "events": "job.nothing"}, "events"),
    ):
        refused = fill_in(http, "/webhooks/new", **fields)
        assert (refused.status_code, f'id="f-{words}-error"' in refused.text) == (422, True), refused.text
    made = fill_in(http, "/webhooks/new", url="https://example.com/hook", events="job.succeeded, job.failed")
    assert "whsec_" in made.text
    (hook,) = one("select id from webhook_endpoints")
    sent = fill_in(http, f"/webhooks/{hook}/test")
    assert sent.headers["location"] == f"/account/webhooks/{hook}?done=tested"
    assert "webhook.test" in http.get(sent.headers["location"]).text
    with transaction() as conn:
        conn.execute(
            "update deliveries set status = 'delivered', attempts = 1, next_at = null, delivered_at = app_now()"
        )
    page = http.get(f"/account/webhooks/{hook}")
    (delivery,) = one("select id from deliveries")
    again = http.post(f"/account/webhooks/{hook}/deliveries/{delivery}/again", data={"form_token": token_in(page)})
    assert (again.status_code, again.headers["location"]) == (303, f"/account/webhooks/{hook}?done=sent")
    assert one("select status from deliveries") == ("pending",)
    gone = fill_in(http, f"/webhooks/{hook}/remove")
    assert (gone.status_code, one("select count(*) from webhook_endpoints")) == (303, (0,))


def test_a_job_is_canceled_after_it_was_asked_and_one_that_has_ended_is_not(http: TestClient) -> None:
    who = account(amount=5)
    job: UUID = placed(who, model(), {"prompt": "<script>"}, labels={"customer": "acme"})
    come(http, key_of(who))
    assert str(job) in http.get("/account/jobs?q=customer:acme").text
    assert str(job) not in http.get("/account/jobs?q=customer:other").text
    assert http.get("/account/jobs?q=:").status_code == 422
    assert balance(who) == (4, 1)
    done = fill_in(http, f"/jobs/{job}/cancel")
    assert done.headers["location"] == f"/account/jobs/{job}?done=canceled"
    page = http.get(done.headers["location"]).text
    assert "It was canceled" in page
    assert "<script>" not in page.replace("<script src", "")
    assert balance(who) == (5, 0)
    assert_books_are_clean()
