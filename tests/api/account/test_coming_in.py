"""Who comes in to an account's own pages, and that nobody reaches what is another's."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from httpx import Response
from starlette.testclient import TestClient

from api.account.site import ACCOUNT_SITE
from api.console.site import CONSOLE_SITE
from api.main import PUBLIC, make_app, needs_of
from api.services import services
from api.sites import sessions
from api.sites.rendering import POLICY
from models.access import api_keys
from models.access.audit_log import By
from models.access.scopes import Scope
from models.accounts import accounts, standing
from models.db import transaction
from models.events import deliveries, endpoints
from tests.api.auth.issuer import Issuer
from tests.api.console.house import console, operator, sign_in, token_in
from tests.conftest import environment
from tests.support import account, balance, key_of, model, one, placed, rows

pytestmark = [pytest.mark.usefixtures("database"), pytest.mark.filterwarnings("ignore::DeprecationWarning")]

PAGES = sorted(
    (path, method) for path, method, need in needs_of(make_app()) if path.startswith("/account") and need != PUBLIC
)
NAMES = ("{job_id}", "{key_id}", "{webhook_id}", "{delivery_id}")


@pytest.fixture
def http() -> Iterator[TestClient]:
    with environment({"FAILED_AUTH_PER_MINUTE": "100", "KEY_CACHE_SECONDS": "0"}), console() as client:
        yield client


def come(http: TestClient, secret: str, **fields: str) -> Response:
    return sign_in(http, secret, "account", **fields)


def key_with(who: UUID, *scopes: Scope) -> str:
    with transaction() as conn:
        return api_keys.create(conn, who, api_keys.NewKey("some", scopes=scopes))[1]


def filled(path: str, ids: dict[str, str] | None = None) -> str:
    for name in NAMES:
        path = path.replace(name, (ids or {}).get(name, str(UUID(int=5))))
    return path.replace("{rest:path}", "nothing")


def test_a_key_opens_a_session_that_says_nothing_of_it_and_signing_out_ends_it(http: TestClient) -> None:
    secret = key_of(account(amount=7))
    came = come(http, secret, next="/jobs?status=failed")
    assert (came.status_code, came.headers["location"]) == (303, "/account/jobs?status=failed")
    cookie = came.headers["set-cookie"]
    for word in ("headrace_account=", "HttpOnly", "SameSite=strict", "Path=/account"):
        assert word in cookie
    assert secret not in cookie
    page = http.get("/account")
    assert (page.status_code, page.headers["content-security-policy"]) == (200, POLICY)
    assert page.headers["cache-control"] == "no-store"
    assert secret not in page.text
    out = http.post("/account/sign-out", data={"form_token": token_in(page)})
    assert (out.status_code, out.headers["location"]) == (303, "/account/sign-in")
    assert http.get("/account").headers["location"] == "/account/sign-in?next="
    assert rows("select action from acts") == []


@pytest.mark.parametrize(("path", "method"), PAGES)
def test_who_has_not_signed_in_is_led_to_the_sign_in(http: TestClient, path: str, method: str) -> None:
    answer = http.request(method, filled(path))
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/account/sign-in")


@pytest.mark.parametrize(("path", "method"), [each for each in PAGES if each[1] == "post"])
def test_a_form_without_its_sessions_token_changes_nothing(http: TestClient, path: str, method: str) -> None:
    who = account(amount=50)
    offer = model()
    hook = _hook(who)
    job = placed(who, offer)
    come(http, key_of(who))
    key = str(one("select id from api_keys")[0])
    ids = {"{job_id}": str(job), "{key_id}": key, "{webhook_id}": str(hook[0]), "{delivery_id}": str(hook[1])}
    with console() as other:
        come(other, key_of(who))
        foreign = token_in(other.get("/account/jobs"))
    before = _state()
    for token in ("", "x", foreign, sessions.form_token(CONSOLE_SITE, b"x" * 16), "é" * 60):
        body: dict[str, Any] = {"data": {"form_token": token, "model": "test-model", "name": "x", "scope.read": "on"}}
        if path.endswith("/upload"):
            body["files"] = {"up.image": ("x.png", b"x", "image/png")}
        answer = http.request(method, filled(path, ids), **body)
        assert (answer.status_code, "You may not do this" in answer.text) == (403, True), answer.text
    assert _state() == before


def _state() -> list[tuple[Any, ...]]:
    return [
        one("select count(*) from jobs"), one("select count(*), count(revoked_at) from api_keys"), one("select count(*) from webhook_endpoints"),
        one("select count(*) from deliveries"), one("select count(*) from assets"), one("select count(*) from jobs where ended is not null"),
    ]  # fmt: skip


def _hook(who: UUID) -> tuple[UUID, UUID]:
    with transaction() as conn:
        hook = endpoints.create(conn, who, "https://example.com/hook", [])[0].id
        return hook, deliveries.send(conn, who, hook, "webhook.test", {"message": "secret words"}, endpoint_id=hook)


@pytest.mark.parametrize(("path", "method"), [each for each in PAGES if "{" in each[0] and "rest" not in each[0]])
def test_what_is_somebody_elses_is_not_there_and_stays_as_it_is(http: TestClient, path: str, method: str) -> None:
    other = account(amount=50)
    job, hook = placed(other, model(), {"prompt": "secret words"}), _hook(other)
    key_of(other)
    ids = {"{job_id}": str(job), "{webhook_id}": str(hook[0]), "{delivery_id}": str(hook[1])}
    ids["{key_id}"] = str(one("select id from api_keys")[0])
    come(http, key_of(account(amount=5)))
    before = _state()
    token = token_in(http.get("/account/jobs"))
    answer = http.request(method, filled(path, ids), **({"data": {"form_token": token}} if method == "post" else {}))
    assert answer.status_code == 404
    assert "secret words" not in answer.text
    assert "example.com" not in answer.text
    assert _state() == before
    assert balance(other) == (49, 1)


def test_lists_have_ones_own_and_a_foreign_job_is_no_beginning(http: TestClient) -> None:
    other, own = account(amount=50), account(amount=50)
    job = placed(other, model(), {"prompt": "secret words"})
    _hook(other)
    come(http, key_of(own))
    for path in ("", "/use", "/jobs", "/jobs?q=test-model", "/keys", "/webhooks", "/payments"):
        page = http.get(f"/account{path}")
        assert page.status_code == 200
        assert "secret words" not in page.text
        assert "example.com" not in page.text
        assert str(job) not in page.text
    assert http.get(f"/account/try?job={job}").status_code == 404
    assert http.get(f"/account/jobs?q={job}").headers["location"] == f"/account/jobs/{job}"


@pytest.mark.parametrize("what", ["revoked", "suspended", "banned", "deleted", "expired"])
def test_a_session_ends_at_once_with_what_it_rests_on(http: TestClient, what: str) -> None:
    who = account()
    come(http, key_of(who))
    assert http.get("/account/jobs").status_code == 200
    with transaction() as conn:
        user = accounts.user_of_account(conn, who).id
        match what:
            case "revoked":
                api_keys.revoke(conn, one("select id from api_keys")[0])
            case "suspended":
                standing.suspend(conn, By("test"), user, "why")
            case "banned":
                conn.execute("update users set banned = true where id = %s", [user])
            case "deleted":
                conn.execute("update users set deleted_at = app_now() where id = %s", [user])
            case _:
                conn.execute("update api_keys set expires_at = app_now()")
    assert http.get("/account/jobs").headers["location"].startswith("/account/sign-in")
    assert "headrace_account" not in http.cookies
    assert come(http, api_keys.make_secret()).status_code == 401


def test_a_suspended_account_is_told_so_at_the_field(http: TestClient) -> None:
    who = account()
    secret = key_of(who)
    with transaction() as conn:
        standing.suspend(conn, By("test"), accounts.user_of_account(conn, who).id, "why")
    answer = come(http, secret)
    assert (answer.status_code, "This account is suspended." in answer.text) == (401, True)


def test_no_session_of_one_site_opens_the_other_and_an_operators_key_has_no_operators_rights(http: TestClient) -> None:
    who, secret = operator()
    sign_in(http, secret)
    theirs = http.cookies["headrace_console"]
    with console() as other:
        for name in ("headrace_account", "headrace_console"):
            other.cookies.set(name, theirs, path="/account")
        assert other.get("/account/jobs").status_code == 303
    with console() as other:
        come(other, secret)
        own = other.cookies["headrace_account"]
    with console() as other:
        other.cookies.set("headrace_console", own, path="/console")
        assert other.get("/console/jobs").status_code == 303
    session = sessions.begin_session(who, None, 1000)
    assert sessions.read_session(CONSOLE_SITE, sessions.session_token(ACCOUNT_SITE, session), 1000) is None
    come(http, secret)
    made = http.get("/account/keys/new")
    assert made.status_code == 403
    assert "scope" in made.text


def test_a_key_does_here_what_it_may_and_no_more(http: TestClient) -> None:
    who = account(amount=50)
    job = placed(who, model())
    services(http.app).catalogue.load()  # type: ignore[arg-type]  # it is a FastAPI
    assert come(http, key_with(who, "generate")).status_code == 403
    come(http, key_with(who, "read"))
    token = token_in(http.get(f"/account/jobs/{job}"))
    for path in ("/keys/new", f"/jobs/{job}/cancel", "/webhooks/new", "/try"):
        answer = http.post(f"/account{path}", data={"form_token": token, "model": "test-model"})
        assert answer.status_code == 403, path
    page = http.post("/account/try/price", data={"form_token": token, "model": "test-model"})
    assert page.status_code == 200
    assert "Order for" not in page.text
    assert one("select count(*) from jobs where ended is not null") == (0,)


def test_a_person_comes_in_by_a_token(http: TestClient) -> None:
    with Issuer() as issuer, environment({"OIDC_ISSUERS": issuer.url, "KEY_CACHE_SECONDS": "0"}), console() as site:
        assert come(site, issuer.token("ann")).status_code == 303
        assert site.get("/account").status_code == 200
        with transaction() as conn:
            conn.execute("update users set suspended_at = app_now() where subject = 'ann'")
        assert site.get("/account").status_code == 303
